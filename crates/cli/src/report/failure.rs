//! A run that failed, told to the one who has to find out why: the step, its input, its attempts, the error with all it
//! carries.

use std::fmt::Write;

use stepflow_engine::FailedStep;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::error::FlowError;
use stepflow_flow::value::Kind;
use stepflow_flow::value::Value;

use super::headline;
use super::hint;
use super::indent;
use super::shortened;
use super::words;
use crate::paint::dim;

/// How much of an input or of an error's data is shown; the rest is in the result.
const SHOWN: usize = 600;

/// An attempt that failed.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Counts from 1.
    pub number: u32,
    /// How long it took, in milliseconds.
    pub milliseconds: Option<u64>,
    /// How it failed.
    pub error: FlowError,
}

/// The report, with colours.
pub fn render(error: &FlowError, step: Option<&FailedStep>, attempts: &[Attempt]) -> String {
    let what = match step {
        // That there is no such component says it all of a call.
        Some(step)
            if step.step_id == step.component
                && words::not_found(error, &step.component).is_some() =>
        {
            String::new()
        }
        Some(step) => format!("{} failed: ", words::step(&step.step_id, &step.component)),
        None => "the flow failed: ".to_owned(),
    };
    render_as(&what, error, step, attempts, words::advice(error, step))
}

/// The same for a plugin that cannot be asked; its message names it.
pub fn render_plugin(error: &FlowError) -> String {
    render_as("", error, None, &[], words::advice(error, None))
}

/// The same for a server that is looked at by itself: no config has a part in it.
pub fn render_inspected(error: &FlowError) -> String {
    render_as("", error, None, &[], None)
}

fn render_as(
    what: &str,
    error: &FlowError,
    step: Option<&FailedStep>,
    attempts: &[Attempt],
    advice: Option<String>,
) -> String {
    let component = step.map_or("", |step| &*step.component);
    let not_found = words::not_found(error, component);
    let message = words::without_component(&error.message, component);
    let (message, hints) = split_hints(not_found.as_deref().unwrap_or(message));
    let mut lines = message.lines();
    let first = lines.next().unwrap_or("no message");
    let mut text = headline("error", &format!("{what}{first}"));
    for line in lines {
        let _ = write!(text, "\n  {line}");
    }
    let mut field = |name: &str, value: &str| {
        let _ = write!(text, "\n  {} {value}", dim(&format!("{name}:")));
    };
    field("code", &code(error));
    if let Some(step) = step {
        field("component", &step.component);
        if step.attempts > 1 {
            let same = if are_alike(attempts) {
                ", all with this error"
            } else {
                ""
            };
            field("attempts", &format!("{}{same}", step.attempts));
        }
        if let Some(input) = &step.input {
            field("input", &shortened(input.as_text(), SHOWN));
        }
    }
    if let Some(data) = error.data.as_ref().filter(|_| not_found.is_none()) {
        write_data(&mut text, data);
    }
    write_attempts(&mut text, attempts);
    // Whoever made the error knows better what to do about it.
    let advice = advice.filter(|_| hints.is_empty());
    for line in hints.into_iter().chain(advice) {
        let _ = write!(text, "\n{}", hint(&line));
    }
    text
}

/// `-32004 (component_failed)`, or a component's own number.
pub fn code(error: &FlowError) -> String {
    match ErrorCode::from_number(error.code) {
        Some(code) => code.to_string(),
        None => error.code.to_string(),
    }
}

/// Lines that start with `hint:` are told at the end.
pub fn split_hints(message: &str) -> (String, Vec<String>) {
    let (hints, rest): (Vec<_>, Vec<_>) =
        message.lines().partition(|line| line.starts_with("hint:"));
    let hints = hints
        .iter()
        .map(|line| line.trim_start_matches("hint:").trim().to_owned());
    (rest.join("\n"), hints.collect())
}

/// A traceback is text to be read; the rest is shown as it is.
fn write_data(text: &mut String, data: &Value) {
    let mut rest = Vec::new();
    for (key, value) in data.entries() {
        let lines = text_of(value).filter(|lines| lines.contains('\n'));
        match lines {
            Some(lines) => {
                let _ = write!(
                    text,
                    "\n  {}\n{}",
                    dim(&format!("{key}:")),
                    indent(lines.trim_end(), "    | ")
                );
            }
            None => rest.push((key, value.clone())),
        }
    }
    let rest = match data.kind() {
        Kind::Object if rest.is_empty() => return,
        Kind::Object => Value::object(rest),
        _ => data.clone(),
    };
    let _ = write!(
        text,
        "\n  {} {}",
        dim("data:"),
        shortened(rest.as_text(), SHOWN)
    );
}

/// A string, or a list of strings as lines.
fn text_of(value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.into_owned());
    }
    let lines: Option<Vec<_>> = value
        .items()
        .iter()
        .map(|item| item.as_str().map(String::from))
        .collect();
    lines
        .filter(|lines| !lines.is_empty())
        .map(|lines| lines.join("\n"))
}

fn are_alike(attempts: &[Attempt]) -> bool {
    let all = attempts
        .windows(2)
        .all(|pair| pair[0].error == pair[1].error);
    all && attempts.len() > 1
}

/// What went wrong each time, when that is more than the last error says.
fn write_attempts(text: &mut String, attempts: &[Attempt]) {
    if attempts.len() < 2 || are_alike(attempts) {
        return;
    }
    for attempt in attempts {
        let message = attempt.error.message.lines().next().unwrap_or_default();
        let took = attempt.milliseconds;
        let took = took.map_or_else(String::new, |it| format!(" after {it} ms"));
        let name = dim(&format!("attempt {}{took}:", attempt.number));
        let _ = write!(text, "\n  {name} {}", shortened(message, SHOWN));
    }
}
