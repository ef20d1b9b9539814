//! The words for errors of other crates, and what to do about them: all in one place, so that they sound alike.

use std::io;
use std::path::Path;

use stepflow_engine::FailedStep;
use stepflow_engine::RunError;
use stepflow_engine::StartError;
use stepflow_engine::Subject;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::error::FlowError;

use super::CliError;

/// A file that an argument names cannot be read.
pub fn unreadable(what: &str, path: &Path, error: io::Error) -> CliError {
    let hint = match error.kind() {
        io::ErrorKind::NotFound if path.is_absolute() => "is the path spelled right?".to_owned(),
        io::ErrorKind::NotFound => {
            "is the path spelled right? it starts at the current folder".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            format!("may you read it? look at `ls -l {}`", path.display())
        }
        io::ErrorKind::IsADirectory => "name a file, not a folder".to_owned(),
        io::ErrorKind::InvalidData => "it must be text in UTF-8".to_owned(),
        _ => {
            return CliError::usage(format!("{what} {} cannot be read", path.display()))
                .because(error);
        }
    };
    CliError::usage(format!("{what} {} cannot be read", path.display()))
        .because(error)
        .hint(hint)
}

/// A result cannot be written.
pub fn unwritable(place: &str, error: io::Error) -> CliError {
    CliError::internal(format!("the result cannot be written to {place}"))
        .because(error)
        .hint("the run itself has ended; it will run again if you start it again")
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> CliError {
        match error {
            StartError::Invalid {
                subject,
                violations,
            } => {
                let mut message = match subject {
                    Subject::Input => "the input does not fit the flow's schema".to_owned(),
                    Subject::Variables => "the variables do not fit the flow's schema".to_owned(),
                };
                for violation in &violations {
                    message.push_str(&format!("\n  {violation}"));
                }
                let hint = match subject {
                    Subject::Input => "see `inputSchema` in the flow",
                    Subject::Variables => {
                        "see `variables` in the flow; give values with --variables, or --env-variables"
                    }
                };
                CliError::invalid(message).hint(hint)
            }
            other => CliError::invalid(other.to_string()),
        }
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> CliError {
        CliError::internal("the run could not go on").because(error)
    }
}

/// What to do about a failure that a step ended with.
pub fn advice(error: &FlowError, step: Option<&FailedStep>) -> Option<String> {
    let component = step.map_or("", |step| &*step.component);
    let advice = match ErrorCode::from_number(error.code)? {
        ErrorCode::COMPONENT_NOT_FOUND => {
            "`stepflow list-components` shows what there is".to_owned()
        }
        ErrorCode::INVALID_INPUT if component.is_empty() => return None,
        ErrorCode::INVALID_INPUT if error.message.starts_with("the output") => {
            "an output is checked against the step's `outputSchema` and what the component says of itself"
                .to_owned()
        }
        ErrorCode::INVALID_INPUT => {
            format!("`stepflow list-components --schemas` shows what {component} takes")
        }
        ErrorCode::TIMEOUT => {
            "give the step or the plugin a longer `timeout`, or the step an `onError`".to_owned()
        }
        ErrorCode::UNAVAILABLE if error.message.starts_with("the plugin") => {
            "look at the plugin's `command`, `args` and `cwd` in the config; `stepflow list-components` tries every plugin"
                .to_owned()
        }
        ErrorCode::OUTCOME_UNKNOWN => {
            "look whether it did its work before you run it again".to_owned()
        }
        _ => return None,
    };
    Some(advice)
}
