//! POSTs without a session. Each request is a link of its own that ends with its answer; it turns into a stream when the
//! component has something to ask or to tell.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use axum::body::Body;
use axum::body::Bytes;
use axum::response::Response;
use futures_util::future::BoxFuture;
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc;
use tracing::debug;

use super::Server;
use super::answer;
use super::answer::Refusal;
use super::backlog::Backlog;
use super::calls::ENDING;
use crate::error::Closed;
use crate::error::ErrorCode;
use crate::error::Lost;
use crate::error::RpcError;
use crate::link;
use crate::link::Arrival;
use crate::link::Link;
use crate::link::Outgoing;
use crate::link::Ticket;
use crate::message::Id;
use crate::message::Message;
use crate::message::Request;

type Asked = Mutex<HashMap<Id, mpsc::UnboundedSender<Arrival>>>;

/// Which link asked what: answers to call backs come by POSTs of their own.
#[derive(Default)]
pub(super) struct Registry {
    asked: Arc<Asked>,
}

impl Registry {
    /// Hands the outcome of a call back to the link that waits for it. One that came too late is no error of its sender's,
    /// whose call would fail by it.
    fn resolve(&self, id: &Id, arrival: Arrival) {
        let asker = lock(&self.asked).remove(id);
        if asker.is_none_or(|asker| asker.send(arrival).is_err()) {
            debug!(%id, "an answer that nobody waits for any more dropped");
        }
    }

    /// Fails the call back that a broken answer was meant for; its sender is told by a status.
    pub(super) fn lose(&self, id: Id, why: String) {
        let lost = Lost::Malformed { why };
        self.resolve(&id.clone(), Arrival::Lost { id, lost });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the caller reads streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    TakesStreams,
    TakesJson,
}

/// Serves one POST without a session.
pub(super) async fn deliver(
    server: &Arc<Server>,
    message: Message,
    caller: Caller,
) -> Result<Response, Refusal> {
    match message {
        Message::Request(request) => ask(server, request, caller).await,
        Message::Notification(_) | Message::Unattributed(_) => Ok(answer::accepted()),
        Message::Response(response) => {
            let id = response.id.clone();
            let arrival = Arrival::Message(Message::Response(response));
            server.direct.resolve(&id, arrival);
            Ok(answer::accepted())
        }
    }
}

async fn ask(server: &Arc<Server>, request: Request, caller: Caller) -> Result<Response, Refusal> {
    let id = request.id.clone();
    let permit = server.calls.admit().map_err(|it| it.to(Some(id.clone())))?;
    let mut exchange = begin(server, request, caller, permit);
    loop {
        match exchange.next().await {
            Some(message @ Message::Response(_)) => return Ok(answer::message(&message)),
            // To a caller that takes no stream there is nobody to tell.
            Some(_) if caller == Caller::TakesJson => {}
            Some(first) => return Ok(stream_of(first, exchange)),
            None => {
                let error = RpcError::internal("the server ended the request without an answer");
                return Ok(answer::message(&failure(id, error)));
            }
        }
    }
}

fn failure(id: Id, error: RpcError) -> Message {
    Message::Response(crate::Response {
        id,
        result: Err(error),
    })
}

/// Makes a link of a request and has it served.
fn begin(
    server: &Arc<Server>,
    request: Request,
    caller: Caller,
    permit: OwnedSemaphorePermit,
) -> Exchange {
    // Bounded by what is asked on this link: each call back has one answer.
    let (arrivals, incoming) = link::channel();
    let (outgoing, sent) = mpsc::unbounded_channel();
    let backlog = Arc::new(Backlog::default());
    let exchange = Exchange {
        id: request.id.clone(),
        server: Arc::clone(server),
        sent,
        backlog: Arc::clone(&backlog),
        arrivals: arrivals.clone(),
        _permit: permit,
    };
    let out = Out {
        id: request.id.clone(),
        sent: outgoing,
        backlog,
        arrivals: arrivals.clone(),
        asked: Arc::clone(&server.direct.asked),
        mine: Mutex::default(),
    };
    let _ = arrivals.send(Arrival::Message(Message::Request(request)));
    server.accept.single(Link {
        outgoing: Arc::new(out),
        incoming,
        back_channel: caller == Caller::TakesStreams,
    });
    exchange
}

/// One request and what is said about it. Its end, however it comes, ends the link: a caller that is gone cancels.
struct Exchange {
    id: Id,
    server: Arc<Server>,
    sent: mpsc::UnboundedReceiver<Message>,
    backlog: Arc<Backlog>,
    arrivals: mpsc::UnboundedSender<Arrival>,
    _permit: OwnedSemaphorePermit,
}

impl Exchange {
    /// What is said next; where the server ends, that.
    async fn next(&mut self) -> Option<Message> {
        tokio::select! {
            biased;
            message = self.sent.recv() => {
                let message = message?;
                self.backlog.remove(message.size());
                Some(message)
            }
            () = self.server.calls.ended() => {
                let error = RpcError::new(ErrorCode::CANCELLED, ENDING);
                Some(failure(self.id.clone(), error))
            }
        }
    }

    /// The same as a piece of a stream, with a comment in silence; and whether it was the last.
    async fn next_event(&mut self) -> Option<(Bytes, Option<Last>)> {
        let keep_alive = self.server.options.keep_alive;
        match tokio::time::timeout(keep_alive, self.next()).await {
            Err(_silence) => Some((answer::KEEP_ALIVE, None)),
            Ok(message) => message.map(|message| event(&message)),
        }
    }
}

/// After this there is nothing more to say.
struct Last;

fn event(message: &Message) -> (Bytes, Option<Last>) {
    let last = matches!(message, Message::Response(_)).then_some(Last);
    (answer::event(None, message), last)
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let _ = self.arrivals.send(Arrival::Ended(Closed::ByPeer));
    }
}

/// From the first message that is no answer on, the answer is a stream.
fn stream_of(first: Message, exchange: Exchange) -> Response {
    let instance = exchange.server.instance_header.clone();
    let state = Some((Some(event(&first)), exchange));
    let events = stream::unfold(state, |state| async {
        let (first, mut exchange) = state?;
        let (text, last) = match first {
            Some(first) => first,
            None => exchange.next_event().await?,
        };
        let rest = last.is_none().then_some((None, exchange));
        Some((Ok::<_, Infallible>(text), rest))
    });
    answer::event_stream(Body::from_stream(events), &instance)
}

/// The outgoing half of one request's link.
struct Out {
    id: Id,
    sent: mpsc::UnboundedSender<Message>,
    backlog: Arc<Backlog>,
    arrivals: mpsc::UnboundedSender<Arrival>,
    asked: Arc<Asked>,
    mine: Mutex<Vec<Id>>,
}

impl Outgoing for Out {
    fn send(&self, message: Message, _about: Option<&Id>) -> Result<Ticket, Closed> {
        match &message {
            Message::Request(request) => {
                lock(&self.mine).push(request.id.clone());
                lock(&self.asked).insert(request.id.clone(), self.arrivals.clone());
            }
            Message::Response(response) if response.id != self.id => return Ok(Ticket(0)),
            Message::Response(_) | Message::Notification(_) | Message::Unattributed(_) => {}
        }
        self.backlog.add(message.size());
        self.sent.send(message).map_err(|_| Closed::ByPeer)?;
        Ok(Ticket(0))
    }

    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        self.backlog.ready()
    }

    fn may_have_left(&self, _ticket: Ticket) -> bool {
        true
    }

    fn queued(&self) -> usize {
        self.backlog.bytes()
    }

    fn close(&self) {}
}

impl Drop for Out {
    fn drop(&mut self) {
        let mut asked = lock(&self.asked);
        for id in lock(&self.mine).drain(..) {
            asked.remove(&id);
        }
    }
}
