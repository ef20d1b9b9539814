//! Two linked ends in one process, without bytes: what most tests run on, and proof that the peer needs no wire.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::error::Closed;
use crate::link::Arrival;
use crate::link::Link;
use crate::link::Outgoing;
use crate::link::Ticket;
use crate::message::Id;
use crate::message::Message;

/// Two links, each the other's far end.
pub fn pair() -> (Link, Link) {
    let (left_out, right_in) = mpsc::unbounded_channel();
    let (right_out, left_in) = mpsc::unbounded_channel();
    (end(left_out, left_in), end(right_out, right_in))
}

fn end(out: mpsc::UnboundedSender<Message>, incoming: mpsc::UnboundedReceiver<Message>) -> Link {
    let incoming = futures_util::stream::unfold(Some(incoming), |incoming| async {
        let mut incoming = incoming?;
        match incoming.recv().await {
            Some(message) => Some((Arrival::Message(message), Some(incoming))),
            None => Some((Arrival::Ended(Closed::ByPeer), None)),
        }
    });
    Link {
        outgoing: Arc::new(Out {
            channel: Mutex::new(Some(out)),
        }),
        incoming: Box::pin(incoming),
        back_channel: true,
    }
}

struct Out {
    channel: Mutex<Option<mpsc::UnboundedSender<Message>>>,
}

impl Outgoing for Out {
    fn send(&self, message: Message, _about: Option<&Id>) -> Result<Ticket, Closed> {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = channel.as_ref().ok_or(Closed::ByUs)?;
        channel.send(message).map_err(|_| Closed::ByPeer)?;
        Ok(Ticket(0))
    }

    // A queue in memory holds messages, not copies: what its callers hold anyway.
    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }

    fn may_have_left(&self, _ticket: Ticket) -> bool {
        true
    }

    fn queued(&self) -> usize {
        0
    }

    fn close(&self) {
        self.channel
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}
