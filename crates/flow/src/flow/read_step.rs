//! Reads a step's keys.
//!
//! Owns steps, `onError`, backoff, and flows written inside a step's input.

use std::sync::Arc;

use super::{Backoff, Flow, Growth, OnError, Retry, Step, component, read, shapes};
use crate::diagnostic::{Code, Diagnostics};
use crate::document::{Fields, Kind, Node, Span};
use crate::expression::{self, Expression, StepName};
use crate::value::Value;

/// The most retries a step may ask for.
pub(super) const MOST_RETRIES: u64 = 1_000_000;

pub(super) fn step(node: &Node, diagnostics: &mut Diagnostics) -> Option<Step> {
    let mut fields = Fields::of(node, &shapes::STEP, diagnostics)?;
    let id_span = fields.take("id").map_or(fields.span(), |id| id.span);
    let id = fields.string("id", diagnostics);
    diagnostics.enter_step(id.as_ref());
    fields.require("id", diagnostics);
    let step = step_fields(fields, id, id_span, diagnostics);
    diagnostics.enter_step(None);
    step
}

fn step_fields(
    mut fields: Fields<'_>,
    id: Option<StepName>,
    id_span: Span,
    diagnostics: &mut Diagnostics,
) -> Option<Step> {
    let component_node = fields.require("component", diagnostics);
    let component = fields.string("component", diagnostics);
    let component_span = component_node.map_or(id_span, |node| node.span);
    let component = component.map(|text| read_component(&text, component_span, diagnostics));
    let input_span = fields
        .take("input")
        .map_or(component_span, |node| node.span);
    let (input, subflow) = read_input(&mut fields, component.as_deref(), diagnostics);
    let input_schema = fields
        .take("inputSchema")
        .and_then(|node| read::schema(node, None, diagnostics));
    let output_schema = fields
        .take("outputSchema")
        .and_then(|node| read::schema(node, None, diagnostics));
    let skip_if = read_skip_if(&mut fields, diagnostics);
    let on_error = fields.take("onError");
    let on_error = on_error.map_or(OnError::Fail, |node| {
        read_on_error(node, Place::Step, diagnostics)
    });
    let must_execute = fields.boolean("mustExecute", diagnostics).unwrap_or(false);
    let timeout = fields.duration("timeout", diagnostics);
    let at_most_once = fields.boolean("atMostOnce", diagnostics).unwrap_or(false);
    let metadata = fields.take("metadata").map(Node::to_value);
    fields.finish_with(known_elsewhere, diagnostics);
    let id = check_id(id, id_span, diagnostics)?;
    Some(Step {
        id,
        id_span,
        component: component.unwrap_or_else(|| Arc::from("")),
        component_span,
        input,
        input_span,
        skip_if,
        on_error,
        timeout,
        at_most_once,
        must_execute,
        input_schema,
        output_schema,
        metadata,
        subflow,
    })
}

fn check_id(id: Option<StepName>, span: Span, diagnostics: &mut Diagnostics) -> Option<StepName> {
    let id = id?;
    if !id.is_empty() && !id.chars().any(char::is_control) {
        return Some(id);
    }
    diagnostics
        .error(Code::BadId, span, format!("{id:?} cannot be a step's id"))
        .hint("give the step a short name, such as `id: load`");
    None
}

fn read_component(text: &Arc<str>, span: Span, diagnostics: &mut Diagnostics) -> Arc<str> {
    match component::normalize(text) {
        Ok(path) if *path == **text => Arc::clone(text),
        Ok(path) => path.into(),
        Err(error) => {
            diagnostics
                .error(Code::BadComponent, span, error.message)
                .hint(error.hint);
            Arc::from("")
        }
    }
}

fn read_skip_if(
    fields: &mut Fields<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Box<Expression<StepName>>> {
    let skip_if = fields.take("skipIf");
    let skip = fields.take("skip");
    if let (Some(_), Some(skip)) = (skip_if, fields.key_span("skip")) {
        diagnostics
            .error(
                Code::DuplicateKey,
                skip,
                "`skip` is the older name of `skipIf`, and both are here",
            )
            .hint("keep one of the two");
    }
    skip_if
        .or(skip)
        .map(|node| Box::new(expression::parse_condition(node, "`skipIf`", diagnostics)))
}

/// What to write for keys that steps have in other workflow languages.
fn known_elsewhere(key: &str) -> Option<&'static str> {
    let hint = match key {
        "after" | "depends_on" | "dependsOn" | "needs" => {
            "references alone make an order: name the other step in `input` or in `skipIf`"
        }
        "condition" | "if" | "unless" | "when" => {
            "`skipIf` skips the step if it holds; to negate, write `{ $if: <condition>, then: false, else: true }`"
        }
        "retries" | "retry" => "write `onError: { action: retry, maxRetries: 3 }`",
        "plugin" | "run" | "task" | "tool" | "type" | "uses" => {
            "what a step runs is its `component`, such as `/python/greet`"
        }
        "args" | "arguments" | "parameters" | "params" | "with" => {
            "what goes into a step is its `input`"
        }
        "for_each" | "forEach" | "foreach" | "loop" => {
            "the built-in `map` runs a flow on each item of a list, and `iterate` until it says stop"
        }
        "name" => "a step is named by its `id`",
        _ => return None,
    };
    Some(hint)
}

/// The input, and the flow inside it where the component is a built-in that runs flows: such a flow is
/// taken as it is, so that its own expressions stay its own.
fn read_input(
    fields: &mut Fields<'_>,
    component: Option<&str>,
    diagnostics: &mut Diagnostics,
) -> (Expression<StepName>, Option<Box<Flow>>) {
    let Some(input) = fields.take_value("input") else {
        return (Expression::Literal(Value::null()), None);
    };
    let runs_flows = matches!(
        component,
        Some("/builtin/eval" | "/builtin/map" | "/builtin/iterate")
    );
    let object = input
        .as_object()
        .filter(|object| runs_flows && !is_expression(object));
    let Some(object) = object else {
        return (expression::parse(input, diagnostics), None);
    };
    let mut subflow = None;
    let entries = object.iter().map(|(key, entry)| {
        let inline = match &**key {
            "flow" | "workflow" => inline_flow(&entry.node),
            _ => None,
        };
        let expression = match inline {
            Some(node) => {
                subflow = subflow.take().or_else(|| read_subflow(node, diagnostics));
                Expression::Literal(node.to_value())
            }
            None => expression::parse(&entry.node, diagnostics),
        };
        (Arc::clone(key), expression)
    });
    (Expression::Object(entries.collect()), subflow)
}

fn is_expression(object: &crate::document::Object) -> bool {
    object.iter().any(|(key, _)| key.starts_with('$'))
}

/// A flow written out, bare or under `$literal`; not a reference to one.
fn inline_flow(node: &Node) -> Option<&Node> {
    let object = node.as_object()?;
    if !is_expression(object) {
        return Some(node);
    }
    object
        .get("$literal")
        .filter(|inner| object.len() == 1 && inner.as_object().is_some())
}

fn read_subflow(node: &Node, diagnostics: &mut Diagnostics) -> Option<Box<Flow>> {
    let outer = diagnostics.step().cloned();
    let subflow = Flow::from_node(node.clone(), diagnostics).map(Box::new);
    diagnostics.enter_step(outer.as_ref());
    subflow
}

/// Where an error action stands: after retries there is no further retry.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Step,
    AfterRetries,
}

fn read_on_error(node: &Node, place: Place, diagnostics: &mut Diagnostics) -> OnError<StepName> {
    let actions = ["fail", "skip", "useDefault", "retry"];
    let hint = expression::action_hint(node, &actions);
    let Some(mut fields) = Fields::read_with_hint(node, "`onError`", &hint, diagnostics) else {
        return OnError::Fail;
    };
    fields.require("action", diagnostics);
    let action = fields
        .choice("action", &actions, diagnostics)
        .map(|place| actions[place]);
    let table = match action {
        Some("skip") => &shapes::SKIP,
        Some("useDefault") => &shapes::USE_DEFAULT,
        Some("retry") => &shapes::RETRY,
        _ => &shapes::FAIL,
    };
    fields.narrow(table);
    let on_error = match action {
        Some("skip") => OnError::Skip,
        Some("useDefault") => match fields.take_value("defaultValue") {
            Some(default) => OnError::UseDefault(Box::new(expression::parse(default, diagnostics))),
            None => OnError::UseDefault(Box::new(Expression::Literal(Value::null()))),
        },
        Some("retry") if place == Place::AfterRetries => {
            diagnostics
                .error(
                    Code::BadValue,
                    node.span,
                    "after its retries a step cannot be retried again",
                )
                .hint("raise `maxRetries`, and write `then: {action: fail}`, skip or useDefault");
            OnError::Fail
        }
        Some("retry") => OnError::Retry(Box::new(read_retry(&mut fields, diagnostics))),
        Some(_) => OnError::Fail,
        // What else stands there may belong to the action that could not be read.
        None => return OnError::Fail,
    };
    let hint = match on_error {
        OnError::Fail => "the action fail has no keys of its own",
        OnError::Skip => "the action skip has no keys of its own",
        OnError::UseDefault(_) => "the action useDefault takes `defaultValue`",
        OnError::Retry(_) => "the action retry takes `maxRetries`, `backoff` and `then`",
    };
    fields.finish_as(table.what, hint, diagnostics);
    on_error
}

fn read_retry(fields: &mut Fields<'_>, diagnostics: &mut Diagnostics) -> Retry<StepName> {
    let max_retries = fields.count("maxRetries", diagnostics).unwrap_or(3);
    if max_retries > MOST_RETRIES {
        diagnostics
            .error(
                Code::BadValue,
                fields.span(),
                format!("{max_retries} retries are too many"),
            )
            .hint(format!("write at most {MOST_RETRIES}"));
    }
    let backoff = fields.take("backoff");
    let backoff = backoff.map_or_else(Backoff::default, |node| {
        read_backoff(node, Backoff::default(), diagnostics)
    });
    let then = fields.take("then");
    let then = then.map_or(OnError::Fail, |node| {
        read_on_error(node, Place::AfterRetries, diagnostics)
    });
    Retry {
        max_retries: u32::try_from(max_retries).unwrap_or(u32::MAX),
        backoff,
        then,
    }
}

/// Reads a backoff; config files have the same one, with defaults of their own.
pub fn read_backoff(node: &Node, default: Backoff, diagnostics: &mut Diagnostics) -> Backoff {
    let Some(mut fields) = Fields::of(node, &shapes::BACKOFF, diagnostics) else {
        return default;
    };
    let growth = fields.choice(
        "type",
        &["exponential", "constant", "fibonacci"],
        diagnostics,
    );
    let growth = match growth {
        Some(1) => Growth::Constant,
        Some(2) => Growth::Fibonacci,
        Some(_) => Growth::Exponential,
        None => default.growth,
    };
    let min_delay = fields.duration("minDelay", diagnostics);
    let max_delay = fields.duration("maxDelay", diagnostics);
    if let (Some(min), Some(max)) = (min_delay, max_delay)
        && min > max
    {
        diagnostics
            .error(
                Code::BadValue,
                fields.span(),
                "`minDelay` is longer than `maxDelay`",
            )
            .hint("swap them");
    }
    let factor_node = fields.take("factor");
    let factor = fields
        .number("factor", diagnostics)
        .unwrap_or(default.factor);
    if let Some(node) =
        factor_node.filter(|node| matches!(node.kind, Kind::Number(_)) && factor < 1.0)
    {
        diagnostics
            .error(
                Code::BadValue,
                node.span,
                "a factor below 1 would make the waits shorter",
            )
            .hint("write 1 or more, such as `factor: 2`");
    }
    let jitter = fields
        .boolean("jitter", diagnostics)
        .unwrap_or(default.jitter);
    fields.finish(diagnostics);
    let min_delay = min_delay.unwrap_or(default.min_delay);
    let max_delay = max_delay.unwrap_or(default.max_delay.max(min_delay));
    Backoff {
        growth,
        min_delay,
        max_delay,
        factor: factor.max(1.0),
        jitter,
    }
}
