//! How a component ends when it has no result, and what the runtime is told of it.

use std::any::Any;
use std::fmt;

use serde::Serialize;
use stepflow_protocol::Value;
use stepflow_protocol::component::ExecuteResult;
use stepflow_protocol::component::Skipped;
use stepflow_protocol::error::ErrorCode;
use stepflow_protocol::error::rpc_error;
use stepflow_rpc::CallError;
use stepflow_rpc::RpcError;

use crate::component::recast;

/// How a component ends when it has no result.
///
/// Every error of another kind becomes one by `?`: its message, and those of its sources, become the step's. The errors of call
/// backs keep the code that the runtime gave them.
///
/// ```
/// # use stepflow_sdk::Error;
/// fn parse(text: &str) -> Result<u16, Error> {
///     match text {
///         "" => Err(Error::skip("there is nothing to parse")),
///         "0" => Err(Error::new("zero is no port")),
///         text => Ok(text.parse()?),
///     }
/// }
/// assert_eq!(parse("x").unwrap_err().to_string(), "invalid digit found in string");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// It failed: code -32004 and this message.
    Failed(String),
    /// It failed with a code of its own.
    Rpc(RpcError),
    /// It chose to be skipped.
    Skip(Option<String>),
}

impl Error {
    /// It failed: code -32004 and this message.
    pub fn new(message: impl Into<String>) -> Self {
        Error::Failed(message.into())
    }

    /// It failed with a code of its own.
    pub fn with_code(code: i64, message: impl Into<String>) -> Self {
        Error::Rpc(RpcError::new(stepflow_rpc::ErrorCode(code), message))
    }

    /// It chose to be skipped.
    pub fn skip(reason: impl Into<String>) -> Self {
        Error::Skip(Some(reason.into()))
    }

    /// The error of a call back, passed on as this component's own.
    pub fn from_call(error: CallError) -> Self {
        match error {
            CallError::Remote(error) => Error::Rpc(error),
            other => Error::Failed(chain(&other)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Failed(message) => f.write_str(message),
            Error::Rpc(error) => error.fmt(f),
            Error::Skip(Some(reason)) => write!(f, "skipped: {reason}"),
            Error::Skip(None) => f.write_str("skipped"),
        }
    }
}

impl<E: std::error::Error + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        let any: &dyn Any = &error;
        if let Some(CallError::Remote(error)) = any.downcast_ref() {
            return Error::Rpc(error.clone());
        }
        match any.downcast_ref::<RpcError>() {
            Some(error) => Error::Rpc(error.clone()),
            None => Error::Failed(chain(&error)),
        }
    }
}

/// An error's message with those of its sources, unless it tells them itself.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let message = source.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        next = source.source();
    }
    text
}

/// A component's outcome as the protocol says it.
pub(crate) fn finish<O: Serialize + 'static>(
    outcome: Result<O, Error>,
) -> Result<ExecuteResult, RpcError> {
    match outcome {
        Ok(output) => recast::<O, Value>(output)
            .or_else(|output| Value::from_serialize(&output))
            .map(ExecuteResult::Output)
            .map_err(|error| {
                rpc_error(
                    ErrorCode::COMPONENT_FAILED,
                    format!("the output is not JSON: {error}"),
                )
            }),
        Err(Error::Skip(reason)) => Ok(ExecuteResult::Skipped(Skipped { reason })),
        Err(Error::Failed(message)) => Err(rpc_error(ErrorCode::COMPONENT_FAILED, message)),
        Err(Error::Rpc(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_runtime_keep_their_code_and_others_their_sources() {
        let remote = RpcError::new(stepflow_rpc::ErrorCode(-32008), "no such blob");
        let missing = std::io::Error::new(std::io::ErrorKind::NotFound, "no file");
        let cases = [
            (Error::from(remote.clone()), Error::Rpc(remote.clone())),
            (
                Error::from(CallError::Remote(remote.clone())),
                Error::Rpc(remote),
            ),
            (
                Error::from(CallError::NoBackChannel),
                Error::new("this connection has no back channel"),
            ),
            (Error::from(missing), Error::new("no file")),
        ];
        for (found, expected) in cases {
            assert_eq!(found, expected);
        }
    }
}
