//! The clock of one attempt. Owns when the time of an attempt runs and when it is up; what happens then is the affair of
//! whoever set a limit.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::{Instant, Sleep};

/// Lets whoever sends an attempt stop its deadline while the component is not at work.
///
/// The time of an attempt counts from sending: waiting for a process to start or for a free slot
/// is not the component's fault, and neither is waiting for a flow that it asked for. A sender that has to wait holds the
/// clock; one that never does is on the clock from the moment it was called.
///
/// Attempts without a deadline have a clock too, and holding it costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    shared: Option<Arc<Shared>>,
}

/// Keeps a [`Clock`] standing until it is dropped. The time that was left runs on from that moment.
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
    /// The time that had run when it was last stopped.
    used: Duration,
    /// When it was last started.
    since: Instant,
}

/// Resolves when the time of an attempt is up, not counting while its clock is held.
pub struct Timer {
    limit: Duration,
    clock: Clock,
    /// Set once the attempt has to wait at all, for this start of the clock.
    alarm: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Clock {
    /// A clock that runs from now on.
    pub fn running() -> Clock {
        let state = Mutex::new(State {
            n_held: 0,
            used: Duration::ZERO,
            since: Instant::now(),
        });
        Clock {
            shared: Some(Arc::new(Shared {
                state,
                attempt: AtomicWaker::new(),
            })),
        }
    }

    /// Stops the clock and sets it back to the start: the attempt is not sent yet.
    pub fn hold(&self) -> Held {
        self.stop(|_| Duration::ZERO)
    }

    /// Stops the clock: the component waits for something that it asked for.
    pub fn pause(&self) -> Held {
        self.stop(|state| match state.n_held {
            0 => state.used + state.since.elapsed(),
            _ => state.used,
        })
    }

    fn stop(&self, used: impl FnOnce(&State) -> Duration) -> Held {
        if let Some(shared) = &self.shared {
            let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.used = used(&state);
            state.n_held += 1;
        }
        Held {
            shared: self.shared.clone(),
        }
    }

    /// Resolves when this much time has run. An attempt has one timer.
    pub fn timer(&self, limit: Duration) -> Timer {
        Timer {
            limit,
            clock: self.clone(),
            alarm: None,
        }
    }

    /// When so much time will have run; `None` while the clock is held. The waker is told when that changes.
    fn deadline(&self, limit: Duration, waker: &std::task::Waker) -> Option<Instant> {
        let shared = self.shared.as_ref()?;
        shared.attempt.register(waker);
        let state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let left = limit.saturating_sub(state.used);
        (state.n_held == 0).then(|| state.since + left)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(shared) = &self.shared else { return };
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.n_held -= 1;
        if state.n_held == 0 {
            state.since = Instant::now();
        }
        drop(state);
        shared.attempt.wake();
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.clock.deadline(self.limit, context.waker()) else {
            return Poll::Pending;
        };
        let new = || (deadline, Box::pin(tokio::time::sleep_until(deadline)));
        let (set_for, alarm) = self.alarm.get_or_insert_with(new);
        if *set_for != deadline {
            *set_for = deadline;
            alarm.as_mut().reset(deadline);
        }
        alarm.as_mut().poll(context)
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timer({:?})", self.limit)
    }
}
