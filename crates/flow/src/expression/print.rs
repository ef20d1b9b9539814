//! From an expression back to JSON, in the newer dialect.
//!
//! Owns that parsing what was printed gives the same expression. Must not know where it is printed to.

use super::{Expression, OnSkip, Reference, StepName, Target, template};
use crate::path::{Path, Segment};
use crate::value::{Kind, Value};

/// The expression as JSON, in the newer dialect.
pub fn print(expression: &Expression<StepName>) -> Value {
    match expression {
        Expression::Literal(value) if has_dollar_key(value) => {
            Value::object([("$literal", value.clone())])
        }
        Expression::Literal(value) => value.clone(),
        Expression::Reference(reference) => print_reference(reference),
        Expression::If(parts) => Value::object([
            ("$if", print(&parts.condition)),
            ("then", print(&parts.then)),
            ("else", print(&parts.otherwise)),
        ]),
        Expression::Coalesce(items) => {
            Value::object([("$coalesce", Value::list(items.iter().map(print)))])
        }
        Expression::Template(pieces) => {
            Value::object([("$template", Value::string(&template::print(pieces)))])
        }
        Expression::List(items) => Value::list(items.iter().map(print)),
        Expression::Object(entries) => {
            Value::object(entries.iter().map(|(key, entry)| (&**key, print(entry))))
        }
    }
}

fn print_reference(reference: &Reference<StepName>) -> Value {
    let path = Value::string(&reference.path.to_string());
    match &reference.target {
        Target::Input => Value::object([("$input", path)]),
        Target::Variable { name, default } => {
            let name = Segment::Field(name.clone());
            let whole = Path::new([&[name], reference.path.segments()].concat());
            let mut entries = vec![("$variable", Value::string(&whole.to_string()))];
            entries.extend(default.iter().map(|default| ("default", print(default))));
            Value::object(entries)
        }
        Target::Step { step, on_skip } => {
            let mut entries = vec![("$step", Value::string(step))];
            if !reference.path.is_root() {
                entries.push(("path", path));
            }
            if let OnSkip::UseDefault(default) = on_skip {
                let action = ("action", Value::string("useDefault"));
                entries.push((
                    "onSkip",
                    Value::object([action, ("defaultValue", print(default))]),
                ));
            }
            Value::object(entries)
        }
    }
}

/// Whether data would be read as an expression if it stood alone.
fn has_dollar_key(value: &Value) -> bool {
    match value.kind() {
        Kind::List => value.items().iter().any(has_dollar_key),
        Kind::Object => value
            .entries()
            .any(|(key, item)| key.starts_with('$') || has_dollar_key(item)),
        Kind::Null | Kind::Bool | Kind::Number | Kind::String => false,
    }
}
