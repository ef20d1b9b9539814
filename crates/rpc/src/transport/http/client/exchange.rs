//! One HTTP exchange: a POST and how its answer is to be read. Owns the HTTP client, headers, redirects and limits.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Client;
use reqwest::Response;
use reqwest::StatusCode;
use reqwest::header::ACCEPT;
use reqwest::header::CONTENT_TYPE;
use reqwest::header::HeaderMap;
use reqwest::header::LOCATION;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use url::Host;
use url::Url;

use super::ConnectError;
use super::Options;
use super::endpoint;
use super::endpoint::OriginPattern;
use super::endpoint::Target;
use super::events;
use super::events::Place;
use crate::transport::http;
use crate::transport::http::Failure;
use crate::transport::http::Kind;

/// Idle connections are given up before common servers do (uvicorn: 5 s), so that none is closed under a request.
const POOL_IDLE: Duration = Duration::from_secs(4);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an answer or a notification is posted, and how long the second time waits.
const MAX_DELIVERIES: usize = 7;
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// How long a try waits at most for a server that is not there.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long the reason of a refusal is waited for: the status alone says enough.
const WORDS_WITHIN: Duration = Duration::from_secs(1);
/// How many answers and notifications are posted at once. A server that asks without end and takes no answer would have us
/// open connections without end, which are everybody's.
const MOST_DELIVERIES_AT_ONCE: usize = 256;
/// How many redirects one request follows.
const MAX_REDIRECTS: usize = 5;

/// The HTTP client of one connection to a server.
pub(super) struct Exchange {
    client: Client,
    base: Url,
    headers: HeaderMap,
    allowed: Vec<OriginPattern>,
    /// How long a server may take to be there.
    connect_timeout: Duration,
    pub(super) max_message_bytes: usize,
    deliveries: Semaphore,
    /// Where a server sent us.
    moved: Mutex<HashMap<Url, Url>>,
}

/// The waits for a server that is not there: what was not sent may be sent again.
#[derive(Debug)]
pub(super) struct Patience {
    until: Instant,
    wait: Duration,
}

impl Patience {
    /// How long to wait before the next try; `None` when it was sent or was tried for long enough.
    pub(super) fn wait_after(&mut self, posted: &Result<Answer, Failure>) -> Option<Duration> {
        let was_not_sent = matches!(posted, Err(failure) if failure.kind == Kind::NotSent);
        let wait = self.wait;
        self.wait = (wait * 2).min(LONGEST_WAIT);
        (was_not_sent && Instant::now() + wait < self.until).then_some(wait)
    }
}

/// What a POST was answered by.
pub(super) enum Answer {
    /// An empty body: delivered.
    Nothing,
    /// A message.
    Message(String),
    /// A stream of events.
    Stream(Box<events::Stream>),
}

impl Exchange {
    pub(super) fn new(options: &Options) -> Result<Self, ConnectError> {
        // A second installation is refused, and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE)
            .tcp_nodelay(true)
            .no_proxy();
        if let Some(proxy) = options
            .proxy
            .as_ref()
            .filter(|_| !is_loopback(&options.url))
        {
            let proxy = reqwest::Proxy::all(proxy.clone()).map_err(|error| {
                ConnectError::permanent(format!("the proxy cannot be used: {error}"))
            })?;
            client = client.proxy(proxy);
        }
        for pem in &options.authorities {
            let bundle = reqwest::Certificate::from_pem_bundle(pem).map_err(|error| {
                ConnectError::permanent(format!(
                    "the certificate authority cannot be read: {error}"
                ))
            })?;
            client = client.tls_certs_merge(bundle);
        }
        let client = client
            .build()
            .map_err(|error| ConnectError::permanent(http::failure::chain(&error)))?;
        Ok(Exchange {
            client,
            base: endpoint::base(&options.url),
            headers: options.headers.clone(),
            allowed: options.allowed_endpoint_origins.clone(),
            connect_timeout: options.connect_timeout,
            max_message_bytes: options.max_message_bytes,
            deliveries: Semaphore::new(MOST_DELIVERIES_AT_ONCE),
            moved: Mutex::default(),
        })
    }

    /// The configured URL.
    pub(super) fn url(&self) -> &Url {
        &self.base
    }

    /// The same for people.
    pub(super) fn shown(&self) -> String {
        endpoint::shown(&self.base)
    }

    /// The endpoint that a server named.
    pub(super) fn endpoint(&self, data: &str) -> Result<Target, ConnectError> {
        endpoint::resolve(&self.base, data, &self.allowed).map_err(ConnectError::permanent)
    }

    /// Asks for the stream of events.
    pub(super) async fn get_events(&self, from: Option<&Place>) -> Result<Response, Failure> {
        let asked = endpoint::events(&self.base);
        let mut url = self.now(&asked);
        for _ in 0..MAX_REDIRECTS {
            let mut request = self
                .client
                .get(url.clone())
                .headers(self.headers.clone())
                .header(ACCEPT, http::EVENT_STREAM);
            if let Some(place) = from {
                request = request.header("last-event-id", &place.last_id);
            }
            if let Some(instance) = from.and_then(|place| place.instance.as_deref()) {
                request = request.header(http::INSTANCE_HEADER, instance);
            }
            let response = request.send().await;
            let response = response.map_err(|error| Failure::of_exchange(&error))?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            url = self.follow(&asked, &url, &response)?;
        }
        Err(redirected_without_end())
    }

    /// Ends a session; what becomes of it is of no interest any more.
    pub(super) async fn delete(&self, target: &Target) {
        let request = self
            .client
            .delete(self.now(&target.url))
            .headers(self.headers.clone());
        if let Err(error) = request.timeout(CONNECT_TIMEOUT).send().await {
            tracing::debug!(error = %http::failure::chain(&error), "the session could not be ended at the server");
        }
    }

    /// Posts a message that means the same however often it comes, an answer or a notification, until it is delivered: whoever
    /// waits for it waits for ever otherwise.
    pub(super) async fn deliver(
        &self,
        target: &Target,
        instance: Option<&str>,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let mut wait = FIRST_WAIT;
        for _ in 1..MAX_DELIVERIES {
            match self.deliver_once(target, instance, body.clone()).await {
                Err(failure) if failure.may_pass() => {
                    tracing::debug!(%failure, "not delivered, trying again");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                done => return done,
            }
        }
        self.deliver_once(target, instance, body).await
    }

    /// Posts what no answer is expected to: an error that comes all the same says that it was not taken.
    async fn deliver_once(
        &self,
        target: &Target,
        instance: Option<&str>,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let turn = self.deliveries.acquire().await;
        let _turn = turn.expect("the semaphore is never closed");
        match self.post(target, instance, body).await? {
            Answer::Message(text) => match http::failure::error_in(&text) {
                Some(error) => Err(Failure::new(Kind::Refused, error.message)),
                None => Ok(Answer::Message(text)),
            },
            answer => Ok(answer),
        }
    }

    /// How long to wait for a server that is not there.
    pub(super) fn patience(&self) -> Patience {
        Patience {
            until: Instant::now() + self.connect_timeout,
            wait: FIRST_WAIT,
        }
    }

    /// Posts a message.
    pub(super) async fn post(
        &self,
        target: &Target,
        instance: Option<&str>,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let mut url = self.now(&target.url);
        for _ in 0..MAX_REDIRECTS {
            let response = self.post_once(&url, instance, body.clone()).await?;
            if !response.status().is_redirection() {
                return self.read(response, target).await;
            }
            url = self.follow(&target.url, &url, &response)?;
        }
        Err(redirected_without_end())
    }

    async fn post_once(
        &self,
        url: &Url,
        instance: Option<&str>,
        body: Bytes,
    ) -> Result<Response, Failure> {
        let mut request = self
            .client
            .post(url.clone())
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, http::JSON)
            .header(ACCEPT, http::ACCEPT)
            .body(body);
        if let Some(instance) = instance {
            request = request.header(http::INSTANCE_HEADER, instance);
        }
        request
            .send()
            .await
            .map_err(|error| Failure::of_exchange(&error))
    }

    fn follow(&self, asked: &Url, from: &Url, response: &Response) -> Result<Url, Failure> {
        let status = response.status();
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .unwrap_or_default();
        let to = from
            .join(location)
            .ok()
            .filter(|to| to.origin() == from.origin());
        let keeps_method = matches!(
            status,
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
        );
        let Some(to) = to.filter(|_| keeps_method) else {
            let what = format!(
                "the server redirects ({status}) to {location:?}; put the URL it means into the configuration"
            );
            return Err(Failure::new(Kind::Refused, what));
        };
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        moved.insert(asked.clone(), to.clone());
        Ok(to)
    }

    fn now(&self, url: &Url) -> Url {
        self.moved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(url)
            .unwrap_or(url)
            .clone()
    }

    /// The answer's type alone decides how it is read.
    async fn read(&self, response: Response, target: &Target) -> Result<Answer, Failure> {
        let status = response.status();
        let headers = response.headers().clone();
        if status.is_success() && is_type(&headers, http::EVENT_STREAM) {
            let stream = events::Stream::of(response, self.max_message_bytes);
            return Ok(Answer::Stream(Box::new(stream)));
        }
        let body = self.body(response).await?;
        let has_message =
            is_type(&headers, "application/json") && body.trim_start().starts_with('{');
        if has_message && (status.is_success() || body.contains("\"jsonrpc\"")) {
            return match Failure::of_refusal(status, &headers, &body) {
                Some(failure) => Err(failure),
                None => Ok(Answer::Message(body)),
            };
        }
        if status.is_success() {
            // Some servers answer `""` where an empty body is meant.
            let is_empty = body.trim().is_empty() || body.trim() == "\"\"" || body.trim() == "null";
            return if is_empty || status == StatusCode::ACCEPTED {
                Ok(Answer::Nothing)
            } else {
                let what = format!(
                    "the server answered {status} with something that is no message{}",
                    http::failure::snippet(&body)
                );
                Err(Failure::new(Kind::Unknown, what))
            };
        }
        let mut failure = Failure::of_status(status, &headers, &body);
        if status == StatusCode::NOT_FOUND && target.leaves_prefix {
            failure.what.push_str(
                "; the endpoint that the server named lies outside of the configured path: \
                 set its root_path, or let it name itself by --advertise-url",
            );
        }
        Err(failure)
    }

    /// What a refusal says in words: the message of its error, else its body, as far as that comes soon.
    pub(super) async fn words(&self, response: Response) -> String {
        let body = tokio::time::timeout(WORDS_WITHIN, self.body(response)).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        match http::failure::error_in(&body) {
            Some(error) => error.message,
            None => body,
        }
    }

    async fn body(&self, mut response: Response) -> Result<String, Failure> {
        let limit = self.max_message_bytes;
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(None) => break,
                Ok(Some(chunk)) if body.len() + chunk.len() <= limit => {
                    body.extend_from_slice(&chunk)
                }
                Ok(Some(_)) => {
                    let what = format!("the answer is over the limit of {limit} bytes");
                    return Err(Failure::new(Kind::Refused, what));
                }
                Err(error) => {
                    return Err(Failure::new(Kind::Unknown, http::failure::chain(&error)));
                }
            }
        }
        String::from_utf8(body).map_err(|_| Failure::new(Kind::Unknown, "the answer is not UTF-8"))
    }
}

fn redirected_without_end() -> Failure {
    Failure::new(Kind::Refused, "the server redirects without end")
}

/// Whether the content type is this one, whatever its parameters.
pub(super) fn is_type(headers: &HeaderMap, expected: &str) -> bool {
    let found = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    found
        .split(';')
        .next()
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(expected))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            name.eq_ignore_ascii_case("localhost") || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    /// What a POST is answered by, where the answer has so many bytes and a hundred are taken.
    async fn answer_of(size: usize) -> Result<Answer, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serve = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1024];
            assert!(stream.read(&mut asked).await.unwrap() > 0);
            let body = format!("{{{}}}", " ".repeat(size - 2));
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length";
            let answer = format!("{head}: {size}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let mut options = Options::new(url.parse().unwrap());
        options.max_message_bytes = 100;
        let exchange = Exchange::new(&options).unwrap();
        let target = Target::direct(exchange.url().clone());
        let (posted, ()) = tokio::join!(exchange.post(&target, None, Bytes::new()), serve);
        posted
    }

    #[tokio::test]
    async fn an_answer_at_the_limit_is_taken_and_one_byte_more_is_not() {
        assert!(matches!(answer_of(100).await, Ok(Answer::Message(_))));
        let Err(failure) = answer_of(101).await else {
            panic!("it was taken");
        };
        assert_eq!(failure.kind, Kind::Refused);
        assert!(failure.what.contains("limit of 100 bytes"), "{failure}");
    }

    #[tokio::test]
    async fn answers_that_a_server_does_not_take_do_not_open_connections_without_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let accept = async {
            let mut held = Vec::new();
            while held.len() < MOST_DELIVERIES_AT_ONCE {
                held.push(listener.accept().await.unwrap());
            }
            // Whoever would still come is on its way.
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            held.len() + usize::from(listener.accept().now_or_never().is_some())
        };
        let exchange = Exchange::new(&Options::new(url.parse().unwrap())).unwrap();
        let target = Target::direct(exchange.url().clone());
        let all = 0..MOST_DELIVERIES_AT_ONCE + 10;
        let deliveries = join_all(all.map(|_| exchange.deliver(&target, None, Bytes::new())));
        tokio::select! {
            _ = deliveries => panic!("they were answered"),
            accepted = accept => assert_eq!(accepted, MOST_DELIVERIES_AT_ONCE),
        }
    }
}
