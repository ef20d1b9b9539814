//! Values against the schema of the place they go to, as far as both are known without running.
//!
//! Owns what is certain to fail: data that its schema refuses, a required key that is not there, a step's
//! output of one type where another is needed. Where a schema leaves a choice, nothing is said.

use super::known_fields::{CHOICES, single_type};
use crate::diagnostic::{Code, Diagnostics, Severity};
use crate::document::Span;
use crate::expression::{Expression, StepName, Target};
use crate::path::{Path, Segment};
use crate::schema::Schema;
use crate::types::{self, Type};
use crate::value::Value;

/// How many violations of one literal are reported.
const MOST_VIOLATIONS: usize = 10;

/// A check of one input or output.
pub(super) struct Fit<'a> {
    /// The schema of what a reference leads into, where it is known.
    pub(super) source_schema: &'a dyn Fn(&Target<StepName>) -> Option<Value>,
    /// How bad a misfit is: a step's input may be let through when the run is configured to.
    pub(super) severity: Severity,
    /// What is checked, for messages.
    pub(super) what: &'a str,
    pub(super) diagnostics: &'a mut Diagnostics,
}

impl Fit<'_> {
    /// Checks an expression at this path of what is checked.
    pub(super) fn check(
        &mut self,
        expression: &Expression<StepName>,
        schema: &Value,
        at: &Path,
        span: Span,
    ) {
        match expression {
            Expression::Literal(value) => self.literal(value, schema, at, span),
            Expression::Reference(reference) => self.kind(expression, schema, at, reference.span),
            Expression::Object(entries) if !has_choices(schema) => {
                self.is_type("object", schema, at, span);
                self.required(entries, schema, at, span);
                let Some(properties) = schema.get("properties") else {
                    return;
                };
                for (key, entry) in entries {
                    if let Some(schema) = properties.get(key) {
                        let segments = [at.segments(), &[Segment::Field(key.clone())]].concat();
                        self.check(entry, &schema, &Path::new(segments), span);
                    }
                }
            }
            Expression::List(_) => self.is_type("array", schema, at, span),
            Expression::Template(_) => self.is_type("string", schema, at, span),
            Expression::If(_) | Expression::Coalesce(_) => self.kind(expression, schema, at, span),
            Expression::Object(_) => {}
        }
    }

    fn literal(&mut self, value: &Value, schema: &Value, at: &Path, span: Span) {
        // References lead from the whole schema, which a part of it has lost.
        if !at.is_root() && schema.as_text().contains("\"$ref\"") {
            return;
        }
        let Ok(schema) = Schema::compile(schema) else {
            return;
        };
        let Err(violations) = schema.validate(value) else {
            return;
        };
        for violation in violations.iter().take(MOST_VIOLATIONS) {
            let message = format!("{} does not fit its schema at {at}: {violation}", self.what);
            self.diagnostics
                .add(self.severity, Code::SchemaConflict, span, message)
                .hint("correct the value or the schema");
        }
    }

    fn required(
        &mut self,
        entries: &[(StepName, Expression<StepName>)],
        schema: &Value,
        at: &Path,
        span: Span,
    ) {
        let Some(required) = schema.get("required") else {
            return;
        };
        for name in required.items() {
            let Some(name) = name.as_str() else { continue };
            if !entries.iter().any(|(key, _)| **key == *name) {
                let message = format!(
                    "{} lacks the key {name:?} that its schema requires in {at}",
                    self.what
                );
                self.diagnostics
                    .add(self.severity, Code::SchemaConflict, span, message)
                    .hint(format!("add `{name}: …`"));
            }
        }
    }

    fn is_type(&mut self, given: &str, schema: &Value, at: &Path, span: Span) {
        if has_choices(schema) {
            return;
        }
        let Some(needed) = single_type(schema).filter(|needed| needed != given) else {
            return;
        };
        let message = format!(
            "{} is of type {given} at {at}, and its schema wants {needed}",
            self.what
        );
        self.diagnostics
            .add(self.severity, Code::SchemaConflict, span, message)
            .hint("correct the value or the schema");
    }

    /// What is known of an expression's value, where the schemas of what it refers to tell.
    fn kind(&mut self, expression: &Expression<StepName>, schema: &Value, at: &Path, span: Span) {
        let kind = types::of_expression(expression, &|target| {
            let schema = (self.source_schema)(target);
            schema.map_or(Type::Any, |schema| Type::of_schema(&schema))
        });
        let Some(misfit) = kind.misfit(&Type::of_schema(schema)) else {
            return;
        };
        let place = Path::new([at.segments(), misfit.at.segments()].concat());
        let (what, wanted) = (self.what, &misfit.wanted);
        let message = match &misfit.given {
            Some(given) => {
                format!("{what} is of type {given} at {place}, and its schema wants {wanted}")
            }
            None => format!("{what} has nothing at {place}, and its schema wants {wanted}"),
        };
        self.diagnostics
            .add(self.severity, Code::SchemaConflict, span, message)
            .hint("correct the value or the schema");
    }
}

fn has_choices(schema: &Value) -> bool {
    CHOICES.iter().any(|keyword| schema.get(keyword).is_some())
}
