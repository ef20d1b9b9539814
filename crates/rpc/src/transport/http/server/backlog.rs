//! How much waits to be written to one client; those that can wait do so while it is too much.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

/// Callers that can wait do so while more than this is queued.
const HIGH_WATER_BYTES: usize = 1024 * 1024;

/// Counts what is queued.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    queued: AtomicUsize,
    drained: Notify,
}

impl Backlog {
    pub(super) fn bytes(&self) -> usize {
        self.queued.load(Ordering::Acquire)
    }

    pub(super) fn add(&self, bytes: usize) {
        self.queued.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(super) fn remove(&self, bytes: usize) {
        let before = self.queued.fetch_sub(bytes, Ordering::AcqRel);
        if before > HIGH_WATER_BYTES && before - bytes <= HIGH_WATER_BYTES {
            self.drained.notify_waiters();
        }
    }

    /// Waits while too much is queued; `None` where it is not.
    pub(super) fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        (self.bytes() > HIGH_WATER_BYTES).then(|| self.drained().boxed())
    }

    async fn drained(&self) {
        loop {
            let drained = self.drained.notified();
            if self.bytes() <= HIGH_WATER_BYTES {
                return;
            }
            drained.await;
        }
    }
}
