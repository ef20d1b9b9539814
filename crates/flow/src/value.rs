//! JSON values kept as text.
//!
//! Owns the text of a value and the look-ups into it. A value is never rebuilt as a tree on its way
//! through the system, so numbers keep their exact tokens and large values cost no more than their text.
//! It must not know what values are for.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use stepflow_json::Json;

use crate::blob;

mod finite;

/// A JSON value as text, cheap to clone and to look into.
///
/// The text holds no line breaks outside strings (a value that arrives with some is rewritten without its
/// white space), so it fits a line-framed wire as it stands. Looking into a value indexes one level of it,
/// once; parts share the text of the whole.
///
/// ```
/// use stepflow_flow::value::Value;
/// let value = Value::parse(r#"{"id": 12345678901234567890123, "tags": ["a", "b"]}"#).unwrap();
/// assert_eq!(value.get("id").unwrap().as_text(), "12345678901234567890123");
/// assert_eq!(value.get("tags").unwrap().index(-1).unwrap().as_str().as_deref(), Some("b"));
/// ```
#[derive(Clone)]
pub struct Value(Arc<Node>);

struct Node {
    /// The text, which is shared with the whole that this value is a part of.
    text: Json,
    children: OnceLock<Children>,
}

enum Children {
    None,
    List(Vec<Value>),
    Object(IndexMap<Box<str>, Value>),
}

/// What kind of JSON value a [`Value`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number, integer or not.
    Number,
    /// A string.
    String,
    /// A list of values.
    List,
    /// Keys and values.
    Object,
}

impl Kind {
    /// The kind's name in JSON Schema.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Bool => "boolean",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::List => "array",
            Kind::Object => "object",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why something is not a JSON value.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// The text is not JSON.
    #[error("not a JSON value: {0}")]
    Syntax(#[from] serde_json::Error),
    /// A number that JSON cannot write.
    #[error("{path} is {number}, which JSON cannot carry; send null or a string instead")]
    NotFinite {
        /// Where in the value, as a path.
        path: String,
        /// `NaN`, `inf` or `-inf`.
        number: String,
    },
}

impl Value {
    /// Reads one JSON value.
    pub fn parse(text: &str) -> Result<Value, ValueError> {
        Ok(Value::from(Json::parse(text)?))
    }

    /// The value of anything that serialises; a NaN or an infinity is an error that says where it is.
    pub fn from_serialize(source: &(impl Serialize + ?Sized)) -> Result<Value, ValueError> {
        finite::check(source)?;
        Ok(Value::whole(Json::of(source)?))
    }

    /// `null`
    pub fn null() -> Value {
        static NULL: LazyLock<Value> = LazyLock::new(|| Value::whole(Json::from(RawValue::NULL)));
        NULL.clone()
    }

    /// A string.
    pub fn string(text: &str) -> Value {
        Value::trusted(&text)
    }

    /// An object of these keys and values, in this order.
    pub fn object<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
        Value::trusted(&entries.into_iter().collect::<IndexMap<_, _>>())
    }

    /// A list of these values.
    pub fn list(items: impl IntoIterator<Item = Value>) -> Value {
        Value::trusted(&items.into_iter().collect::<Vec<_>>())
    }

    /// The value of something that always serialises and holds no floats of its own.
    pub(crate) fn trusted(source: &(impl Serialize + ?Sized)) -> Value {
        let text = Json::of(source).expect("strings, lists and string-keyed maps serialise");
        Value::whole(text)
    }

    fn whole(text: Json) -> Value {
        Value(Arc::new(Node {
            text,
            children: OnceLock::new(),
        }))
    }

    /// The JSON text.
    pub fn as_text(&self) -> &str {
        self.0.text.get()
    }

    /// The JSON text, shared.
    pub fn as_json(&self) -> &Json {
        &self.0.text
    }

    /// What kind of value this is.
    pub fn kind(&self) -> Kind {
        match self.as_text().as_bytes()[0] {
            b'n' => Kind::Null,
            b't' | b'f' => Kind::Bool,
            b'"' => Kind::String,
            b'[' => Kind::List,
            b'{' => Kind::Object,
            _ => Kind::Number,
        }
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    /// Whether a condition counts this as true: everything but `false` and `null`.
    pub fn is_truthy(&self) -> bool {
        !matches!(self.as_text(), "false" | "null")
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        self.deserialize().ok()
    }

    /// The string, if it is one. `None` too for a string no Rust string can hold (half of a surrogate pair).
    pub fn as_str(&self) -> Option<Cow<'_, str>> {
        let text = self.as_text();
        if self.kind() != Kind::String {
            return None;
        }
        let inner = &text[1..text.len() - 1];
        if !inner.contains('\\') {
            return Some(Cow::Borrowed(inner));
        }
        serde_json::from_str::<String>(text).ok().map(Cow::Owned)
    }

    /// The integer, if it is one that fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.deserialize().ok()
    }

    /// The integer, if it is one that fits and is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        self.deserialize().ok()
    }

    /// The nearest float, if it is a number.
    pub fn as_f64(&self) -> Option<f64> {
        self.deserialize().ok()
    }

    /// The value of a key. Of a repeated key, the last.
    pub fn get(&self, key: &str) -> Option<Value> {
        match self.children() {
            Children::Object(entries) => entries.get(key).cloned(),
            Children::List(_) | Children::None => None,
        }
    }

    /// The item at a place in a list; a negative place counts from the end.
    pub fn index(&self, place: i64) -> Option<Value> {
        let items = self.items();
        let from_start = if place < 0 {
            place.checked_add(i64::try_from(items.len()).ok()?)?
        } else {
            place
        };
        items.get(usize::try_from(from_start).ok()?).cloned()
    }

    /// The keys of an object, in order; none for anything else.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries().map(|(key, _)| key)
    }

    /// The keys and values of an object, in order; none for anything else.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Value)> {
        let entries = match self.children() {
            Children::Object(entries) => Some(entries),
            Children::List(_) | Children::None => None,
        };
        entries
            .into_iter()
            .flatten()
            .map(|(key, value)| (&**key, value))
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Value] {
        match self.children() {
            Children::List(items) => items,
            Children::Object(_) | Children::None => &[],
        }
    }

    /// How many items a list or how many keys an object has; 0 for anything else.
    pub fn len(&self) -> usize {
        match self.children() {
            Children::List(items) => items.len(),
            Children::Object(entries) => entries.len(),
            Children::None => 0,
        }
    }

    /// Whether there is nothing in it: an empty list or object, or no list or object at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value as a tree, for schema validation. Numbers no 64 bits can hold become floats.
    pub fn to_tree(&self) -> Result<serde_json::Value, ValueError> {
        Ok(self.deserialize()?)
    }

    /// The value as a Rust type.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.as_text())
    }

    fn children(&self) -> &Children {
        self.0.children.get_or_init(|| self.read_children())
    }

    fn read_children(&self) -> Children {
        let text = self.as_text();
        match self.kind() {
            Kind::List => match serde_json::from_str::<Vec<&RawValue>>(text) {
                Ok(items) => {
                    Children::List(items.into_iter().map(|item| self.part(item)).collect())
                }
                Err(_) => Children::None,
            },
            Kind::Object => match serde_json::from_str::<IndexMap<Box<str>, &RawValue>>(text) {
                Ok(entries) => Children::Object(
                    entries
                        .into_iter()
                        .map(|(key, item)| (key, self.part(item)))
                        .collect(),
                ),
                // A key with half of a surrogate pair: the text passes through, but has no keys to look up.
                Err(_) => Children::None,
            },
            Kind::Null | Kind::Bool | Kind::Number | Kind::String => Children::None,
        }
    }

    /// The value of a slice of this value's text.
    fn part(&self, part: &RawValue) -> Value {
        Value::whole(self.0.text.part(part.into()))
    }
}

/// The text without the white space between its tokens.
fn without_white_space(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut start = 0;
    let mut in_string = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        if in_string {
            (in_string, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
        } else if byte.is_ascii_whitespace() {
            out.push_str(&text[start..at]);
            start = at + 1;
        } else {
            in_string = byte == b'"';
        }
    }
    out.push_str(&text[start..]);
    out
}

/// The value shares the text, unless it would keep a much larger one alive.
impl From<Json> for Value {
    fn from(text: Json) -> Value {
        if memchr::memchr2(b'\n', b'\r', text.get().as_bytes()).is_none() {
            return Value::whole(text.released());
        }
        let compact = without_white_space(text.get());
        Value::whole(Json::parse(&compact).expect("white space between tokens has no meaning"))
    }
}

impl From<Box<RawValue>> for Value {
    fn from(text: Box<RawValue>) -> Value {
        Value::from(Json::from(text))
    }
}

impl From<&RawValue> for Value {
    fn from(text: &RawValue) -> Value {
        Value::from(Json::from(text))
    }
}

impl From<serde_json::Value> for Value {
    fn from(tree: serde_json::Value) -> Value {
        Value::trusted(&tree)
    }
}

impl From<&serde_json::Value> for Value {
    fn from(tree: &serde_json::Value) -> Value {
        Value::trusted(tree)
    }
}

impl Default for Value {
    fn default() -> Value {
        Value::null()
    }
}

impl std::str::FromStr for Value {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Value, ValueError> {
        Value::parse(text)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.text.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        Json::deserialize(deserializer).map(Value::from)
    }
}

/// Values are equal when their canonical forms are: key order and white space mean nothing, `1` and `1.0` differ.
impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        if Arc::ptr_eq(&self.0, &other.0) || self.as_text() == other.as_text() {
            return true;
        }
        match (blob::canonical(self), blob::canonical(other)) {
            (Ok(mine), Ok(theirs)) => mine == theirs,
            _ => false,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 200;
        let text = self.as_text();
        if text.len() <= SHOWN {
            return f.write_str(text);
        }
        let end = text.floor_char_boundary(SHOWN);
        write!(f, "{}… ({} bytes)", &text[..end], text.len())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_text())
    }
}

impl JsonSchema for Value {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::Schema::default()
    }
}
