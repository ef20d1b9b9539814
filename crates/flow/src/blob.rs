//! Blob ids and the canonical form they are computed from.
//!
//! Owns what makes two values the same data. Must not know where blobs are kept.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::value::Value;

/// How deep lists and objects may nest in a value that gets an id.
pub const MAX_DEPTH: usize = 128;

/// The id of a blob: the SHA-256 of its canonical JSON.
///
/// ```
/// use stepflow_flow::{blob::BlobId, value::Value};
/// let one = BlobId::of(&Value::parse(r#"{"a": 1, "b": 2}"#).unwrap()).unwrap();
/// let two = BlobId::of(&Value::parse(r#"{"b":2,"a":1}"#).unwrap()).unwrap();
/// assert_eq!(one, two);
/// assert_eq!(one.to_string().parse::<BlobId>().unwrap(), one);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobId([u8; 32]);

impl BlobId {
    /// The id of this data.
    pub fn of(data: &Value) -> Result<BlobId, CanonicalError> {
        Ok(BlobId(Sha256::digest(canonical(data)?).into()))
    }

    /// The bytes of the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a blob id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a blob id; one is `sha256:` and 64 hexadecimal digits")]
pub struct NotABlobId(String);

impl FromStr for BlobId {
    type Err = NotABlobId;

    /// Reads `sha256:<64 hex>`, or the 64 digits alone.
    fn from_str(text: &str) -> Result<BlobId, NotABlobId> {
        let refused = || NotABlobId(text.chars().take(100).collect());
        let digits = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        if digits.len() != 64 {
            return Err(refused());
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = (hex_digit(pair[0]), hex_digit(pair[1]));
            *byte = high
                .zip(low)
                .map(|(high, low)| high << 4 | low)
                .ok_or_else(refused)?;
        }
        Ok(BlobId(hash))
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

impl Serialize for BlobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<BlobId, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for BlobId {
    fn schema_name() -> Cow<'static, str> {
        "BlobId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "The id of a blob: the SHA-256 of its canonical JSON.",
            "pattern": "^(sha256:)?[0-9a-fA-F]{64}$",
        })
    }
}

/// Why a value has no canonical form, and so no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// A float beyond the range of 64-bit floats.
    #[error("the number {0} is out of range; send it as a string")]
    NumberRange(String),
    /// Half of a surrogate pair in a string.
    #[error("the string {0} holds half of a surrogate pair, which is no text; remove it")]
    Surrogate(String),
    /// A repeated key.
    #[error("the key {0:?} stands twice in one object; keep one of them")]
    DuplicateKey(String),
    /// Lists and objects inside each other, too deep.
    #[error("lists and objects nest deeper than {MAX_DEPTH} levels; flatten the data")]
    Depth,
}

/// The canonical JSON of a value: keys sorted by their UTF-8 bytes, no white space, strings minimally
/// escaped, integers as written, other numbers as the shortest 64-bit float.
pub fn canonical(value: &Value) -> Result<String, CanonicalError> {
    let text = value.as_text();
    let mut out = String::with_capacity(text.len());
    Reader { text, at: 0 }.value(&mut out, 0)?;
    Ok(out)
}

/// Reads JSON text that is known to be valid.
struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while bytes[self.at].is_ascii_whitespace() {
            self.at += 1;
        }
        bytes[self.at]
    }

    /// Steps over this token if it is next.
    fn take(&mut self, token: u8) -> bool {
        let found = self.peek() == token;
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, out: &mut String, depth: usize) -> Result<(), CanonicalError> {
        match self.peek() {
            b'{' | b'[' if depth == MAX_DEPTH => Err(CanonicalError::Depth),
            b'{' => self.object(out, depth + 1),
            b'[' => self.list(out, depth + 1),
            b'"' => {
                write_string(out, &self.string()?);
                Ok(())
            }
            _ => write_scalar(out, self.word()),
        }
    }

    fn list(&mut self, out: &mut String, depth: usize) -> Result<(), CanonicalError> {
        self.at += 1;
        out.push('[');
        while !self.take(b']') {
            if self.take(b',') {
                out.push(',');
            }
            self.value(out, depth)?;
        }
        out.push(']');
        Ok(())
    }

    fn object(&mut self, out: &mut String, depth: usize) -> Result<(), CanonicalError> {
        self.at += 1;
        out.push('{');
        let start = out.len();
        let mut entries = Vec::new();
        while !self.take(b'}') {
            if self.take(b',') {
                out.push(',');
            }
            self.peek();
            let key = self.string()?;
            let entry_start = out.len();
            write_string(out, &key);
            out.push(':');
            self.take(b':');
            self.value(out, depth)?;
            entries.push((key, entry_start..out.len()));
        }
        if !entries.is_sorted_by(|(a, _), (b, _)| a < b) {
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            if let Some(twice) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(CanonicalError::DuplicateKey(twice[0].0.to_string()));
            }
            let sorted: Vec<&str> = entries
                .iter()
                .map(|(_, range)| &out[range.clone()])
                .collect();
            let sorted = sorted.join(",");
            out.replace_range(start.., &sorted);
        }
        out.push('}');
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'t, str>, CanonicalError> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut escaped = false;
        self.at += 1;
        while bytes[self.at] != b'"' {
            let is_escape = bytes[self.at] == b'\\';
            escaped |= is_escape;
            self.at += 1 + usize::from(is_escape);
        }
        self.at += 1;
        let quoted = &self.text[start..self.at];
        if !escaped {
            return Ok(Cow::Borrowed(&quoted[1..quoted.len() - 1]));
        }
        serde_json::from_str::<String>(quoted)
            .map(Cow::Owned)
            .map_err(|_| CanonicalError::Surrogate(quoted.chars().take(100).collect()))
    }

    fn word(&mut self) -> &'t str {
        let rest = &self.text[self.at..];
        let is_end = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}');
        let len = rest.bytes().position(is_end).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push_str(&serde_json::to_string(text).expect("a string serialises"));
}

fn write_scalar(out: &mut String, word: &str) -> Result<(), CanonicalError> {
    let is_number = word.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    if word == "-0" {
        out.push('0');
    } else if is_number && word.contains(['.', 'e', 'E']) {
        let number: f64 = word.parse().expect("a JSON number is a float's text");
        if !number.is_finite() {
            return Err(CanonicalError::NumberRange(
                word.chars().take(100).collect(),
            ));
        }
        out.push_str(&format!("{number:?}"));
    } else {
        out.push_str(word);
    }
    Ok(())
}
