//! The strict reader of objects with known keys.
//!
//! Owns what every file of ours has in common: camelCase keys, their snake_case spelling, free `x-` keys,
//! null for absent, and an error with a suggestion for anything else.

use std::sync::Arc;
use std::time::Duration;

use super::{Kind, Node, Object, Span, Style, nearest, shape};
use crate::diagnostic::{Code, Diagnostics};
use crate::duration;

/// The keys of one object, taken one by one; what is left at the end is an error.
///
/// Keys are named in camelCase; their snake_case spelling is accepted too.
///
/// ```
/// use stepflow_flow::{diagnostic::Diagnostics, document::{self, Fields, Source}};
/// let source = Source::new("c.yml", "max_retries: 3\nbakoff: 1s\nbackof: 2s\n");
/// let mut diagnostics = Diagnostics::new(&source);
/// let node = document::read(&source, &mut diagnostics).unwrap();
/// let mut fields = Fields::read(&node, "a retry policy", &mut diagnostics).unwrap();
/// assert_eq!(fields.count("maxRetries", &mut diagnostics), Some(3));
/// assert_eq!(fields.duration("backoff", &mut diagnostics), None);
/// fields.finish(&mut diagnostics);
/// let first = diagnostics.iter().next().unwrap().to_string();
/// assert_eq!(first, r#"c.yml:2:1: error[E0201]: unknown key "bakoff" in a retry policy (hint: did you mean "backoff"?)"#);
/// ```
#[derive(Debug)]
pub struct Fields<'n> {
    object: &'n Object,
    what: &'n str,
    span: Span,
    known: Known,
}

/// The keys that an object may have.
#[derive(Debug)]
enum Known {
    /// Those that a reader has asked for.
    Asked(Vec<&'static str>),
    /// Those of a table.
    Table(&'static shape::Object),
}

impl Known {
    fn iter(&self) -> impl Iterator<Item = &'static str> {
        let (asked, table) = match self {
            Known::Asked(asked) => (asked.as_slice(), [].as_slice()),
            Known::Table(table) => ([].as_slice(), table.keys),
        };
        let table = table.iter().map(|key| key.name);
        asked.iter().copied().chain(table)
    }
}

impl<'n> Fields<'n> {
    /// The fields of a node that must be an object; `what` names it in messages, with its article.
    pub fn read(
        node: &'n Node,
        what: &'n str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Fields<'n>> {
        Fields::read_with_hint(node, what, "write it as keys and values", diagnostics)
    }

    /// The same with another way forward for what is no object.
    pub(crate) fn read_with_hint(
        node: &'n Node,
        what: &'n str,
        hint: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Fields<'n>> {
        let Kind::Object(object) = &node.kind else {
            diagnostics
                .error(
                    Code::WrongType,
                    node.span,
                    format!("{what} must be an object, and this is {}", node.type_name()),
                )
                .hint(hint);
            return None;
        };
        Some(Fields {
            object,
            what,
            span: node.span,
            known: Known::Asked(Vec::new()),
        })
    }

    /// The fields of a node that must be an object with the keys of a table.
    pub fn of(
        node: &'n Node,
        table: &'static shape::Object,
        diagnostics: &mut Diagnostics,
    ) -> Option<Fields<'n>> {
        let mut fields = Fields::read(node, table.what, diagnostics)?;
        fields.narrow(table);
        Some(fields)
    }

    /// From now on the object has the keys of this table: one of its keys has told which kind it is.
    pub fn narrow(&mut self, table: &'static shape::Object) {
        self.known = Known::Table(table);
    }

    /// Makes the keys of a table known beside those asked for: the object may be of that kind, or of another.
    pub fn allow(&mut self, table: &'static shape::Object) {
        for key in table.keys {
            self.take_value(key.name);
        }
    }

    /// Where the object stands.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The value of an optional key; null counts as absent.
    pub fn take(&mut self, key: &'static str) -> Option<&'n Node> {
        self.take_value(key).filter(|node| !node.is_null())
    }

    /// The value of a key whose null is a value.
    pub fn take_value(&mut self, key: &'static str) -> Option<&'n Node> {
        match &mut self.known {
            Known::Asked(asked) if !asked.contains(&key) => asked.push(key),
            Known::Asked(_) => {}
            Known::Table(table) => debug_assert!(
                table.keys.iter().any(|known| known.name == key),
                "the table of {} lacks {key:?}",
                table.what
            ),
        }
        self.object
            .iter()
            .find(|(name, _)| spells(name, key))
            .map(|(_, entry)| &entry.node)
    }

    /// The value of a key that must be there.
    pub fn require(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<&'n Node> {
        let found = self.take(key);
        if found.is_none() {
            self.missing(key, diagnostics);
        }
        found
    }

    /// Reports that a key is missing, unless a misspelled one will be.
    pub(crate) fn missing(&self, key: &'static str, diagnostics: &mut Diagnostics) {
        if !self.has_misspelled(key) {
            diagnostics
                .error(
                    Code::MissingKey,
                    self.start(),
                    format!("{} needs the key {key:?}", self.what),
                )
                .hint(format!("add `{key}: …`"));
        }
    }

    /// Where a key stands, if the object has it.
    pub(crate) fn key_span(&self, key: &str) -> Option<Span> {
        let mut entries = self.object.iter();
        let (_, entry) = entries.find(|(name, _)| spells(name, key))?;
        Some(entry.key_span)
    }

    /// A missing key with a near miss beside it is one mistake, reported as the unknown key.
    pub(crate) fn has_misspelled(&self, key: &'static str) -> bool {
        self.object
            .iter()
            .any(|(name, _)| !spells(name, key) && nearest(name, [key]).is_some())
    }

    /// The first key, or the object itself if it has none: short enough to point at.
    fn start(&self) -> Span {
        let first = self.object.iter().next().map(|(_, entry)| entry.key_span);
        match first {
            // A merged first key stands somewhere else.
            Some(first) if self.span.contains(first) => first,
            _ => self.span,
        }
    }

    /// An optional string.
    pub fn string(&mut self, key: &'static str, diagnostics: &mut Diagnostics) -> Option<Arc<str>> {
        let node = self.take(key)?;
        if let Some(text) = node.as_str() {
            return Some(Arc::clone(text));
        }
        let found = wrong_type(key, "a string", node, diagnostics);
        if matches!(node.kind, Kind::Number(_) | Kind::Bool(_)) {
            found.hint("put it in quotes");
        }
        None
    }

    /// An optional boolean.
    pub fn boolean(&mut self, key: &'static str, diagnostics: &mut Diagnostics) -> Option<bool> {
        let node = self.take(key)?;
        if let Kind::Bool(value) = node.kind {
            return Some(value);
        }
        let hint = match older_boolean(node) {
            Some((word, meant)) => format!("`{word}` is text in YAML 1.2; write {meant}"),
            None if node.as_str().is_some() => "write true or false, without quotes".to_owned(),
            None => "write true or false".to_owned(),
        };
        wrong_type(key, "true or false", node, diagnostics).hint(hint);
        None
    }

    /// An optional whole number that is not negative.
    pub fn count(&mut self, key: &'static str, diagnostics: &mut Diagnostics) -> Option<u64> {
        let node = self.take(key)?;
        let count = match &node.kind {
            Kind::Number(token) => token.parse().ok(),
            _ => None,
        };
        if count.is_none() {
            wrong_type(key, "a whole number from 0", node, diagnostics)
                .hint("write digits only, such as 3");
        }
        count
    }

    /// An optional number.
    pub fn number(&mut self, key: &'static str, diagnostics: &mut Diagnostics) -> Option<f64> {
        let node = self.take(key)?;
        let number = match &node.kind {
            Kind::Number(token) => token.parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        };
        if number.is_none() {
            wrong_type(key, "a number", node, diagnostics).hint("write digits, such as 2 or 1.5");
        }
        number
    }

    /// An optional duration.
    pub fn duration(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Duration> {
        let node = self.take(key)?;
        let text = match &node.kind {
            Kind::String(text, _) | Kind::Number(text) => &**text,
            _ => {
                wrong_type(key, "a duration", node, diagnostics)
                    .hint("write 500ms, 30s, 5m or a number of seconds");
                return None;
            }
        };
        match duration::parse(text) {
            Ok(duration) => Some(duration),
            Err(_) => {
                diagnostics
                    .error(
                        Code::BadValue,
                        node.span,
                        format!("{key:?} is no duration: {text:?}"),
                    )
                    .hint("write 500ms, 30s, 5m or a number of seconds");
                None
            }
        }
    }

    /// An optional duration that is not zero.
    pub fn positive_duration(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Duration> {
        let duration = self.duration(key, diagnostics)?;
        if duration.is_zero() {
            let span = self.take(key).map_or(self.span, |node| node.span);
            let message = format!("{key:?} must be longer than no time at all");
            diagnostics
                .error(Code::BadValue, span, message)
                .hint("leave it out for the default");
            return None;
        }
        Some(duration)
    }

    /// An optional list.
    pub fn list(&mut self, key: &'static str, diagnostics: &mut Diagnostics) -> Option<&'n [Node]> {
        let node = self.take(key)?;
        if let Some(items) = node.as_list() {
            return Some(items);
        }
        wrong_type(key, "a list", node, diagnostics).hint("start each item with `- `");
        None
    }

    /// An optional object with keys of its own choosing.
    pub fn object(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<&'n Object> {
        let node = self.take(key)?;
        if let Some(object) = node.as_object() {
            return Some(object);
        }
        wrong_type(key, "an object", node, diagnostics).hint("write it as keys and values");
        None
    }

    /// An optional word of a few; its place among them. Words are spelled in camelCase or snake_case.
    pub fn choice(
        &mut self,
        key: &'static str,
        words: &[&'static str],
        diagnostics: &mut Diagnostics,
    ) -> Option<usize> {
        let node = self.take(key)?;
        let Some(text) = node.as_str() else {
            wrong_type(key, "a word", node, diagnostics)
                .hint(format!("one of {}", words.join(", ")));
            return None;
        };
        let place = words.iter().position(|word| spells(text, word));
        if place.is_none() {
            let hint = match nearest(text, words.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("it is one of {}", words.join(", ")),
            };
            diagnostics
                .error(Code::BadValue, node.span, format!("{text:?} is no {key}"))
                .hint(hint);
        }
        place
    }

    /// Reports every key that was not asked for, and every key that stands in both spellings.
    pub fn finish(self, diagnostics: &mut Diagnostics) {
        self.report(&|_| None, diagnostics);
    }

    /// The same, with hints for keys that resemble none and are known from elsewhere.
    pub(crate) fn finish_with(
        self,
        hint: impl Fn(&str) -> Option<&'static str>,
        diagnostics: &mut Diagnostics,
    ) {
        self.report(&hint, diagnostics);
    }

    /// The same for an object that is known by another name now, with a hint for keys that resemble none.
    pub(crate) fn finish_as(self, what: &str, hint: &str, diagnostics: &mut Diagnostics) {
        Fields { what, ..self }.report(&|_| Some(hint), diagnostics);
    }

    fn report<'h>(&self, hint: &dyn Fn(&str) -> Option<&'h str>, diagnostics: &mut Diagnostics) {
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for (name, entry) in self
            .object
            .iter()
            .filter(|(name, _)| !name.starts_with("x-"))
        {
            let Some(key) = self.known.iter().find(|key| spells(name, key)) else {
                self.unknown_key(name, hint(name), entry.key_span, diagnostics);
                continue;
            };
            if let Some((_, first)) = seen.iter().find(|(known, _)| *known == key) {
                diagnostics
                    .error(
                        Code::DuplicateKey,
                        entry.key_span,
                        format!("{name:?} and {first:?} are one key"),
                    )
                    .hint("keep one of the two spellings");
            }
            seen.push((key, name));
        }
    }

    fn unknown_key(
        &self,
        name: &str,
        hint: Option<&str>,
        span: Span,
        diagnostics: &mut Diagnostics,
    ) {
        let hint = match (nearest(name, self.known.iter()), hint) {
            (Some(near), _) => format!("did you mean {near:?}?"),
            (None, Some(hint)) => hint.to_owned(),
            (None, None) => format!(
                "the known keys are {}; keys of your own start with `x-`",
                self.known.iter().collect::<Vec<_>>().join(", ")
            ),
        };
        let message = format!("unknown key {name:?} in {}", self.what);
        diagnostics
            .error(Code::UnknownKey, span, message)
            .hint(hint);
    }
}

/// A word that YAML once took for a boolean, written without quotes, and the boolean it stood for.
pub(crate) fn older_boolean(node: &Node) -> Option<(&str, bool)> {
    let Kind::String(word, Style::Plain) = &node.kind else {
        return None;
    };
    match word.to_ascii_lowercase().as_str() {
        "yes" | "y" | "on" => Some((word, true)),
        "no" | "n" | "off" => Some((word, false)),
        _ => None,
    }
}

fn wrong_type<'d>(
    key: &str,
    expected: &str,
    node: &Node,
    diagnostics: &'d mut Diagnostics,
) -> &'d mut crate::diagnostic::Diagnostic {
    let found = match &node.kind {
        Kind::Number(token) if token.len() <= 40 => token,
        _ => node.type_name(),
    };
    let message = format!("{key:?} must be {expected}, and this is {found}");
    diagnostics.error(Code::WrongType, node.span, message)
}

/// Whether a name is this camelCase word, or its snake_case spelling.
pub(crate) fn spells(name: &str, camel: &str) -> bool {
    name == camel || name.contains('_') && is_snake_of(name, camel)
}

fn is_snake_of(name: &str, camel: &str) -> bool {
    let mut rest = name.chars();
    let fits = camel.chars().all(|c| {
        if c.is_ascii_uppercase() {
            rest.next() == Some('_') && rest.next() == Some(c.to_ascii_lowercase())
        } else {
            rest.next() == Some(c)
        }
    });
    fits && rest.next().is_none()
}
