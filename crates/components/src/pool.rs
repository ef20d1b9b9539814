//! The instances of one server and the calls that are under way on them: the least busy takes the next call, and only so
//! many calls run at once. Must not know what a call is.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;

use crate::options::Restart;
use crate::supervisor::Connect;
use crate::supervisor::Life;
use crate::supervisor::Supervisor;
use crate::supervisor::Unavailable;

/// The supervised instances of a server, started when the first call asks for one.
#[derive(Debug)]
pub(crate) struct Pool<L> {
    instances: Vec<Instance<L>>,
    slots: Option<Semaphore>,
}

#[derive(Debug)]
struct Instance<L> {
    supervisor: Supervisor<L>,
    in_flight: AtomicUsize,
}

impl<L: Life> Pool<L> {
    /// So many instances, each from a connector of its own.
    pub(crate) fn new<C: Connect<Life = L>>(
        name: &Arc<str>,
        count: usize,
        connector: impl Fn() -> C,
        restart: &Restart,
        max_in_flight: Option<usize>,
    ) -> Self {
        let instance = |_| Instance {
            supervisor: Supervisor::start(Arc::clone(name), connector(), restart.clone()),
            in_flight: AtomicUsize::new(0),
        };
        Pool {
            instances: (0..count.max(1)).map(instance).collect(),
            slots: max_in_flight.map(Semaphore::new),
        }
    }

    /// Waits until one more call may run.
    pub(crate) async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        match &self.slots {
            None => None,
            Some(slots) => Some(
                slots
                    .acquire()
                    .await
                    .expect("the semaphore is never closed"),
            ),
        }
    }

    /// A server that takes calls: an instance that has failed fails calls only when all have.
    pub(crate) async fn ready(&self) -> Result<(Arc<L>, Busy<'_>), Unavailable> {
        loop {
            let instance = self.least_busy();
            let busy = Busy::on(&instance.in_flight);
            match instance.supervisor.ready().await {
                Ok(ready) => return Ok((ready, busy)),
                Err(why) if self.instances.iter().all(|it| it.supervisor.has_failed()) => {
                    return Err(why);
                }
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    /// An instance that fails at once is never busy: it comes last all the same.
    fn least_busy(&self) -> &Instance<L> {
        let rank = |it: &Instance<L>| {
            (
                it.supervisor.trouble(),
                it.in_flight.load(Ordering::Relaxed),
            )
        };
        let least = self.instances.iter().min_by_key(|it| rank(it));
        least.expect("there is at least one instance")
    }

    /// Ends all instances and waits until their processes are gone.
    pub(crate) async fn shut_down(&self) {
        futures_util::future::join_all(self.instances.iter().map(|it| it.supervisor.shut_down()))
            .await;
    }
}

/// Counts a call for as long as it lives.
pub(crate) struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn on(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Busy(count)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
