//! Statuses and bodies: every answer is a JSON-RPC body, refusals too.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use axum::body::Body;
use axum::body::Bytes;
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

    /// Names the message that is refused, where the refusal does not yet.
    pub(super) fn to(mut self, id: Option<Id>) -> Self {
        self.0.id = self.0.id.or(id);
        self
    }

    /// Whether the refusal names a message.
    pub(super) fn has_id(&self) -> bool {
        self.0.id.is_some()
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

    pub(super) fn no_session() -> Self {
        let text = "there is no such session here: it has expired, or the server was restarted; open one with \
                    GET …/runtime/events";
        Refusal::new(StatusCode::NOT_FOUND, ErrorCode::SESSION_EXPIRED, text)
    }

    pub(super) fn unnamed_session() -> Self {
        let text = "name the session to end, as its endpoint does";
        Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::INVALID_REQUEST, text)
    }

    pub(super) fn nothing_here(root: &str) -> Self {
        let text = format!(
            "nothing is served here: messages go to {root}/, events come from {root}{}; a proxy's prefix is named by \
             root_path",
            http::EVENTS_PATH
        );
        Refusal::new(StatusCode::NOT_FOUND, ErrorCode::INVALID_REQUEST, text)
    }

    pub(super) fn duplicate(id: Id) -> Self {
        let text = format!("the id {id} is already in use by a request that is being answered");
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::INVALID_REQUEST, text);
        refusal.to(Some(id))
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
        let text = "send one JSON-RPC message in UTF-8 as Content-Type: application/json";
        Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorCode::INVALID_REQUEST,
            text,
        )
    }

    pub(super) fn too_slow(idle: Duration) -> Self {
        let text = format!("nothing more of the message came for {idle:?}");
        Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            ErrorCode::INVALID_REQUEST,
            text,
        )
        .with(header::CONNECTION, "close")
    }

    pub(super) fn too_large(id: Option<Id>, limit: usize) -> Self {
        let text =
            format!("the message is over the limit of {limit} bytes: put large data in a blob");
        let mut refusal = Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::INVALID_REQUEST,
            text,
        )
        .with(header::CONNECTION, "close");
        let data = serde_json::json!({ "max_message_bytes": limit });
        refusal.0.error = refusal.0.error.with_data(&data);
        refusal.to(id)
    }

    pub(super) fn wrong_instance(ours: &str) -> Self {
        let text = format!(
            "this is the instance {ours}, and the request is for another one: that one has ended or was restarted; or a \
             load balancer is in front and does not route by Stepflow-Instance-Id or the endpoint's `instance`"
        );
        Refusal::new(
            StatusCode::MISDIRECTED_REQUEST,
            ErrorCode::SESSION_EXPIRED,
            text,
        )
    }

    pub(super) fn busy(why: &str, retry_after: Duration) -> Self {
        Refusal::later(StatusCode::TOO_MANY_REQUESTS, why, retry_after)
    }

    pub(super) fn ending(why: &str, retry_after: Duration) -> Self {
        Refusal::later(StatusCode::SERVICE_UNAVAILABLE, why, retry_after)
    }

    fn later(status: StatusCode, why: &str, retry_after: Duration) -> Self {
        // The header knows whole seconds only; too late is better than too soon.
        let seconds = retry_after.as_millis().div_ceil(1000);
        let text = format!("{why}: try again later, or elsewhere");
        let mut refusal = Refusal::new(status, ErrorCode::BUSY, text);
        let data = serde_json::json!({ "retry_after_ms": seconds * 1000 });
        refusal.0.error = refusal.0.error.with_data(&data);
        let value = HeaderValue::from_str(&seconds.to_string()).expect("digits are a header value");
        refusal.0.header = Some((header::RETRY_AFTER, value));
        refusal
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

/// What `/health` says.
pub(super) fn health(is_draining: bool) -> Response {
    if is_draining {
        json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"draining"}"#)
    } else {
        json(StatusCode::OK, r#"{"status":"ok"}"#)
    }
}

fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(http::JSON));
    response
}

/// A message as an event, under an id where it has one.
pub(super) fn event(id: Option<fmt::Arguments<'_>>, message: &Message) -> Bytes {
    let mut text = Vec::with_capacity(message.size() + 64);
    if let Some(id) = id {
        writeln!(text, "id: {id}").expect("writing into memory does not fail");
    }
    text.extend_from_slice(b"event: message\ndata: ");
    let start = text.len();
    message.encode(&mut text);
    message::unbreak(&mut text[start..]);
    text.extend_from_slice(b"\n\n");
    text.into()
}

/// The comment by which a silent stream shows that it lives.
pub(super) const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// The headers of a stream of events.
pub(super) fn event_stream(body: Body, instance: &HeaderValue) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(http::EVENT_STREAM),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    headers.insert(http::INSTANCE_HEADER, instance.clone());
    response
}
