//! The one table of error codes, and the error a failed step carries.
//!
//! Owns numbers, names and default texts. Must not know who raises which error, nor how errors travel.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::Value;

/// A JSON-RPC error code that Stepflow gives a meaning to; a component's own codes stay plain numbers.
///
/// ```
/// use stepflow_flow::error::ErrorCode;
/// assert_eq!(ErrorCode::TIMEOUT.number(), -32006);
/// assert_eq!(ErrorCode::TIMEOUT.name(), "timeout");
/// assert_eq!(ErrorCode::from_number(-32006), Some(ErrorCode::TIMEOUT));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(i64);

/// What the table says of a code.
struct Row {
    name: &'static str,
    text: &'static str,
    explanation: &'static str,
}

macro_rules! error_codes {
    ($($constant:ident = $number:literal, $name:literal, $text:literal, $explanation:literal;)*) => {
        impl ErrorCode {
            $(
                #[doc = concat!("`", stringify!($number), "`: ", $text, ".")]
                pub const $constant: ErrorCode = ErrorCode($number);
            )*

            /// Every code, in the order of the protocol's table.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$constant),*];

            const fn row(self) -> Row {
                let (name, text, explanation) = match self.0 {
                    $($number => ($name, $text, $explanation),)*
                    _ => ("unknown", "unknown error", ""),
                };
                Row { name, text, explanation }
            }
        }
    };
}

error_codes! {
    PARSE = -32700, "parse_error", "the message is not valid JSON",
        "One end of a connection sent a line that is no JSON. Does something else write to the server's stdout? `stepflow inspect` shows every message.";
    INVALID_REQUEST = -32600, "invalid_request", "the message is not a valid request",
        "One end of a connection sent JSON that is no message of JSON-RPC 2.0. `stepflow inspect` shows every message, and `stepflow conformance` checks a server.";
    METHOD_NOT_FOUND = -32601, "method_not_found", "the method does not exist",
        "The receiver does not know the method: an older server, or a name that is spelled otherwise. `stepflow conformance` checks which methods a server has.";
    INVALID_PARAMS = -32602, "invalid_params", "the parameters do not fit the method",
        "The message names the field. In a call back it may be the flow or the overrides that a component asked for that cannot be run.";
    INTERNAL = -32603, "internal_error", "an internal error",
        "The receiver broke, and the caller can do nothing about it. Look at the log of the end that answered.";
    SERVER = -32000, "server_error", "the component server failed",
        "A failure of a server that has no better code. What it wrote to stderr may say more: run again with -v.";
    COMPONENT_NOT_FOUND = -32001, "component_not_found", "the component does not exist",
        "The server runs and has no such component, or no route leads there. The message has the nearest names; `stepflow list-components` shows all there are.";
    NOT_INITIALIZED = -32002, "not_initialized", "the connection is not initialized, or the versions do not fit",
        "A request came before the handshake, or both ends have no version of the protocol in common: update one of them.";
    INVALID_INPUT = -32003, "invalid_input", "the input does not fit its schema",
        "The message has the place in the input and what was expected there. `stepflow list-components --schemas` shows what a component takes.";
    COMPONENT_FAILED = -32004, "component_failed", "the component failed",
        "The component ran and raised an error; a traceback is in the error's data. With `onError: {action: retry}` the step is tried again.";
    UNAVAILABLE = -32005, "resource_unavailable", "a resource is not available",
        "Something that the step needs is not there: most often its server, which could not be started or was given up. The message says what was tried. Runs that are nested too deep, or too many, have this code too.";
    TIMEOUT = -32006, "timeout", "the time allowed for the call is over",
        "There was no answer within the step's or the plugin's `timeout`. Raise it, or find out what the component waits for.";
    PERMISSION_DENIED = -32007, "permission_denied", "the caller is not allowed to do this",
        "A token or a right is missing, or a file lies outside of what `loadFile.allow` names. The message says which.";
    BLOB_NOT_FOUND = -32008, "blob_not_found", "the blob does not exist",
        "There is no blob, and no stored flow, with this id. Blobs live as long as the process of the runtime, which may have been another one.";
    EXPRESSION_FAILED = -32009, "expression_failed", "an expression has no value",
        "A path in the flow leads nowhere. The message names the step, the path and the keys that exist; `$coalesce` gives a default.";
    SESSION_EXPIRED = -32010, "session_expired", "the session has expired",
        "The server has forgotten the session, most often by a restart. The runtime opens a new one by itself; a client of your own has to do the same.";
    BUSY = -32011, "busy", "the server is busy; try again later",
        "The server refused the call before it began. It was tried again for a while; start more `instances`, or let less go on at once.";
    CANCELLED = -32012, "cancelled", "the call was cancelled",
        "Nobody needed the answer any more: the run was stopped, or another step of it failed.";
    OUTCOME_UNKNOWN = -32013, "outcome_unknown", "the call may or may not have run; its answer was lost",
        "The connection was lost after the call was sent, and it may not be sent again, or was often enough. See whether the work was done before you run it again.";
}

impl ErrorCode {
    /// The number on the wire.
    pub const fn number(self) -> i64 {
        self.0
    }

    /// The code's name in logs and documentation.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// What to say when nothing more is known.
    pub const fn default_text(self) -> &'static str {
        self.row().text
    }

    /// What it is most often about, and what to do then.
    pub const fn explanation(self) -> &'static str {
        self.row().explanation
    }

    /// The code with this number, if the table has it.
    pub fn from_number(number: i64) -> Option<ErrorCode> {
        ErrorCode::ALL.iter().copied().find(|code| code.0 == number)
    }

    /// An error with this code and message, and no data.
    pub fn error(self, message: impl Into<String>) -> FlowError {
        FlowError::new(self, message)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.name())
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<ErrorCode> for i64 {
    fn from(code: ErrorCode) -> i64 {
        code.0
    }
}

/// Why a step or a flow failed, as it travels in results and on the wire.
///
/// The code is a plain number because component servers may use their own; it passes through untouched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FlowError {
    /// An [`ErrorCode`]'s number, or a component's own.
    pub code: i64,
    /// What happened, for people.
    pub message: String,
    /// What happened, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl FlowError {
    /// An error of the table, without data.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> FlowError {
        FlowError {
            code: code.number(),
            message: message.into(),
            data: None,
        }
    }

    /// The same error with data for programs.
    pub fn with_data(mut self, data: Value) -> FlowError {
        self.data = Some(data);
        self
    }
}

impl fmt::Display for FlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.message, self.code)?;
        match ErrorCode::from_number(self.code) {
            Some(code) => write!(f, " {})", code.name()),
            None => f.write_str(")"),
        }
    }
}

impl std::error::Error for FlowError {}
