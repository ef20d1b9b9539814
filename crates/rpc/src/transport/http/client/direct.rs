//! A link without a session: every POST stands alone. A server that needs to call back answers by a stream and asks on it;
//! closing the POST is how a call is cancelled.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use tracing::warn;

use super::Streams;
use super::destination::Destination;
use super::events;
use super::exchange::Answer;
use super::exchange::Exchange;
use super::gate::Gate;
use super::undelivered::Undelivered;
use crate::error::CallError;
use crate::error::Closed;
use crate::error::Lost;
use crate::link;
use crate::link::Arrival;
use crate::link::Link;
use crate::link::Outgoing;
use crate::link::Ticket;
use crate::message::Id;
use crate::message::Malformed;
use crate::message::Message;
use crate::transport::http;
use crate::transport::http::Failure;
use crate::transport::http::Kind;

/// Makes a link to a URL; nothing is sent yet.
pub(super) fn link(exchange: Arc<Exchange>, streams: Streams) -> Link {
    let (arrivals, incoming) = link::channel();
    let shared = Arc::new(Shared {
        to: exchange.single(),
        exchange,
        arrivals,
        gate: Gate::default(),
        posts: Mutex::default(),
        asked: Mutex::default(),
        n_asked: AtomicU64::new(0),
        streams,
        undelivered: Undelivered::default(),
        over: CancellationToken::new(),
    });
    Link {
        outgoing: Arc::new(Out { shared }),
        incoming,
        back_channel: true,
    }
}

struct Shared {
    exchange: Arc<Exchange>,
    to: Destination,
    arrivals: mpsc::UnboundedSender<Arrival>,
    gate: Gate,
    /// The POSTs of requests under way, by request.
    posts: Mutex<HashMap<Id, AbortHandle>>,
    /// What servers asked on streams, by the id that we gave it: ids of two servers may be equal.
    asked: Mutex<HashMap<Id, Asked>>,
    n_asked: AtomicU64,
    streams: Streams,
    undelivered: Undelivered,
    over: CancellationToken,
}

/// A server's request on the stream of one of ours.
#[derive(Clone, Debug)]
struct Asked {
    /// As the server calls it.
    id: Id,
    /// Which process of the server asks, if it said so.
    instance: Option<String>,
    /// Our request that it serves.
    about: Id,
}

/// The outgoing half. Its end is the link's.
struct Out {
    shared: Arc<Shared>,
}

impl Shared {
    fn arrive(&self, arrival: Arrival) {
        // A link that nobody reads any more is being dropped.
        let _ = self.arrivals.send(arrival);
    }

    fn fail(&self, id: &Id, failure: Failure) {
        self.arrive(Arrival::Failed {
            id: id.clone(),
            error: CallError::Http(failure),
        });
    }

    async fn request(&self, id: Id, body: Vec<u8>) {
        let body = Bytes::from(body);
        let mut patience = self.exchange.patience();
        let posted = loop {
            let posted = self.exchange.post(&self.to, None, body.clone()).await;
            let Some(wait) = patience.wait_after(&posted) else {
                break posted;
            };
            tokio::time::sleep(wait).await;
        };
        match posted {
            Ok(Answer::Message(text)) => self.on_answer(&id, &text),
            Ok(Answer::Stream(stream)) => {
                self.streams.see();
                self.read(&id, *stream).await;
            }
            Ok(Answer::Nothing) => {
                self.fail(
                    &id,
                    Failure::new(
                        Kind::Unknown,
                        "the server took the request and answered nothing",
                    ),
                );
            }
            Err(failure) => self.fail(&id, failure),
        }
        self.posts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, asked| asked.about != id);
    }

    fn on_answer(&self, id: &Id, text: &str) {
        match Message::decode(text) {
            Ok(Message::Response(response)) if response.id == *id => {
                self.arrive(Arrival::Message(Message::Response(response)));
            }
            Ok(Message::Response(response)) => {
                let why = format!("it is the answer to another request, {}", response.id);
                self.unreadable(id, &why);
            }
            Err(Malformed::Unattributed(error)) => {
                self.arrive(Arrival::Failed {
                    id: id.clone(),
                    error: CallError::Remote(error),
                });
            }
            Ok(_) => self.unreadable(id, "a request came where the answer should be"),
            Err(malformed) => self.unreadable(id, &format!("{malformed:?}")),
        }
    }

    fn unreadable(&self, id: &Id, why: &str) {
        self.arrive(Arrival::Lost {
            id: id.clone(),
            lost: Lost::Malformed {
                why: why.to_owned(),
            },
        });
    }

    /// Reads the stream of one request until its answer.
    async fn read(&self, id: &Id, mut stream: events::Stream) {
        let instance = stream.instance().map(str::to_owned);
        loop {
            let event = match stream.next().await {
                Ok(event) => event,
                Err(why) => {
                    return self.fail(
                        id,
                        Failure::new(Kind::Unknown, format!("{why}, before the answer")),
                    );
                }
            };
            match Message::decode(&event.data) {
                Ok(Message::Response(response)) if response.id == *id => {
                    return self.arrive(Arrival::Message(Message::Response(response)));
                }
                Ok(Message::Request(mut request)) => {
                    let asked = Asked {
                        id: request.id,
                        instance: instance.clone(),
                        about: id.clone(),
                    };
                    request.id = self.list(asked);
                    self.arrive(Arrival::Message(Message::Request(request)));
                }
                Ok(message) => self.arrive(Arrival::Message(message)),
                Err(malformed) => self.arrive(Arrival::Malformed(malformed)),
            }
        }
    }

    fn list(&self, asked: Asked) -> Id {
        let id = Id::Number(self.n_asked.fetch_add(1, Ordering::Relaxed).cast_signed());
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.clone(), asked);
        id
    }

    /// Delivers our answer to a server's request, to the very process that asked.
    async fn answer(&self, asked: Asked, body: Vec<u8>) {
        let instance = asked.instance.as_deref();
        let delivered = self.exchange.deliver(&self.to, instance, body.into());
        let failure = match delivered.await {
            Err(failure) => failure,
            // Nobody waits for it there, whatever the error says of sessions.
            Ok(Answer::Message(text)) if http::failure::error_in(&text).is_some() => {
                Failure::new(Kind::Refused, "the server does not know the request")
            }
            Ok(_) => return,
        };
        warn!(%failure, "an answer to a server's request could not be delivered");
        // The component waits for it in vain; so does whoever waits for the component.
        let what =
            format!("an answer that the component asked for could not be delivered: {failure}");
        self.fail(&asked.about, Failure::new(Kind::Unknown, what));
        self.abort(&asked.about);
    }

    fn abort(&self, id: &Id) -> bool {
        let post = self
            .posts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
        post.map(|post| post.abort()).is_some()
    }

    async fn notify(&self, body: Vec<u8>) {
        let delivered = self.exchange.deliver(&self.to, None, body.into());
        if let Err(failure) = delivered.await {
            warn!(%failure, "a notification could not be delivered");
        }
    }
}

impl Outgoing for Out {
    fn send(&self, message: Message, _about: Option<&Id>) -> Result<Ticket, Closed> {
        if self.shared.over.is_cancelled() {
            return Err(Closed::ByUs);
        }
        let shared = Arc::clone(&self.shared);
        match message {
            Message::Request(request) => {
                let turn = shared.gate.turn();
                let id = request.id.clone();
                let body = encode(Message::Request(request));
                let listed = id.clone();
                // Listed before it can end: the lock is held until it is.
                let mut posts = self
                    .shared
                    .posts
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                let post = tokio::spawn(async move {
                    turn.come().await;
                    shared.request(id, body).await;
                });
                posts.insert(listed, post.abort_handle());
            }
            Message::Response(mut response) => {
                let asked = shared
                    .asked
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&response.id);
                let Some(asked) = asked else {
                    debug!(id = %response.id, "an answer that nobody waits for any more dropped");
                    return Ok(Ticket(0));
                };
                response.id = asked.id.clone();
                let body = encode(Message::Response(response));
                let held = shared.undelivered.hold(body.len());
                tokio::spawn(async move {
                    shared.answer(asked, body).await;
                    drop(held);
                });
            }
            // The request stood in a stream, and nothing says which server would know of it by another POST.
            Message::Unattributed(error) => {
                debug!(%error, "an error about no request in particular dropped");
            }
            Message::Notification(notification) => {
                let (turn, pass) = shared.gate.notification();
                let body = encode(Message::Notification(notification));
                tokio::spawn(async move {
                    turn.come().await;
                    shared.notify(body).await;
                    drop(pass);
                });
            }
        }
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

    fn queued_answers(&self) -> usize {
        self.shared.undelivered.bytes()
    }

    /// Without a session, closing the POST is the cancel.
    fn forget(&self, id: &Id) -> bool {
        self.shared.abort(id);
        true
    }

    fn close(&self) {
        self.shared.over.cancel();
        for (_, post) in self
            .shared
            .posts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain()
        {
            post.abort();
        }
        self.shared.arrive(Arrival::Ended(Closed::ByUs));
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.close();
    }
}

fn encode(message: Message) -> Vec<u8> {
    let mut body = Vec::with_capacity(message.size());
    message.encode(&mut body);
    body
}
