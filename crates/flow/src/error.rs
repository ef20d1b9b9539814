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

macro_rules! error_codes {
    ($($constant:ident = $number:literal, $name:literal, $text:literal;)*) => {
        impl ErrorCode {
            $(
                #[doc = concat!("`", stringify!($number), "`: ", $text, ".")]
                pub const $constant: ErrorCode = ErrorCode($number);
            )*

            /// Every code, in the order of the protocol's table.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$constant),*];

            const fn row(self) -> (&'static str, &'static str) {
                match self.0 {
                    $($number => ($name, $text),)*
                    _ => ("unknown", "unknown error"),
                }
            }
        }
    };
}

error_codes! {
    PARSE = -32700, "parse_error", "the message is not valid JSON";
    INVALID_REQUEST = -32600, "invalid_request", "the message is not a valid request";
    METHOD_NOT_FOUND = -32601, "method_not_found", "the method does not exist";
    INVALID_PARAMS = -32602, "invalid_params", "the parameters do not fit the method";
    INTERNAL = -32603, "internal_error", "an internal error";
    SERVER = -32000, "server_error", "the component server failed";
    COMPONENT_NOT_FOUND = -32001, "component_not_found", "the component does not exist";
    NOT_INITIALIZED = -32002, "not_initialized", "the connection is not initialized, or the versions do not fit";
    INVALID_INPUT = -32003, "invalid_input", "the input does not fit its schema";
    COMPONENT_FAILED = -32004, "component_failed", "the component failed";
    UNAVAILABLE = -32005, "resource_unavailable", "a resource is not available";
    TIMEOUT = -32006, "timeout", "the time allowed for the call is over";
    PERMISSION_DENIED = -32007, "permission_denied", "the caller is not allowed to do this";
    BLOB_NOT_FOUND = -32008, "blob_not_found", "the blob does not exist";
    EXPRESSION_FAILED = -32009, "expression_failed", "an expression has no value";
    SESSION_EXPIRED = -32010, "session_expired", "the session has expired";
    BUSY = -32011, "busy", "the server is busy; try again later";
    CANCELLED = -32012, "cancelled", "the call was cancelled";
    OUTCOME_UNKNOWN = -32013, "outcome_unknown", "the call may or may not have run; its answer was lost";
}

impl ErrorCode {
    /// The number on the wire.
    pub const fn number(self) -> i64 {
        self.0
    }

    /// The code's name in logs and documentation.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// What to say when nothing more is known.
    pub const fn default_text(self) -> &'static str {
        self.row().1
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
