//! The server's side: an axum router that accepts links. Owns sessions, streams and statuses; what the links carry is the
//! business of whoever accepts them.

mod answer;
mod backlog;
mod body;
mod calls;
mod direct;
mod listener;
mod options;
mod security;
mod session;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::Uri;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::any;
use uuid::Uuid;

use crate::link::Link;
use crate::message::Malformed;
use crate::message::Message;
use crate::transport::http;
use answer::Refusal;
use calls::Calls;
use direct::Caller;
pub use listener::Listener;
pub use listener::LocalAddress;
pub use options::Options;
pub use options::Security;
use session::Session;
use session::Sessions;

/// The same name, read once.
static INSTANCE: HeaderName = HeaderName::from_static(http::INSTANCE_HEADER);

/// Who runs peers on accepted links.
pub trait Accept: Send + Sync + 'static {
    /// A session began; its link lives until the session ends.
    fn session(&self, link: Link);

    /// A request without a session came; its link ends with its answer, and needs no handshake.
    fn single(&self, link: Link);
}

/// The routes of a component server: `/`, `/runtime/events` and `/health`; see [`Host::router`].
pub fn router(options: Options, accept: impl Accept) -> Router {
    Host::new(options, accept).router()
}

/// What is served over HTTP, beyond any one request: its sessions, the requests under way, and their end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Host {
    server: Arc<Server>,
}

impl Host {
    /// A server that hands its links to `accept`.
    pub fn new(options: Options, accept: impl Accept) -> Self {
        // Without a name of its own a process has one that nothing else has: an answer that a load balancer brings to the
        // wrong process is noticed all the same.
        let named = options.instance_id.clone();
        let instance = named.unwrap_or_else(|| Uuid::new_v4().simple().to_string());
        let instance_header = HeaderValue::from_str(&instance)
            .unwrap_or_else(|_| HeaderValue::from_static("unnameable"));
        let server = Server {
            calls: Calls::new(&options),
            accept: Box::new(accept),
            sessions: Sessions::default(),
            direct: direct::Registry::default(),
            instance,
            instance_header,
            options,
        };
        Host {
            server: Arc::new(server),
        }
    }

    /// The routes, to be merged or nested (by `nest_service`) into something larger. They are there with and without a slash
    /// at their end, and with and without the root path; nothing redirects.
    pub fn router(&self) -> Router {
        let root = self.server.options.root();
        let mut router = Router::new();
        for prefix in [Some(""), Some(&*root).filter(|root| !root.is_empty())]
            .into_iter()
            .flatten()
        {
            if !prefix.is_empty() {
                router = router.route(prefix, any(on_messages));
            }
            let events = format!("{prefix}{}", http::EVENTS_PATH);
            router = router
                .route(&format!("{prefix}/"), any(on_messages))
                .route(&events, any(on_events))
                .route(&format!("{events}/"), any(on_events))
                .route(&format!("{prefix}/health"), any(on_health))
                .route(&format!("{prefix}/health/"), any(on_health));
        }
        router.with_state(Arc::clone(&self.server))
    }

    /// The same as an application of its own: whoever asks for another path is told what is served.
    pub fn app(&self) -> Router {
        let server = Arc::clone(&self.server);
        self.router().fallback(async move |request: Request| {
            let root = server.options.root();
            refuse(request, Refusal::nothing_here(&root)).await
        })
    }

    /// How many sessions are open.
    pub fn sessions(&self) -> usize {
        self.server.sessions.len()
    }

    /// How many requests are under way.
    pub fn calls(&self) -> usize {
        self.server.calls.running()
    }

    /// Begins nothing new, lets what runs finish within the grace time, and ends what is left and all streams. To be awaited
    /// before the listener is closed: a component may still wait for an answer that comes by a new connection.
    pub async fn drain(&self) {
        self.server
            .calls
            .drain(self.server.options.drain_grace)
            .await;
        self.server.sessions.end_all(calls::ENDING);
    }

    /// Ends everything now, a [`Host::drain`] that waits included.
    pub fn end(&self) {
        self.server.calls.end();
        self.server.sessions.end_all(calls::ENDING);
    }
}

#[cfg(test)]
impl Host {
    /// How many requests go on although their POST is gone.
    pub(super) fn left(&self) -> usize {
        self.server.sessions.left()
    }
}

struct Server {
    options: Options,
    instance: String,
    instance_header: HeaderValue,
    accept: Box<dyn Accept>,
    sessions: Sessions,
    direct: direct::Registry,
    calls: Calls,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Drop for Server {
    /// No session outlives its server.
    fn drop(&mut self) {
        self.sessions.end_all(calls::ENDING);
    }
}

impl Server {
    fn endpoint(&self, session: &str) -> String {
        let base = match &self.options.advertise_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => self.options.root(),
        };
        match &self.options.instance_id {
            Some(instance) => {
                let mut query = url::form_urlencoded::Serializer::new(String::new());
                query.append_pair("instance", instance);
                format!("{base}/?sessionId={session}&{}", query.finish())
            }
            None => format!("{base}/?sessionId={session}"),
        }
    }

    /// Refuses what was meant for another process.
    fn check_instance(&self, query: &Query<'_>, headers: &HeaderMap) -> Result<(), Refusal> {
        let by_header = headers.get(&INSTANCE).and_then(|value| value.to_str().ok());
        match by_header.or(query.instance.as_deref()) {
            Some(meant) if meant != self.instance => Err(Refusal::wrong_instance(&self.instance)),
            _ => Ok(()),
        }
    }

    /// What there is to check besides where a request comes from.
    fn check(&self, head: &Parts, query: &Query<'_>) -> Result<(), Refusal> {
        self.options.check_token(&head.headers)?;
        self.check_instance(query, &head.headers)
    }
}

/// Answers a request that is not served; where it is a message, under its id.
async fn refuse(request: Request, refusal: Refusal) -> Response {
    if request.method() != Method::POST || refusal.has_id() {
        return refusal.into_response();
    }
    let id = body::skip(request.into_body()).await;
    refusal.to(id).into_response()
}

async fn on_health(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let checked = server.options.check_source(&head);
    let checked = checked.and_then(|()| match head.method {
        Method::GET | Method::HEAD => Ok(answer::health(server.calls.is_draining())),
        _ => Err(Refusal::method_not_allowed("GET, HEAD")),
    });
    match checked {
        Ok(response) => response,
        Err(refusal) => refuse(Request::from_parts(head, body), refusal).await,
    }
}

async fn on_events(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    match open(&server, &head) {
        Ok(response) => response,
        Err(refusal) => refuse(Request::from_parts(head, body), refusal).await,
    }
}

fn open(server: &Arc<Server>, head: &Parts) -> Result<Response, Refusal> {
    server.options.check_source(head)?;
    if head.method != Method::GET {
        return Err(Refusal::method_not_allowed("GET"));
    }
    server.check(head, &Query::of(&head.uri))?;
    if !security::accepts(&head.headers, http::EVENT_STREAM) {
        return Err(Refusal::not_acceptable(
            "these are server-sent events: send Accept: text/event-stream",
        ));
    }
    session::open(server, &head.headers)
}

async fn on_messages(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let admitted = match admit(&server, &head) {
        Ok(admitted) => admitted,
        Err(refusal) => return refuse(Request::from_parts(head, body), refusal).await,
    };
    let served = match admitted {
        Admitted::Ended(response) => return response,
        Admitted::Message(target) => take(&server, body, target).await,
    };
    served.unwrap_or_else(Refusal::into_response)
}

/// What a request's head asks for.
enum Admitted {
    /// The end of a session, which has come.
    Ended(Response),
    Message(Target),
}

/// Where a message goes.
enum Target {
    Session(Arc<Session>),
    Direct(Caller),
}

fn admit(server: &Server, head: &Parts) -> Result<Admitted, Refusal> {
    server.options.check_source(head)?;
    if ![Method::POST, Method::DELETE].contains(&head.method) {
        return Err(Refusal::method_not_allowed("POST, DELETE"));
    }
    let query = Query::of(&head.uri);
    server.check(head, &query)?;
    if head.method == Method::DELETE {
        let id = query.session.ok_or_else(Refusal::unnamed_session)?;
        server.sessions.find(&id)?.end("its client ended it");
        return Ok(Admitted::Ended(answer::accepted()));
    }
    security::check_form(&head.headers)?;
    let target = match query.session {
        Some(id) => Target::Session(server.sessions.find(&id)?),
        None if security::takes_streams(&head.headers) => Target::Direct(Caller::TakesStreams),
        None => Target::Direct(Caller::TakesJson),
    };
    Ok(Admitted::Message(target))
}

async fn take(
    server: &Arc<Server>,
    body: axum::body::Body,
    target: Target,
) -> Result<Response, Refusal> {
    let options = &server.options;
    let body = body::read(body, options.max_message_bytes, options.body_idle).await?;
    let text = std::str::from_utf8(&body).map_err(|_| Refusal::parse("the body is not UTF-8"))?;
    let message = match Message::decode(text) {
        Ok(message) => message,
        Err(Malformed::BadAnswer { id, why }) => {
            match &target {
                Target::Session(session) => session::lose(session, id.clone(), why.clone()).await,
                Target::Direct(_) => server.direct.lose(id.clone(), why.clone()),
            }
            return Err(Refusal::invalid(Some(id), &why));
        }
        // The other side could not read something, and says so: an answer like any other, only that nobody waits for it.
        Err(Malformed::Unattributed(error)) => {
            tracing::warn!(%error, "the other side reported an error about no request in particular");
            return Ok(answer::accepted());
        }
        Err(malformed) => return Err(malformed.into()),
    };
    match target {
        Target::Session(session) => session::deliver(server, &session, message).await,
        Target::Direct(caller) => direct::deliver(server, message, caller).await,
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::NotJson => Refusal::parse("the body is not JSON"),
            Malformed::BadRequest { id, why } | Malformed::BadAnswer { id, why } => {
                Refusal::invalid(Some(id), &why)
            }
            Malformed::Nameless { why } | Malformed::NotAMessage { why } => {
                Refusal::invalid(None, &why)
            }
            Malformed::Unattributed(_) => {
                Refusal::invalid(None, "an error about no request in particular")
            }
        }
    }
}

#[derive(Default)]
struct Query<'a> {
    session: Option<Cow<'a, str>>,
    instance: Option<Cow<'a, str>>,
}

impl<'a> Query<'a> {
    fn of(uri: &'a Uri) -> Self {
        let mut query = Query::default();
        for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        {
            match &*name {
                "sessionId" => query.session = Some(value),
                "instance" => query.instance = Some(value),
                _ => {}
            }
        }
        query
    }
}
