//! Errors for people: kinds, exit codes, and how they look on stderr. Which words an error of another crate gets is in
//! [`words`]; nothing here decides what to do about it.

pub mod diagnostics;
pub mod failure;
pub mod machine;
pub mod words;

use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;

use stepflow_flow::diagnostic::Diagnostic;
use stepflow_flow::document::Source;

use crate::paint;
use crate::screen::Screen;
use crate::signals::Signal;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The flow succeeded or was skipped.
    Success,
    /// The flow failed, or a component server is broken.
    Failed,
    /// What was asked for cannot be done as it was asked.
    Refused,
    /// The store or the runtime itself failed.
    Broken,
    /// A signal ended it.
    Signal(Signal),
}

impl Exit {
    /// The exit code that scripts see.
    pub fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Failed => 1,
            Exit::Refused => 2,
            Exit::Broken => 3,
            Exit::Signal(signal) => signal.exit_code(),
        }
    }
}

/// Why a command could not do its work. A flow that fails is no such error: it is an outcome.
#[derive(Debug)]
pub struct CliError {
    kind: Kind,
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
    found: Vec<Found>,
}

/// What kind of reason, hence which exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The arguments, or files they name.
    Usage,
    /// A flow, a config, an input or variables.
    Invalid,
    /// The store or the runtime.
    Internal,
    /// A server that there is nothing to do without.
    Unreachable,
    /// Someone wanted it so.
    Interrupted(Signal),
}

/// What is wrong with one text.
#[derive(Clone, Debug)]
pub struct Found {
    /// The text.
    pub source: Arc<Source>,
    /// Errors, warnings and notes, in its order.
    pub diagnostics: Vec<Diagnostic>,
}

impl CliError {
    /// The arguments cannot be followed.
    pub fn usage(message: impl Into<String>) -> CliError {
        CliError::new(Kind::Usage, message.into())
    }

    /// A document cannot be used.
    pub fn invalid(message: impl Into<String>) -> CliError {
        CliError::new(Kind::Invalid, message.into())
    }

    /// The store or the runtime failed.
    pub fn internal(message: impl Into<String>) -> CliError {
        CliError::new(Kind::Internal, message.into())
    }

    /// The one server that matters cannot be started or reached. Lines that start with `hint:` become hints.
    pub fn unreachable(message: &str) -> CliError {
        let (message, hints) = failure::split_hints(message);
        let error = CliError::new(Kind::Unreachable, message);
        hints.into_iter().fold(error, CliError::hint)
    }

    /// A signal came before there was anything to finish.
    pub fn interrupted(signal: Signal) -> CliError {
        CliError::new(
            Kind::Interrupted(signal),
            format!("ended by {}", signal.name()),
        )
    }

    fn new(kind: Kind, message: String) -> CliError {
        CliError {
            kind,
            message,
            causes: Vec::new(),
            hints: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Adds what lies behind it, and what lies behind that.
    pub fn because(mut self, error: impl Error) -> CliError {
        self.causes.push(error.to_string());
        let mut next = error.source();
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> CliError {
        self.hints.push(hint.into());
        self
    }

    /// Adds what was found in a text; it is shown before the message.
    pub fn found(mut self, found: Found) -> CliError {
        self.found.push(found);
        self
    }

    /// The exit code's reason.
    pub fn exit(&self) -> Exit {
        match self.kind {
            Kind::Usage | Kind::Invalid => Exit::Refused,
            Kind::Unreachable => Exit::Failed,
            Kind::Internal => Exit::Broken,
            Kind::Interrupted(signal) => Exit::Signal(signal),
        }
    }
}

/// The whole error as text with colours.
pub fn error(error: &CliError) -> String {
    let mut text = String::new();
    for found in &error.found {
        text.push_str(&diagnostics::render(found));
        text.push('\n');
    }
    text.push_str(&headline("error", &error.message));
    for cause in &error.causes {
        let _ = write!(
            text,
            "\n  {} {}",
            paint::dim("caused by:"),
            indent(cause, "    ").trim_start()
        );
    }
    for hint in &error.hints {
        let _ = write!(text, "\n{}", self::hint(hint));
    }
    text
}

/// `error: message`.
pub fn headline(level: &str, message: &str) -> String {
    format!("{} {message}", paint::label(level))
}

/// `hint: text`.
pub fn hint(text: &str) -> String {
    headline("hint", text)
}

/// The text with something before each line.
pub fn indent(text: &str, before: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| format!("{before}{line}")).collect();
    lines.join("\n")
}

/// The text, or its beginning and how long it is.
pub fn shortened(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let start = &text[..text.floor_char_boundary(longest)];
    format!("{start}… ({} bytes)", text.len())
}

/// Replaces the standard report of panics by one that says what to do, without secrets.
pub fn report_panics(screen: &Screen) {
    let screen = screen.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic
            .payload_as_str()
            .unwrap_or("something impossible happened");
        let place = panic
            .location()
            .map_or_else(String::new, |place| format!(" ({place})"));
        let text = headline("error", &format!("internal error: {message}{place}"));
        let hint = hint("this is a defect of Stepflow: please report it, with what you did");
        screen.say(&format!("{text}\n{hint}"));
    }));
}
