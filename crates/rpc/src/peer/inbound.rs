//! The requests of the other side that are being answered: admission, and the race between finishing and cancelling,
//! which ends in one answer.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::error::ErrorCode;
use crate::error::RpcError;
use crate::message::Id;

/// The table of running handlers.
pub(super) struct Inbound {
    limit: usize,
    table: Mutex<Table>,
    /// Told when the last one was answered.
    idle: Notify,
}

#[derive(Default)]
struct Table {
    /// The ids are chosen by the other side: the seed is not, and the table is bounded.
    running: HashMap<Id, AbortHandle, foldhash::quality::RandomState>,
    /// Those that have finished and whose answer is being handed over.
    n_answering: usize,
}

/// Held while an answer is handed over.
pub(super) struct Answering<'a>(&'a Inbound);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        let mut table = self.0.lock();
        table.n_answering -= 1;
        if table.is_idle() {
            self.0.idle.notify_waiters();
        }
    }
}

impl Table {
    fn is_idle(&self) -> bool {
        self.running.is_empty() && self.n_answering == 0
    }
}

impl Inbound {
    pub(super) fn new(limit: usize) -> Self {
        Inbound {
            limit,
            table: Mutex::default(),
            idle: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a handler, or says why not. Admission comes after reading, so that answers are never stuck behind requests.
    pub(super) fn admit(
        &self,
        id: &Id,
        start: impl FnOnce() -> AbortHandle,
    ) -> Result<(), RpcError> {
        let Table { running, .. } = &mut *self.lock();
        if running.contains_key(id) {
            let text = format!("the id {id} is already in use by a request that is being answered");
            return Err(RpcError::new(ErrorCode::INVALID_REQUEST, text));
        }
        if running.len() >= self.limit {
            let text = format!(
                "{} requests are being answered, which is the limit",
                self.limit
            );
            return Err(RpcError::new(ErrorCode::BUSY, text));
        }
        // Started under the lock: a handler that is done at once waits here until it is listed.
        running.insert(id.clone(), start());
        Ok(())
    }

    /// Takes the request off the list to be answered; `None` when it was cancelled and answered already.
    pub(super) fn finish(&self, id: &Id) -> Option<Answering<'_>> {
        let mut table = self.lock();
        table.running.remove(id)?;
        table.n_answering += 1;
        Some(Answering(self))
    }

    /// Waits until everything is answered.
    pub(super) async fn idle(&self) {
        loop {
            let mut told = std::pin::pin!(self.idle.notified());
            told.as_mut().enable();
            if self.lock().is_idle() {
                return;
            }
            told.await;
        }
    }

    /// Stops a handler; `false` when there is none.
    pub(super) fn cancel(&self, id: &Id) -> bool {
        let mut table = self.lock();
        let Some(handler) = table.running.remove(id) else {
            return false;
        };
        handler.abort();
        if table.is_idle() {
            self.idle.notify_waiters();
        }
        true
    }

    pub(super) fn cancel_all(&self) {
        for handler in std::mem::take(&mut self.lock().running).into_values() {
            handler.abort();
        }
    }
}
