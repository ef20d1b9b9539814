//! Statuses and bodies: every answer is a JSON-RPC body, refusals too.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::Response;

use crate::error::ErrorCode;
use crate::error::RpcError;
use crate::message;
use crate::message::Id;
use crate::message::Message;
use crate::transport::http;

/// A request that never reaches a peer.
#[derive(Debug)]
pub(super) struct Refusal(Box<Refused>);

#[derive(Debug)]
struct Refused {
    status: StatusCode,
    error: RpcError,
    id: Option<Id>,
    header: Option<(header::HeaderName, HeaderValue)>,
}

impl Refusal {
    fn new(status: StatusCode, code: ErrorCode, text: impl Into<String>) -> Self {
        Refusal(Box::new(Refused {
            status,
            error: RpcError::new(code, text),
            id: None,
            header: None,
        }))
    }

    fn to(mut self, id: Option<Id>) -> Self {
        self.0.id = id;
        self
    }

    fn with(mut self, name: header::HeaderName, value: &'static str) -> Self {
        self.0.header = Some((name, HeaderValue::from_static(value)));
        self
    }

    pub(super) fn parse(text: &str) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::PARSE, text)
    }

    pub(super) fn invalid(id: Option<Id>, why: &str) -> Self {
        let text = format!("this is no JSON-RPC 2.0 message: {why}");
        Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::INVALID_REQUEST, text).to(id)
    }

    pub(super) fn unauthorized() -> Self {
        let text = "a bearer token is needed, and the one that came, if any, is not right";
        Refusal::new(StatusCode::UNAUTHORIZED, ErrorCode::PERMISSION_DENIED, text)
            .with(header::WWW_AUTHENTICATE, "Bearer")
    }

    pub(super) fn forbidden(text: impl Into<String>) -> Self {
        Refusal::new(StatusCode::FORBIDDEN, ErrorCode::PERMISSION_DENIED, text)
    }

    pub(super) fn no_session(id: Option<Id>) -> Self {
        let text = "there is no such session here: it has expired, or the server was restarted";
        Refusal::new(StatusCode::NOT_FOUND, ErrorCode::SESSION_EXPIRED, text).to(id)
    }

    pub(super) fn nobody_waits() -> Self {
        let text = "no request waits for this answer";
        Refusal::new(StatusCode::NOT_FOUND, ErrorCode::INVALID_REQUEST, text)
    }

    pub(super) fn method_not_allowed(allowed: &'static str) -> Self {
        let text = format!("this path takes {allowed}");
        Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            ErrorCode::INVALID_REQUEST,
            text,
        )
        .with(header::ALLOW, allowed)
    }

    pub(super) fn not_acceptable(text: &str) -> Self {
        Refusal::new(StatusCode::NOT_ACCEPTABLE, ErrorCode::INVALID_REQUEST, text)
    }

    pub(super) fn unsupported_media_type() -> Self {
        let text = "messages are `Content-Type: application/json`";
        Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorCode::INVALID_REQUEST,
            text,
        )
    }

    pub(super) fn body(error: &axum::Error, limit: usize) -> Self {
        let is_too_large = std::error::Error::source(error)
            .is_some_and(|source| source.to_string().contains("length limit"));
        if is_too_large {
            let text = format!("the message is over the limit of {limit} bytes");
            return Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                ErrorCode::INVALID_REQUEST,
                text,
            );
        }
        Refusal::parse(&format!("the body broke off: {error}"))
    }

    pub(super) fn wrong_instance(meant: &str, ours: &str) -> Self {
        let text = format!("this is the instance {ours}, and {meant} was meant");
        Refusal::new(
            StatusCode::MISDIRECTED_REQUEST,
            ErrorCode::INVALID_REQUEST,
            text,
        )
    }

    pub(super) fn too_many_sessions(limit: usize) -> Self {
        let text = format!("{limit} sessions are open, which is the limit");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::BUSY, text)
            .with(header::RETRY_AFTER, "5")
    }

    pub(super) fn into_response(self) -> Response {
        let Refused {
            status,
            error,
            id,
            header,
        } = *self.0;
        let id = id.map_or_else(
            || "null".to_owned(),
            |id| serde_json::to_string(&id).expect("an id is always JSON"),
        );
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{}}}"#,
            error.to_json()
        );
        let mut response = json(status, body);
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// A message as an answer.
pub(super) fn message(message: &Message) -> Response {
    let mut body = Vec::with_capacity(message.size());
    message.encode(&mut body);
    json(StatusCode::OK, body)
}

/// The answer to what needs none.
pub(super) fn accepted() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(http::JSON));
    response
}

/// A message as the data of an event: one line.
pub(super) fn event_data(message: &Message) -> String {
    let mut text = Vec::with_capacity(message.size());
    message.encode(&mut text);
    message::unbreak(&mut text);
    String::from_utf8(text).expect("messages are made of text")
}

/// The headers of a stream of events.
pub(super) fn event_stream(body: Body, instance: Option<&str>) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(http::EVENT_STREAM),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    if let Some(instance) = instance.and_then(|id| HeaderValue::from_str(id).ok()) {
        headers.insert(http::INSTANCE_HEADER, instance);
    }
    response
}
