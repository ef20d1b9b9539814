//! The runtime's side: negotiate, then a link. Owns the decision between session and direct, never what travels.

mod connector;
mod destination;
mod direct;
mod endpoint;
mod events;
mod exchange;
mod gate;
mod origin;
mod session;
mod tls;
mod undelivered;
mod unsent;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::HeaderMap;
use http::StatusCode;
use tokio::time::Instant;
use tracing::debug;
use tracing::warn;
pub use url::Url;

use crate::link::Link;
use crate::peer::DEFAULT_MAX_MESSAGE_BYTES;
use events::Opened;
use exchange::Exchange;
pub use origin::OriginPattern;

/// The names and values of headers.
pub mod header {
    pub use http::header::AUTHORIZATION;
    pub use http::header::HeaderName as Name;
    pub use http::header::HeaderValue as Value;
}

/// Whether a session is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionMode {
    /// A session where the server offers one.
    #[default]
    Auto,
    /// A session or an error.
    Required,
    /// No session: each POST stands alone.
    Off,
}

/// Which server, and how to talk to it.
#[derive(Clone)]
pub struct Options {
    /// Where the server is.
    pub url: Url,
    /// Sent with every request; values are never shown.
    pub headers: HeaderMap,
    /// Whether a session is wanted.
    pub session: SessionMode,
    /// How long a server that streams events may take to name its endpoint.
    pub negotiation_timeout: Duration,
    /// How long a server may refuse connections or answer 5xx before that is an error.
    pub connect_timeout: Duration,
    /// The longest message taken, in bytes.
    pub max_message_bytes: usize,
    /// Origins besides the server's own that an endpoint may have.
    pub allowed_endpoint_origins: Vec<OriginPattern>,
    /// Certificates of authorities to trust besides the system's, as PEM.
    pub authorities: Vec<Vec<u8>>,
    /// A proxy for all requests; never used for loopback.
    pub proxy: Option<Url>,
}

impl Options {
    /// Defaults for a server.
    pub fn new(url: Url) -> Self {
        Options {
            url,
            headers: HeaderMap::new(),
            session: SessionMode::Auto,
            negotiation_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            allowed_endpoint_origins: Vec::new(),
            authorities: Vec::new(),
            proxy: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.keys().collect();
        f.debug_struct("Options")
            .field("url", &endpoint::shown(&self.url))
            .field("headers", &headers)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// How long at most between two questions to a server that is not there: one that comes up only for moments is found too.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// How the two sides talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Over a session that remembers the handshake.
    Session,
    /// Without one: each request stands alone.
    Direct,
}

/// A connection that was negotiated.
#[derive(Debug)]
pub struct Connected {
    /// The link.
    pub link: Link,
    /// How the two sides talk.
    pub mode: Mode,
    /// A session that may yet come, where the server streams events but named no endpoint in time.
    pub late: Option<Late>,
    /// Whether the server answers requests that stand alone by streams.
    pub streams: Streams,
}

/// Whether a server has answered a request that stands alone by a stream, on which it can call back. Clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Streams(Arc<AtomicBool>);

impl Streams {
    /// Whether it has, so far.
    pub fn seen(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn see(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Why no connection came about.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}")]
pub struct ConnectError {
    /// What happened.
    pub what: String,
    /// Whether trying again would end the same way.
    pub is_permanent: bool,
}

impl ConnectError {
    fn permanent(what: impl Into<String>) -> Self {
        ConnectError {
            what: what.into(),
            is_permanent: true,
        }
    }
}

/// A stream of events that was asked for and whose endpoint has not come yet.
pub struct Late {
    exchange: Arc<Exchange>,
    opening: Opening,
}

/// How far a late stream has come.
enum Opening {
    /// Not even the head of the answer came.
    Asked(Asking),
    Opened(Box<events::Stream>),
}

type Asking = BoxFuture<'static, Result<Opened, ConnectError>>;

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Late").finish_non_exhaustive()
    }
}

impl Late {
    /// Waits for the endpoint; `None` when the stream ends without one.
    pub async fn session(self) -> Option<Connected> {
        let mut stream = match self.opening {
            Opening::Opened(stream) => stream,
            Opening::Asked(asking) => match asking.await {
                Ok(Opened::Stream(stream)) => stream,
                Ok(Opened::NotOffered(why)) => {
                    debug!(why, "no stream of events after all");
                    return None;
                }
                Err(error) => {
                    debug!(%error, "no stream of events after all");
                    return None;
                }
            },
        };
        match stream.endpoint().await {
            Ok(data) => in_session(&self.exchange, *stream, &data).ok(),
            Err(why) => {
                debug!(why, "the stream of events ended without an endpoint");
                None
            }
        }
    }
}

/// Negotiates with a server.
///
/// # Errors
/// [`ConnectError`] says what was tried and whether trying again may help.
pub async fn connect(options: &Options) -> Result<Connected, ConnectError> {
    let exchange = Arc::new(Exchange::new(options)?);
    if options.session == SessionMode::Off {
        return Ok(direct(&exchange, None));
    }
    let (opening, until) = ask_for_events(options, &exchange).await?;
    let mut stream = match opening {
        Asked::Answered(Opened::Stream(stream)) => stream,
        Asked::Answered(Opened::NotOffered(why)) => {
            return fall_back(options, &exchange, &why, None);
        }
        Asked::Silence(asking) => {
            let why = "the server did not answer in time";
            return fall_back(options, &exchange, why, Some(Opening::Asked(asking)));
        }
    };
    match tokio::time::timeout_at(until, stream.endpoint()).await {
        Ok(Ok(data)) => in_session(&exchange, *stream, &data),
        Ok(Err(why)) => fall_back(options, &exchange, &why, None),
        Err(_) => {
            let why = "the stream of events named no endpoint in time";
            fall_back(options, &exchange, why, Some(Opening::Opened(stream)))
        }
    }
}

/// What asking for the stream of events came to.
enum Asked {
    Answered(Opened),
    /// The answer may yet come.
    Silence(Asking),
}

/// Asks for the stream of events until the answer is more than a passing failure; says until when an endpoint must be named.
async fn ask_for_events(
    options: &Options,
    exchange: &Arc<Exchange>,
) -> Result<(Asked, Instant), ConnectError> {
    let deadline = Instant::now() + options.connect_timeout;
    let mut wait = Duration::from_millis(50);
    let mut is_told = false;
    loop {
        let until = Instant::now() + options.negotiation_timeout;
        let asked = Arc::clone(exchange);
        let mut asking: Asking = Box::pin(async move { events::open(&asked, None).await });
        let error = match tokio::time::timeout_at(until, &mut asking).await {
            Ok(Ok(opened)) => return Ok((Asked::Answered(opened), until)),
            Ok(Err(error)) if error.is_permanent => return Err(error),
            Ok(Err(error)) => error,
            Err(_) => return Ok((Asked::Silence(asking), until)),
        };
        if Instant::now() + wait >= deadline {
            return Err(error);
        }
        if !is_told {
            let url = exchange.shown();
            let within = options.connect_timeout;
            warn!(%url, %error, "the server is not there yet; it is asked again for {within:?}");
        }
        is_told = true;
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

fn in_session(
    exchange: &Arc<Exchange>,
    stream: events::Stream,
    data: &str,
) -> Result<Connected, ConnectError> {
    let to = exchange.endpoint(data)?;
    debug!(endpoint = %to.target.shown(), "session negotiated");
    let link = session::link(Arc::clone(exchange), stream, to, data.to_owned());
    Ok(Connected {
        link,
        mode: Mode::Session,
        late: None,
        streams: Streams::default(),
    })
}

fn fall_back(
    options: &Options,
    exchange: &Arc<Exchange>,
    why: &str,
    late: Option<Opening>,
) -> Result<Connected, ConnectError> {
    if options.session == SessionMode::Required {
        return Err(ConnectError::permanent(format!(
            "the server offers no session, which `session: required` asks for: {why}"
        )));
    }
    debug!(why, "no session; each request stands alone");
    Ok(direct(exchange, late))
}

fn direct(exchange: &Arc<Exchange>, late: Option<Opening>) -> Connected {
    let streams = Streams::default();
    let link = direct::link(Arc::clone(exchange), streams.clone());
    let late = late.map(|opening| Late {
        exchange: Arc::clone(exchange),
        opening,
    });
    Connected {
        link,
        mode: Mode::Direct,
        late,
        streams,
    }
}

/// Statuses by which a server says that it has no stream of events.
fn means_not_offered(status: StatusCode) -> bool {
    matches!(status.as_u16(), 404 | 405 | 406 | 501)
}
