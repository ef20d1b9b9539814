//! The instances of one server and the calls that are under way on them: the least busy takes the next call, and only so
//! many calls run at once. Must not know what a call is.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::options::Restart;
use crate::supervisor::Connect;
use crate::supervisor::Life;
use crate::supervisor::Supervisor;
use crate::supervisor::Unavailable;

/// The supervised instances of a server, started when the first call asks for one.
#[derive(Debug)]
pub(crate) struct Pool<L> {
    instances: Vec<Instance<L>>,
    slots: Option<Arc<Semaphore>>,
}

/// The right to run one call, where there is a limit.
#[derive(Debug)]
pub(crate) struct Slot(Option<Place>);

#[derive(Debug)]
struct Place {
    slots: Arc<Semaphore>,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
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
            slots: max_in_flight.map(|most| Arc::new(Semaphore::new(most))),
        }
    }

    /// Waits until one more call may run.
    pub(crate) async fn slot(&self) -> Slot {
        let Some(slots) = &self.slots else {
            return Slot(None);
        };
        let place = Place {
            slots: Arc::clone(slots),
            permit: Mutex::default(),
        };
        place.take().await;
        Slot(Some(place))
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

impl Slot {
    /// Lets another call have it meanwhile.
    pub(crate) fn lend(&self) {
        if let Some(place) = &self.0 {
            place.put(None);
        }
    }

    /// Waits until it can be had again.
    pub(crate) async fn take_again(&self) {
        if let Some(place) = &self.0 {
            place.take().await;
        }
    }
}

impl Place {
    async fn take(&self) {
        let permit = Arc::clone(&self.slots).acquire_owned().await;
        self.put(Some(permit.expect("the semaphore is never closed")));
    }

    fn put(&self, permit: Option<OwnedSemaphorePermit>) {
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = permit;
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
