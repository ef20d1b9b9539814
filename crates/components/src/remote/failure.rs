//! What a failed call means for the engine: the class that decides about another attempt, and the words for people.

use std::fmt;
use std::time::Duration;

use stepflow_engine::Class;
use stepflow_engine::Failure;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::error::FlowError;
use stepflow_protocol::error::from_rpc;
use stepflow_rpc::CallError;
use stepflow_rpc::transport::http::Kind;

use crate::supervisor::Unavailable;

impl Unavailable {
    // The supervisor's own attempts are used up; only the flow's author may ask for more, by `onError: retry`.
    pub(crate) fn into_failure(self, plugin: &str) -> Failure {
        let message = format!("the plugin `{plugin}` is not available: {}", self.reason);
        Failure::new(Class::Component, ErrorCode::UNAVAILABLE.error(message))
    }
}

pub(crate) fn timed_out(plugin: &str, time: Duration) -> Failure {
    let time = stepflow_flow::duration::print(time);
    let message = format!(
        "the plugin `{plugin}` gave no answer within {time}, the `timeout` of its configuration"
    );
    Failure::new(Class::TimedOut, ErrorCode::TIMEOUT.error(message))
}

pub(crate) fn of_call(plugin: &str, error: CallError) -> Failure {
    of_call_to(&format_args!("plugin `{plugin}`"), error)
}

/// The same for a server that goes by another name.
pub(super) fn of_call_to(whom: &impl fmt::Display, error: CallError) -> Failure {
    let told = |code: ErrorCode, error: &CallError| code.error(format!("{whom}: {error}"));
    match error {
        CallError::Remote(error) => answered(from_rpc(error)),
        CallError::NotSent(_) => Failure::new(Class::NotSent, told(ErrorCode::UNAVAILABLE, &error)),
        CallError::Unknown(_) => {
            Failure::new(Class::Unknown, told(ErrorCode::OUTCOME_UNKNOWN, &error))
        }
        // The work was done and its result cannot be had: doing it again would give the same.
        CallError::Lost(_) | CallError::Decode { .. } => {
            Failure::new(Class::Component, told(ErrorCode::SERVER, &error))
        }
        CallError::Http(ref failure) => {
            let (class, code) = match failure.kind {
                Kind::NotSent | Kind::WrongInstance => (Class::NotSent, ErrorCode::UNAVAILABLE),
                Kind::Busy { retry_after } => (Class::Busy { retry_after }, ErrorCode::BUSY),
                Kind::Unknown => (Class::Unknown, ErrorCode::OUTCOME_UNKNOWN),
                Kind::Refused => (Class::Refused, ErrorCode::UNAVAILABLE),
            };
            Failure::new(class, told(code, &error))
        }
        CallError::TooLarge { .. } | CallError::NoBackChannel => {
            Failure::new(Class::Refused, told(ErrorCode::UNAVAILABLE, &error))
        }
        _ => Failure::new(Class::Refused, told(ErrorCode::INVALID_PARAMS, &error)),
    }
}

/// An error that the server answered; it passes through untouched.
fn answered(error: FlowError) -> Failure {
    let class = match ErrorCode::from_number(error.code) {
        Some(ErrorCode::BUSY) => Class::Busy {
            retry_after: retry_after(&error),
        },
        Some(ErrorCode::NOT_INITIALIZED) => Class::Refused,
        // Whoever cancels waits for no answer: the server did it, because it ends or the session does.
        Some(ErrorCode::CANCELLED) => Class::Unknown,
        _ => Class::Component,
    };
    Failure::new(class, error)
}

fn retry_after(error: &FlowError) -> Option<Duration> {
    let wait = error.data.as_ref()?.get("retry_after_ms")?;
    wait.as_u64().map(Duration::from_millis)
}
