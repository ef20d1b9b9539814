//! Why one POST failed, by what its caller can do about it.

use std::error::Error;
use std::fmt;
use std::io;
use std::iter;
use std::time::Duration;

use h2::Reason;
use http::HeaderMap;
use http::StatusCode;
use http::header::RETRY_AFTER;
use hyper_util::client::legacy;
use rustls::CertificateError;

use crate::error::ErrorCode;
use crate::error::RpcError;
use crate::message::Malformed;
use crate::message::Message;

/// How much of an answer that is no message is shown.
const SNIPPET_CHARS: usize = 200;

/// A POST that brought no message.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What the caller can do.
    pub kind: Kind,
    /// What happened.
    pub what: String,
}

/// What the caller of a failed POST can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request did not reach the other side: sending it again is safe.
    NotSent,
    /// It reached a process that does not know the session it was meant for, and did nothing with it.
    WrongInstance,
    /// The other side has enough to do.
    Busy {
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// The request may have been handled.
    Unknown,
    /// The request is refused and would be again.
    Refused,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Failure {
    pub(super) fn new(kind: Kind, what: impl Into<String>) -> Self {
        Failure {
            kind,
            what: what.into(),
        }
    }

    /// What a failed exchange means: nothing was sent unless a connection was there.
    pub(super) fn of_exchange(error: &legacy::Error) -> Self {
        let what = chain(error.source());
        if let Some(rustls::Error::InvalidMessage(_)) = tls_error(error) {
            return Failure::new(Kind::Refused, what + "; what listens there speaks no TLS");
        }
        let kind = if error.is_connect() || is_declined(error) {
            Kind::NotSent
        } else {
            Kind::Unknown
        };
        let hint = match tls_error(error) {
            Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                "; the issuer of the server's certificate is unknown: if you trust it, name its certificate by `tls.ca`"
            }
            Some(rustls::Error::InvalidCertificate(CertificateError::BadSignature)) => {
                "; the server's certificate is not by the authority in `tls.ca`"
            }
            _ => "",
        };
        Failure::new(kind, what + hint)
    }

    /// Whether a later try may go better.
    pub(super) fn may_pass(&self) -> bool {
        !matches!(self.kind, Kind::Refused | Kind::WrongInstance)
    }

    /// What a status means that says more than the error in its body: where to go instead, and when to come back.
    pub(super) fn of_refusal(status: StatusCode, headers: &HeaderMap, body: &str) -> Option<Self> {
        let kind = match status.as_u16() {
            404 | 421 => Kind::WrongInstance,
            429 | 503 => Kind::Busy {
                retry_after: Some(retry_after(headers)?),
            },
            _ => return None,
        };
        let error = error_in(body)?;
        // A component's own error of that number comes with another status, and after the component ran.
        let is_meant = match status.as_u16() {
            404 => error.code == ErrorCode::SESSION_EXPIRED,
            421 => true,
            _ => error.code == ErrorCode::BUSY,
        };
        is_meant.then(|| Failure::new(kind, error.message))
    }

    /// What a status without a message in the body means.
    pub(super) fn of_status(status: StatusCode, headers: &HeaderMap, body: &str) -> Self {
        let kind = match status.as_u16() {
            429 | 503 => Kind::Busy {
                retry_after: retry_after(headers),
            },
            421 => Kind::WrongInstance,
            // 408: what the server had of the request was not enough for it, or so it says.
            408 | 500..=599 => Kind::Unknown,
            _ => Kind::Refused,
        };
        let hint = match status.as_u16() {
            401 | 403 => "; check `bearerToken` or `headers` of the plugin",
            404 => "; is the URL right, and does a proxy in front strip a path prefix?",
            413 => "; the message is larger than the server or a proxy takes",
            _ => "",
        };
        Failure::new(
            kind,
            format!("the server answered {status}{}{hint}", snippet(body)),
        )
    }
}

/// The error in a body that holds one.
pub(super) fn error_in(body: &str) -> Option<RpcError> {
    match Message::decode(body) {
        Ok(Message::Response(response)) => response.result.err(),
        Err(Malformed::Unattributed(error)) => Some(error),
        _ => None,
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
        .map(Duration::from_secs)
}

/// The start of a body, on one line.
pub(super) fn snippet(body: &str) -> String {
    let words: Vec<_> = body.split_whitespace().collect();
    let text = words.join(" ");
    match text.char_indices().nth(SNIPPET_CHARS) {
        _ if text.is_empty() => String::new(),
        Some((end, _)) => format!(": {}…", &text[..end]),
        None => format!(": {text}"),
    }
}

/// What went wrong between the two ends of TLS, if that is what it was.
fn tls_error(error: &legacy::Error) -> Option<&rustls::Error> {
    causes(error.source()).find_map(|cause| {
        let mut within = cause;
        // An IO error hides what it was made of from those who ask for its source.
        while let Some(made_of) = within
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            within = made_of;
        }
        within.downcast_ref()
    })
}

/// An error, what caused it, and so on.
fn causes<'a>(
    first: Option<&'a (dyn Error + 'static)>,
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(first, |&cause| cause.source())
}

/// Whether the server said by the means of HTTP/2 that it did nothing with the request.
fn is_declined(error: &legacy::Error) -> bool {
    let mut said = causes(error.source()).filter_map(|cause| cause.downcast_ref::<h2::Error>());
    said.any(|said| {
        let by_reason = match said.reason() {
            Some(Reason::NO_ERROR) => said.is_go_away(),
            Some(Reason::REFUSED_STREAM) => said.is_reset(),
            _ => false,
        };
        by_reason && said.is_remote()
    })
}

/// What failed, with its causes. URLs, which may carry secrets, are in none of them.
pub(super) fn chain(failed: Option<&(dyn Error + 'static)>) -> String {
    let mut text = String::from("the exchange with the server failed");
    for cause in causes(failed) {
        text.push_str(": ");
        text.push_str(in_words(&cause.to_string()));
    }
    text
}

/// What the HTTP client means, in the words of those who know only their server.
fn in_words(said: &str) -> &str {
    match said {
        "connection closed before message completed" => {
            "the server closed the connection before it answered"
        }
        "unexpected EOF during chunk size line" => "the server's answer was cut off",
        said => said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, retry_after: Option<&'static str>, kind: Kind, words: &str) {
        let status = StatusCode::from_u16(status).unwrap();
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, value.parse().unwrap());
        }
        let failure = Failure::of_status(status, &headers, "<h1>\n  Sorry\n</h1>");
        assert_eq!(failure.kind, kind, "{status}");
        for word in [words, status.as_str(), "<h1> Sorry </h1>"] {
            assert!(failure.what.contains(word), "{status}: {failure}");
        }
    }

    #[test]
    fn a_status_says_what_can_be_done() {
        let busy = |seconds: Option<u64>| Kind::Busy {
            retry_after: seconds.map(Duration::from_secs),
        };
        check(400, None, Kind::Refused, "Bad Request");
        check(401, None, Kind::Refused, "bearerToken");
        check(403, None, Kind::Refused, "headers");
        check(404, None, Kind::Refused, "path prefix");
        check(405, None, Kind::Refused, "");
        check(413, None, Kind::Refused, "larger");
        check(415, None, Kind::Refused, "");
        check(421, None, Kind::WrongInstance, "");
        check(429, None, busy(None), "");
        check(429, Some("7"), busy(Some(7)), "");
        check(429, Some(" 7 "), busy(Some(7)), "");
        check(503, Some("0"), busy(Some(0)), "");
        check(503, Some("Wed, 21 Oct 2015 07:28:00 GMT"), busy(None), "");
        check(503, Some("-1"), busy(None), "");
        check(500, None, Kind::Unknown, "");
        check(502, Some("7"), Kind::Unknown, "Bad Gateway");
        check(504, None, Kind::Unknown, "");
    }

    #[tokio::test]
    async fn what_http_2_declines_was_not_sent() {
        for (reason, kind) in [
            (Reason::REFUSED_STREAM, Kind::NotSent),
            (Reason::INTERNAL_ERROR, Kind::Unknown),
        ] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/", listener.local_addr().unwrap());
            let decline = async {
                let (stream, _) = listener.accept().await.unwrap();
                let mut connection = h2::server::handshake(stream).await.unwrap();
                let (_, mut respond) = connection.accept().await.unwrap().unwrap();
                respond.send_reset(reason);
                while connection.accept().await.is_some() {}
            };
            let client = legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
                .http2_only(true)
                .build_http::<http_body_util::Empty<bytes::Bytes>>();
            let asking = async move { client.get(url.parse().unwrap()).await };
            let (asked, ()) = tokio::join!(asking, decline);
            let failure = Failure::of_exchange(&asked.unwrap_err());
            assert_eq!(failure.kind, kind, "{failure}");
        }
    }

    #[test]
    fn a_session_is_unknown_by_its_status_and_its_code() {
        for (status, code, is_unknown) in [
            (404, -32010, true),
            (421, -32010, true),
            (404, -32600, false),
            (200, -32010, false),
            (500, -32010, false),
        ] {
            let error = format!(r#"{{"code":{code},"message":"gone"}}"#);
            let body = format!(r#"{{"jsonrpc":"2.0","id":"1","error":{error}}}"#);
            let status = StatusCode::from_u16(status).unwrap();
            let refusal = Failure::of_refusal(status, &HeaderMap::new(), &body);
            let kind = refusal.map(|failure| failure.kind);
            assert_eq!(
                kind,
                is_unknown.then_some(Kind::WrongInstance),
                "{status} {code}"
            );
        }
    }

    #[test]
    fn a_snippet_is_one_line_of_bounded_length() {
        assert_eq!(snippet(""), "");
        assert_eq!(snippet(" \n\t "), "");
        assert_eq!(snippet("a\r\n  b"), ": a b");
        let exactly = "é".repeat(SNIPPET_CHARS);
        assert_eq!(snippet(&exactly), format!(": {exactly}"));
        assert_eq!(snippet(&"é".repeat(9999)), format!(": {exactly}…"));
    }
}
