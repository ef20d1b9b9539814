//! Sessions: a stream of events for one client, an endpoint that only it knows, and what it missed while it was away.
//! Owns who has a session and for how long; all there is of one goes together.

mod events;
mod outgoing;
mod posts;
mod stream;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::Weak;

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::stream as streams;
use tokio::sync::Notify;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Options;
use super::Server;
use super::answer;
use super::answer::Refusal;
use super::backlog::Backlog;
use crate::error::Closed;
use crate::link::Arrival;
use crate::link::Link;
use crate::message::Message;
use events::Bounds;
use events::EventLog;
use outgoing::Out;
use posts::Waiters;
pub(super) use posts::deliver;
pub(super) use posts::lose;

/// How many messages may wait for a session's peer; POSTs beyond that wait themselves.
const ARRIVALS: usize = 1024;

/// The open sessions, by id.
#[derive(Default)]
pub(super) struct Sessions {
    by_id: Mutex<HashMap<String, Arc<Session>>>,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        let sessions = self.lock();
        sessions.values().map(|it| it.lock().waiters.left()).sum()
    }

    /// The session of an endpoint.
    pub(super) fn find(&self, id: &str) -> Result<Arc<Session>, Refusal> {
        let session = self.lock().get(id).cloned();
        let session = session.ok_or_else(Refusal::no_session)?;
        session.lock().used = Instant::now();
        Ok(session)
    }

    pub(super) fn end_all(&self, why: &str) {
        let all: Vec<_> = self.lock().values().cloned().collect();
        for session in all {
            session.end(why);
        }
    }

    /// The oldest session that nobody listens to and that does nothing.
    fn superfluous(&self) -> Option<Arc<Session>> {
        let sessions = self.lock();
        let idle = sessions.values().filter_map(|session| {
            let state = session.lock();
            (state.away.is_some() && state.waiters.is_empty()).then_some((state.used, session))
        });
        idle.min_by_key(|(used, _)| *used)
            .map(|(_, session)| Arc::clone(session))
    }
}

/// What there is of one client.
pub(super) struct Session {
    id: String,
    server: Weak<Server>,
    arrivals: mpsc::Sender<Arrival>,
    state: Mutex<State>,
    /// What was not written to its stream yet.
    backlog: Backlog,
    /// Told when its stream has something to do.
    happened: Notify,
    /// Told when its stream came or went.
    moved: Notify,
    ended: CancellationToken,
}

struct State {
    events: EventLog,
    waiters: Waiters,
    /// Counts its streams; an older one ends when a newer one takes over.
    stream: u64,
    /// Since when it has no stream.
    away: Option<Instant>,
    /// When it was used last.
    used: Instant,
    /// Nothing more will happen; what did is still written.
    is_closing: bool,
    is_over: bool,
}

impl State {
    fn is_over(&self) -> bool {
        self.is_over
    }

    /// When the session ends if nothing happens until then, and why.
    fn due(&self, options: &Options) -> (Instant, &'static str) {
        if let Some(since) = self.away {
            return (
                since + options.session_grace,
                "its client did not come back",
            );
        }
        let since = if self.waiters.is_empty() {
            self.used
        } else {
            Instant::now()
        };
        (since + options.idle_timeout, "it was idle")
    }
}

/// A stream that was just opened.
struct Attached {
    stream: u64,
    /// The number of the last event before it.
    written: u64,
}

enum Taken {
    Event(Bytes),
    Nothing,
    Over,
}

/// Opens the stream of events: of a session that is still known, or of a new one.
pub(super) fn open(server: &Arc<Server>, headers: &HeaderMap) -> Result<Response, Refusal> {
    let last = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok());
    let (session, attached) = match last.and_then(|last| resume(server, last)) {
        Some(resumed) => resumed,
        None => {
            let session = begin(server)?;
            let attached = session.attach(None).ok_or_else(Refusal::no_session)?;
            (session, attached)
        }
    };
    let endpoint = serde_json::json!({ "endpoint": server.endpoint(&session.id) });
    // Its id is where the client stands, so that losing this stream too would lose nothing.
    let first = format!(
        "id: {}.{}\nevent: endpoint\ndata: {endpoint}\n\n",
        session.id, attached.written
    );
    let keep_alive = server.options.keep_alive;
    let body = stream::body(session, attached.stream, first.into(), keep_alive);
    Ok(answer::event_stream(body, &server.instance_header))
}

/// The session of a client that comes back, wound back to what it saw last.
fn resume(server: &Server, last: &str) -> Option<(Arc<Session>, Attached)> {
    let (id, seen) = last.rsplit_once('.')?;
    let session = server.sessions.lock().get(id).cloned()?;
    let attached = seen
        .parse()
        .ok()
        .and_then(|seen| session.attach(Some(seen)));
    if attached.is_none() {
        // The session cannot go on, and its client knows no other way to it.
        session.end("events that its client missed are no longer kept");
    }
    Some((session, attached?))
}

fn begin(server: &Arc<Server>) -> Result<Arc<Session>, Refusal> {
    server.calls.check_open()?;
    let (arrivals, incoming) = mpsc::channel(ARRIVALS);
    let options = &server.options;
    let session = Arc::new(Session::new(server, arrivals));
    if server.sessions.len() >= options.max_sessions
        && let Some(superfluous) = server.sessions.superfluous()
    {
        superfluous.end("there were too many");
    }
    {
        let mut sessions = server.sessions.lock();
        if sessions.len() >= options.max_sessions {
            let text = format!(
                "{} sessions are open, which is the limit",
                options.max_sessions
            );
            return Err(Refusal::ending(&text, options.retry_after));
        }
        sessions.insert(session.id.clone(), Arc::clone(&session));
    }
    server.accept.session(link(&session, incoming));
    tokio::spawn(keep(Arc::clone(&session), options.clone()));
    Ok(session)
}

fn link(session: &Arc<Session>, incoming: mpsc::Receiver<Arrival>) -> Link {
    let state = Some((incoming, session.ended.clone()));
    let incoming = streams::unfold(state, |state| async {
        let (mut incoming, ended) = state?;
        tokio::select! {
            biased;
            () = ended.cancelled() => Some((Arrival::Ended(Closed::ByPeer), None)),
            arrival = incoming.recv() => Some((arrival?, Some((incoming, ended)))),
        }
    });
    Link {
        outgoing: Arc::new(Out {
            session: Arc::clone(session),
        }),
        incoming: Box::pin(incoming),
        back_channel: true,
    }
}

/// Ends a session whose client stays away, or that nobody uses.
async fn keep(session: Arc<Session>, options: Options) {
    loop {
        let mut moved = pin!(session.moved.notified());
        moved.as_mut().enable();
        let (due, why) = session.lock().due(&options);
        if due <= Instant::now() {
            return session.end(why);
        }
        tokio::select! {
            () = session.ended.cancelled() => return,
            () = moved => {}
            () = tokio::time::sleep_until(due) => {}
        }
    }
}

impl Session {
    fn new(server: &Arc<Server>, arrivals: mpsc::Sender<Arrival>) -> Self {
        let bounds = Bounds {
            events: server.options.replay_events,
            bytes: server.options.replay_bytes,
        };
        let now = Instant::now();
        Session {
            id: Uuid::new_v4().simple().to_string(),
            server: Arc::downgrade(server),
            arrivals,
            state: Mutex::new(State {
                events: EventLog::new(bounds),
                waiters: Waiters::default(),
                stream: 0,
                away: Some(now),
                used: now,
                is_closing: false,
                is_over: false,
            }),
            backlog: Backlog::default(),
            happened: Notify::new(),
            moved: Notify::new(),
            ended: CancellationToken::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands something to its peer.
    async fn arrive(&self, arrival: Arrival) -> Result<(), Refusal> {
        let sent = tokio::select! {
            biased;
            () = self.ended.cancelled() => false,
            sent = self.arrivals.send(arrival) => sent.is_ok(),
        };
        if sent {
            Ok(())
        } else {
            Err(Refusal::no_session())
        }
    }

    /// Gives it a new stream, which goes on after the event that was seen last; the one it had before ends. `None` where some
    /// of what was missed is gone.
    fn attach(&self, seen: Option<u64>) -> Option<Attached> {
        let attached = {
            let mut state = self.lock();
            if state.is_over {
                return None;
            }
            if let Some(seen) = seen {
                self.backlog.add(state.events.rewind(seen)?);
            }
            state.stream += 1;
            state.away = None;
            state.used = Instant::now();
            Attached {
                stream: state.stream,
                written: state.events.last_written(),
            }
        };
        self.happened.notify_waiters();
        self.moved.notify_waiters();
        Some(attached)
    }

    /// Notes that a stream is gone: the session stays for a while, in case its client comes back.
    fn detach(&self, stream: u64) {
        let mut state = self.lock();
        if state.stream != stream {
            return;
        }
        state.away = Some(Instant::now());
        let is_closed = state.is_closing;
        drop(state);
        if is_closed {
            return self.end("it was closed");
        }
        self.moved.notify_waiters();
    }

    /// Adds an event.
    fn happen(&self, message: &Message) {
        let mut state = self.lock();
        if state.is_over {
            return;
        }
        let number = state.events.next_number();
        let text = answer::event(Some(format_args!("{}.{number}", self.id)), message);
        self.backlog.add(text.len());
        let is_answer = message.is_answer();
        state.events.push(text, is_answer);
        drop(state);
        self.happened.notify_waiters();
    }

    /// The next event for a stream.
    fn take(&self, stream: u64) -> Taken {
        let mut state = self.lock();
        if state.is_over || state.stream != stream {
            return Taken::Over;
        }
        let Some(text) = state.events.take() else {
            return if state.is_closing {
                Taken::Over
            } else {
                Taken::Nothing
            };
        };
        drop(state);
        self.backlog.remove(text.len());
        Taken::Event(text)
    }

    /// Has its stream end once everything is written.
    fn close(&self) {
        let mut state = self.lock();
        state.is_closing = true;
        let is_done = state.away.is_some() || state.events.is_all_written();
        drop(state);
        if is_done {
            self.end("it was closed");
        } else {
            self.happened.notify_waiters();
        }
    }

    /// Ends it: its POSTs are answered, its stream ends, its peer hears of it, and it is not found any more.
    pub(super) fn end(&self, why: &str) {
        {
            let mut state = self.lock();
            if state.is_over {
                return;
            }
            state.is_over = true;
            state.waiters.end(why);
            let bounds = Bounds {
                events: 0,
                bytes: 0,
            };
            state.events = EventLog::new(bounds);
        }
        if let Some(server) = self.server.upgrade() {
            server.sessions.lock().remove(&self.id);
        }
        tracing::debug!(why, "session ended");
        self.ended.cancel();
        self.happened.notify_waiters();
    }
}
