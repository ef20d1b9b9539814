//! Looking at a link without taking part in it: every message that passes is shown to a [`Tap`], and goes on as it was.

use std::fmt;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;

use super::Arrival;
use super::Link;
use super::Outgoing;
use super::Ticket;
use crate::error::Closed;
use crate::message::Id;
use crate::message::Message;

/// Sees what passes over a link, in the order in which it passes.
///
/// It is called where messages travel, so what it does is waited for. Ids are those that the peer sees: a link without a
/// session gives the other side's requests ids of its own.
pub trait Tap: fmt::Debug + Send + Sync + 'static {
    /// A message is about to be handed to the link.
    fn sent(&self, message: &Message);

    /// Something came, or the link is over.
    fn received(&self, arrival: &Arrival);
}

impl Link {
    /// The same link, with somebody who looks on.
    #[must_use]
    pub fn tapped(self, tap: Arc<dyn Tap>) -> Link {
        let looking_on = Arc::clone(&tap);
        Link {
            outgoing: Arc::new(Tapped {
                outgoing: self.outgoing,
                tap,
            }),
            incoming: self
                .incoming
                .inspect(move |arrival| looking_on.received(arrival))
                .boxed(),
            back_channel: self.back_channel,
        }
    }
}

/// The outgoing half of a link that somebody looks at.
struct Tapped {
    outgoing: Arc<dyn Outgoing>,
    tap: Arc<dyn Tap>,
}

impl Outgoing for Tapped {
    fn send(&self, message: Message, about: Option<&Id>) -> Result<Ticket, Closed> {
        // Shown first: its answer may come before `send` returns.
        self.tap.sent(&message);
        self.outgoing.send(message, about)
    }

    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        self.outgoing.ready()
    }

    fn may_have_left(&self, ticket: Ticket) -> bool {
        self.outgoing.may_have_left(ticket)
    }

    fn queued(&self) -> usize {
        self.outgoing.queued()
    }

    fn queued_answers(&self) -> usize {
        self.outgoing.queued_answers()
    }

    fn forget(&self, id: &Id) -> bool {
        self.outgoing.forget(id)
    }

    fn close(&self) {
        self.outgoing.close();
    }

    fn written(&self) -> BoxFuture<'_, ()> {
        self.outgoing.written()
    }

    fn abandon(&self) {
        self.outgoing.abandon();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::Router;
    use crate::peer;
    use crate::transport::memory;

    crate::method!(Double, "double", i64 => i64);

    #[derive(Debug, Default)]
    struct Seen(Mutex<Vec<String>>);

    impl Seen {
        fn note(&self, way: &str, message: &Message) {
            let mut text = Vec::new();
            message.encode(&mut text);
            let text: serde_json::Value = serde_json::from_slice(&text).unwrap();
            let body = text.get("params").or_else(|| text.get("result")).unwrap();
            self.0.lock().unwrap().push(format!("{way} {body}"));
        }
    }

    impl Tap for Seen {
        fn sent(&self, message: &Message) {
            self.note("→", message);
        }

        fn received(&self, arrival: &Arrival) {
            match arrival {
                Arrival::Message(message) => self.note("←", message),
                other => self.0.lock().unwrap().push(format!("{other:?}")),
            }
        }
    }

    #[tokio::test]
    async fn what_passes_is_seen_in_order_and_goes_on() {
        let (left, right) = memory::pair();
        let double = Router::new(()).method::<Double, _, _>(|_, it| async move { Ok(it * 2) });
        let server = peer::connect(right, double);
        let seen = Arc::new(Seen::default());
        let tap: Arc<dyn Tap> = Arc::clone(&seen) as _;
        let client = peer::connect(left.tapped(tap), Router::new(()));
        assert_eq!(client.peer().call::<Double>(&4).await.unwrap(), 8);
        drop(server);
        client.closed().await;
        let seen = seen.0.lock().unwrap().clone();
        assert_eq!(seen, ["→ 4", "← 8", "Ended(ByPeer)"]);
    }
}
