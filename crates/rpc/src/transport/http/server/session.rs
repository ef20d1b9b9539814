//! Sessions: a stream of events for one client, an endpoint that only it knows, and what it missed while it was away.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use axum::body::Body;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::future::BoxFuture;
use futures_util::stream;
use tokio::sync::Notify;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::Server;
use super::answer;
use super::answer::Refusal;
use crate::error::Closed;
use crate::link::Arrival;
use crate::link::Link;
use crate::link::Outgoing;
use crate::link::Ticket;
use crate::message::Id;
use crate::message::Message;

/// How much a client may have missed and still be told.
const REPLAY_EVENTS: usize = 1_000;
const REPLAY_BYTES: usize = 16 * 1024 * 1024;

/// The open sessions, by id.
#[derive(Default)]
pub(super) struct Sessions {
    by_id: Mutex<HashMap<String, Arc<Session>>>,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Session {
    id: String,
    arrivals: mpsc::UnboundedSender<Arrival>,
    /// The POSTs that wait for an answer.
    posts: Mutex<HashMap<Id, oneshot::Sender<Message>>>,
    events: Mutex<Events>,
    happened: Notify,
}

/// What the stream carries, with what was carried lately.
#[derive(Default)]
struct Events {
    kept: VecDeque<(u64, String)>,
    kept_bytes: usize,
    next: u64,
    /// Counts the streams of this session; an older one ends when a newer one takes over.
    stream: u64,
    is_over: bool,
}

/// Opens the stream of events: of a session that is still known, or of a new one.
pub(super) fn open(server: &Arc<Server>, headers: &HeaderMap) -> Result<Response, Refusal> {
    let last = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok());
    let resumed = last.and_then(|last| resume(server, last));
    let (session, from) = match resumed {
        Some(resumed) => resumed,
        None => (begin(server)?, 1),
    };
    let stream = {
        let mut events = session.lock();
        events.stream += 1;
        events.stream
    };
    session.happened.notify_waiters();
    let endpoint = serde_json::json!({ "endpoint": endpoint(server, &session.id) });
    let first = format!(
        "id: {}.{}\nevent: endpoint\ndata: {endpoint}\n\n",
        session.id,
        from - 1
    );
    let reading = Reading {
        server: Arc::clone(server),
        session,
        stream,
        next: from,
        first: Some(first),
    };
    let body = stream::unfold(reading, Reading::step);
    Ok(answer::event_stream(
        Body::from_stream(body),
        server.options.instance_id.as_deref(),
    ))
}

/// The session and the next event of a client that comes back, if both are still there.
fn resume(server: &Server, last: &str) -> Option<(Arc<Session>, u64)> {
    let (id, seen) = last.rsplit_once('.')?;
    let seen: u64 = seen.parse().ok()?;
    let session = server.sessions.lock().get(id).cloned()?;
    let events = session.lock();
    let oldest = events
        .kept
        .front()
        .map_or(events.next, |(number, _)| *number);
    let is_whole = !events.is_over && (oldest..=events.next).contains(&(seen + 1));
    drop(events);
    is_whole.then_some((session, seen + 1))
}

fn begin(server: &Arc<Server>) -> Result<Arc<Session>, Refusal> {
    let (arrivals, incoming) = mpsc::unbounded_channel();
    let session = Arc::new(Session {
        id: Uuid::new_v4().simple().to_string(),
        arrivals,
        posts: Mutex::default(),
        events: Mutex::new(Events {
            next: 1,
            ..Events::default()
        }),
        happened: Notify::new(),
    });
    {
        let mut sessions = server.sessions.lock();
        if sessions.len() >= server.options.max_sessions {
            return Err(Refusal::too_many_sessions(server.options.max_sessions));
        }
        sessions.insert(session.id.clone(), Arc::clone(&session));
    }
    let incoming = stream::unfold(incoming, |mut incoming| async {
        let arrival = incoming.recv().await?;
        Some((arrival, incoming))
    });
    let outgoing = Arc::new(Out {
        session: Arc::clone(&session),
    });
    server.accept.session(Link {
        outgoing,
        incoming: Box::pin(incoming),
        back_channel: true,
    });
    Ok(session)
}

fn endpoint(server: &Server, id: &str) -> String {
    let base = server
        .options
        .advertise_url
        .as_deref()
        .unwrap_or(&server.options.root_path)
        .trim_end_matches('/');
    match &server.options.instance_id {
        Some(instance) => format!("{base}/?sessionId={id}&instance={instance}"),
        None => format!("{base}/?sessionId={id}"),
    }
}

/// Ends a session at the client's wish.
pub(super) fn end(server: &Arc<Server>, id: Option<&str>) -> Result<Response, Refusal> {
    let session = id
        .and_then(|id| server.sessions.lock().remove(id))
        .ok_or_else(|| Refusal::no_session(None))?;
    session.finish();
    Ok(answer::accepted())
}

/// Hands a POSTed message to its session; a request waits for its answer.
pub(super) async fn deliver(
    server: &Arc<Server>,
    id: &str,
    message: Message,
) -> Result<Response, Refusal> {
    let session = server.sessions.lock().get(id).cloned();
    let Message::Request(request) = &message else {
        let session = session.ok_or_else(|| Refusal::no_session(None))?;
        session.arrive(message)?;
        return Ok(answer::accepted());
    };
    let session = session.ok_or_else(|| Refusal::no_session(Some(request.id.clone())))?;
    let (answered, answer) = oneshot::channel();
    session
        .posts
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(request.id.clone(), answered);
    let waiting = Waiting {
        session: Arc::clone(&session),
        id: request.id.clone(),
    };
    session.arrive(message)?;
    let answer = answer.await;
    let id = waiting.id.clone();
    drop(waiting);
    answer
        .map(|message| answer::message(&message))
        .map_err(|_| Refusal::no_session(Some(id)))
}

/// A POST that waits; when its client goes away, the answer travels as an event instead.
struct Waiting {
    session: Arc<Session>,
    id: Id,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.session
            .posts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.id);
    }
}

impl Session {
    fn lock(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrive(&self, message: Message) -> Result<(), Refusal> {
        let arrived = self.arrivals.send(Arrival::Message(message));
        arrived.map_err(|_| Refusal::no_session(None))
    }

    fn happen(&self, message: &Message) {
        let data = answer::event_data(message);
        let mut events = self.lock();
        let number = events.next;
        events.next += 1;
        events.kept_bytes += data.len();
        events.kept.push_back((number, data));
        while events.kept.len() > REPLAY_EVENTS
            || (events.kept_bytes > REPLAY_BYTES && events.kept.len() > 1)
        {
            let dropped = events.kept.pop_front();
            events.kept_bytes -= dropped.map_or(0, |(_, data)| data.len());
        }
        drop(events);
        self.happened.notify_waiters();
    }

    fn finish(&self) {
        self.lock().is_over = true;
        self.posts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        let _ = self.arrivals.send(Arrival::Ended(Closed::ByPeer));
        self.happened.notify_waiters();
    }
}

/// One stream of a session's events.
struct Reading {
    server: Arc<Server>,
    session: Arc<Session>,
    stream: u64,
    next: u64,
    first: Option<String>,
}

enum Next {
    Event(String),
    Wait,
    Over,
}

impl Reading {
    async fn step(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if let Some(first) = self.first.take() {
            return Some((Ok(first.into()), self));
        }
        loop {
            let session = Arc::clone(&self.session);
            let happened = session.happened.notified();
            tokio::pin!(happened);
            happened.as_mut().enable();
            match self.take() {
                Next::Event(text) => return Some((Ok(text.into()), self)),
                Next::Over => return None,
                Next::Wait => {}
            }
            if tokio::time::timeout(self.server.options.keep_alive, happened)
                .await
                .is_err()
            {
                return Some((Ok(Bytes::from_static(b": keep-alive\n\n")), self));
            }
        }
    }

    fn take(&mut self) -> Next {
        let events = self.session.lock();
        if events.is_over || events.stream != self.stream {
            return Next::Over;
        }
        let Some(oldest) = events.kept.front().map(|(number, _)| *number) else {
            return Next::Wait;
        };
        if self.next < oldest {
            // It reads so slowly that events were dropped: only a new session is whole again.
            return Next::Over;
        }
        let place = usize::try_from(self.next - oldest).unwrap_or(usize::MAX);
        match events.kept.get(place) {
            None => Next::Wait,
            Some((number, data)) => {
                let text = format!("id: {}.{number}\ndata: {data}\n\n", self.session.id);
                self.next += 1;
                Next::Event(text)
            }
        }
    }
}

impl Drop for Reading {
    /// The client has gone: the session stays for the grace time, in case it comes back.
    fn drop(&mut self) {
        let (server, session, stream) = (
            Arc::clone(&self.server),
            Arc::clone(&self.session),
            self.stream,
        );
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            tokio::time::sleep(server.options.session_grace).await;
            if session.lock().stream == stream {
                server.sessions.lock().remove(&session.id);
                session.finish();
            }
        });
    }
}

/// The outgoing half of a session's link: answers go with the POST that waits for them, all else as events.
struct Out {
    session: Arc<Session>,
}

impl Outgoing for Out {
    fn send(&self, message: Message, _about: Option<&Id>) -> Result<Ticket, Closed> {
        if self.session.lock().is_over {
            return Err(Closed::ByPeer);
        }
        let message = match message {
            Message::Response(response) => {
                let mut posts = self
                    .session
                    .posts
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                let post = posts.remove(&response.id);
                drop(posts);
                let message = Message::Response(response);
                match post {
                    None => message,
                    Some(post) => match post.send(message) {
                        Ok(()) => return Ok(Ticket(0)),
                        Err(message) => message,
                    },
                }
            }
            message @ (Message::Request(_) | Message::Notification(_)) => message,
        };
        self.session.happen(&message);
        Ok(Ticket(0))
    }

    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }

    fn may_have_left(&self, _ticket: Ticket) -> bool {
        true
    }

    fn queued(&self) -> usize {
        0
    }

    fn close(&self) {}
}
