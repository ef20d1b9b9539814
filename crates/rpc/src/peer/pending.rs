//! The calls that wait for an answer. Registering a waiter and handing over its request are one act under one lock, so
//! an answer never finds nobody, and the end of the link never misses a waiter.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use tracing::debug;

use super::Cancel;
use super::CancelParams;
use super::Shared;
use crate::error::CallError;
use crate::error::Closed;
use crate::link::Ticket;
use crate::message::Id;
use crate::message::Json;
use crate::message::Message;
use crate::message::Notification;
use crate::router::Notice;

type Outcome = Result<Json, CallError>;

struct Waiter {
    ticket: Ticket,
    wake: oneshot::Sender<Outcome>,
}

#[derive(Default)]
struct Table {
    /// The ids are our own, so nobody can choose them to collide.
    waiters: HashMap<Id, Waiter, foldhash::fast::RandomState>,
    closed: Option<Closed>,
}

/// The table of waiting calls.
#[derive(Default)]
pub(super) struct Pending {
    table: Mutex<Table>,
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(
        &self,
        id: &Id,
        hand_over: impl FnOnce() -> Result<Ticket, Closed>,
    ) -> Result<oneshot::Receiver<Outcome>, Closed> {
        let mut table = self.lock();
        if let Some(closed) = &table.closed {
            return Err(closed.clone());
        }
        let ticket = hand_over()?;
        let (wake, woken) = oneshot::channel();
        table.waiters.insert(id.clone(), Waiter { ticket, wake });
        Ok(woken)
    }

    /// Wakes the waiter of a call; `false` when nobody waits.
    pub(super) fn resolve(&self, id: &Id, outcome: Outcome) -> bool {
        let Some(waiter) = self.lock().waiters.remove(id) else {
            return false;
        };
        waiter.wake.send(outcome).is_ok()
    }

    pub(super) fn contains(&self, id: &Id) -> bool {
        self.lock().waiters.contains_key(id)
    }

    fn forget(&self, id: &Id) -> Option<Ticket> {
        self.lock().waiters.remove(id).map(|waiter| waiter.ticket)
    }

    /// Wakes every waiter and refuses new ones.
    pub(super) fn close(&self, why: &Closed, may_have_left: impl Fn(Ticket) -> bool) {
        let waiters = {
            let mut table = self.lock();
            table.closed = Some(why.clone());
            std::mem::take(&mut table.waiters)
        };
        for waiter in waiters.into_values() {
            let error = match may_have_left(waiter.ticket) {
                true => CallError::Unknown(why.clone()),
                false => CallError::NotSent(why.clone()),
            };
            // A caller that left in the meantime needs no waking.
            let _ = waiter.wake.send(Err(error));
        }
    }
}

/// A call that was handed over. Dropping it forgets the call, and cancels it on the other side.
pub(super) struct Waiting {
    shared: Arc<Shared>,
    id: Id,
    about: Option<Id>,
    woken: oneshot::Receiver<Outcome>,
}

impl Waiting {
    pub(super) fn send(
        shared: &Arc<Shared>,
        id: Id,
        request: Message,
        about: Option<&Id>,
    ) -> Result<Waiting, CallError> {
        let woken = shared
            .pending
            .register(&id, || shared.send(request, about))
            .map_err(CallError::NotSent)?;
        Ok(Waiting {
            shared: Arc::clone(shared),
            id,
            about: about.cloned(),
            woken,
        })
    }

    pub(super) async fn answer(mut self) -> Outcome {
        let woken =
            std::future::poll_fn(|context| std::pin::Pin::new(&mut self.woken).poll(context));
        woken
            .await
            .unwrap_or_else(|_| Err(CallError::Unknown(self.shared.why_closed())))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.shared.pending.forget(&self.id).is_none() {
            return;
        }
        if self.shared.outgoing.forget(&self.id)
            || !self.shared.peer_takes_cancel.load(Ordering::Relaxed)
        {
            return;
        }
        let params = CancelParams {
            id: self.id.clone(),
            reason: None,
        };
        let params = Json::of(&params).expect("an id and a text are JSON");
        let cancel = Message::Notification(Notification {
            method: Cancel::NAME.into(),
            params,
        });
        if let Err(closed) = self.shared.send(cancel, self.about.as_ref()) {
            debug!(id = %self.id, %closed, "nobody left to cancel at");
        }
    }
}
