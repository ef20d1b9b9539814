//! JSON text that is shared instead of copied. Owns the text, the proof that it is JSON, and cutting it into parts; never
//! builds a tree and knows nothing of what values mean.
//!
//! What arrives is one text, checked once. Its parts point into it, so that a large value passes from the wire through a run and
//! out again without a copy. A part that would keep a much larger text alive is copied instead: [`Json::released`].

mod scan;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::OnceLock;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde_json::value::RawValue;

pub use scan::Member;
pub use scan::Members;
pub use scan::NotJson;
pub use scan::Raw;
pub use scan::is_plain;

/// From this size on, a text is worth sharing: below it a copy costs less than the care.
pub const LARGE_BYTES: usize = 16 * 1024;

/// A part keeps the whole alive when it is at least one of so many parts of it.
const MOST_PINNED: usize = 4;

/// One JSON value as text. Cheap to clone; holds no white space around the value.
#[derive(Clone)]
pub struct Json {
    source: Source,
    range: Range<usize>,
}

#[derive(Clone)]
enum Source {
    /// Copied from somewhere.
    Copied(Arc<str>),
    /// As serde_json gave it, who writes it out again without a look.
    Raw(Arc<Box<RawValue>>),
    /// A line as it arrived.
    Line(Arc<String>),
    /// A large value and what stands around it.
    Framed(Arc<Framed>),
}

struct Framed {
    before: String,
    value: Json,
    after: String,
    /// All of it in one piece, made when somebody asks.
    joined: OnceLock<String>,
}

impl Source {
    /// How long the text is.
    fn length(&self) -> usize {
        match self {
            Source::Framed(framed) => framed.pieces().iter().map(|piece| piece.len()).sum(),
            Source::Copied(_) | Source::Raw(_) | Source::Line(_) => self.text().len(),
        }
    }

    fn text(&self) -> &str {
        match self {
            Source::Copied(text) => text,
            Source::Raw(text) => text.get(),
            Source::Line(text) => text,
            Source::Framed(framed) => framed.joined.get_or_init(|| framed.join()),
        }
    }
}

impl Framed {
    fn pieces(&self) -> [&str; 3] {
        [&self.before, self.value.get(), &self.after]
    }

    fn join(&self) -> String {
        self.pieces().concat()
    }
}

impl Json {
    /// Checks a text and copies it.
    ///
    /// # Errors
    /// What serde_json says of it.
    pub fn parse(text: &str) -> Result<Json, serde_json::Error> {
        if text.len() < LARGE_BYTES {
            return serde_json::from_str::<Box<RawValue>>(text).map(Json::from);
        }
        match Raw::parse(text) {
            Ok(raw) => Ok(Json::from(raw)),
            // Which words for it, serde_json knows.
            Err(NotJson { .. }) => serde_json::from_str::<&RawValue>(text).map(Json::from),
        }
    }

    /// The text of anything that serialises.
    ///
    /// # Errors
    /// When it does not.
    pub fn of(source: &(impl Serialize + ?Sized)) -> Result<Json, serde_json::Error> {
        serde_json::value::to_raw_value(source).map(Json::from)
    }

    /// Copies a text that is known to be JSON.
    fn copied(text: &str) -> Json {
        Json {
            range: 0..text.len(),
            source: Source::Copied(text.into()),
        }
    }

    /// A part of a large text, which it keeps alive.
    pub fn of_whole(whole: &Arc<String>, part: Raw<'_>) -> Json {
        match place(whole, part.get()) {
            Some(range) => Json {
                source: Source::Line(Arc::clone(whole)),
                range,
            },
            None => Json::from(part),
        }
    }

    /// A part of this text, which shares it.
    #[must_use]
    pub fn part(&self, part: Raw<'_>) -> Json {
        match place(self.source.text(), part.get()) {
            Some(range) => Json {
                source: self.source.clone(),
                range,
            },
            None => Json::from(part),
        }
    }

    /// The same value, but for one that would keep a much larger text alive: that one is copied.
    #[must_use]
    pub fn released(self) -> Json {
        match self.range.len() >= self.source.length() / MOST_PINNED {
            true => self,
            false => Json::copied(self.get()),
        }
    }

    /// The text.
    pub fn get(&self) -> &str {
        &self.source.text()[self.range.clone()]
    }

    /// How long the text is.
    #[expect(clippy::len_without_is_empty, reason = "no JSON value is empty text")]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// The text in pieces that follow each other, so that a large value can be written from where it is.
    pub fn pieces(&self) -> [&str; 3] {
        match &self.source {
            Source::Framed(framed) if framed.joined.get().is_none() => framed.pieces(),
            _ => [self.get(), "", ""],
        }
    }

    /// The text with the value of one member replaced by `null`, and that value; `None` when this is no object, or has no such
    /// key that is written without escapes.
    pub fn take_member(&self, key: &str) -> Option<(String, Json)> {
        let text = self.get();
        let mut members = Members::of(text)?.map_while(Result::ok);
        let found = members.find(|member| member.key == key)?;
        let range = place(text, found.value.get())?;
        let rest = [&text[..range.start], "null", &text[range.end..]].concat();
        Some((rest, self.part(found.value)))
    }

    /// The object with another value of one member, which is not copied; `None` when there is no such member.
    pub fn with_member(&self, key: &str, value: Json) -> Option<Json> {
        let text = self.get();
        let mut members = Members::of(text)?.map_while(Result::ok);
        let found = members.find(|member| member.key == key)?;
        let range = place(text, found.value.get())?;
        let framed = Framed {
            before: text[..range.start].to_owned(),
            after: text[range.end..].to_owned(),
            value,
            joined: OnceLock::new(),
        };
        let length = framed.pieces().iter().map(|piece| piece.len()).sum();
        Some(Json {
            source: Source::Framed(Arc::new(framed)),
            range: 0..length,
        })
    }
}

/// Where in a text a part of it is; `None` when it is a part of something else.
fn place(whole: &str, part: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (end <= whole.len()).then_some(start..end)
}

impl From<Raw<'_>> for Json {
    fn from(raw: Raw<'_>) -> Json {
        Json::copied(raw.get())
    }
}

impl From<&RawValue> for Json {
    fn from(raw: &RawValue) -> Json {
        Json::from(Raw::from(raw))
    }
}

impl From<Box<RawValue>> for Json {
    fn from(raw: Box<RawValue>) -> Json {
        Json {
            range: 0..raw.get().len(),
            source: Source::Raw(Arc::new(raw)),
        }
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Json").field(&self.get()).finish()
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let part;
        let raw: &RawValue = match &self.source {
            Source::Raw(raw) if raw.get().len() == self.range.len() => raw,
            _ => {
                part = serde_json::from_str(self.get()).map_err(serde::ser::Error::custom)?;
                part
            }
        };
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Json::from)
    }
}

#[cfg(test)]
mod tests;
