//! From a document's node to an expression.
//!
//! Owns the two dialects. Every object with a `$` key is an expression of a known shape or an error;
//! nothing is guessed.

use std::sync::Arc;

use super::{Expression, If, OnSkip, Reference, StepName, Target, lookalike, shapes, template};
use crate::diagnostic::{Code, Diagnostics};
use crate::document::{Fields, Kind, Node, Object, Span, nearest, spells};
use crate::path::{Path, Segment};
use crate::value::Value;

/// Reads an expression in either dialect. What is wrong goes to `diagnostics`, and null takes its place.
///
/// ```
/// use stepflow_flow::{diagnostic::Diagnostics, document::{self, Source}, expression};
/// let source = Source::new("e.yaml", "{ $from: { step: s1 }, path: a.b }");
/// let mut diagnostics = Diagnostics::new(&source);
/// let node = document::read(&source, &mut diagnostics).unwrap();
/// let expression = expression::parse(&node, &mut diagnostics);
/// assert_eq!(expression::print(&expression).as_text(), r#"{"$step":"s1","path":"$.a.b"}"#);
/// ```
pub fn parse(node: &Node, diagnostics: &mut Diagnostics) -> Expression<StepName> {
    parse_below(node, diagnostics).unwrap_or_else(|| Expression::Literal(node.to_value()))
}

/// Reads an expression of which only the truth counts. One that always holds is probably a mistake: a string is
/// true whatever it says.
pub(crate) fn parse_condition(
    node: &Node,
    what: &str,
    diagnostics: &mut Diagnostics,
) -> Expression<StepName> {
    let condition = match &node.kind {
        // What is said of a condition says it all.
        Kind::String(..) => Expression::Literal(node.to_value()),
        _ => parse(node, diagnostics),
    };
    lookalike::check_condition(node, &condition, what, diagnostics);
    condition
}

/// The expression of a node, or `None` if it is plain data, so that data is copied once and as a whole.
fn parse_below(node: &Node, diagnostics: &mut Diagnostics) -> Option<Expression<StepName>> {
    match &node.kind {
        Kind::Null | Kind::Bool(_) | Kind::Number(_) => None,
        Kind::String(..) => {
            lookalike::check(node, diagnostics);
            None
        }
        Kind::List(items) => {
            let parsed: Vec<_> = items
                .iter()
                .map(|item| parse_below(item, diagnostics))
                .collect();
            let has_some = parsed.iter().any(Option::is_some);
            has_some.then(|| {
                Expression::List(
                    items
                        .iter()
                        .zip(parsed)
                        .map(|(item, parsed)| or_literal(item, parsed))
                        .collect(),
                )
            })
        }
        Kind::Object(object) if object.iter().any(|(key, _)| key.starts_with('$')) => {
            Some(dollar(node, object, diagnostics))
        }
        Kind::Object(object) => {
            let parsed: Vec<_> = object
                .iter()
                .map(|(_, entry)| parse_below(&entry.node, diagnostics))
                .collect();
            let has_some = parsed.iter().any(Option::is_some);
            has_some.then(|| {
                let entries = object.iter().zip(parsed);
                Expression::Object(
                    entries
                        .map(|((key, entry), parsed)| {
                            (Arc::clone(key), or_literal(&entry.node, parsed))
                        })
                        .collect(),
                )
            })
        }
    }
}

fn or_literal(node: &Node, parsed: Option<Expression<StepName>>) -> Expression<StepName> {
    parsed.unwrap_or_else(|| Expression::Literal(node.to_value()))
}

fn nothing() -> Expression<StepName> {
    Expression::Literal(Value::null())
}

/// An object with a `$` key.
fn dollar(node: &Node, object: &Object, diagnostics: &mut Diagnostics) -> Expression<StepName> {
    let mut dollars = object.iter().filter(|(key, _)| key.starts_with('$'));
    let Some((key, entry)) = dollars.next() else {
        return nothing();
    };
    if let Some((second, second_entry)) = dollars.next() {
        let message = format!("{key:?} and {second:?} stand in one object");
        diagnostics
            .error(Code::UnknownExpression, second_entry.key_span, message)
            .hint("an expression has one `$` key; put data with such keys under `$literal`");
        return nothing();
    }
    let Some((known, table)) = shapes::of(key) else {
        let hint = unknown_hint(key);
        diagnostics
            .error(
                Code::UnknownExpression,
                entry.key_span,
                format!("unknown expression {key:?}"),
            )
            .hint(hint);
        return nothing();
    };
    let Some(mut fields) = Fields::read(node, "an expression", diagnostics) else {
        return nothing();
    };
    fields.narrow(table);
    let found = fields.take_value(known).map_or(&entry.node, |found| found);
    let parsed = match known {
        "$input" => input(found, diagnostics),
        "$step" => step(found, &mut fields, diagnostics),
        "$variable" => variable(found, &mut fields, diagnostics),
        "$from" => from(found, &mut fields, diagnostics),
        "$if" => branches(found, &mut fields, diagnostics),
        "$coalesce" => coalesce(found, diagnostics),
        "$template" => template(found, diagnostics),
        _ => Some(Expression::Literal(found.to_value())),
    };
    let what = format!("an expression with {known:?}");
    fields.finish_as(&what, sibling_hint(known), diagnostics);
    parsed.unwrap_or_else(nothing)
}

/// What to write instead of an expression that there is not.
fn unknown_hint(key: &str) -> String {
    let instead = match key {
        "$not" => "negate with `{ $if: <condition>, then: false, else: true }`",
        "$and" => "write `{ $if: <first>, then: <second>, else: false }`",
        "$or" => "write `{ $if: <first>, then: true, else: <second> }`",
        "$eq" | "$ne" | "$gt" | "$gte" | "$lt" | "$lte" | "$in" => {
            "nothing compares in a flow; let a component do it, and take its result as the condition"
        }
        _ => "",
    };
    if !instead.is_empty() {
        return instead.to_owned();
    }
    match nearest(key, shapes::dollars()) {
        Some(near) => {
            format!("did you mean {near:?}? Data with such a key goes under `$literal`")
        }
        None => format!(
            "there are {}; data with other `$` keys goes under `$literal: {{…}}`",
            shapes::dollars().join(", ")
        ),
    }
}

fn sibling_hint(known: &str) -> &'static str {
    match known {
        "$input" => {
            "the path is the value: `$input: \"$.user.name\"`; a default is given by `{ $coalesce: [{ $input: name }, <default>] }`"
        }
        "$step" => {
            "it takes `path` and `onSkip`; a default is given by `{ $coalesce: [{ $step: id }, <default>] }`"
        }
        "$literal" => "`$literal` stands alone; what it holds is taken as it is",
        _ => "put data with `$` keys under `$literal`",
    }
}

/// A path and where it stands.
struct Located {
    path: Path,
    span: Span,
}

fn reference(
    target: Target<StepName>,
    located: Located,
    span: Span,
) -> Option<Expression<StepName>> {
    Some(Expression::Reference(Box::new(Reference {
        target,
        path: located.path,
        span,
        path_span: located.span,
    })))
}

fn input(node: &Node, diagnostics: &mut Diagnostics) -> Option<Expression<StepName>> {
    reference(Target::Input, path(node, diagnostics)?, node.span)
}

fn step(
    node: &Node,
    fields: &mut Fields<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Expression<StepName>> {
    let path = optional_path(fields, node.span, diagnostics);
    let on_skip = on_skip(fields, diagnostics);
    let step = step_name(node, "$step", diagnostics)?;
    reference(Target::Step { step, on_skip }, path?, node.span)
}

fn step_name(node: &Node, key: &str, diagnostics: &mut Diagnostics) -> Option<StepName> {
    let Some(name) = node.as_str() else {
        diagnostics
            .error(
                Code::WrongType,
                node.span,
                format!(
                    "{key:?} takes the id of a step, and this is {}",
                    node.type_name()
                ),
            )
            .hint(format!("write `{key}: <step id>`"));
        return None;
    };
    Some(Arc::clone(name))
}

fn variable(
    node: &Node,
    fields: &mut Fields<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Expression<StepName>> {
    let default = fields
        .take_value("default")
        .map(|default| parse(default, diagnostics));
    let path = path(node, diagnostics)?;
    let whole = Located {
        path: Path::root(),
        span: node.span,
    };
    variable_reference(&path, whole, default, diagnostics)
}

/// The first key of a variable's path is its name.
fn variable_reference(
    variable: &Located,
    below: Located,
    default: Option<Expression<StepName>>,
    diagnostics: &mut Diagnostics,
) -> Option<Expression<StepName>> {
    let Some((Segment::Field(name), rest)) = variable.path.segments().split_first() else {
        diagnostics
            .error(
                Code::BadPath,
                variable.span,
                "a reference to a variable starts with its name",
            )
            .hint("write `$variable: name` or `$variable: \"$.name.field\"`");
        return None;
    };
    let path = Path::new([rest, below.path.segments()].concat());
    reference(
        Target::Variable {
            name: Arc::clone(name),
            default,
        },
        Located { path, ..below },
        variable.span,
    )
}

/// The older dialect: `$from: {step: …}`, `$from: {workflow: input}` or `$from: {variable: …}`.
fn from(
    node: &Node,
    fields: &mut Fields<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Expression<StepName>> {
    let path = optional_path(fields, node.span, diagnostics);
    let on_skip_node = fields.take("onSkip");
    let mut source = Fields::of(node, &shapes::SOURCE, diagnostics)?;
    let (step_node, workflow, variable) = (
        source.take("step"),
        source.take("workflow"),
        source.take("variable"),
    );
    let default = source.take_value("default");
    let is_misspelled = ["step", "workflow", "variable"]
        .iter()
        .any(|key| source.has_misspelled(key));
    source.finish(diagnostics);
    if let (Some(on_skip), None) = (on_skip_node, step_node) {
        diagnostics
            .warning(
                Code::BadValue,
                on_skip.span,
                "only a step can be skipped, so `onSkip` has no effect here",
            )
            .hint("remove it");
    }
    if let (Some(default), None) = (default, variable) {
        diagnostics
            .error(
                Code::UnknownKey,
                default.span,
                "only a variable has a `default`",
            )
            .hint(
                "for a step write `onSkip: {action: useDefault, defaultValue: …}` beside `$from`",
            );
    }
    match (step_node, workflow, variable) {
        (Some(step), None, None) => {
            let on_skip = on_skip_node.map_or(OnSkip::Skip, |node| read_on_skip(node, diagnostics));
            let name = step_name(step, "step", diagnostics)?;
            let target = Target::Step {
                step: name,
                on_skip,
            };
            reference(target, path?, step.span)
        }
        (None, Some(workflow), None) => {
            if workflow.as_str().map(|name| &**name) != Some("input") {
                diagnostics
                    .error(
                        Code::BadValue,
                        workflow.span,
                        "a workflow has only an `input` to refer to",
                    )
                    .hint("write `$from: {workflow: input}`");
            }
            reference(Target::Input, path?, workflow.span)
        }
        (None, None, Some(variable)) => {
            let default = default.map(|default| parse(default, diagnostics));
            let name = self::path(variable, diagnostics)?;
            variable_reference(&name, path?, default, diagnostics)
        }
        _ if is_misspelled => None,
        _ => {
            diagnostics
                .error(Code::BadValue, node.span, "`$from` takes one of `step`, `workflow` and `variable`")
                .hint("write `$from: {step: <id>}`, `$from: {workflow: input}` or `$from: {variable: <name>}`");
            None
        }
    }
}

/// The path that stands beside a reference; without one all of what is referred to.
fn optional_path(
    fields: &mut Fields<'_>,
    whole: Span,
    diagnostics: &mut Diagnostics,
) -> Option<Located> {
    match fields.take("path") {
        Some(node) => path(node, diagnostics),
        None => Some(Located {
            path: Path::root(),
            span: whole,
        }),
    }
}

fn path(node: &Node, diagnostics: &mut Diagnostics) -> Option<Located> {
    let text = match &node.kind {
        Kind::String(text, _) => text,
        _ => {
            diagnostics
                .error(
                    Code::WrongType,
                    node.span,
                    format!("a path must be a string, and this is {}", node.type_name()),
                )
                .hint("write `$` for the whole value, or such as \"$.items[0]\"");
            return None;
        }
    };
    match Path::parse(text) {
        Ok(path) => Some(Located {
            path,
            span: node.span,
        }),
        Err(error) => {
            diagnostics
                .error(
                    Code::BadPath,
                    node.span,
                    format!("{text:?} is no path: {error}"),
                )
                .hint(if text.contains(['=', '<', '>', '!', '&', '|']) {
                    "a path leads to a value and cannot compare or compute; let a component do that"
                } else {
                    "paths look like $.name, $.items[0] or $[\"any key\"]"
                });
            None
        }
    }
}

fn on_skip(fields: &mut Fields<'_>, diagnostics: &mut Diagnostics) -> OnSkip<StepName> {
    fields
        .take("onSkip")
        .map_or(OnSkip::Skip, |node| read_on_skip(node, diagnostics))
}

fn read_on_skip(node: &Node, diagnostics: &mut Diagnostics) -> OnSkip<StepName> {
    let actions = ["skip", "useDefault"];
    let hint = action_hint(node, &actions);
    let Some(mut fields) = Fields::read_with_hint(node, "`onSkip`", &hint, diagnostics) else {
        return OnSkip::Skip;
    };
    fields.require("action", diagnostics);
    let action = fields.choice("action", &actions, diagnostics);
    let default = if action == Some(0) {
        fields.narrow(&shapes::ON_SKIP_SKIP);
        None
    } else {
        fields.narrow(&shapes::ON_SKIP_DEFAULT);
        fields.take_value("defaultValue")
    };
    fields.finish(diagnostics);
    match (action, default) {
        (Some(1), Some(default)) => OnSkip::UseDefault(parse(default, diagnostics)),
        (Some(1), None) => OnSkip::UseDefault(nothing()),
        _ => OnSkip::Skip,
    }
}

/// How to write what stands where an object with an `action` belongs.
pub(crate) fn action_hint(node: &Node, actions: &[&'static str]) -> String {
    let word = node.as_str().map_or("", |word| word);
    match actions.iter().find(|action| spells(word, action)) {
        Some(word) => format!("write `{{action: {word}}}`"),
        None => format!("write `{{action: …}}` with one of {}", actions.join(", ")),
    }
}

fn branches(
    node: &Node,
    fields: &mut Fields<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Expression<StepName>> {
    let condition = parse_condition(node, "the condition of `$if`", diagnostics);
    let then = fields.take_value("then");
    // A near miss is reported as the unknown key.
    if then.is_none() && !fields.has_misspelled("then") {
        diagnostics
            .error(Code::MissingKey, node.span, "`$if` needs the key \"then\"")
            .hint("write `{ $if: <condition>, then: <value>, else: <value> }`");
    }
    let then = then.map(|then| parse(then, diagnostics));
    let otherwise = fields
        .take_value("else")
        .map_or_else(nothing, |node| parse(node, diagnostics));
    Some(Expression::If(Box::new(If {
        condition,
        then: then?,
        otherwise,
    })))
}

fn coalesce(node: &Node, diagnostics: &mut Diagnostics) -> Option<Expression<StepName>> {
    match node.as_list() {
        Some(items) if !items.is_empty() => Some(Expression::Coalesce(
            items.iter().map(|item| parse(item, diagnostics)).collect(),
        )),
        _ => {
            diagnostics
                .error(
                    Code::WrongType,
                    node.span,
                    "`$coalesce` takes a list of at least one item",
                )
                .hint("write `$coalesce: [<first choice>, <second choice>]`");
            None
        }
    }
}

fn template(node: &Node, diagnostics: &mut Diagnostics) -> Option<Expression<StepName>> {
    let Some(text) = node.as_str() else {
        diagnostics
            .error(
                Code::WrongType,
                node.span,
                format!(
                    "`$template` takes a string, and this is {}",
                    node.type_name()
                ),
            )
            .hint("write `$template: \"Hello {{ $input.name }}\"`");
        return None;
    };
    let source = Arc::clone(diagnostics.source());
    let mut written = template::Written::new(source.text(), node.span);
    let parsed = template::parse(text, &mut written);
    for error in parsed.errors {
        diagnostics
            .error(Code::BadTemplate, error.span, error.message)
            .hint(error.hint);
    }
    Some(Expression::Template(parsed.pieces))
}
