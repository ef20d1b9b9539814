//! Paths against schemas that say which fields there are.
//!
//! Owns what can be known without running: a closed object lacks a field, a list has no keys. Where a
//! schema leaves a choice, nothing is said. Must not know which step or input the schema describes.

use crate::diagnostic::{Code, Diagnostics};
use crate::document::{Span, nearest};
use crate::path::{Path, Segment};
use crate::value::Value;

/// Keywords that make the shape depend on more than `properties` and `items`.
pub(super) const CHOICES: [&str; 9] = [
    "$ref",
    "$dynamicRef",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "patternProperties",
    "prefixItems",
];

/// Reports the first part of a path that a schema does not have.
pub(super) fn check(
    schema: &Value,
    path: &Path,
    what: &str,
    span: Span,
    diagnostics: &mut Diagnostics,
) {
    let mut schema = schema.clone();
    for (depth, segment) in path.segments().iter().enumerate() {
        if CHOICES.iter().any(|keyword| schema.get(keyword).is_some()) {
            return;
        }
        let place = Path::new(&path.segments()[..depth]);
        let inner = match segment {
            Segment::Field(name) => {
                if let Some(kind) = known_type(&schema, "object") {
                    let message = format!("{what} has no {path}: {place} is of type {kind}");
                    let hint = "follow the schema, or mend it";
                    diagnostics
                        .error(Code::UnknownField, span, message)
                        .hint(hint);
                    return;
                }
                let Some(properties) = schema.get("properties") else {
                    return;
                };
                let inner = properties.get(name);
                if inner.is_none() {
                    unknown_field(
                        &schema,
                        &properties,
                        name,
                        &place,
                        (what, span),
                        diagnostics,
                    );
                }
                inner
            }
            Segment::Index(_) => {
                if let Some(kind) = known_type(&schema, "array") {
                    let message = format!("{what} has no {path}: {place} is of type {kind}");
                    let hint = "follow the schema, or mend it";
                    diagnostics
                        .error(Code::UnknownField, span, message)
                        .hint(hint);
                    return;
                }
                schema.get("items")
            }
        };
        let Some(inner) = inner else { return };
        schema = inner;
    }
}

/// The schema's type, if it has one and it is not the one needed.
fn known_type(schema: &Value, needed: &str) -> Option<String> {
    single_type(schema).filter(|kind| kind != needed)
}

/// The schema's type, if it has exactly one.
pub(super) fn single_type(schema: &Value) -> Option<String> {
    let kind = schema.get("type")?;
    kind.as_str().map(std::borrow::Cow::into_owned)
}

fn unknown_field(
    schema: &Value,
    properties: &Value,
    name: &str,
    place: &Path,
    (what, span): (&str, Span),
    diagnostics: &mut Diagnostics,
) {
    let is_closed = schema
        .get("additionalProperties")
        .and_then(|value| value.as_bool())
        == Some(false);
    let known: Vec<&str> = properties.keys().collect();
    let near = nearest(name, known.iter().copied());
    let hint = match near {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("the schema has {}", known.join(", ")),
    };
    let message = format!("the schema of {what} has no field {name:?} in {place}");
    if is_closed {
        diagnostics
            .error(Code::UnknownField, span, message)
            .hint(hint);
    } else if schema.get("additionalProperties").is_none() {
        diagnostics
            .warning(Code::UnknownField, span, message)
            .hint(hint);
    }
}
