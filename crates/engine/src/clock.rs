//! The clock of one attempt. Owns when the time of an attempt runs; what happens when it is up is
//! the driver's affair.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

/// Lets whoever sends an attempt stop its deadline until it is really sent.
///
/// The time of an attempt counts from sending: waiting for a process to start or for a free slot
/// is not the component's fault. A sender that has to wait holds the clock; one that never does is
/// on the clock from the moment it was called.
///
/// Attempts without a deadline have a clock too, and holding it costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    shared: Option<Arc<Shared>>,
}

/// Keeps a [`Clock`] standing until it is dropped. The deadline then counts from that moment.
#[derive(Debug)]
#[must_use = "the clock runs again as soon as this is dropped"]
pub struct Held {
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// The attempt, which has to set its timer when the clock starts.
    attempt: AtomicWaker,
}

#[derive(Debug)]
struct State {
    n_held: usize,
    since: Instant,
}

impl Clock {
    /// A clock that runs from now on.
    pub(crate) fn running() -> Clock {
        let state = Mutex::new(State {
            n_held: 0,
            since: Instant::now(),
        });
        Clock {
            shared: Some(Arc::new(Shared {
                state,
                attempt: AtomicWaker::new(),
            })),
        }
    }

    /// Stops the clock and sets it back to the start.
    pub fn hold(&self) -> Held {
        if let Some(shared) = &self.shared {
            shared
                .state
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .n_held += 1;
        }
        Held {
            shared: self.shared.clone(),
        }
    }

    /// Since when the clock runs; `None` while it is held. The waker is told when that changes.
    pub(crate) fn running_since(&self, waker: &std::task::Waker) -> Option<Instant> {
        let shared = self.shared.as_ref()?;
        shared.attempt.register(waker);
        let state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.n_held == 0).then_some(state.since)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(shared) = &self.shared else { return };
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.n_held -= 1;
        state.since = Instant::now();
        drop(state);
        shared.attempt.wake();
    }
}
