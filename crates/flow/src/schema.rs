//! JSON Schema: compiled once, checked often.
//!
//! Owns what a violation looks like. Nothing is ever fetched, and no pattern can run away. Must not know
//! what is checked, or what becomes of a violation.

use std::fmt;
use std::sync::Arc;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, Validator};

use crate::document::{nearest, shortened};
use crate::value::Value;

/// A compiled JSON Schema.
///
/// ```
/// use stepflow_flow::{schema::Schema, value::Value};
/// let schema = Schema::compile(&Value::parse(r#"{"properties": {"n": {"type": "integer"}}}"#).unwrap()).unwrap();
/// let violations = schema.validate(&Value::parse(r#"{"n": "one"}"#).unwrap()).unwrap_err();
/// assert_eq!(violations[0].pointer, "/n");
/// assert_eq!(violations[0].expected.as_deref(), Some("integer"));
/// ```
#[derive(Clone)]
pub struct Schema(Arc<Compiled>);

struct Compiled {
    value: Value,
    validator: Validator,
}

/// Why a value is not a JSON Schema we can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", at(.pointer))]
pub struct SchemaError {
    /// What is wrong.
    pub message: String,
    /// The JSON pointer to the place in the schema; empty for the whole.
    pub pointer: String,
}

fn at(pointer: &str) -> String {
    if pointer.is_empty() {
        String::new()
    } else {
        format!(" (at {pointer} of the schema)")
    }
}

/// One way in which a value does not fit a schema.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// The JSON pointer to the part of the value; empty for the whole.
    pub pointer: String,
    /// What is wrong with it.
    pub message: String,
    /// The type it should have, where that is what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = &self.message;
        if !self.pointer.is_empty() {
            return write!(f, "{}: {message}", self.pointer);
        }
        // Of the whole there is no place to name.
        let subject = match message.split(' ').next() {
            Some("must") => "it ",
            Some("value") => "the ",
            _ => "",
        };
        write!(f, "{subject}{message}")
    }
}

impl Schema {
    /// How many violations are reported for one value.
    pub const MOST_VIOLATIONS: usize = 50;

    /// How long a violation's message may be.
    const LONGEST_MESSAGE: usize = 400;

    /// How far a pattern may backtrack before the value counts as a violation.
    const BACKTRACK_LIMIT: usize = 100_000;

    /// Compiles a schema; references lead only into the schema itself.
    pub fn compile(schema: &Value) -> Result<Schema, SchemaError> {
        let tree = schema.to_tree().map_err(|error| SchemaError {
            message: error.to_string(),
            pointer: String::new(),
        })?;
        let patterns = PatternOptions::fancy_regex().backtrack_limit(Self::BACKTRACK_LIMIT);
        let options = jsonschema::options()
            .with_pattern_options(patterns)
            .with_retriever(NeverFetch);
        let validator = options.build(&tree).map_err(|error| schema_error(&error))?;
        Ok(Schema(Arc::new(Compiled {
            value: schema.clone(),
            validator,
        })))
    }

    /// The schema as data.
    pub fn value(&self) -> &Value {
        &self.0.value
    }

    /// Checks a value; at most [`Schema::MOST_VIOLATIONS`] are reported.
    pub fn validate(&self, value: &Value) -> Result<(), Vec<Violation>> {
        let tree = value.to_tree().map_err(|error| {
            let message = format!("it cannot be checked: {error}");
            vec![Violation {
                pointer: String::new(),
                message,
                expected: None,
            }]
        })?;
        if self.0.validator.is_valid(&tree) {
            return Ok(());
        }
        let errors = self
            .0
            .validator
            .iter_errors(&tree)
            .take(Self::MOST_VIOLATIONS);
        let violations = errors.map(|error| violation(&error, &self.0.value));
        Err(violations.collect())
    }
}

const NEVER_FETCHED: &str =
    "schemas are never fetched: put it under `$defs` and refer to `#/$defs/name`";

/// Schemas come with the flow; nothing is fetched while one is compiled.
struct NeverFetch;

impl jsonschema::Retrieve for NeverFetch {
    fn retrieve(
        &self,
        _: &jsonschema::Uri<String>,
    ) -> Result<serde_json::Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(NEVER_FETCHED.into())
    }
}

fn schema_error(error: &jsonschema::ValidationError<'_>) -> SchemaError {
    let pointer = error.instance_path().to_string();
    let message = match error.kind() {
        _ if pointer.ends_with("/type") => format!(
            "{} is no type; it is one of array, boolean, integer, null, number, object and string",
            error.instance()
        ),
        ValidationErrorKind::Referencing(_) => unresolved(error),
        ValidationErrorKind::Format { .. } if pointer.ends_with("/pattern") => {
            format!("{} is no regular expression", error.instance())
        }
        _ => error.to_string(),
    };
    SchemaError {
        message: shortened(&message, Schema::LONGEST_MESSAGE),
        pointer,
    }
}

/// A reference that leads nowhere. Only the text of the error names what it led to.
fn unresolved(error: &jsonschema::ValidationError<'_>) -> String {
    let message = error.to_string();
    let named = message.split('\'').nth(1).unwrap_or_default();
    if message.contains(NEVER_FETCHED) {
        format!("it refers to {named}; {NEVER_FETCHED}")
    } else if named.starts_with('/') {
        format!("it refers to #{named}, which does not exist")
    } else {
        message
    }
}

fn violation(error: &jsonschema::ValidationError<'_>, schema: &Value) -> Violation {
    let expected = match error.kind() {
        ValidationErrorKind::Type { kind } => Some(type_names(kind)),
        _ => None,
    };
    // The offending value may be large or secret, so it is left out of the message.
    let message = match error.kind() {
        ValidationErrorKind::Type { kind } => format!("must be {}", types_in_words(kind)),
        ValidationErrorKind::Required { property } => missing(property, error.instance()),
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            unknown(unexpected, &known_fields(error, schema))
        }
        _ => error.masked().to_string(),
    };
    let message = shortened(&message, Schema::LONGEST_MESSAGE);
    Violation {
        pointer: error.instance_path().to_string(),
        message,
        expected,
    }
}

/// `a string or null`
fn types_in_words(kind: &jsonschema::error::TypeKind) -> String {
    let names = type_names(kind);
    let words = names.split(" or ").map(|name| match name {
        "array" | "integer" | "object" => format!("an {name}"),
        "null" => name.to_owned(),
        _ => format!("a {name}"),
    });
    words.collect::<Vec<_>>().join(" or ")
}

/// A key that is not there, and the one that probably stands for it.
fn missing(property: &serde_json::Value, object: &serde_json::Value) -> String {
    let name = property.as_str().unwrap_or_default();
    let keys = object
        .as_object()
        .into_iter()
        .flat_map(|object| object.keys());
    match nearest(name, keys.map(String::as_str)) {
        Some(near) => format!("`{name}` is missing; there is `{near}`"),
        None => format!("`{name}` is missing"),
    }
}

/// The fields that the schema has which takes no others.
fn known_fields(error: &jsonschema::ValidationError<'_>, schema: &Value) -> Vec<String> {
    let at = error.schema_path().to_string();
    let mut part = Some(schema.clone());
    // The last part of the path is the keyword itself.
    let parents = at.rsplit_once('/').map_or("", |(parents, _)| parents);
    for name in parents.split('/').skip(1) {
        let name = name.replace("~1", "/").replace("~0", "~");
        part = part.and_then(|part| part.get(&name));
    }
    let properties = part.and_then(|part| part.get("properties"));
    let keys = properties.iter().flat_map(Value::keys);
    keys.map(str::to_owned).collect()
}

/// Keys that the schema does not have, and those that were probably meant.
fn unknown(keys: &[String], known: &[String]) -> String {
    let near = |key: &str| nearest(key, known.iter().map(String::as_str));
    let each = keys.iter().map(|key| match near(key) {
        Some(near) => format!("there is no field `{key}`; did you mean `{near}`?"),
        None => format!("there is no field `{key}`"),
    });
    let mut message = each.collect::<Vec<_>>().join("; ");
    if !known.is_empty() && keys.iter().any(|key| near(key).is_none()) {
        message.push_str(&format!("; the fields are {}", known.join(", ")));
    }
    message
}

fn type_names(kind: &jsonschema::error::TypeKind) -> String {
    use jsonschema::error::TypeKind;
    match kind {
        TypeKind::Single(name) => name.to_string(),
        TypeKind::Multiple(names) => {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            names.join(" or ")
        }
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({:?})", self.0.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_there_is_not_is_named_with_the_one_that_was_meant() {
        let check = |schema: &str, value: &str, expected: &str| {
            let schema = Schema::compile(&Value::parse(schema).unwrap()).unwrap();
            let violations = schema.validate(&Value::parse(value).unwrap()).unwrap_err();
            assert_eq!(violations[0].message, expected);
        };
        let closed =
            r#"{"properties": {"discount": {}, "prices": {}}, "additionalProperties": false}"#;
        check(
            closed,
            r#"{"discuont": 1}"#,
            "there is no field `discuont`; did you mean `discount`?",
        );
        check(
            closed,
            r#"{"colour": 1, "prcies": 2}"#,
            "there is no field `colour`; there is no field `prcies`; did you mean `prices`?; the fields are discount, prices",
        );
        check(
            &format!(r#"{{"properties": {{"a/b": {closed}}}}}"#),
            r#"{"a/b": {"price": 1}}"#,
            "there is no field `price`; did you mean `prices`?",
        );
    }
}
