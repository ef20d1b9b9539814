//! Paths into values: `$.items[0]["any key"]`.
//!
//! Owns the syntax of paths and what a path selects. Must not know which step or input a value came from.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::value::{Kind, Value};

/// Where to look in a value: `$`, then `.name`, `["any key"]`, `[0]`, `[-1]`.
///
/// Without the `$`, `a`, `a.b` and `a[0].b` mean the same with it. Printing always writes the `$`.
///
/// ```
/// use stepflow_flow::{path::Path, value::Value};
/// let path: Path = "items[-1].name".parse().unwrap();
/// assert_eq!(path.to_string(), "$.items[-1].name");
/// let value = Value::parse(r#"{"items": [{"name": "first"}, {"name": "last"}]}"#).unwrap();
/// assert_eq!(path.select(&value).unwrap().as_text(), "\"last\"");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Path(Box<[Segment]>);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// A key of an object.
    Field(Arc<str>),
    /// A place in a list; a negative one counts from the end.
    Index(i64),
}

impl Segment {
    /// The key `name`.
    pub fn field(name: &str) -> Segment {
        Segment::Field(name.into())
    }
}

/// Why a text is not a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (column {} of the path)", .at + 1)]
pub struct PathError {
    /// What is wrong, and the way forward.
    pub message: String,
    /// The byte where it is wrong.
    pub at: usize,
}

impl Path {
    /// The path of these segments.
    pub fn new(segments: impl Into<Box<[Segment]>>) -> Path {
        Path(segments.into())
    }

    /// The path that selects the whole value: `$`.
    pub fn root() -> Path {
        Path::default()
    }

    /// Whether this path selects the whole value.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path's steps from the outside in.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Reads a path.
    pub fn parse(text: &str) -> Result<Path, PathError> {
        let mut parser = Parser { text, at: 0 };
        let path = parser.path()?;
        if parser.at < text.len() {
            return Err(parser.unexpected());
        }
        Ok(path)
    }

    /// Reads the path at the start of a text, and says where it ends.
    pub(crate) fn parse_prefix(text: &str) -> Result<(Path, usize), PathError> {
        let mut parser = Parser { text, at: 0 };
        let path = parser.path()?;
        Ok((path, parser.at))
    }

    /// The value this path leads to. A missing one is an error that says what there is instead; it is never
    /// silently null.
    pub fn select(&self, value: &Value) -> Result<Value, MissingPath> {
        let mut found = value.clone();
        for (depth, segment) in self.0.iter().enumerate() {
            let next = match segment {
                Segment::Field(name) => found.get(name),
                Segment::Index(place) => found.index(*place),
            };
            match next {
                Some(next) => found = next,
                None => return Err(self.missing(depth, &found)),
            }
        }
        Ok(found)
    }

    fn missing(&self, depth: usize, found: &Value) -> MissingPath {
        let kind = found.kind();
        let there = match kind {
            Kind::Object => There::Keys {
                first: found.keys().take(There::SHOWN).map(str::to_owned).collect(),
                total: found.len(),
            },
            Kind::List => There::Length(found.len()),
            Kind::Null | Kind::Bool | Kind::Number | Kind::String => There::Scalar,
        };
        MissingPath {
            path: self.clone(),
            depth,
            kind,
            there,
        }
    }
}

/// A path that leads nowhere: where it stopped, and what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingPath {
    /// The whole path.
    pub path: Path,
    /// How many of its segments were found.
    pub depth: usize,
    /// The kind of the value it stopped at.
    pub kind: Kind,
    /// What that value has.
    pub there: There,
}

/// What the value has at which a path stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum There {
    /// An object's first keys, and how many there are.
    Keys {
        /// The first of them.
        first: Vec<String>,
        /// How many there are in all.
        total: usize,
    },
    /// A list's length.
    Length(usize),
    /// Neither: nothing to look into.
    Scalar,
}

impl There {
    /// How many keys a message names.
    pub const SHOWN: usize = 20;
}

impl MissingPath {
    /// The part of the path that was found.
    pub fn found(&self) -> Path {
        Path::new(&self.path.0[..self.depth])
    }
}

impl fmt::Display for MissingPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no {}: {} is ", self.path, self.found())?;
        match &self.there {
            There::Keys { total: 0, .. } => f.write_str("an empty object"),
            There::Keys { first, total } => {
                write!(f, "an object with the keys {}", first.join(", "))?;
                if *total > first.len() {
                    write!(f, ", … ({total} in all)")?;
                }
                Ok(())
            }
            There::Length(0) => f.write_str("an empty list"),
            There::Length(1) => f.write_str("a list of 1 item"),
            There::Length(length) => write!(f, "a list of {length} items"),
            There::Scalar => match self.kind {
                Kind::Null => f.write_str("null"),
                kind => write!(f, "a {kind}"),
            },
        }
    }
}

impl std::error::Error for MissingPath {}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Path, PathError> {
        Path::parse(text)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        self.0.iter().try_for_each(|segment| write!(f, "{segment}"))
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Segment::Index(place) => write!(f, "[{place}]"),
            Segment::Field(name) if !name.is_empty() && name.chars().all(is_name_char) => {
                write!(f, ".{name}")
            }
            Segment::Field(name) => {
                let quoted = serde_json::to_string(&**name).map_err(|_| fmt::Error)?;
                write!(f, "[{quoted}]")
            }
        }
    }
}

/// Whether a key with this character can be written without quotes.
fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '@' | ':' | '/' | '+')
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn path(&mut self) -> Result<Path, PathError> {
        if self.text.is_empty() {
            return Err(self.error("an empty path; write `$` for the whole value"));
        }
        let mut segments = Vec::new();
        if self.rest().starts_with('$') {
            self.at += 1;
        } else {
            segments.push(self.name()?);
        }
        loop {
            match self.rest().as_bytes().first() {
                Some(b'.') => {
                    self.at += 1;
                    segments.push(self.name()?);
                }
                Some(b'[') => {
                    self.at += 1;
                    segments.push(self.bracket()?);
                }
                _ => return Ok(Path::new(segments)),
            }
        }
    }

    fn name(&mut self) -> Result<Segment, PathError> {
        let rest = self.rest();
        let len = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
        if len == 0 {
            return Err(self.unexpected());
        }
        self.at += len;
        Ok(Segment::field(&rest[..len]))
    }

    fn bracket(&mut self) -> Result<Segment, PathError> {
        let segment = match self.rest().as_bytes().first() {
            Some(b'"') => self.quoted()?,
            Some(b'\'') => self.single_quoted()?,
            Some(b'-' | b'0'..=b'9') => self.place()?,
            Some(b'*' | b'?') => return Err(self.unexpected()),
            _ => return Err(self.error("after `[` comes a number or a key in double quotes")),
        };
        if !self.rest().starts_with(']') {
            return Err(self.error("`]` is missing"));
        }
        self.at += 1;
        Ok(segment)
    }

    fn place(&mut self) -> Result<Segment, PathError> {
        let rest = self.rest();
        let len = rest
            .find(|c: char| c != '-' && !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let place = rest[..len]
            .parse()
            .map_err(|_| self.error("not a place in a list"))?;
        self.at += len;
        Ok(Segment::Index(place))
    }

    /// A key in double quotes, escaped as in JSON.
    fn quoted(&mut self) -> Result<Segment, PathError> {
        let rest = self.rest();
        let mut keys = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let Some(Ok(key)) = keys.next() else {
            return Err(self.error("not a key in double quotes, escaped as in JSON"));
        };
        self.at += keys.byte_offset();
        Ok(Segment::field(&key))
    }

    /// A key in single quotes, as other path languages write it; it has no escapes.
    fn single_quoted(&mut self) -> Result<Segment, PathError> {
        let rest = &self.rest()[1..];
        let Some(len) = rest.find('\'') else {
            return Err(self.error("the closing `'` is missing"));
        };
        self.at += len + 2;
        Ok(Segment::field(&rest[..len]))
    }

    fn unexpected(&self) -> PathError {
        let message = match self.rest().chars().next() {
            None => "a name is missing at the end".to_owned(),
            Some('.') if self.text[..self.at].ends_with('.') => {
                "`..` is not supported; name every key on the way".to_owned()
            }
            Some(c @ ('*' | '?')) => format!("`{c}` is not supported; a path leads to one value"),
            Some('$') => "`$` stands only at the start".to_owned(),
            Some(c) => format!("{c:?} is unexpected; a key with it is written [\"…\"]"),
        };
        self.error(message)
    }

    fn error(&self, message: impl Into<String>) -> PathError {
        PathError {
            message: message.into(),
            at: self.at,
        }
    }
}
