//! YAML and JSON text as a located tree.
//!
//! Owns how text becomes data: the YAML 1.2 core schema, exact numbers, aliases and merge keys within a
//! budget, and the span of every node. Must not know what the data is for; flows and config files both
//! read it through [`Fields`].

use std::sync::Arc;

use crate::path::Segment;
use crate::value::Value;

mod fields;
mod read;
mod scalar;
pub mod shape;
mod shared;
mod similar;
mod within;

pub use fields::Fields;
pub(crate) use fields::{older_boolean, spells};
pub use read::read;
pub use similar::nearest;
pub(crate) use within::place_below;

/// How deep lists and objects may nest.
pub const MAX_DEPTH: usize = crate::blob::MAX_DEPTH;

/// A text with a name, and where its lines start.
#[derive(Debug)]
pub struct Source {
    name: Arc<str>,
    text: String,
    line_starts: Vec<usize>,
}

impl Source {
    /// A text; `name` is what diagnostics call it, usually a file's path as the user gave it.
    pub fn new(name: &str, text: impl Into<String>) -> Arc<Source> {
        let text = text.into();
        let after_breaks = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(after_breaks).collect();
        Arc::new(Source {
            name: name.into(),
            text,
            line_starts,
        })
    }

    /// What diagnostics call the text.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line and the column (in characters) of a byte, both from 1.
    pub fn line_column(&self, byte: usize) -> (usize, usize) {
        let byte = self.text.floor_char_boundary(byte);
        let line = self.line_starts.partition_point(|start| *start <= byte);
        let before = &self.text[self.line_starts[line - 1]..byte];
        // No editor counts the mark of the byte order that a text may begin with.
        let is_marked = line == 1 && before.starts_with('\u{feff}');
        let column = before.chars().count() + 1 - usize::from(is_marked);
        (line, column)
    }

    /// The first line of a span, shortened to so many bytes.
    pub(crate) fn excerpt(&self, span: Span, longest: usize) -> String {
        let start = self.text.floor_char_boundary(span.start());
        let end = self.text.floor_char_boundary(span.end()).max(start);
        let line = self.text[start..end].lines().next().unwrap_or_default();
        shortened(line, longest)
    }
}

/// The text, or so many bytes of its beginning.
pub(crate) fn shortened(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(longest)])
}

/// A range of bytes in a [`Source`].
///
/// A document has one for each of its keys and values, so it is kept small. Past 4 GiB all places are one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// From a byte to before another.
    pub fn new(start: usize, end: usize) -> Span {
        let place = |byte| u32::try_from(byte).unwrap_or(u32::MAX);
        Span {
            start: place(start),
            end: place(end),
        }
    }

    /// The first byte.
    pub fn start(self) -> usize {
        self.start as usize
    }

    /// The byte after the last.
    pub fn end(self) -> usize {
        self.end as usize
    }

    /// Whether another one lies within.
    fn contains(self, other: Span) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

/// A piece of data and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands. Data that came by an alias stands where the anchor is.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// What a [`Node`] is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as a JSON token with every digit that was written.
    Number(Arc<str>),
    /// A string, and how it was written.
    String(Arc<str>, Style),
    /// A list.
    List(Box<[Node]>),
    /// Keys and values.
    Object(Object),
}

/// How a string was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// In single or double quotes.
    Quoted,
    /// As a `|` or `>` block.
    Block,
}

/// Keys and values in the order they were written; no key stands twice.
///
/// Most objects have a few keys, and a long document has very many objects: so it is a plain list, and a key
/// is found by looking at one after the other.
#[derive(Clone, Debug, Default)]
pub struct Object(Box<[(Arc<str>, Entry)]>);

/// A value in an [`Object`], and where its key stands.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub node: Node,
}

impl Object {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let mut entries = self.0.iter();
        let (_, entry) = entries.find(|(name, _)| **name == *key)?;
        Some(&entry.node)
    }

    /// The keys and their entries, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Entry)> {
        self.0.iter().map(|(key, entry)| (key, entry))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A string in a document, as [`Node::map_strings`] shows it.
#[derive(Clone, Copy, Debug)]
pub struct Scalar<'a> {
    /// The string.
    pub text: &'a Arc<str>,
    /// How it was written.
    pub style: Style,
    /// Where it stands.
    pub span: Span,
    /// The keys and places that lead to it.
    pub path: &'a [Segment],
}

impl Node {
    /// The node of a plain scalar with this text, typed as YAML types it: `8080` is a number, `true` a boolean.
    /// A number JSON cannot carry stays a string.
    pub fn plain(text: &str, span: Span) -> Node {
        let kind = scalar::resolve(text, |text| text.into())
            .unwrap_or_else(|_| Kind::String(text.into(), Style::Plain));
        Node { span, kind }
    }

    /// What the node is, in words for a message.
    pub fn type_name(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::String(..) => "a string",
            Kind::List(_) => "a list",
            Kind::Object(_) => "an object",
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&Arc<str>> {
        match &self.kind {
            Kind::String(text, _) => Some(text),
            _ => None,
        }
    }

    /// The items, if it is a list.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            _ => None,
        }
    }

    /// The keys and values, if it is an object.
    pub fn as_object(&self) -> Option<&Object> {
        match &self.kind {
            Kind::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Takes the items out of the list that an object has under a key; none if there is no such list.
    pub(crate) fn take_items(&mut self, key: &str) -> Box<[Node]> {
        let Kind::Object(Object(entries)) = &mut self.kind else {
            return Box::default();
        };
        let found = entries.iter_mut().find(|(name, _)| **name == *key);
        match found.map(|(_, entry)| &mut entry.node.kind) {
            Some(Kind::List(items)) => std::mem::take(items),
            _ => Box::default(),
        }
    }

    /// The data without its spans.
    pub fn to_value(&self) -> Value {
        let mut text = String::new();
        self.write(&mut text);
        Value::parse(&text).expect("a node is written as JSON")
    }

    fn write(&self, out: &mut String) {
        match &self.kind {
            Kind::Null => out.push_str("null"),
            Kind::Bool(true) => out.push_str("true"),
            Kind::Bool(false) => out.push_str("false"),
            Kind::Number(token) => out.push_str(token),
            Kind::String(text, _) => write_string(out, text),
            Kind::List(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    out.push_str(if place == 0 { "" } else { "," });
                    item.write(out);
                }
                out.push(']');
            }
            Kind::Object(object) => {
                out.push('{');
                for (place, (key, entry)) in object.iter().enumerate() {
                    out.push_str(if place == 0 { "" } else { "," });
                    write_string(out, key);
                    out.push(':');
                    entry.node.write(out);
                }
                out.push('}');
            }
        }
    }

    /// Offers every string (not the keys) to `change`, which may put another node in its place. For the
    /// substitution of environment variables.
    pub fn map_strings(&mut self, change: &mut impl FnMut(Scalar<'_>) -> Option<Node>) {
        self.map_strings_below(&mut Vec::new(), change);
    }

    fn map_strings_below(
        &mut self,
        path: &mut Vec<Segment>,
        change: &mut impl FnMut(Scalar<'_>) -> Option<Node>,
    ) {
        match &mut self.kind {
            Kind::Null | Kind::Bool(_) | Kind::Number(_) => {}
            Kind::String(text, style) => {
                if let Some(changed) = change(Scalar {
                    text,
                    style: *style,
                    span: self.span,
                    path,
                }) {
                    *self = changed;
                }
            }
            Kind::List(items) => {
                for (place, item) in (0..).zip(items) {
                    path.push(Segment::Index(place));
                    item.map_strings_below(path, change);
                    path.pop();
                }
            }
            Kind::Object(object) => {
                for (key, entry) in &mut object.0 {
                    path.push(Segment::Field(Arc::clone(key)));
                    entry.node.map_strings_below(path, change);
                    path.pop();
                }
            }
        }
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push_str(&serde_json::to_string(text).expect("a string serialises"));
}
