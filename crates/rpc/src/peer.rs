//! Calls and answers over one link: ids, waiters, inbound requests, cancellation, and the end that wakes everybody once.
//! Knows no transport and no method but the two that cancel; both ends of a connection run this.
//!
//! A call costs two task switches: the caller hands its message to the link, the task that reads the link resolves the
//! waiter itself. That task never waits for a write or a handler.

mod inbound;
mod pending;

use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use serde::Deserialize;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use tracing::trace;
use uuid::Uuid;

use crate::error::CallError;
use crate::error::Closed;
use crate::error::ErrorCode;
use crate::error::Lost;
use crate::error::RpcError;
use crate::link::Arrival;
use crate::link::Link;
use crate::link::Outgoing;
use crate::message::Id;
use crate::message::Json;
use crate::message::Malformed;
use crate::message::Message;
use crate::message::Notification;
use crate::message::Request;
use crate::message::Response;
use crate::router::Dispatch;
use crate::router::Dispatched;
use crate::router::Method;
use crate::router::Notice;
use crate::router::Router;
use inbound::Inbound;
use pending::Pending;
use pending::Waiting;

/// The largest message either side takes unless it says otherwise: 256 MiB.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 256 * 1024 * 1024;

/// Where every message is told of, at the level that nobody sees unless they ask.
const WIRE: &str = "stepflow_rpc::wire";

/// Answers waiting beyond this while the other side does not read end the link.
const STALLED_BYTES: usize = if cfg!(test) { 32 } else { 512 } * 1024 * 1024;

crate::notice!(
    /// Takes a request back; the request is still answered (-32012, or its result if that came first).
    Cancel, "$/cancelRequest", CancelParams
);

/// The params of [`Cancel`].
#[derive(Debug, Serialize, Deserialize)]
pub struct CancelParams {
    /// The request to cancel.
    pub id: Id,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Runs a peer on a link. Dropping the [`Connection`] closes it.
pub fn connect<S: Clone + Send + Sync + 'static>(link: Link, router: Router<S>) -> Connection {
    let (shared, reader) = run(link, router);
    Connection {
        peer: Peer {
            shared,
            about: None,
        },
        reader,
    }
}

/// Runs a peer that only answers, until its link ends by itself.
pub fn serve<S: Clone + Send + Sync + 'static>(link: Link, router: Router<S>) {
    run(link, router);
}

fn run<S: Clone + Send + Sync + 'static>(
    link: Link,
    router: Router<S>,
) -> (Arc<Shared>, JoinHandle<()>) {
    let shared = Arc::new(Shared {
        outgoing: link.outgoing,
        back_channel: link.back_channel,
        pending: Pending::default(),
        inbound: Inbound::new(router.max_concurrency()),
        router: Box::new(router),
        max_outgoing_bytes: AtomicUsize::new(DEFAULT_MAX_MESSAGE_BYTES),
        peer_takes_cancel: AtomicBool::new(false),
        closed: OnceLock::new(),
        ended: CancellationToken::new(),
    });
    let reader = tokio::spawn(read(Arc::clone(&shared), link.incoming));
    (shared, reader)
}

/// A running peer and the task that reads for it.
#[derive(Debug)]
pub struct Connection {
    peer: Peer,
    reader: JoinHandle<()>,
}

impl Connection {
    /// A handle for calls to the other side.
    pub fn peer(&self) -> Peer {
        self.peer.clone()
    }

    /// Waits for the end of the link and says why it ended.
    pub async fn closed(&self) -> Closed {
        self.peer.closed().await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
        self.peer.shared.end(Closed::ByUs);
    }
}

/// A handle to the other side of a connection. Cheap to clone.
#[derive(Clone)]
pub struct Peer {
    shared: Arc<Shared>,
    about: Option<Id>,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("about", &self.about)
            .field("closed", &self.shared.closed.get())
            .finish()
    }
}

struct Shared {
    outgoing: Arc<dyn Outgoing>,
    back_channel: bool,
    pending: Pending,
    inbound: Inbound,
    router: Box<dyn Dispatch>,
    max_outgoing_bytes: AtomicUsize,
    peer_takes_cancel: AtomicBool,
    closed: OnceLock<Closed>,
    ended: CancellationToken,
}

impl Peer {
    /// Calls a method and waits for its result. Dropping the future forgets the call, and cancels it where the other side
    /// said that it takes cancellations.
    ///
    /// # Errors
    /// [`CallError`], by what the caller can do about it.
    pub async fn call<M: Method>(&self, params: &M::Params) -> Result<M::Result, CallError> {
        self.prepare::<M>(params)?.send().await
    }

    /// Encodes a call and gives it an id without sending it, for callers that must know the id first.
    ///
    /// # Errors
    /// [`CallError::Encode`] when the params are not JSON.
    pub fn prepare<M: Method>(&self, params: &M::Params) -> Result<PreparedCall<M>, CallError> {
        let params = M::write_params(params).map_err(|error| CallError::Encode {
            method: M::NAME,
            why: error.to_string(),
        })?;
        Ok(PreparedCall {
            raw: self.prepare_raw(M::NAME, params),
            result: std::marker::PhantomData,
        })
    }

    /// The same for a method known only by name, with params and result as text.
    pub fn prepare_raw(&self, method: &'static str, params: Json) -> RawCall {
        RawCall {
            peer: self.clone(),
            id: next_id(),
            method,
            params,
        }
    }

    /// Sends a notification.
    ///
    /// # Errors
    /// [`CallError::NotSent`] when the link is over, [`CallError::TooLarge`] and [`CallError::Encode`] as for calls.
    pub async fn notify<N: Notice>(&self, params: &N::Params) -> Result<(), CallError> {
        let params = Json::of(params).map_err(|error| CallError::Encode {
            method: N::NAME,
            why: error.to_string(),
        })?;
        let message = Message::Notification(Notification {
            method: N::NAME.into(),
            params,
        });
        self.check_size(&message)?;
        self.wait_for_room().await;
        self.shared
            .send(message, self.about.as_ref())
            .map_err(CallError::NotSent)?;
        Ok(())
    }

    /// Waits for the end of the link and says why it ended.
    pub async fn closed(&self) -> Closed {
        self.shared.ended.cancelled().await;
        self.shared.why_closed()
    }

    /// Whether the link is over.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.get().is_some()
    }

    /// Sends what is queued and ends our direction; the other side is expected to end its own.
    pub fn close(&self) {
        self.shared.outgoing.close();
    }

    /// How many bytes wait to be written.
    pub fn queued_bytes(&self) -> usize {
        self.shared.outgoing.queued()
    }

    /// The largest message that the other side takes, in bytes; larger ones fail here instead of there.
    pub fn set_max_outgoing_bytes(&self, limit: usize) {
        self.shared
            .max_outgoing_bytes
            .store(limit, Ordering::Relaxed);
    }

    /// From now on a dropped call is cancelled on the other side too.
    pub fn enable_cancel(&self) {
        self.shared.peer_takes_cancel.store(true, Ordering::Relaxed);
    }

    fn check_size(&self, message: &Message) -> Result<(), CallError> {
        let limit = self.shared.max_outgoing_bytes.load(Ordering::Relaxed);
        let size = message.size();
        if size > limit {
            Err(CallError::TooLarge { size, limit })
        } else {
            Ok(())
        }
    }

    async fn wait_for_room(&self) {
        if let Some(ready) = self.shared.outgoing.ready() {
            tokio::select! {
                () = ready => {}
                () = self.shared.ended.cancelled() => {}
            }
        }
    }
}

/// A call that has an id and was not sent yet.
#[derive(Debug)]
pub struct PreparedCall<M> {
    raw: RawCall,
    result: std::marker::PhantomData<fn() -> M>,
}

impl<M: Method> PreparedCall<M> {
    /// The id that the answer, progress and call backs will name.
    pub fn id(&self) -> &Id {
        &self.raw.id
    }

    /// Sends the call and waits for its result.
    ///
    /// # Errors
    /// [`CallError`], by what the caller can do about it.
    pub async fn send(self) -> Result<M::Result, CallError> {
        let result = self.raw.send().await?;
        M::read_result(&result).map_err(|why| CallError::Decode {
            method: M::NAME,
            why,
        })
    }
}

/// A call with params and result as text, not sent yet.
#[derive(Debug)]
pub struct RawCall {
    peer: Peer,
    id: Id,
    method: &'static str,
    params: Json,
}

impl RawCall {
    /// The id that the answer, progress and call backs will name.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Sends the call and waits for its result.
    ///
    /// # Errors
    /// [`CallError`], by what the caller can do about it.
    pub async fn send(self) -> Result<Json, CallError> {
        let RawCall {
            peer,
            id,
            method,
            params,
        } = self;
        if !peer.shared.back_channel {
            return Err(CallError::NoBackChannel);
        }
        let request = Message::Request(Request {
            id: id.clone(),
            method: method.into(),
            params,
        });
        peer.check_size(&request)?;
        peer.wait_for_room().await;
        let waiting = Waiting::send(&peer.shared, id, request, peer.about.as_ref())?;
        waiting.answer().await
    }
}

async fn read(
    shared: Arc<Shared>,
    mut incoming: futures_util::stream::BoxStream<'static, Arrival>,
) {
    while let Some(arrival) = incoming.next().await {
        trace!(target: WIRE, "← {arrival:?}");
        match arrival {
            Arrival::Message(Message::Response(it)) => shared.on_response(it),
            Arrival::Message(Message::Request(it)) => shared.on_request(it),
            Arrival::Message(Message::Notification(it)) => shared.on_notification(it),
            Arrival::Message(Message::Unattributed(it)) => {
                shared.on_malformed(Malformed::Unattributed(it));
            }
            Arrival::Malformed(it) => shared.on_malformed(it),
            Arrival::Lost { id, lost } => shared.on_lost(&id, lost),
            Arrival::Failed { id, error } => shared.resolve(&id, Err(error)),
            Arrival::Oversized { id, size, limit } => shared.on_oversized(id, size, limit),
            Arrival::Ended(why) => {
                if matches!(why, Closed::ByPeer) {
                    shared.say_farewell().await;
                }
                return shared.end(why);
            }
        }
        let queued = shared.outgoing.queued_answers();
        if queued > STALLED_BYTES {
            return shared.end(Closed::Stalled { queued });
        }
    }
    shared.end(Closed::ByPeer);
}

fn next_id() -> Id {
    let mut text = Uuid::encode_buffer();
    Id::from(&*Uuid::now_v7().hyphenated().encode_lower(&mut text))
}

impl Shared {
    fn send(&self, message: Message, about: Option<&Id>) -> Result<crate::link::Ticket, Closed> {
        if let Some(closed) = self.closed.get() {
            return Err(closed.clone());
        }
        trace!(target: WIRE, "→ {message:?}");
        self.outgoing.send(message, about)
    }

    fn on_response(&self, response: Response) {
        let Response { id, result } = response;
        self.resolve(&id, result.map_err(CallError::Remote));
    }

    fn resolve(&self, id: &Id, outcome: Result<Json, CallError>) {
        // The answer may come after its caller left, or twice; neither is an error.
        if !self.pending.resolve(id, outcome) {
            debug!(%id, "answer without a waiting call ignored");
        }
    }

    fn on_lost(&self, id: &Id, lost: Lost) {
        self.resolve(id, Err(CallError::Lost(lost)));
    }

    fn on_request(self: &Arc<Self>, request: Request) {
        let Request { id, method, params } = request;
        let peer = Peer {
            shared: Arc::clone(self),
            about: Some(id.clone()),
        };
        let running = match self.router.request(peer, id.clone(), &method, params) {
            Dispatched::Answered(result) => return self.answer(id, result),
            Dispatched::Running(running) => running,
        };
        let admitted = self.inbound.admit(&id, || {
            let shared = Arc::clone(self);
            let id = id.clone();
            tokio::spawn(async move {
                let result = running.await;
                if let Some(_answering) = shared.inbound.finish(&id) {
                    shared.answer(id, result);
                }
            })
            .abort_handle()
        });
        if let Err(refusal) = admitted {
            self.answer(id, Err(refusal));
        }
    }

    fn on_notification(self: &Arc<Self>, notification: Notification) {
        let Notification { method, params } = notification;
        if method == Cancel::NAME {
            return self.on_cancel(&params);
        }
        let peer = Peer {
            shared: Arc::clone(self),
            about: None,
        };
        self.router.notification(peer, method, params);
    }

    fn on_cancel(&self, params: &Json) {
        let Ok(CancelParams { id, reason }) = serde_json::from_str(params.get()) else {
            debug!("a cancellation without a usable id ignored");
            return;
        };
        if self.inbound.cancel(&id) {
            let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            self.answer(
                id,
                Err(RpcError::new(
                    ErrorCode::CANCELLED,
                    format!("cancelled by the caller{why}"),
                )),
            );
        }
    }

    fn on_malformed(&self, malformed: Malformed) {
        match malformed {
            Malformed::BadAnswer { id, why } => self.on_lost(&id, Lost::Malformed { why }),
            Malformed::BadRequest { id, why } if self.pending.contains(&id) => {
                self.on_lost(&id, Lost::Malformed { why });
            }
            Malformed::BadRequest { id, why } => {
                let text = format!("this is no JSON-RPC 2.0 request: {why}");
                self.answer(id, Err(RpcError::new(ErrorCode::INVALID_REQUEST, text)));
            }
            Malformed::Nameless { why } => {
                let text = format!("this is no JSON-RPC 2.0 request: {why}");
                let error = RpcError::new(ErrorCode::INVALID_REQUEST, text);
                if let Err(closed) = self.send(Message::Unattributed(error), None) {
                    debug!(%closed, "nobody left to answer to");
                }
            }
            Malformed::Unattributed(error) => {
                tracing::warn!(%error, "the other side reported an error about no request in particular");
            }
            Malformed::NotJson => debug!("text that is not JSON ignored"),
            Malformed::NotAMessage { why } => debug!(why, "JSON that is no message ignored"),
        }
    }

    fn on_oversized(&self, id: Id, size: usize, limit: usize) {
        let text = format!("the request of {size} bytes is over the limit of {limit} bytes");
        self.answer(id, Err(RpcError::new(ErrorCode::INVALID_REQUEST, text)));
    }

    /// Answers a request of the other side; an answer over its limit becomes an error that says so.
    fn answer(&self, id: Id, result: Result<Json, RpcError>) {
        let limit = self.max_outgoing_bytes.load(Ordering::Relaxed);
        let about = id.clone();
        let mut message = Message::Response(Response { id, result });
        if message.size() > limit {
            let size = message.size();
            let text = format!(
                "the answer of {size} bytes is over the limit of {limit} bytes that you take"
            );
            let error = RpcError::new(ErrorCode::RESOURCE_UNAVAILABLE, text);
            message = Message::Response(Response {
                id: about.clone(),
                result: Err(error),
            });
        }
        if let Err(closed) = self.send(message, Some(&about)) {
            debug!(id = %about, %closed, "nobody left to answer to");
        }
    }

    /// The other side has nothing more to say, but may still listen: what is being answered may finish.
    async fn say_farewell(&self) {
        let farewell = async {
            self.inbound.idle().await;
            self.outgoing.close();
            self.outgoing.written().await;
        };
        let _ = tokio::time::timeout(self.router.farewell(), farewell).await;
    }

    /// Ends the peer once: later calls fail at once, every waiter wakes, handlers stop.
    fn end(&self, why: Closed) {
        if self.closed.set(why).is_err() {
            return;
        }
        // Callers are about to be told what was not sent: from here on that must stay true.
        self.outgoing.abandon();
        self.inbound.cancel_all();
        let closed = self.why_closed();
        self.pending
            .close(&closed, |ticket| self.outgoing.may_have_left(ticket));
        self.ended.cancel();
    }

    fn why_closed(&self) -> Closed {
        self.closed.get().cloned().unwrap_or(Closed::ByUs)
    }
}

#[cfg(test)]
mod tests;
