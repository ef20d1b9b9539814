//! The requests of the other side that are being answered: admission, and the race between finishing and cancelling,
//! which ends in one answer.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::task::AbortHandle;

use crate::error::ErrorCode;
use crate::error::RpcError;
use crate::message::Id;

/// The table of running handlers.
pub(super) struct Inbound {
    limit: usize,
    running: Mutex<HashMap<Id, AbortHandle>>,
}

impl Inbound {
    pub(super) fn new(limit: usize) -> Self {
        Inbound {
            limit,
            running: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, AbortHandle>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a handler, or says why not. Admission comes after reading, so that answers are never stuck behind requests.
    pub(super) fn admit(
        &self,
        id: &Id,
        start: impl FnOnce() -> AbortHandle,
    ) -> Result<(), RpcError> {
        let mut running = self.lock();
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

    /// Takes the request off the list; `false` when it was cancelled and answered already.
    pub(super) fn finish(&self, id: &Id) -> bool {
        self.lock().remove(id).is_some()
    }

    /// Stops a handler; `false` when there is none.
    pub(super) fn cancel(&self, id: &Id) -> bool {
        let Some(handler) = self.lock().remove(id) else {
            return false;
        };
        handler.abort();
        true
    }

    pub(super) fn cancel_all(&self) {
        for handler in std::mem::take(&mut *self.lock()).into_values() {
            handler.abort();
        }
    }
}
