//! What goes wrong in a call, told so that the caller knows what to do: [`RpcError`] is what travels on the wire,
//! [`CallError`] what a caller gets, [`Closed`] why a link ended. Words for people live further up.

use std::fmt;
use std::io;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

use crate::message::Json;
use crate::transport::child;
use crate::transport::http;

/// A JSON-RPC error code: an open set with named members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorCode(pub i64);

impl ErrorCode {
    /// The text is not JSON.
    pub const PARSE: ErrorCode = ErrorCode(-32700);
    /// The JSON is no request.
    pub const INVALID_REQUEST: ErrorCode = ErrorCode(-32600);
    /// No such method here.
    pub const METHOD_NOT_FOUND: ErrorCode = ErrorCode(-32601);
    /// The params do not fit the method.
    pub const INVALID_PARAMS: ErrorCode = ErrorCode(-32602);
    /// A fault of the answering side.
    pub const INTERNAL: ErrorCode = ErrorCode(-32603);
    /// The answer is larger than the caller takes.
    pub const RESOURCE_UNAVAILABLE: ErrorCode = ErrorCode(-32005);
    /// The caller may not do this.
    pub const PERMISSION_DENIED: ErrorCode = ErrorCode(-32007);
    /// The session is not known here any more.
    pub const SESSION_EXPIRED: ErrorCode = ErrorCode(-32010);
    /// Too much at once; the same request may succeed later.
    pub const BUSY: ErrorCode = ErrorCode(-32011);
    /// The caller took the request back.
    pub const CANCELLED: ErrorCode = ErrorCode(-32012);
}

/// The error object of an answer (JSON-RPC 2.0 §5.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RpcError {
    /// What kind of error; see the protocol's error table.
    pub code: ErrorCode,
    /// One sentence for people.
    #[serde(default)]
    pub message: String,
    /// Details, as the sender chose them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Json>,
}

impl RpcError {
    /// An error without data.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        RpcError {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// The same error with details; data that is not JSON (a float that is no number) is left out.
    #[must_use]
    pub fn with_data(mut self, data: &impl Serialize) -> Self {
        self.data = Json::of(data).ok();
        self
    }

    /// No such method here.
    pub fn method_not_found(method: &str) -> Self {
        RpcError::new(
            ErrorCode::METHOD_NOT_FOUND,
            format!("there is no method `{method}` here"),
        )
    }

    /// A fault of this side.
    pub fn internal(message: impl Into<String>) -> Self {
        RpcError::new(ErrorCode::INTERNAL, message)
    }

    pub(crate) fn to_json(&self) -> Json {
        Json::of(self).expect("an error object is always JSON")
    }

    pub(crate) fn size(&self) -> usize {
        32 + self.message.len() + self.data.as_ref().map_or(0, Json::len)
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code.0)
    }
}

impl std::error::Error for RpcError {}

impl PartialEq for RpcError {
    fn eq(&self, other: &Self) -> bool {
        let data = |error: &RpcError| error.data.as_ref().map(|data| data.get().to_owned());
        self.code == other.code && self.message == other.message && data(self) == data(other)
    }
}

impl Eq for RpcError {}

/// Why a link ended. Cheap to clone: every waiter gets it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// This side closed it.
    #[error("the connection was closed by this side")]
    ByUs,
    /// The other side ended its stream.
    #[error("the other side closed the connection")]
    ByPeer,
    /// Reading or writing failed.
    #[error("the connection failed: {0}")]
    Io(Arc<io::Error>),
    /// The child process behind the link ended.
    #[error("{0}")]
    Exited(Arc<child::Exit>),
    /// A message was over the limit and its id could not be found, so nobody could be told but everybody.
    #[error("a message over the limit of {limit} bytes arrived and its id could not be found")]
    Oversized {
        /// The limit in bytes.
        limit: usize,
    },
    /// The session behind the link is gone, and with it what it was asked.
    #[error("the session is lost: {why}")]
    SessionLost {
        /// How that is known.
        why: Arc<str>,
    },
    /// The other side sends requests without reading the answers.
    #[error("the other side does not read: {queued} bytes of answers are waiting")]
    Stalled {
        /// How many bytes wait.
        queued: usize,
    },
}

/// Why one answer will not come although the link lives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The answer was longer than this side takes.
    #[error("the answer of {size} bytes is over the limit of {limit} bytes")]
    Oversized {
        /// The answer's length in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer came, but cannot be read.
    #[error("the answer cannot be read: {why}")]
    Malformed {
        /// What is wrong with it.
        why: String,
    },
}

/// What a call ends with when it has no result, by what the caller can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The other side answered with an error.
    #[error("{0}")]
    Remote(RpcError),
    /// Not a byte of the request was written: sending it again is safe.
    #[error("the request was not sent: {0}")]
    NotSent(Closed),
    /// The request was written and the link ended: whether it ran is unknown.
    #[error("the connection ended before the answer came: {0}")]
    Unknown(Closed),
    /// The answer came, but is lost: it ran, and what it returned is unknown.
    #[error("{0}")]
    Lost(Lost),
    /// The request is over what the other side takes; it was not sent.
    #[error(
        "the request of {size} bytes is over the limit of {limit} bytes that the other side takes"
    )]
    TooLarge {
        /// The request's length in bytes.
        size: usize,
        /// The other side's limit in bytes.
        limit: usize,
    },
    /// The params are not JSON (a number that is not finite, say); nothing was sent.
    #[error("the params of `{method}` are not JSON: {why}")]
    Encode {
        /// The method called.
        method: &'static str,
        /// What is wrong, with the path of the field.
        why: String,
    },
    /// The result does not have the method's shape.
    #[error("the result of `{method}` has a wrong shape: {why}")]
    Decode {
        /// The method called.
        method: &'static str,
        /// What is wrong, with the path of the field.
        why: String,
    },
    /// Its POST brought no message; the failure's kind says what can be done.
    #[error("{0}")]
    Http(http::Failure),
    /// The link has no way for requests in this direction.
    #[error("this connection has no back channel")]
    NoBackChannel,
}
