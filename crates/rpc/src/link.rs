//! What a transport is to the peer: a place to put outgoing messages, a stream of arrivals that ends with a reason,
//! and whether requests can go back. Sessions, reconnects and negotiation live behind it; this side never hears of them.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::error::CallError;
use crate::error::Closed;
use crate::error::Lost;
use crate::message::Id;
use crate::message::Malformed;
use crate::message::Message;

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

    /// Ends the outgoing direction and drops what is queued: what was not sent by now is never sent.
    fn abandon(&self) {
        self.close();
    }
}
