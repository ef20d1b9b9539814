//! Streams of Server-Sent Events: opening one, reading it with a limit, and watching over its keep-alives. The format itself
//! (WHATWG HTML, "Server-sent events") is a library's.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::Response;
use sse_stream::SseByteStream;
use tokio::time::Instant;

use super::ConnectError;
use super::exchange::Exchange;
use super::exchange::is_type;
use super::means_not_offered;
use crate::transport::http;

/// The shortest interval of keep-alives that the watchdog believes.
const LEAST_INTERVAL: Duration = Duration::from_secs(15);
/// How many intervals may pass in silence.
const PATIENCE: u32 = 3;

/// What asking for the stream of events led to.
pub(super) enum Opened {
    Stream(Box<Stream>),
    /// The server has none; the text says how that is known.
    NotOffered(String),
}

/// Asks for the stream of events.
pub(super) async fn open(
    exchange: &Exchange,
    last_event_id: Option<&str>,
) -> Result<Opened, ConnectError> {
    let response = exchange.get_events(last_event_id).await;
    let response = response.map_err(|failure| ConnectError {
        is_permanent: failure.kind == http::Kind::Refused,
        what: failure.what,
    })?;
    let status = response.status();
    if status.is_success() && is_type(response.headers(), http::EVENT_STREAM) {
        return Ok(Opened::Stream(Box::new(Stream::of(
            response,
            exchange.max_message_bytes,
        ))));
    }
    if status.is_success() || means_not_offered(status) {
        return Ok(Opened::NotOffered(format!(
            "the server answered {status} where events would be"
        )));
    }
    let failure = http::Failure::of_status(status, response.headers(), "");
    let is_passing = status.is_server_error() || status.as_u16() == 429;
    Err(ConnectError {
        what: failure.what,
        is_permanent: !is_passing,
    })
}

/// One event that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Its type; `message` when the server named none.
    pub(super) kind: String,
    /// Its data.
    pub(super) data: String,
}

/// A stream of events.
pub(super) struct Stream {
    events: SseByteStream<Metered>,
    meter: Arc<Mutex<Meter>>,
    last_id: Option<String>,
    retry: Option<Duration>,
}

/// What passed since the last event.
#[derive(Debug, Default)]
struct Meter {
    bytes: usize,
    /// When the last keep-alive came, and the longest interval between two.
    last_keep_alive: Option<Instant>,
    interval: Duration,
}

impl Stream {
    pub(super) fn of(response: Response, limit: usize) -> Self {
        let meter = Arc::new(Mutex::new(Meter::default()));
        let bytes = Metered {
            bytes: response.bytes_stream().boxed(),
            meter: Arc::clone(&meter),
            limit,
        };
        Stream {
            events: SseByteStream::new(bytes),
            meter,
            last_id: None,
            retry: None,
        }
    }

    /// The id of the last event that had one.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How long the server wants to be left alone before a reconnect.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// The data of the first event, which must be `endpoint`.
    pub(super) async fn endpoint(&mut self) -> Result<String, String> {
        loop {
            let event = self.next().await?;
            if event.kind == "endpoint" {
                return Ok(event.data);
            }
            tracing::debug!(kind = event.kind, "an event before the endpoint ignored");
        }
    }

    /// The next event; an error says why there are no more.
    pub(super) async fn next(&mut self) -> Result<Event, String> {
        loop {
            let sse = match self.deadline() {
                None => self.events.next().await,
                Some(deadline) => match tokio::time::timeout_at(deadline, self.events.next()).await
                {
                    Ok(sse) => sse,
                    Err(_) if self.deadline().is_some_and(|later| later > deadline) => continue,
                    Err(_) => return Err("the stream of events fell silent".to_owned()),
                },
            };
            let sse = match sse {
                None => return Err("the server ended the stream of events".to_owned()),
                Some(Err(error)) => return Err(format!("the stream of events broke: {error}")),
                Some(Ok(sse)) => sse,
            };
            self.lock().bytes = 0;
            if let Some(id) = sse.id {
                // An empty one takes back those before it.
                self.last_id = Some(id).filter(|id| !id.is_empty());
            }
            if let Some(retry) = sse.retry {
                self.retry = Some(Duration::from_millis(retry));
            }
            if let Some(data) = sse.data {
                let kind = sse
                    .event
                    .filter(|kind| !kind.is_empty())
                    .unwrap_or_else(|| "message".to_owned());
                return Ok(Event { kind, data });
            }
        }
    }

    /// Until when something must have come: only a stream that has sent keep-alives is expected to go on.
    fn deadline(&self) -> Option<Instant> {
        let meter = self.lock();
        let last = meter.last_keep_alive?;
        Some(last + meter.interval.max(LEAST_INTERVAL) * PATIENCE)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts the bytes of each event, and sees the comments that the events' reader drops.
struct Metered {
    bytes: BoxStream<'static, Result<Bytes, reqwest::Error>>,
    meter: Arc<Mutex<Meter>>,
    limit: usize,
}

/// Why bytes stopped.
#[derive(Debug, thiserror::Error)]
enum MeterError {
    #[error("{0}")]
    Body(String),
    #[error("an event is over the limit of {0} bytes")]
    TooLarge(usize),
}

impl futures_util::Stream for Metered {
    type Item = Result<Bytes, MeterError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = match self.bytes.poll_next_unpin(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => {
                return Poll::Ready(Some(Err(MeterError::Body(http::failure::chain(&error)))));
            }
            Poll::Ready(Some(Ok(chunk))) => chunk,
        };
        let limit = self.limit;
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.heard(&chunk);
        if meter.bytes > limit.saturating_add(1024) {
            return Poll::Ready(Some(Err(MeterError::TooLarge(limit))));
        }
        drop(meter);
        Poll::Ready(Some(Ok(chunk)))
    }
}

impl Meter {
    fn heard(&mut self, chunk: &[u8]) {
        let now = Instant::now();
        if chunk.starts_with(b":") {
            if let Some(last) = self.last_keep_alive {
                self.interval = self.interval.max(now - last);
            }
            self.last_keep_alive = Some(now);
        } else {
            self.bytes += chunk.len();
            // Any event shows life as well as a keep-alive does.
            self.last_keep_alive = self.last_keep_alive.map(|_| now);
        }
    }
}
