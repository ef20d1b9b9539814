//! `stepflow explain`: what a code means.

use stepflow_flow::diagnostic::Code;
use stepflow_flow::document::nearest;
use stepflow_flow::error::ErrorCode;

use crate::args::Explain;
use crate::output;
use crate::report::CliError;
use crate::report::Exit;

/// Prints the explanation of a code, or all codes.
pub fn explain(args: &Explain) -> Result<Exit, CliError> {
    let text = match &args.code {
        None => all(),
        Some(name) => of_mistake(name)
            .or_else(|| of_error(name))
            .ok_or_else(|| unknown(name))?,
    };
    output::print(&text)?;
    Ok(Exit::Success)
}

fn all() -> String {
    let mistakes = Code::ALL.iter();
    let mistakes = mistakes.map(|code| format!("{}  {}\n", code.name(), code.summary()));
    let errors = ErrorCode::ALL.iter();
    let errors = errors.map(|code| format!("{}  {}\n", code.number(), code.default_text()));
    mistakes.chain(errors).collect()
}

/// What can be wrong with a flow.
fn of_mistake(name: &str) -> Option<String> {
    let code = Code::from_name(name)?;
    let text = plain(code.explanation().text);
    Some(format!("{}: {}\n\n{text}\n", code.name(), code.summary()))
}

/// How a step can fail: by the number, or the name that stands beside it.
fn of_error(name: &str) -> Option<String> {
    let code = match name.parse() {
        Ok(number) => ErrorCode::from_number(number)?,
        Err(_) => *ErrorCode::ALL.iter().find(|code| code.name() == name)?,
    };
    let (text, explanation) = (code.default_text(), code.explanation());
    Some(format!("{code}: {text}\n\n{explanation}\n"))
}

fn unknown(name: &str) -> CliError {
    let error = CliError::usage(format!("there is no code {name:?}"));
    if name.parse::<i64>().is_ok() {
        return error.hint(
            "a number that `stepflow explain` does not list is the component's own: its author knows",
        );
    }
    match nearest(
        &name.to_uppercase(),
        Code::ALL.iter().map(|code| code.name()),
    ) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.hint("`stepflow explain` lists all of them"),
    }
}

/// Markdown for a terminal: code is indented instead of fenced, and links are their words.
fn plain(markdown: &str) -> String {
    let mut text = String::new();
    let mut is_code = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
            continue;
        }
        let line = match is_code {
            true => format!("    {line}"),
            false => without_links(line),
        };
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.trim_end().to_owned()
}

fn without_links(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, link)) = rest.split_once('[') {
        let parts = link.split_once("](").and_then(|(words, after)| {
            let (_, after) = after.split_once(')')?;
            Some((words, after))
        });
        let Some((words, after)) = parts else { break };
        text.push_str(before);
        text.push_str(words);
        rest = after;
    }
    text.push_str(rest);
    text
}
