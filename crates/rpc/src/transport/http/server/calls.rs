//! The requests under way, whichever way they came: how many there may be, and their end with the server.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Options;
use super::answer::Refusal;

/// What everybody is told whose call or session ends with the server.
pub(super) const ENDING: &str = "the server is ending";

/// Admits requests while there is room and the server does not end.
pub(super) struct Calls {
    room: Arc<Semaphore>,
    limit: u32,
    retry_after: Duration,
    is_draining: AtomicBool,
    /// The grace is over.
    ended: CancellationToken,
}

impl Calls {
    pub(super) fn new(options: &Options) -> Self {
        let limit = options.max_calls.min(u32::MAX >> 4);
        Calls {
            room: Arc::new(Semaphore::new(limit as usize)),
            limit,
            retry_after: options.retry_after,
            is_draining: AtomicBool::new(false),
            ended: CancellationToken::new(),
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// Refuses whatever is new once the server ends.
    pub(super) fn check_open(&self) -> Result<(), Refusal> {
        if self.is_draining() {
            return Err(Refusal::ending(ENDING, self.retry_after));
        }
        Ok(())
    }

    /// Makes room for one more request, until the permit is dropped.
    pub(super) fn admit(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.check_open()?;
        Arc::clone(&self.room).try_acquire_owned().map_err(|_full| {
            let text = format!("{} requests are under way, which is the limit", self.limit);
            Refusal::busy(&text, self.retry_after)
        })
    }

    pub(super) fn running(&self) -> usize {
        (self.limit as usize).saturating_sub(self.room.available_permits())
    }

    /// Takes no more requests, and waits for those that are under way, as long as they may take.
    pub(super) async fn drain(&self, grace: Duration) {
        self.is_draining.store(true, Ordering::Release);
        tokio::select! {
            _all = self.room.acquire_many(self.limit) => {}
            () = tokio::time::sleep(grace) => {}
            () = self.ended.cancelled() => {}
        }
        self.end();
    }

    /// Has everything end now.
    pub(super) fn end(&self) {
        self.is_draining.store(true, Ordering::Release);
        self.ended.cancel();
    }

    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}
