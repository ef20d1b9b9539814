//! The server's side: an axum router that accepts links. Owns sessions, streams and statuses; what the links carry is the
//! business of whoever accepts them.

mod answer;
mod direct;
mod security;
mod session;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::Method;
use axum::http::Uri;
use axum::http::header;
use axum::response::Response;
use axum::routing::any;
use axum::routing::get;

use crate::link::Link;
use crate::message::Malformed;
use crate::message::Message;
use crate::peer::DEFAULT_MAX_MESSAGE_BYTES;
use crate::transport::http;
use answer::Refusal;
pub use security::Security;
use session::Sessions;

/// Who runs peers on accepted links.
pub trait Accept: Send + Sync + 'static {
    /// A session began; its link lives until the session ends.
    fn session(&self, link: Link);

    /// A request without a session came; its link ends with its answer, and needs no handshake.
    fn single(&self, link: Link);
}

/// How a server behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who may talk to it.
    pub security: Security,
    /// The longest message taken, in bytes.
    pub max_message_bytes: usize,
    /// How many sessions may be open at once.
    pub max_sessions: usize,
    /// How long a session outlives its stream, so that the client can come back.
    pub session_grace: Duration,
    /// How often a silent stream shows that it lives.
    pub keep_alive: Duration,
    /// The path that a proxy in front strips.
    pub root_path: String,
    /// The URL by which this very process can be reached, where a load balancer is in front.
    pub advertise_url: Option<String>,
    /// Names this process, so that a load balancer can route by it.
    pub instance_id: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            security: Security::default(),
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            max_sessions: 10_000,
            session_grace: Duration::from_secs(30),
            keep_alive: Duration::from_secs(15),
            root_path: String::new(),
            advertise_url: None,
            instance_id: None,
        }
    }
}

struct Server {
    options: Options,
    accept: Box<dyn Accept>,
    sessions: Sessions,
    direct: direct::Registry,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The routes of a component server: `/`, `/runtime/events` and `/health`.
pub fn router(options: Options, accept: impl Accept) -> Router {
    let server = Arc::new(Server {
        options,
        accept: Box::new(accept),
        sessions: Sessions::default(),
        direct: direct::Registry::default(),
    });
    Router::new()
        .route("/", any(on_messages))
        .route(http::EVENTS_PATH, any(on_events))
        .route("/health", get(async || "{\"status\":\"ok\"}"))
        .with_state(server)
}

async fn on_events(
    State(server): State<Arc<Server>>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let opened = async {
        server.options.security.check(&headers)?;
        if method != Method::GET {
            return Err(Refusal::method_not_allowed("GET"));
        }
        if !accepts(&headers, http::EVENT_STREAM) {
            return Err(Refusal::not_acceptable(
                "this is a stream of events: accept text/event-stream",
            ));
        }
        session::open(&server, &headers)
    };
    opened.await.unwrap_or_else(Refusal::into_response)
}

async fn on_messages(State(server): State<Arc<Server>>, request: Request) -> Response {
    serve(&server, request)
        .await
        .unwrap_or_else(Refusal::into_response)
}

async fn serve(server: &Arc<Server>, request: Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    server.options.security.check(&parts.headers)?;
    let query = Query::of(&parts.uri);
    check_instance(server, &query, &parts.headers)?;
    match parts.method {
        Method::POST => {}
        Method::DELETE => return session::end(server, query.session.as_deref()),
        _ => return Err(Refusal::method_not_allowed("POST, DELETE")),
    }
    let message = read(server, &parts.headers, body).await?;
    match query.session {
        Some(id) => session::deliver(server, &id, message).await,
        None => direct::deliver(server, message, accepts(&parts.headers, http::EVENT_STREAM)).await,
    }
}

async fn read(server: &Server, headers: &HeaderMap, body: Body) -> Result<Message, Refusal> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case("application/json")
    {
        return Err(Refusal::unsupported_media_type());
    }
    let limit = server.options.max_message_bytes;
    let body = axum::body::to_bytes(body, limit)
        .await
        .map_err(|error| Refusal::body(&error, limit))?;
    let text = std::str::from_utf8(&body).map_err(|_| Refusal::parse("the body is not UTF-8"))?;
    Message::decode(text).map_err(|malformed| match malformed {
        Malformed::NotJson => Refusal::parse("the body is not JSON"),
        Malformed::BadRequest { id, why } | Malformed::BadAnswer { id, why } => {
            Refusal::invalid(Some(id), &why)
        }
        Malformed::NotAMessage { why } => Refusal::invalid(None, &why),
        Malformed::Unattributed(_) => {
            Refusal::invalid(None, "an error about no request in particular")
        }
    })
}

/// What the query of a URL says.
#[derive(Debug, Default)]
struct Query {
    session: Option<String>,
    instance: Option<String>,
}

impl Query {
    fn of(uri: &Uri) -> Self {
        let mut query = Query::default();
        for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        {
            match &*name {
                "sessionId" => query.session = Some(value.into_owned()),
                "instance" => query.instance = Some(value.into_owned()),
                _ => {}
            }
        }
        query
    }
}

fn check_instance(server: &Server, query: &Query, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(ours) = &server.options.instance_id else {
        return Ok(());
    };
    let by_header = headers
        .get(http::INSTANCE_HEADER)
        .and_then(|value| value.to_str().ok());
    let meant = query.instance.as_deref().or(by_header);
    match meant {
        Some(meant) if meant != ours => Err(Refusal::wrong_instance(meant, ours)),
        _ => Ok(()),
    }
}

fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let Some(accept) = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let (kind, _) = media_type.split_once('/').unwrap_or((media_type, ""));
    accept
        .split(',')
        .filter_map(|range| range.split(';').next())
        .any(|range| {
            let range = range.trim();
            range.eq_ignore_ascii_case(media_type) || range == "*/*" || range == format!("{kind}/*")
        })
}
