//! The runtime's side: negotiate, then a link. Owns the decision between session and direct, never what travels.

mod direct;
mod endpoint;
mod events;
mod exchange;
mod gate;
mod session;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tokio::time::Instant;
use tracing::debug;
use tracing::info;
pub use url::Url;

use crate::link::Link;
use crate::peer::DEFAULT_MAX_MESSAGE_BYTES;
pub use endpoint::OriginPattern;
use endpoint::Target;
use events::Opened;
use exchange::Exchange;

/// The names and values of headers.
pub mod header {
    pub use reqwest::header::AUTHORIZATION;
    pub use reqwest::header::HeaderName as Name;
    pub use reqwest::header::HeaderValue as Value;
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
            .field("url", &self.url.as_str())
            .field("headers", &headers)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

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

    fn passing(what: impl Into<String>) -> Self {
        ConnectError {
            what: what.into(),
            is_permanent: false,
        }
    }
}

/// An open stream of events whose endpoint has not come yet.
pub struct Late {
    exchange: Arc<Exchange>,
    stream: events::Stream,
}

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Late").finish_non_exhaustive()
    }
}

impl Late {
    /// Waits for the endpoint; `None` when the stream ends without one.
    pub async fn session(mut self) -> Option<Connected> {
        match self.stream.endpoint().await {
            Ok(data) => in_session(&self.exchange, self.stream, &data).ok(),
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
    match open_events(options, &exchange).await? {
        Opened::Stream(mut stream) => {
            match tokio::time::timeout(options.negotiation_timeout, stream.endpoint()).await {
                Ok(Ok(data)) => in_session(&exchange, *stream, &data),
                Ok(Err(why)) => fall_back(options, &exchange, &why, None),
                Err(_) => {
                    let why = "the stream of events named no endpoint in time";
                    fall_back(options, &exchange, why, Some(*stream))
                }
            }
        }
        Opened::NotOffered(why) => fall_back(options, &exchange, &why, None),
    }
}

/// Asks for the stream of events until the answer is more than a passing failure.
async fn open_events(options: &Options, exchange: &Exchange) -> Result<Opened, ConnectError> {
    let deadline = Instant::now() + options.connect_timeout;
    let mut wait = Duration::from_millis(50);
    loop {
        let error = match tokio::time::timeout_at(deadline, events::open(exchange, None)).await {
            Ok(Ok(opened)) => return Ok(opened),
            Ok(Err(error)) if error.is_permanent => return Err(error),
            Ok(Err(error)) => error,
            Err(_) if options.session == SessionMode::Auto => {
                return Ok(Opened::NotOffered(
                    "the server did not answer in time".into(),
                ));
            }
            Err(_) => ConnectError::passing("the server did not answer in time"),
        };
        if Instant::now() + wait >= deadline {
            return Err(error);
        }
        info!(%error, "the server is not there yet, trying again");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(2));
    }
}

fn in_session(
    exchange: &Arc<Exchange>,
    stream: events::Stream,
    data: &str,
) -> Result<Connected, ConnectError> {
    let target = exchange.endpoint(data)?;
    debug!(endpoint = %target.shown(), "session negotiated");
    let link = session::link(Arc::clone(exchange), stream, target, data.to_owned());
    Ok(Connected {
        link,
        mode: Mode::Session,
        late: None,
    })
}

fn fall_back(
    options: &Options,
    exchange: &Arc<Exchange>,
    why: &str,
    stream: Option<events::Stream>,
) -> Result<Connected, ConnectError> {
    if options.session == SessionMode::Required {
        return Err(ConnectError::permanent(format!(
            "the server offers no session, which `session: required` asks for: {why}"
        )));
    }
    debug!(why, "no session; each request stands alone");
    Ok(direct(exchange, stream))
}

fn direct(exchange: &Arc<Exchange>, stream: Option<events::Stream>) -> Connected {
    let link = direct::link(Arc::clone(exchange), Target::direct(exchange.url().clone()));
    let late = stream.map(|stream| Late {
        exchange: Arc::clone(exchange),
        stream,
    });
    Connected {
        link,
        mode: Mode::Direct,
        late,
    }
}

/// Statuses by which a server says that it has no stream of events.
fn means_not_offered(status: StatusCode) -> bool {
    matches!(status.as_u16(), 404 | 405 | 406 | 501)
}
