//! Requests over HTTP for the built-ins that make them: one client, made when it is first needed, redirects, limits, and what
//! a failure means for the engine. Knows nothing of what is asked for and never names more of a URL than its origin.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::Method;
use reqwest::Response;
use reqwest::StatusCode;
use reqwest::Url;
use reqwest::header;
use reqwest::header::HeaderMap;
use reqwest::redirect;
use stepflow_engine::Class;
use stepflow_engine::Failure;
use stepflow_flow::error::ErrorCode;
use tokio::sync::OnceCell;

use crate::web_client;

/// A server that answers only by sending elsewhere is not followed further.
const MOST_REDIRECTS: usize = 10;

/// The headers that go to another origin too; any other may be a secret.
const HARMLESS: [header::HeaderName; 3] =
    [header::ACCEPT, header::ACCEPT_LANGUAGE, header::USER_AGENT];

/// A client that is made when it is first needed: reading the certificates of the system takes time.
#[derive(Clone, Debug, Default)]
pub(super) struct Web(Arc<OnceCell<Client>>);

/// What to send.
pub(super) struct Request {
    /// Where and what.
    pub hop: Hop,
    /// How long all of it may take.
    pub timeout: Duration,
    /// The longest body taken, in bytes.
    pub max_bytes: usize,
    /// Whether it may be sent again when nobody knows whether it was handled.
    pub repeatable: bool,
}

/// One exchange; a redirect makes another of it.
#[derive(Clone)]
pub(super) struct Hop {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<String>,
}

/// What came back.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Web {
    /// Sends a request and reads the whole answer.
    pub(super) async fn send(&self, request: Request) -> Result<Answer, Failure> {
        let client = self.0.get_or_try_init(async || client()).await?;
        let timeout = request.timeout;
        let origin = origin(&request.hop.url);
        match tokio::time::timeout(timeout, exchange(client, request)).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                let message = format!(
                    "{origin} did not answer in full within {} ms",
                    timeout.as_millis()
                );
                Err(Failure::new(
                    Class::TimedOut,
                    ErrorCode::TIMEOUT.error(message),
                ))
            }
        }
    }
}

fn client() -> Result<Client, Failure> {
    web_client::builder()
        .redirect(redirect::Policy::none())
        .user_agent(concat!("stepflow/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| {
            let message = format!("no HTTP client can be made: {}", causes(error));
            Failure::new(Class::Component, ErrorCode::INTERNAL.error(message))
        })
}

/// Reads a URL.
pub(super) fn url(text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).map_err(|error| misfit(&format!("`url` is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        let scheme = url.scheme();
        return Err(misfit(&format!(
            "`url` must start with http:// or https://, and this starts with {scheme}:"
        )));
    }
    Ok(url)
}

/// An input that would be refused again.
pub(super) fn misfit(message: &str) -> Failure {
    Failure::new(Class::Refused, ErrorCode::INVALID_INPUT.error(message))
}

async fn exchange(client: &Client, request: Request) -> Result<Answer, Failure> {
    let repeatable = request.repeatable;
    let mut hop = request.hop;
    for n_redirects in 0..=MOST_REDIRECTS {
        let origin = origin(&hop.url);
        let lost = |error| lost(&origin, error, repeatable, n_redirects);
        let response = hop.clone().send(client).await.map_err(lost)?;
        let Some(location) = location(&response) else {
            return read(response, &origin, request.max_bytes, lost).await;
        };
        hop = hop.redirected(response.status(), &location)?;
    }
    Err(astray(&format!(
        "redirects do not end: {MOST_REDIRECTS} were followed, the last to {}",
        origin(&hop.url)
    )))
}

impl Hop {
    async fn send(self, client: &Client) -> reqwest::Result<Response> {
        let mut request = client.request(self.method, self.url).headers(self.headers);
        if let Some(body) = self.body {
            request = request.body(body);
        }
        request.send().await
    }

    /// Where a redirect leads. What may be secret stays with the origin it was meant for.
    fn redirected(mut self, status: StatusCode, location: &str) -> Result<Hop, Failure> {
        let from = origin(&self.url);
        let url = self
            .url
            .join(location)
            .map_err(|error| astray(&format!("{from} redirects to what is no URL: {error}")))?;
        let to = origin(&url);
        if !matches!(url.scheme(), "http" | "https") {
            return Err(astray(&format!("{from} redirects to `{}:`", url.scheme())));
        }
        if self.url.scheme() == "https" && url.scheme() == "http" {
            let message = format!("{from} redirects to {to}, which is not encrypted");
            return Err(astray(&message));
        }
        let becomes_get = match status {
            StatusCode::SEE_OTHER => self.method != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = None;
            self.headers.remove(header::CONTENT_TYPE);
            self.headers.remove(header::CONTENT_ENCODING);
        }
        if self.url.origin() != url.origin() {
            if self.body.is_some() {
                return Err(astray(&format!(
                    "{from} redirects the body to {to}, another origin; if that is right, send it there directly"
                )));
            }
            let given = std::mem::take(&mut self.headers);
            for name in HARMLESS {
                if let Some(value) = given.get(&name) {
                    self.headers.insert(name, value.clone());
                }
            }
        }
        self.url = url;
        Ok(self)
    }
}

fn location(response: &Response) -> Option<String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

async fn read(
    mut response: Response,
    origin: &str,
    max_bytes: usize,
    lost: impl Fn(reqwest::Error) -> Failure,
) -> Result<Answer, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(&lost)? {
        if body.len() + chunk.len() > max_bytes {
            let message = format!(
                "the answer of {origin} is longer than {max_bytes} bytes; `max_bytes` sets how much is taken"
            );
            return Err(ErrorCode::COMPONENT_FAILED.error(message).into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status: response.status(),
        headers: std::mem::take(response.headers_mut()),
        body,
    })
}

/// What the end of an exchange without an answer means.
fn lost(origin: &str, error: reqwest::Error, repeatable: bool, n_redirects: usize) -> Failure {
    let is_first = n_redirects == 0;
    let (class, code) = if error.is_builder() {
        (Class::Refused, ErrorCode::INVALID_INPUT)
    // Whoever redirected a request may have handled it first.
    } else if error.is_connect() && (is_first || repeatable) {
        (Class::NotSent, ErrorCode::UNAVAILABLE)
    } else if repeatable {
        (Class::Unknown, ErrorCode::OUTCOME_UNKNOWN)
    } else {
        (Class::Refused, ErrorCode::OUTCOME_UNKNOWN)
    };
    let what = if error.is_connect() {
        format!("cannot connect to {origin}")
    } else {
        format!("the exchange with {origin} failed")
    };
    Failure::new(class, code.error(format!("{what}: {}", causes(error))))
}

fn astray(message: &str) -> Failure {
    Failure::new(Class::Refused, ErrorCode::COMPONENT_FAILED.error(message))
}

/// What a status of 400 and more means where it is a failure.
pub(super) fn of_status(answer: &Answer) -> (Class, ErrorCode) {
    match answer.status.as_u16() {
        429 | 503 => {
            let wait = answer.headers.get(header::RETRY_AFTER);
            let wait = wait.and_then(|it| it.to_str().ok()?.trim().parse().ok());
            let retry_after = wait.map(Duration::from_secs);
            (Class::Busy { retry_after }, ErrorCode::BUSY)
        }
        401 | 403 => (Class::Refused, ErrorCode::PERMISSION_DENIED),
        400..=499 => (Class::Refused, ErrorCode::COMPONENT_FAILED),
        _ => (Class::Component, ErrorCode::COMPONENT_FAILED),
    }
}

/// Scheme, host and port: what follows may hold secrets.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// What led to an error, from the inside, where people find the reason.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(method: Method, url: &str, body: Option<&str>) -> Hop {
        let mut headers = HeaderMap::new();
        for name in [
            header::ACCEPT,
            header::AUTHORIZATION,
            header::COOKIE,
            header::CONTENT_TYPE,
        ] {
            headers.insert(name, header::HeaderValue::from_static("some/thing"));
        }
        Hop {
            method,
            url: url.parse().unwrap(),
            headers,
            body: body.map(str::to_owned),
        }
    }

    fn refusal(from: &str, to: &str, body: Option<&str>) -> String {
        let hop = hop(Method::PUT, from, body);
        let result = hop.redirected(StatusCode::TEMPORARY_REDIRECT, to);
        let failure = result.err().unwrap();
        assert_eq!(failure.class, Class::Refused);
        failure.error.message
    }

    #[test]
    fn a_redirect_never_leaves_encryption_nor_takes_a_body_elsewhere() {
        assert!(refusal("https://a.test/x", "http://a.test/x", None).contains("not encrypted"));
        assert!(refusal("http://a.test/", "file:///etc/hosts", None).contains("`file:`"));
        assert!(refusal("http://a.test/", "http://a.test:81/", Some("b")).contains("body"));
        assert!(refusal("http://a.test/", "http://[", None).contains("no URL"));
    }

    #[test]
    fn a_redirect_keeps_what_its_status_says() {
        for (status, method, expected) in [
            (301, Method::POST, Method::GET),
            (302, Method::POST, Method::GET),
            (302, Method::PUT, Method::PUT),
            (303, Method::PUT, Method::GET),
            (303, Method::HEAD, Method::HEAD),
            (307, Method::POST, Method::POST),
            (308, Method::POST, Method::POST),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let next = hop(method.clone(), "http://a.test/x/y", Some("body"))
                .redirected(status, "z?q=1")
                .ok()
                .unwrap();
            assert_eq!(next.method, expected, "{status} {method}");
            assert_eq!(next.url.as_str(), "http://a.test/x/z?q=1");
            assert_eq!(next.body.is_some(), expected == method);
            assert!(next.headers.contains_key(header::AUTHORIZATION));
            let keeps_type = next.headers.contains_key(header::CONTENT_TYPE);
            assert_eq!(keeps_type, expected == method);
        }
    }

    #[test]
    fn another_origin_gets_harmless_headers_only() {
        for to in [
            "http://b.test/",
            "http://a.test:81/",
            "https://a.test/",
            "//b.test",
        ] {
            let next = hop(Method::GET, "http://a.test/", None)
                .redirected(StatusCode::FOUND, to)
                .ok()
                .unwrap();
            let names: Vec<_> = next.headers.keys().collect();
            assert_eq!(names, [header::ACCEPT], "{to}");
        }
    }
}
