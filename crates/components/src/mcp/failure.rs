//! What a failed request to an MCP server means for the engine: the class that decides about another attempt, and the words
//! for people.

use std::error::Error;
use std::time::Duration;

use rmcp::ServiceError;
use rmcp::model::ErrorData;
use rmcp::service::ClientInitializeError;
use rmcp::transport::DynamicTransportError;
use rmcp::transport::streamable_http_client::StreamableHttpError;
use stepflow_engine::Class;
use stepflow_engine::Failure;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::error::FlowError;
use stepflow_flow::value::Value;
use stepflow_rpc::CallError;

use super::link::SendError;
use crate::remote::failure::of_call;

/// What goes wrong between us and a server over HTTP.
type HttpError = StreamableHttpError<reqwest::Error>;

/// A request that got no result; where its link ended is another matter.
pub(super) fn of_service(plugin: &str, error: ServiceError) -> Failure {
    let sending = match error {
        ServiceError::McpError(error) => return answered(error),
        ServiceError::TransportSend(error) => error,
        other => return server(plugin, &other.to_string()),
    };
    if let Some(error) = http_error(&sending) {
        return of_http(plugin, error);
    }
    match sending.error.downcast_ref::<SendError>() {
        Some(SendError::Closed(why)) => of_call(plugin, CallError::NotSent(why.clone())),
        _ => {
            let message = format!("plugin `{plugin}`: {}", chain(&*sending.error));
            Failure::new(Class::Refused, ErrorCode::INVALID_PARAMS.error(message))
        }
    }
}

/// An error that the server answered; its code is its own, and stays.
fn answered(error: ErrorData) -> Failure {
    let error = FlowError {
        code: i64::from(error.code.0),
        message: error.message.into_owned(),
        data: error.data.map(Value::from),
    };
    Failure::new(Class::Component, error)
}

/// A result that the library reads and a step cannot use.
pub(super) fn of_result(plugin: &str, tool: &str, what: &str) -> Failure {
    let message = format!("plugin `{plugin}`: the MCP tool `{tool}` {what}");
    let code = ErrorCode::COMPONENT_FAILED;
    Failure::new(Class::Component, code.error(message))
}

/// A list of tools that is none.
pub(super) fn of_list(plugin: &str) -> Failure {
    server(
        plugin,
        "the MCP server answered `tools/list` with something else",
    )
}

/// A list of tools whose pages never end.
pub(super) fn of_endless_list(plugin: &str, cursor: &str, n_pages: usize) -> Failure {
    let what = format!(
        "the MCP server's list of tools has no end: after {n_pages} pages it goes on at the cursor {cursor:?}"
    );
    server(plugin, &what)
}

fn server(plugin: &str, what: &str) -> Failure {
    let message = format!("plugin `{plugin}`: {what}");
    Failure::new(Class::Component, ErrorCode::SERVER.error(message))
}

/// Whether the server has forgotten the session that the request was sent in.
pub(super) fn means_session_is_gone(error: &ServiceError) -> bool {
    let ServiceError::TransportSend(sending) = error else {
        return false;
    };
    matches!(http_error(sending), Some(HttpError::SessionExpired))
}

fn http_error(error: &DynamicTransportError) -> Option<&HttpError> {
    error.error.downcast_ref()
}

fn of_http(plugin: &str, error: &HttpError) -> Failure {
    let (class, code) = match error {
        HttpError::Client(error) if error.is_connect() || error.is_builder() => {
            (Class::NotSent, ErrorCode::UNAVAILABLE)
        }
        // The server refused it before it looked at it.
        HttpError::SessionExpired => (Class::NotSent, ErrorCode::SESSION_EXPIRED),
        HttpError::HttpStatus(status) if matches!(status.status, 429 | 503) => {
            let wait = status.retry_after.as_deref().and_then(|it| it.parse().ok());
            let retry_after = wait.map(Duration::from_secs);
            (Class::Busy { retry_after }, ErrorCode::BUSY)
        }
        HttpError::AuthRequired(_) | HttpError::InsufficientScope(_) => {
            (Class::Refused, ErrorCode::PERMISSION_DENIED)
        }
        HttpError::ReservedHeaderConflict(_) => (Class::Refused, ErrorCode::INVALID_PARAMS),
        HttpError::UnexpectedServerResponse(what) if what.starts_with("HTTP 4") => {
            (Class::Refused, ErrorCode::UNAVAILABLE)
        }
        // It answered, and the answer is of no use: asking again would give the same.
        HttpError::UnexpectedServerResponse(_)
        | HttpError::UnexpectedContentType(_)
        | HttpError::ResponseBodyTooLarge { .. }
        | HttpError::Deserialize(_) => (Class::Component, ErrorCode::SERVER),
        _ => (Class::Unknown, ErrorCode::OUTCOME_UNKNOWN),
    };
    let message = format!("plugin `{plugin}`: {}", told(error));
    Failure::new(class, code.error(message))
}

/// Why a handshake failed, and whether it would fail again.
pub(super) fn of_handshake(error: &ClientInitializeError) -> (String, bool) {
    let ClientInitializeError::TransportError { error: sending, .. } = error else {
        let is_permanent = !matches!(error, ClientInitializeError::ConnectionClosed(_));
        return (chain(error), is_permanent);
    };
    let Some(error) = http_error(sending) else {
        return (chain(&*sending.error), false);
    };
    let may_pass = match error {
        HttpError::Client(error) => !error.is_builder(),
        HttpError::HttpStatus(_) | HttpError::UnexpectedEndOfStream | HttpError::Io(_) => true,
        _ => false,
    };
    (told(error), !may_pass)
}

fn told(error: &HttpError) -> String {
    match error {
        HttpError::AuthRequired(_) => {
            "the server answered 401: it wants a token; set `bearerToken` or `headers`".to_owned()
        }
        HttpError::InsufficientScope(_) => {
            "the server answered 403: the token does not allow this".to_owned()
        }
        HttpError::HttpStatus(status) => format!("the server answered {}", status.status),
        // The library says `Client error:` first, and the URL, which may hold a key.
        HttpError::Client(error) => without_url(error),
        other => chain(other),
    }
}

fn without_url(error: &reqwest::Error) -> String {
    let text = chain(error);
    match error.url() {
        Some(url) => text.replace(&format!(" for url ({url})"), ""),
        None => text,
    }
}

/// An error with everything that led to it.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
