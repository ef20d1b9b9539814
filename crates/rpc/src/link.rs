//! What a transport is to the peer: a place to put outgoing messages, a stream of arrivals that ends with a reason,
//! and whether requests can go back. Sessions, reconnects and negotiation live behind it; this side never hears of them.

mod tap;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use futures_util::FutureExt;
use futures_util::Stream;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;

use crate::error::CallError;
use crate::error::Closed;
use crate::error::Lost;
use crate::message::Id;
use crate::message::Malformed;
use crate::message::Message;
pub use tap::Tap;

/// One connection, before a peer runs on it.
pub struct Link {
    /// Where messages to the other side go.
    pub outgoing: Arc<dyn Outgoing>,
    /// What comes from the other side; its last item is [`Arrival::Ended`].
    pub incoming: BoxStream<'static, Arrival>,
    /// Whether the other side's requests can be answered, and ours reach it, at any time.
    pub back_channel: bool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("back_channel", &self.back_channel)
            .finish_non_exhaustive()
    }
}

/// What a link delivers.
#[derive(Debug)]
pub enum Arrival {
    /// A message.
    Message(Message),
    /// Something that is no message.
    Malformed(Malformed),
    /// The answer to this call will not come, although the link lives.
    Lost {
        /// The id of the call.
        id: Id,
        /// Why.
        lost: Lost,
    },
    /// This call failed on its way, although the link lives.
    Failed {
        /// The id of the call.
        id: Id,
        /// What its caller is told.
        error: CallError,
    },
    /// A request arrived that was too long to be read: it gets an error, nothing else happens.
    Oversized {
        /// The id of the request.
        id: Id,
        /// Its length in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The link is over.
    Ended(Closed),
}

/// Arrivals until they end by themselves or a future says why they are over, whichever comes first.
pub(crate) struct Ending<S> {
    arrivals: S,
    /// Asked before every arrival, so that nobody who goes on talking can put it off. Gone when the last was delivered.
    end: Option<BoxFuture<'static, Closed>>,
    explain: Option<Explain>,
    is_over: bool,
}

/// Finds out more about an end than the arrivals themselves could tell.
type Explain = Box<dyn FnOnce(Closed) -> BoxFuture<'static, Closed> + Send>;

impl<S> Ending<S> {
    pub(crate) fn new(arrivals: S, end: impl Future<Output = Closed> + Send + 'static) -> Self {
        Ending {
            arrivals,
            end: Some(end.boxed()),
            explain: None,
            is_over: false,
        }
    }

    /// Has somebody look into the end of the arrivals before it is told.
    pub(crate) fn explained(
        mut self,
        explain: impl FnOnce(Closed) -> BoxFuture<'static, Closed> + Send + 'static,
    ) -> Self {
        self.explain = Some(Box::new(explain));
        self
    }
}

impl<S: Stream<Item = Arrival> + Unpin> Stream for Ending<S> {
    type Item = Arrival;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Arrival>> {
        let this = &mut *self;
        loop {
            let Some(end) = &mut this.end else {
                return Poll::Ready(None);
            };
            if let Poll::Ready(why) = end.poll_unpin(context) {
                this.end = None;
                return Poll::Ready(Some(Arrival::Ended(why)));
            }
            if this.is_over {
                return Poll::Pending;
            }
            let why = match ready!(this.arrivals.poll_next_unpin(context)) {
                Some(Arrival::Ended(why)) => why,
                None => Closed::ByPeer,
                arrival => return Poll::Ready(arrival),
            };
            this.is_over = true;
            this.end = Some(match this.explain.take() {
                Some(explain) => explain(why),
                None => std::future::ready(why).boxed(),
            });
        }
    }
}

/// A link's incoming half that several parts of a transport feed. It ends when all of them are gone.
pub(crate) fn channel() -> (mpsc::UnboundedSender<Arrival>, BoxStream<'static, Arrival>) {
    let (arrivals, mut incoming) = mpsc::unbounded_channel();
    let incoming = stream::poll_fn(move |context| incoming.poll_recv(context));
    (arrivals, incoming.boxed())
}

/// The position of a message in a link's outgoing order; later messages have greater tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// The outgoing half of a link.
///
/// [`Outgoing::send`] never waits, so it may be called where an arrival is handled; callers that can wait ask
/// [`Outgoing::ready`] first, which is how a full pipe slows them down and nobody else.
pub trait Outgoing: Send + Sync + 'static {
    /// Hands a message over; `about` names the request of the other side that it belongs to, if any.
    ///
    /// # Errors
    /// [`Closed`] when the link is over.
    fn send(&self, message: Message, about: Option<&Id>) -> Result<Ticket, Closed>;

    /// Waits while so much is queued that more should wait; `None` where nothing does.
    fn ready(&self) -> Option<BoxFuture<'_, ()>>;

    /// Whether bytes of this message may have reached the other side.
    fn may_have_left(&self, ticket: Ticket) -> bool;

    /// How many bytes are queued.
    fn queued(&self) -> usize;

    /// How many of them are answers to the other side's requests.
    fn queued_answers(&self) -> usize {
        0
    }

    /// Told that nobody waits for this call's answer any more; `true` where that is all the other side needs to hear.
    fn forget(&self, _id: &Id) -> bool {
        false
    }

    /// Sends what is queued, then ends the outgoing direction. Does not wait.
    fn close(&self);

    /// After [`Outgoing::close`]: waits until all is written, or never will be.
    fn written(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }

    /// Ends the outgoing direction and drops what is queued: what was not sent by now is never sent.
    fn abandon(&self) {
        self.close();
    }
}
