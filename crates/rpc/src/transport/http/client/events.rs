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
use http_body_util::BodyDataStream;
use sse_stream::SseByteStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::ConnectError;
use super::exchange::Exchange;
use super::exchange::Response;
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

/// Where a stream of events broke off.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The last event that came.
    pub(super) last_id: String,
    /// The process that it came from, if it said so: a balancer finds it by that.
    pub(super) instance: Option<String>,
}

/// Asks for the stream of events: for a new one, or for the rest of one that broke off.
pub(super) async fn open(
    exchange: &Exchange,
    from: Option<&Place>,
) -> Result<Opened, ConnectError> {
    let mut response = ask(exchange, from).await?;
    if let Some(place) = from.filter(|place| place.instance.is_some())
        && matches!(response.status().as_u16(), 502..=504)
    {
        // The balancer cannot reach that process. Any other tells that its sessions are gone, by opening a new one.
        let anywhere = Place {
            last_id: place.last_id.clone(),
            instance: None,
        };
        response = ask(exchange, Some(&anywhere)).await?;
    }
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
    let headers = response.headers().clone();
    let words = exchange.words(response).await;
    let failure = http::Failure::of_status(status, &headers, &words);
    let is_passing = status.is_server_error() || status.as_u16() == 429;
    Err(ConnectError {
        what: failure.what,
        is_permanent: !is_passing,
    })
}

async fn ask(exchange: &Exchange, from: Option<&Place>) -> Result<Response, ConnectError> {
    let response = exchange.get_events(from).await;
    response.map_err(|failure| ConnectError {
        is_permanent: failure.kind == http::Kind::Refused,
        what: failure.what,
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
    /// Told of the first keep-alive.
    begun: Arc<Notify>,
    /// The process that it comes from, if it said so.
    instance: Option<String>,
    last_id: Option<String>,
    retry: Option<Duration>,
}

/// What passed since the last event.
#[derive(Debug, Default)]
struct Meter {
    bytes: usize,
    /// Whether the next byte continues a line.
    is_within_line: bool,
    /// When the last keep-alive came, and the longest interval between two.
    last_keep_alive: Option<Instant>,
    interval: Duration,
}

impl Stream {
    pub(super) fn of(response: Response, limit: usize) -> Self {
        let instance = response.headers().get(http::INSTANCE_HEADER);
        let instance = instance.and_then(|id| id.to_str().ok()).map(str::to_owned);
        Stream {
            instance,
            ..Stream::of_bytes(BodyDataStream::new(response.into_body()).boxed(), limit)
        }
    }

    fn of_bytes(bytes: BoxStream<'static, Result<Bytes, hyper::Error>>, limit: usize) -> Self {
        let meter = Arc::new(Mutex::new(Meter::default()));
        let begun = Arc::new(Notify::new());
        let bytes = Metered {
            bytes,
            meter: Arc::clone(&meter),
            begun: Arc::clone(&begun),
            limit,
        };
        Stream {
            events: SseByteStream::new(bytes),
            meter,
            begun,
            instance: None,
            last_id: None,
            retry: None,
        }
    }

    /// The process that it comes from, if it said so.
    pub(super) fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    /// Where it stands, if its events are numbered: it can be taken up there.
    pub(super) fn place(&self) -> Option<Place> {
        Some(Place {
            last_id: self.last_id.clone()?,
            instance: self.instance.clone(),
        })
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
            let sse = self.watched().await?;
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

    /// What comes next, unless a stream that keeps itself alive falls silent.
    async fn watched(
        &mut self,
    ) -> Result<Option<Result<sse_stream::Sse, sse_stream::Error>>, String> {
        let begun = Arc::clone(&self.begun);
        loop {
            let deadline = self.deadline();
            let silence = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => begun.notified().await,
                }
            };
            tokio::select! {
                biased;
                sse = self.events.next() => return Ok(sse),
                () = silence => {}
            }
            if deadline.is_some() && self.deadline() == deadline {
                return Err("the stream of events fell silent".to_owned());
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
    bytes: BoxStream<'static, Result<Bytes, hyper::Error>>,
    meter: Arc<Mutex<Meter>>,
    begun: Arc<Notify>,
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
                return Poll::Ready(Some(Err(MeterError::Body(http::failure::chain(Some(
                    &error,
                ))))));
            }
            Poll::Ready(Some(Ok(chunk))) => chunk,
        };
        let limit = self.limit;
        let (n_bytes, is_first) = {
            let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
            let was_silent = meter.last_keep_alive.is_none();
            meter.heard(&chunk);
            (meter.bytes, was_silent && meter.last_keep_alive.is_some())
        };
        if n_bytes > limit.saturating_add(1024) {
            return Poll::Ready(Some(Err(MeterError::TooLarge(limit))));
        }
        if is_first {
            self.begun.notify_one();
        }
        Poll::Ready(Some(Ok(chunk)))
    }
}

impl Meter {
    fn heard(&mut self, chunk: &[u8]) {
        let now = Instant::now();
        let is_comment = !self.is_within_line && chunk.starts_with(b":");
        let mut breaks = memchr::memchr2_iter(b'\n', b'\r', chunk);
        if is_comment || breaks.any(|at| chunk.get(at + 1) == Some(&b':')) {
            if let Some(last) = self.last_keep_alive {
                self.interval = self.interval.max(now - last);
            }
            self.last_keep_alive = Some(now);
        }
        if !is_comment {
            self.bytes += chunk.len();
            // Any event shows life as well as a keep-alive does.
            self.last_keep_alive = self.last_keep_alive.map(|_| now);
        }
        self.is_within_line = !chunk.ends_with(b"\n") && !chunk.ends_with(b"\r");
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::stream;
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::sync::mpsc;

    use super::*;
    use crate::transport::http::client::Options;

    #[tokio::test]
    async fn a_refusal_says_why() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let refuse = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1024];
            assert!(stream.read(&mut asked).await.unwrap() > 0);
            let body = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32007,"message":"not by this name"}}"#;
            let head = "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length";
            let answer = format!("{head}: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let exchange = Exchange::new(&Options::new(url.parse().unwrap())).unwrap();
        let (opened, ()) = tokio::join!(open(&exchange, None), refuse);
        let Err(error) = opened else {
            panic!("a stream was opened");
        };
        assert!(error.is_permanent);
        assert!(
            error.what.contains("403 Forbidden: not by this name"),
            "{error}"
        );
    }

    /// What a stream of these bytes brings, in these pieces.
    async fn read(pieces: impl IntoIterator<Item = &[u8]>, limit: usize) -> (Vec<Event>, String) {
        let pieces: Vec<_> = pieces.into_iter().map(Bytes::copy_from_slice).collect();
        let bytes = stream::iter(pieces).map(Ok).boxed();
        let mut stream = Stream::of_bytes(bytes, limit);
        let mut events = Vec::new();
        loop {
            match stream.next().await {
                Ok(event) => events.push(event),
                Err(why) => return (events, why),
            }
        }
    }

    async fn check(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(kind, data)| Event {
                kind: (*kind).to_owned(),
                data: (*data).to_owned(),
            })
            .collect();
        let (whole, why) = read([text.as_bytes()], 1000).await;
        assert_eq!(whole, expected, "{text:?}");
        assert_eq!(why, "the server ended the stream of events");
        let (in_bytes, _) = read(text.as_bytes().chunks(1), 1000).await;
        assert_eq!(in_bytes, expected, "{text:?} byte by byte");
    }

    #[tokio::test]
    async fn events_are_read_by_their_format_however_they_are_cut() {
        check("data: a\n\n", &[("message", "a")]).await;
        check(
            "data:a\n\ndata: b\n\n",
            &[("message", "a"), ("message", "b")],
        )
        .await;
        check("event: endpoint\ndata: /s\n\n", &[("endpoint", "/s")]).await;
        check("event:\ndata: a\n\n", &[("message", "a")]).await;
        check("data: a\ndata: b\n\n", &[("message", "a\nb")]).await;
        check(
            "data: a\r\n\r\ndata: b\r\r",
            &[("message", "a"), ("message", "b")],
        )
        .await;
        check(
            "\u{feff}data: é日🎉\u{2028}\n\n",
            &[("message", "é日🎉\u{2028}")],
        )
        .await;
        check(": one\n\n:\n\ndata: a\n: two\n\n", &[("message", "a")]).await;
        check(
            "id: 1\nretry: 5\n\nother: x\ndata: a\n\n",
            &[("message", "a")],
        )
        .await;
        check("event: x\n\ndata: a\n\ndata: cut off", &[("message", "a")]).await;
    }

    #[tokio::test]
    async fn an_event_over_the_limit_ends_the_stream() {
        let long = format!("data: {}\n\n", "x".repeat(3000));
        let (events, why) = read(long.as_bytes().chunks(100), 1000).await;
        assert_eq!(events, []);
        assert!(why.contains("over the limit of 1000 bytes"), "{why}");
        // Many that are not do not.
        let many = "data: x\n\n".repeat(1000);
        let (events, _) = read(many.as_bytes().chunks(100), 1000).await;
        assert_eq!(events.len(), 1000);
    }

    #[tokio::test]
    async fn the_last_id_and_the_wait_are_kept() {
        let text = "id: a\nretry: 1500\ndata: 1\n\ndata: 2\n\nretry: soon\nid: b\ndata: 3\n\nid\ndata: 4\n\n";
        let bytes = stream::iter([Ok(Bytes::from(text))]).boxed();
        let mut stream = Stream::of_bytes(bytes, 1000);
        for expected in [Some("a"), Some("a"), Some("b"), None] {
            stream.next().await.unwrap();
            assert_eq!(stream.last_id.as_deref(), expected);
            assert_eq!(stream.retry(), Some(Duration::from_millis(1500)));
        }
    }

    /// A stream that brings what is sent to it.
    fn fed() -> (mpsc::UnboundedSender<&'static str>, Stream) {
        let (feed, mut fed) = mpsc::unbounded_channel::<&str>();
        let bytes = stream::poll_fn(move |context| match fed.poll_recv(context) {
            Poll::Ready(text) => Poll::Ready(text.map(|text| Ok(Bytes::from(text)))),
            Poll::Pending => Poll::Pending,
        });
        (feed, Stream::of_bytes(bytes.boxed(), 1000))
    }

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[tokio::test(start_paused = true)]
    async fn a_stream_without_keep_alives_may_be_silent() {
        let (feed, mut stream) = fed();
        feed.send("data: a\n\n").unwrap();
        stream.next().await.unwrap();
        // A colon that begins a piece, and no line, is no keep-alive.
        for piece in ["data", ": b\n", "\n"] {
            feed.send(piece).unwrap();
        }
        stream.next().await.unwrap();
        let waited = tokio::time::timeout(DAY, stream.next()).await;
        assert!(waited.is_err(), "{waited:?}");
    }

    /// How long a stream is waited for that kept itself alive in these intervals, in seconds.
    async fn patience(intervals: &[u64], last: &'static str) -> u64 {
        let (feed, mut stream) = fed();
        let feeding = async {
            feed.send(": keep-alive\n\n").unwrap();
            for seconds in intervals {
                tokio::time::sleep(Duration::from_secs(*seconds)).await;
                feed.send(": keep-alive\n\n").unwrap();
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            feed.send(last).unwrap();
            let since = Instant::now();
            std::future::pending::<()>().await;
            drop(feed);
            since
        };
        let total: u64 = intervals.iter().sum::<u64>() + 1;
        let since = Instant::now();
        let reading = async {
            loop {
                if let Err(why) = stream.next().await {
                    break why;
                }
            }
        };
        let why = tokio::select! {
            why = reading => why,
            _ = feeding => unreachable!("it waits for ever"),
        };
        assert_eq!(why, "the stream of events fell silent");
        since.elapsed().as_secs() - total
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_kept_itself_alive_may_be_silent_for_three_intervals() {
        let keep_alive = ": keep-alive\n\n";
        // Shorter intervals than 15 s are taken for 15 s.
        assert_eq!(patience(&[], keep_alive).await, 45);
        assert_eq!(patience(&[1, 1, 1], keep_alive).await, 45);
        assert_eq!(patience(&[15, 15], keep_alive).await, 45);
        assert_eq!(patience(&[30, 10], keep_alive).await, 90);
        assert_eq!(patience(&[], "data: a\n\n: keep-alive\n\n").await, 45);
        // An event shows life as well.
        assert_eq!(patience(&[15], "data: a\n\n").await, 45);
    }
}
