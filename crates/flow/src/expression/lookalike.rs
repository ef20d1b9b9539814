//! Text that looks like a reference, and conditions that decide nothing.
//!
//! Owns what is said of both: whoever knows other template languages writes them, and a flow takes them as plain
//! data without a word. Must not know where in a flow an expression stands.

use super::{Expression, Piece, Reference, StepName, Target, template};
use crate::diagnostic::{Code, Diagnostics};
use crate::document::{Kind, Node, Span, older_boolean};
use crate::path::Path;
use crate::value::Kind as ValueKind;

/// What a reference in a template or in another language begins with.
const ROOTS: [&str; 3] = ["$input", "$step", "$variable"];

/// Warns of a string that is text and looks as if a reference were meant.
pub(super) fn check(node: &Node, diagnostics: &mut Diagnostics) {
    if let Some(hint) = meant(node) {
        diagnostics
            .warning(
                Code::LooksLikeReference,
                node.span,
                "this is text, not a reference",
            )
            .hint(format!("{hint}; `$literal` says that it is meant as text"));
    }
}

/// Warns of a condition that holds whatever the input is: everything but false and null does.
pub(super) fn check_condition(
    node: &Node,
    condition: &Expression<StepName>,
    what: &str,
    diagnostics: &mut Diagnostics,
) {
    let kind = match condition {
        Expression::Literal(value) => match value.kind() {
            ValueKind::Null | ValueKind::Bool => return,
            _ => node.type_name(),
        },
        Expression::Template(_) => "a template, which makes a string",
        Expression::List(_) => "a list",
        Expression::Object(_) => "an object",
        Expression::Reference(_) | Expression::If(_) | Expression::Coalesce(_) => return,
    };
    diagnostics
        .warning(
            Code::ConstantCondition,
            node.span,
            format!("{what} always holds: it is {kind}, and only false and null do not hold"),
        )
        .hint(decides(node));
}

/// What to write where a condition was meant.
fn decides(node: &Node) -> String {
    if let Some((word, is_true)) = older_boolean(node) {
        return format!("`{word}` is text in YAML 1.2; write {is_true}");
    }
    let named = |text: &str| text.contains("{{") || begins_as_reference(text.trim());
    match &node.kind {
        Kind::String(text, _) if named(text) => match lone_reference(text) {
            Some(reference) => format!("write `{}`", short(&reference)),
            None => "nothing compares in a flow: let a component do it, and name its result, such as `{ $step: id }`".to_owned(),
        },
        _ => "name what decides, such as `{ $input: flag }`, or write true or false".to_owned(),
    }
}

/// What was probably meant by a string.
fn meant(node: &Node) -> Option<String> {
    let Kind::String(text, _) = &node.kind else {
        return None;
    };
    if let Some(reference) = lone_reference(text) {
        return Some(format!("write `{}`", short(&reference)));
    }
    if begins_as_reference(text.trim()) {
        return Some(fallback());
    }
    let has_reference = text
        .split("{{")
        .skip(1)
        .any(|inside| begins_as_reference(inside.trim_start()));
    has_reference.then(|| "write `{ $template: \"…\" }` around it".to_owned())
}

/// The reference that a text is, with braces around it or without, if it is nothing else.
fn lone_reference(text: &str) -> Option<Reference<StepName>> {
    let bare = text.trim();
    let template = if begins_as_reference(bare) {
        format!("{{{{ {bare} }}}}")
    } else {
        bare.to_owned()
    };
    let mut pieces = template::parse(&template, &mut nowhere()).pieces;
    match (pieces.pop(), pieces.is_empty()) {
        (Some(Piece::Reference(reference)), true) => Some(reference),
        _ => None,
    }
}

fn nowhere() -> template::Written<'static> {
    template::Written::new("", Span::default())
}

fn fallback() -> String {
    "write `{ $input: path }`, `{ $step: id, path: path }` or `{ $variable: name }`".to_owned()
}

fn begins_as_reference(text: &str) -> bool {
    ROOTS.iter().any(|root| {
        text.strip_prefix(root)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

/// A reference as people write it in YAML.
fn short(reference: &Reference<StepName>) -> String {
    let path = short_path(&reference.path);
    let is_root = reference.path.segments().is_empty();
    match &reference.target {
        Target::Input => format!("{{ $input: {path} }}"),
        Target::Step { step, .. } if is_root => format!("{{ $step: {step} }}"),
        Target::Step { step, .. } => format!("{{ $step: {step}, path: {path} }}"),
        Target::Variable { name, .. } if is_root => format!("{{ $variable: {name} }}"),
        Target::Variable { name, .. } => {
            let below = reference.path.to_string();
            format!("{{ $variable: {:?} }}", format!("$.{name}{}", &below[1..]))
        }
    }
}

/// `a.b` where that can stand without quotes, else the whole path.
fn short_path(path: &Path) -> String {
    let whole = path.to_string();
    match whole.strip_prefix("$.") {
        Some(rest)
            if rest
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.')) =>
        {
            rest.to_owned()
        }
        _ if whole == "$" => whole,
        _ => format!("{whole:?}"),
    }
}
