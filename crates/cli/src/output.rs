//! Results: the only writer of stdout.

use std::io;
use std::io::IsTerminal;
use std::io::Write;
use std::path::Path;

use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;

use crate::json_text;
use crate::report::CliError;
use crate::report::words;
use crate::yaml_text;

/// Writes an outcome where the user wants it.
pub fn outcome(outcome: &Outcome, file: Option<&Path>) -> Result<(), CliError> {
    let value = Value::from_serialize(outcome).map_err(|error| {
        CliError::internal("the outcome cannot be written as JSON").because(error)
    })?;
    let written = match file {
        None => print(&json(&value)),
        Some(file) => {
            let text = if is_yaml(file) {
                yaml_text::print(&value)
            } else {
                json_text::indented(value.as_text()) + "\n"
            };
            std::fs::write(file, text)
                .map_err(|error| words::unwritable(&file.display().to_string(), error))
        }
    };
    written.map_err(|error| {
        error.hint("the run itself has ended; it will run again if you start it again")
    })
}

/// JSON and a line break: for programs in a pipe, for people on a terminal.
pub fn json(value: &Value) -> String {
    let mut text = if io::stdout().is_terminal() {
        json_text::indented(value.as_text())
    } else {
        json_text::compact(value.as_text())
    };
    text.push('\n');
    text
}

/// Writes to stdout. A reader that left has what it wanted.
pub fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(words::unwritable("stdout", error))
        }
        _ => Ok(()),
    }
}

/// Whether a file's name says YAML.
pub fn is_yaml(file: &Path) -> bool {
    let extension = file
        .extension()
        .and_then(|it| it.to_str())
        .unwrap_or_default();
    extension.eq_ignore_ascii_case("yaml") || extension.eq_ignore_ascii_case("yml")
}
