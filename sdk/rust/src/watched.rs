//! A link over stdin and stdout, watched from outside: what follows a greeting waits for its answer, and calls that are about
//! to answer when stdin ends may still do so. Never looks inside params.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use stepflow_protocol::lifecycle::Initialize;
use stepflow_rpc::Arrival;
use stepflow_rpc::Closed;
use stepflow_rpc::Id;
use stepflow_rpc::Link;
use stepflow_rpc::Message;
use stepflow_rpc::Method;
use stepflow_rpc::Outgoing;
use stepflow_rpc::Request;
use stepflow_rpc::link::Ticket;
use tokio::sync::Notify;

/// Enough for those about to answer, and for `printf … | server`; whoever reads is gone, or soon will be.
const GRACE: Duration = Duration::from_millis(250);
/// How often we look whether the last answer is written, once it is there.
const LOOK: Duration = Duration::from_millis(1);

/// The same link, with two differences. Whoever writes everything at once, as `printf … | server` does, finds its greeting
/// answered before the rest is looked at. And it ends a moment after the other side ended it: when all is answered and
/// written, or the time is over.
pub(crate) fn watch(link: Link) -> Link {
    let watched = Arc::new(Watched {
        outgoing: link.outgoing,
        open: Mutex::default(),
        greeting: Mutex::default(),
        answered: Notify::new(),
    });
    let outgoing = Arc::clone(&watched);
    let incoming = link.incoming.then(move |arrival| {
        let watched = Arc::clone(&watched);
        async move {
            watched.greeted().await;
            match &arrival {
                Arrival::Message(Message::Request(request)) => watched.note(request),
                // What was lost by an error cannot be answered either.
                Arrival::Ended(Closed::ByPeer) => {
                    let _ = tokio::time::timeout(GRACE, watched.drained()).await;
                }
                _ => {}
            }
            arrival
        }
    });
    Link {
        outgoing,
        incoming: incoming.boxed(),
        back_channel: link.back_channel,
    }
}

struct Watched {
    outgoing: Arc<dyn Outgoing>,
    /// The requests that were not answered yet.
    open: Mutex<HashSet<Id>>,
    /// The one that nothing overtakes.
    greeting: Mutex<Option<Id>>,
    answered: Notify,
}

impl Watched {
    fn lock(&self) -> MutexGuard<'_, HashSet<Id>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, request: &Request) {
        self.lock().insert(request.id.clone());
        if request.method == Initialize::NAME {
            let mut greeting = self.greeting.lock().unwrap_or_else(PoisonError::into_inner);
            *greeting = Some(request.id.clone());
        }
    }

    /// Waits until a greeting, if there was one, is answered.
    async fn greeted(&self) {
        let greeting = self
            .greeting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(id) = greeting {
            self.until(|open| !open.contains(&id)).await;
        }
    }

    async fn until(&self, is_so: impl Fn(&HashSet<Id>) -> bool) {
        loop {
            let answered = self.answered.notified();
            if is_so(&self.lock()) {
                return;
            }
            answered.await;
        }
    }

    async fn drained(&self) {
        self.until(HashSet::is_empty).await;
        while self.outgoing.queued() > 0 {
            tokio::time::sleep(LOOK).await;
        }
        // What is no pipe is flushed after it was written.
        tokio::time::sleep(LOOK).await;
    }
}

impl Outgoing for Watched {
    fn send(&self, message: Message, about: Option<&Id>) -> Result<Ticket, Closed> {
        let answered = match &message {
            Message::Response(response) => Some(response.id.clone()),
            Message::Request(_) | Message::Notification(_) => None,
        };
        let sent = self.outgoing.send(message, about);
        if let Some(id) = answered {
            self.lock().remove(&id);
            self.answered.notify_one();
        }
        sent
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

    fn abandon(&self) {
        self.outgoing.abandon();
    }
}
