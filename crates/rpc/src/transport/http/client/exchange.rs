//! One HTTP exchange: a POST and how its answer is to be read. Owns the HTTP client, headers, redirects and limits.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use ::http::HeaderMap;
use ::http::HeaderValue;
use ::http::Method;
use ::http::Request;
use ::http::StatusCode;
use ::http::Uri;
use ::http::header::ACCEPT;
use ::http::header::CONTENT_TYPE;
use ::http::header::LOCATION;
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::body::Body;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioTimer;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use url::Url;

use super::ConnectError;
use super::Options;
use super::connector::Connector;
use super::destination::Destination;
use super::endpoint;
use super::endpoint::Target;
use super::events;
use super::events::Place;
use super::origin::OriginPattern;
use crate::transport::http;
use crate::transport::http::Failure;
use crate::transport::http::Kind;

/// Idle connections are given up before common servers do (uvicorn: 5 s), so that none is closed under a request.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// How long the end of a session may take.
const DELETE_TIMEOUT: Duration = Duration::from_secs(10);
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
/// How much room is made at once for an answer, whatever it says of its length.
const MOST_RESERVED_BYTES: u64 = 64 * 1024;
/// How many redirects one request follows.
const MAX_REDIRECTS: usize = 5;

/// The head of an answer, and a body that is still to come.
pub(super) type Response = ::http::Response<Incoming>;

/// The HTTP client of one connection to a server.
pub(super) struct Exchange {
    client: Client<Connector, Full<Bytes>>,
    base: Url,
    headers: HeaderMap,
    /// What a proxy wants to see.
    to_proxy: Option<HeaderValue>,
    /// Where messages go without a session.
    single: Destination,
    /// Where the server streams its events.
    events: Destination,
    allowed: Vec<OriginPattern>,
    /// How long a server may take to be there.
    connect_timeout: Duration,
    pub(super) max_message_bytes: usize,
    deliveries: Semaphore,
    /// Where a server sent us.
    moved: Mutex<HashMap<Uri, Destination>>,
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
        let connector = Connector::new(options)?;
        let to_proxy = connector.proxy_authorization().cloned();
        let base = endpoint::base(&options.url);
        let ready = |url| {
            let target = Target::direct(url);
            let ready = Destination::new(target, &options.headers, to_proxy.as_ref());
            ready.map_err(ConnectError::permanent)
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Exchange {
            client,
            headers: options.headers.clone(),
            single: ready(base.clone())?,
            events: ready(endpoint::events(&base))?,
            to_proxy,
            base,
            allowed: options.allowed_endpoint_origins.clone(),
            connect_timeout: options.connect_timeout,
            max_message_bytes: options.max_message_bytes,
            deliveries: Semaphore::new(MOST_DELIVERIES_AT_ONCE),
            moved: Mutex::default(),
        })
    }

    /// Where messages go without a session.
    pub(super) fn single(&self) -> Destination {
        self.single.clone()
    }

    /// The configured URL for people.
    pub(super) fn shown(&self) -> String {
        endpoint::shown(&self.base)
    }

    /// The endpoint that a server named.
    pub(super) fn endpoint(&self, data: &str) -> Result<Destination, ConnectError> {
        let target = endpoint::resolve(&self.base, data, &self.allowed);
        let ready = target.and_then(|target| self.ready(target));
        ready.map_err(ConnectError::permanent)
    }

    fn ready(&self, target: Target) -> Result<Destination, String> {
        Destination::new(target, &self.headers, self.to_proxy.as_ref())
    }

    /// Asks for the stream of events.
    pub(super) async fn get_events(&self, from: Option<&Place>) -> Result<Response, Failure> {
        let accept = HeaderValue::from_static(http::EVENT_STREAM);
        let mut at = self.now(&self.events);
        for _ in 0..MAX_REDIRECTS {
            let mut headers = at.headers.clone();
            headers.append(ACCEPT, accept.clone());
            if let Some(place) = from {
                headers.append("last-event-id", value(&place.last_id)?);
            }
            if let Some(instance) = from.and_then(|place| place.instance.as_deref()) {
                headers.append(http::INSTANCE_HEADER, value(instance)?);
            }
            let response = self
                .send(Method::GET, &at.uri, headers, Bytes::new())
                .await?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            at = Cow::Owned(self.follow(&self.events, &at, &response)?);
        }
        Err(redirected_without_end())
    }

    /// Ends a session; what becomes of it is of no interest any more.
    pub(super) async fn delete(&self, session: &Destination) {
        let at = self.now(session);
        let mut headers = at.headers.clone();
        headers.append(ACCEPT, HeaderValue::from_static("*/*"));
        let deleting = self.send(Method::DELETE, &at.uri, headers, Bytes::new());
        let why = match tokio::time::timeout(DELETE_TIMEOUT, deleting).await {
            Ok(Ok(_)) => return,
            Ok(Err(failure)) => failure.what,
            Err(late) => late.to_string(),
        };
        tracing::debug!(why, "the session could not be ended at the server");
    }

    /// Posts a message that means the same however often it comes, an answer or a notification, until it is delivered: whoever
    /// waits for it waits for ever otherwise.
    pub(super) async fn deliver(
        &self,
        to: &Destination,
        instance: Option<&str>,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let mut wait = FIRST_WAIT;
        for _ in 1..MAX_DELIVERIES {
            match self.deliver_once(to, instance, body.clone()).await {
                Err(failure) if failure.may_pass() => {
                    tracing::debug!(%failure, "not delivered, trying again");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                done => return done,
            }
        }
        self.deliver_once(to, instance, body).await
    }

    /// Posts what no answer is expected to: an error that comes all the same says that it was not taken.
    async fn deliver_once(
        &self,
        to: &Destination,
        instance: Option<&str>,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let turn = self.deliveries.acquire().await;
        let _turn = turn.expect("the semaphore is never closed");
        match self.post(to, instance, body).await? {
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
        to: &Destination,
        instance: Option<&str>,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let mut at = self.now(to);
        for _ in 0..MAX_REDIRECTS {
            let mut headers = at.posting.clone();
            if let Some(instance) = instance {
                headers.append(http::INSTANCE_HEADER, value(instance)?);
            }
            let posted = self.send(Method::POST, &at.uri, headers, body.clone());
            let response = posted.await?;
            if !response.status().is_redirection() {
                return self.read(response, &to.target).await;
            }
            at = Cow::Owned(self.follow(to, &at, &response)?);
        }
        Err(redirected_without_end())
    }

    async fn send(
        &self,
        method: Method,
        to: &Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, Failure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = to.clone();
        *request.headers_mut() = headers;
        let response = self.client.request(request).await;
        response.map_err(|error| Failure::of_exchange(&error))
    }

    fn follow(
        &self,
        asked: &Destination,
        from: &Destination,
        response: &Response,
    ) -> Result<Destination, Failure> {
        let status = response.status();
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .unwrap_or_default();
        let from = &from.target.url;
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
        let to = self.ready(Target::direct(to));
        let to = to.map_err(|why| Failure::new(Kind::Refused, why))?;
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        moved.insert(asked.uri.clone(), to.clone());
        Ok(to)
    }

    fn now<'a>(&self, to: &'a Destination) -> Cow<'a, Destination> {
        let moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        if moved.is_empty() {
            return Cow::Borrowed(to);
        }
        let moved = moved.get(&to.uri).cloned();
        moved.map_or(Cow::Borrowed(to), Cow::Owned)
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

    async fn body(&self, response: Response) -> Result<String, Failure> {
        let limit = self.max_message_bytes;
        let mut coming = response.into_body();
        let announced = coming.size_hint().exact().unwrap_or_default();
        let mut body = Vec::with_capacity(announced.min(MOST_RESERVED_BYTES) as usize);
        while let Some(frame) = coming.frame().await {
            let frame = frame
                .map_err(|error| Failure::new(Kind::Unknown, http::failure::chain(Some(&error))))?;
            // Trailers say nothing to us.
            let Ok(chunk) = frame.into_data() else {
                continue;
            };
            if body.len() + chunk.len() > limit {
                let what = format!("the answer is over the limit of {limit} bytes");
                return Err(Failure::new(Kind::Refused, what));
            }
            body.extend_from_slice(&chunk);
        }
        String::from_utf8(body).map_err(|_| Failure::new(Kind::Unknown, "the answer is not UTF-8"))
    }
}

fn value(text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_str(text).map_err(|_| {
        let what = format!("the server named something that cannot be sent back: {text:?}");
        Failure::new(Kind::Refused, what)
    })
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
        let target = exchange.single();
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
        let target = exchange.single();
        let all = 0..MOST_DELIVERIES_AT_ONCE + 10;
        let deliveries = join_all(all.map(|_| exchange.deliver(&target, None, Bytes::new())));
        tokio::select! {
            _ = deliveries => panic!("they were answered"),
            accepted = accept => assert_eq!(accepted, MOST_DELIVERIES_AT_ONCE),
        }
    }
}
