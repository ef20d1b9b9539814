//! A link over a session: messages are posted to the session's endpoint, answers come back with the POST or as events, the
//! server's own requests as events. Owns the reconnects of the stream; a session that is lost ends the link.

mod patience;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;
use tracing::warn;

use super::destination::Destination;
use super::events;
use super::events::Opened;
use super::events::Place;
use super::exchange::Answer;
use super::exchange::Exchange;
use super::gate::Gate;
use super::undelivered::Undelivered;
use super::unsent::Unsent;
use crate::error::CallError;
use crate::error::Closed;
use crate::error::Lost;
use crate::error::RpcError;
use crate::link;
use crate::link::Arrival;
use crate::link::Link;
use crate::link::Outgoing;
use crate::link::Ticket;
use crate::message::Id;
use crate::message::Malformed;
use crate::message::Message;
use crate::message::Response;
use crate::transport::http::Failure;
use crate::transport::http::Kind;
use patience::Patience;

/// How long a server may be gone before somebody hears of it.
const TOLD_AFTER: Duration = Duration::from_millis(500);

/// Makes a link of a session whose endpoint has just been named.
pub(super) fn link(
    exchange: Arc<Exchange>,
    stream: events::Stream,
    to: Destination,
    endpoint: String,
) -> Link {
    let (arrivals, incoming) = link::channel();
    let session = Arc::new(Session {
        exchange,
        to,
        endpoint,
        arrivals,
        gate: Gate::default(),
        posts: TaskTracker::new(),
        is_streaming: watch::Sender::new(true),
        n_sent: AtomicU64::new(0),
        unsent: Unsent::default(),
        undelivered: Undelivered::default(),
        over: CancellationToken::new(),
        abandoned: CancellationToken::new(),
    });
    tokio::spawn(Arc::clone(&session).listen(stream));
    Link {
        outgoing: Arc::new(Out { session }),
        incoming,
        back_channel: true,
    }
}

struct Session {
    exchange: Arc<Exchange>,
    to: Destination,
    /// What the server called the endpoint: the same words after a reconnect mean the same session.
    endpoint: String,
    arrivals: mpsc::UnboundedSender<Arrival>,
    gate: Gate,
    posts: TaskTracker,
    /// Whether there is a stream of events: where it broke off, the server may be gone, and requests wait.
    is_streaming: watch::Sender<bool>,
    n_sent: AtomicU64,
    unsent: Unsent,
    undelivered: Undelivered,
    over: CancellationToken,
    /// Nobody waits for anything any more.
    abandoned: CancellationToken,
}

/// The outgoing half. Its end is the session's.
struct Out {
    session: Arc<Session>,
}

impl Session {
    fn arrive(&self, arrival: Arrival) {
        // A link that nobody reads any more is being dropped.
        let _ = self.arrivals.send(arrival);
    }

    fn arrive_text(&self, text: &str) {
        match Message::decode(text) {
            Ok(message) => self.arrive(Arrival::Message(message)),
            Err(malformed) => self.arrive(Arrival::Malformed(malformed)),
        }
    }

    /// Reads events until the session is lost or we are done with it.
    async fn listen(self: Arc<Self>, mut stream: events::Stream) {
        let over = self.over.clone();
        let why = tokio::select! {
            why = self.read(&mut stream) => why,
            () = over.cancelled() => Closed::ByUs,
        };
        if matches!(why, Closed::ByUs) {
            // Answers on their way out are let out before the session ends.
            self.posts.close();
            self.posts.wait().await;
            self.exchange.delete(&self.to).await;
        }
        self.arrive(Arrival::Ended(why));
    }

    async fn read(&self, stream: &mut events::Stream) -> Closed {
        let mut patience = Patience::default();
        loop {
            match stream.next().await {
                Ok(event) if event.kind == "message" => {
                    patience = Patience::default();
                    self.arrive_text(&event.data);
                }
                Ok(event) if event.kind == "endpoint" && event.data == self.endpoint => {}
                Ok(event) if event.kind == "endpoint" => {
                    return lost("the server opened another session instead");
                }
                Ok(event) => debug!(kind = event.kind, "an event of an unknown kind ignored"),
                Err(why) => {
                    self.is_streaming.send_replace(false);
                    let resumed = self.resume(stream.place(), stream.retry(), &mut patience, &why);
                    match resumed.await {
                        Ok(resumed) => *stream = resumed,
                        Err(closed) => return closed,
                    }
                    self.is_streaming.send_replace(true);
                }
            }
        }
    }

    /// Opens the stream again where it broke off; only a server that numbers its events can do that.
    async fn resume(
        &self,
        place: Option<Place>,
        retry: Option<Duration>,
        patience: &mut Patience,
        why: &str,
    ) -> Result<events::Stream, Closed> {
        let Some(place) = place else {
            return Err(lost(why));
        };
        debug!(why, "opening the stream of events again");
        let mut is_told = false;
        while let Some((wait, deadline)) = patience.next(Instant::now(), retry) {
            if wait > TOLD_AFTER && !is_told {
                let url = self.exchange.shown();
                let left = deadline.saturating_duration_since(Instant::now()).as_secs();
                warn!(%url, why, "the server is gone; its session is kept for {left} s in case it comes back");
                is_told = true;
            }
            tokio::time::sleep(wait).await;
            let opening = events::open(&self.exchange, Some(&place));
            let mut resumed = match tokio::time::timeout_at(deadline, opening).await {
                Ok(Ok(Opened::Stream(resumed))) => resumed,
                // Where the process is gone for good, another answers in its place and says so.
                Ok(Err(error)) if error.is_permanent => return Err(lost(&error.what)),
                Ok(Ok(Opened::NotOffered(why))) => return Err(lost(&why)),
                _ => continue,
            };
            if let Ok(Ok(endpoint)) = tokio::time::timeout_at(deadline, resumed.endpoint()).await {
                // Another endpoint is another session: ours is gone, with all it was asked.
                return if endpoint == self.endpoint {
                    Ok(*resumed)
                } else {
                    Err(lost(why))
                };
            }
        }
        Err(lost(why))
    }

    async fn post(&self, message: Message, ticket: Ticket) {
        match message {
            Message::Request(request) => {
                let id = request.id.clone();
                let body = encode(Message::Request(request));
                let posted = self.request(body, ticket).await;
                self.on_posted(Some(&id), posted).await;
            }
            Message::Notification(_) | Message::Unattributed(_) => {
                let posted = self.exchange.deliver(&self.to, None, encode(message));
                self.on_posted(None, posted.await).await;
            }
            Message::Response(response) => self.answer(response).await,
        }
    }

    /// Posts a request once the server is there.
    async fn request(&self, body: Bytes, ticket: Ticket) -> Result<Answer, Failure> {
        loop {
            let mut patience = self.exchange.patience();
            self.streaming().await;
            loop {
                if !self.unsent.take(ticket) {
                    return Err(Failure::new(Kind::NotSent, "the session is over"));
                }
                let posted = self.exchange.post(&self.to, None, body.clone()).await;
                let Some(wait) = patience.wait_after(&posted) else {
                    return posted;
                };
                self.unsent.add(ticket);
                tokio::time::sleep(wait).await;
                if !*self.is_streaming.borrow() {
                    break;
                }
            }
        }
    }

    /// Waits until there is a stream of events, or never will be.
    async fn streaming(&self) {
        let mut is_streaming = self.is_streaming.subscribe();
        tokio::select! {
            _ = is_streaming.wait_for(|is_streaming| *is_streaming) => {}
            () = self.over.cancelled() => {}
        }
    }

    /// Delivers our answer to a server's request, or the news that it cannot be.
    async fn answer(&self, response: Response) {
        let id = response.id.clone();
        let body = encode(Message::Response(response));
        let mut posted = self.exchange.deliver(&self.to, None, body).await;
        if let Err(failure) = &posted
            && failure.kind == Kind::Refused
        {
            let text = format!("the answer could not be delivered: {failure}");
            let instead = Response {
                id,
                result: Err(RpcError::internal(text)),
            };
            let body = encode(Message::Response(instead));
            posted = self.exchange.deliver(&self.to, None, body).await;
        }
        if let Err(failure) = &posted {
            // The component waits for it in vain; so does whoever waits for the component.
            let why = format!("an answer could not be delivered: {failure}");
            self.arrive(Arrival::Ended(lost(&why)));
        }
        self.on_posted(None, posted).await;
    }

    async fn on_posted(&self, id: Option<&Id>, posted: Result<Answer, Failure>) {
        match posted {
            Ok(Answer::Nothing) => {}
            Ok(Answer::Message(text)) => self.on_answer(id, &text),
            Ok(Answer::Stream(stream)) => self.on_stream(id, *stream).await,
            Err(failure) => {
                let is_gone = failure.kind == Kind::WrongInstance;
                let why = is_gone.then(|| lost(&failure.what));
                self.fail(id, failure);
                // The process that knows the session cannot be reached any more.
                if let Some(why) = why {
                    self.arrive(Arrival::Ended(why));
                }
            }
        }
    }

    /// Reads the stream that a message was answered by.
    async fn on_stream(&self, id: Option<&Id>, mut stream: events::Stream) {
        let why = loop {
            match stream.next().await {
                Ok(event) => self.arrive_text(&event.data),
                Err(why) => break why,
            }
        };
        // A call that has its answer does not wait for this any more.
        if id.is_some() {
            let what = format!("{why}, before the answer");
            self.fail(id, Failure::new(Kind::Unknown, what));
        }
    }

    fn on_answer(&self, id: Option<&Id>, text: &str) {
        match (Message::decode(text), id) {
            (Ok(Message::Response(response)), Some(id)) if response.id != *id => {
                let why = format!("it is the answer to another request, {}", response.id);
                self.arrive(Arrival::Message(Message::Response(response)));
                self.unreadable(id, why);
            }
            (Ok(Message::Request(_) | Message::Notification(_)), Some(id)) => {
                self.unreadable(id, "it is a request, where the answer should be".to_owned());
            }
            (Ok(message), _) => self.arrive(Arrival::Message(message)),
            (Err(Malformed::Unattributed(error)), Some(id)) => {
                self.arrive(Arrival::Failed {
                    id: id.clone(),
                    error: CallError::Remote(error),
                });
            }
            (Err(malformed), Some(id)) => {
                self.unreadable(id, format!("it is no answer: {malformed:?}"));
            }
            (Err(malformed), None) => self.arrive(Arrival::Malformed(malformed)),
        }
    }

    fn unreadable(&self, id: &Id, why: String) {
        self.arrive(Arrival::Lost {
            id: id.clone(),
            lost: Lost::Malformed { why },
        });
    }

    fn fail(&self, id: Option<&Id>, failure: Failure) {
        match id {
            Some(id) => self.arrive(Arrival::Failed {
                id: id.clone(),
                error: CallError::Http(failure),
            }),
            None => warn!(%failure, "a message could not be delivered"),
        }
    }
}

fn encode(message: Message) -> Bytes {
    let mut body = Vec::with_capacity(message.size());
    message.encode(&mut body);
    body.into()
}

fn lost(why: &str) -> Closed {
    Closed::SessionLost { why: why.into() }
}

impl Outgoing for Out {
    fn send(&self, message: Message, _about: Option<&Id>) -> Result<Ticket, Closed> {
        if self.session.over.is_cancelled() {
            return Err(Closed::ByUs);
        }
        let ticket = Ticket(self.session.n_sent.fetch_add(1, Ordering::Relaxed));
        let (turn, pass) = match &message {
            Message::Notification(_) => {
                let (turn, pass) = self.session.gate.notification();
                (turn, Some(pass))
            }
            Message::Request(_) => {
                self.session.unsent.add(ticket);
                (self.session.gate.turn(), None)
            }
            Message::Response(_) | Message::Unattributed(_) => (self.session.gate.turn(), None),
        };
        let held = message
            .is_answer()
            .then(|| self.session.undelivered.hold(message.size()));
        let session = Arc::clone(&self.session);
        self.session.posts.spawn(async move {
            let _held = held;
            let posting = async {
                turn.come().await;
                session.post(message, ticket).await;
            };
            tokio::select! {
                () = posting => {}
                () = session.abandoned.cancelled() => {}
            }
            drop(pass);
        });
        Ok(ticket)
    }

    // Each POST waits for itself; what is under way is bounded by who calls.
    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }

    fn may_have_left(&self, ticket: Ticket) -> bool {
        !self.session.unsent.contains(ticket)
    }

    fn queued(&self) -> usize {
        0
    }

    fn queued_answers(&self) -> usize {
        self.session.undelivered.bytes()
    }

    fn close(&self) {
        self.session.over.cancel();
    }

    fn abandon(&self) {
        self.session.unsent.finish();
        self.session.abandoned.cancel();
        self.close();
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.session.over.cancel();
    }
}
