//! Futures that go on at once. Owns who of them is polled: those that were woken, each once in a turn. Knows nothing of what they do.
//!
//! `FuturesUnordered` wakes its owner whenever it has polled all that it holds. In a run of one step after the other that would be
//! one needless turn for each step, and a system call, because another thread is woken to share the work that there is none of.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Futures that go on at once, until each has ended or all are dropped.
///
/// ```
/// # use std::future::{Ready, ready};
/// # use std::task::Poll;
/// # use stepflow_engine::Flight;
/// let mut flight: Flight<Ready<u32>> = Flight::default();
/// assert_eq!(flight.launch(ready(7)), Poll::Ready(7));
/// assert!(flight.is_empty());
/// ```
pub struct Flight<F> {
    seats: Vec<Seat<F>>,
    /// The seats that nobody has.
    free: Vec<usize>,
    /// Who was woken, and has yet to be polled in this turn.
    turn: VecDeque<usize>,
    woken: Arc<Woken>,
}

/// A place for one future after the other.
struct Seat<F> {
    future: Option<F>,
    bell: Arc<Bell>,
    /// The same bell, as futures know it.
    waker: Waker,
}

/// Wakes who has a seat. One that had it before may ring too, which costs a poll.
struct Bell {
    seat: usize,
    is_ringing: AtomicBool,
    woken: Arc<Woken>,
}

/// Who was woken since the last turn began, and who is told.
#[derive(Default)]
struct Woken {
    seats: Mutex<VecDeque<usize>>,
    owner: AtomicWaker,
}

impl<F> Flight<F> {
    /// How many futures go on.
    pub fn len(&self) -> usize {
        self.seats.len() - self.free.len()
    }

    /// Whether no future goes on.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<F: Future + Unpin> Flight<F> {
    /// Polls a future, and keeps it if that did not end it.
    pub fn launch(&mut self, mut future: F) -> Poll<F::Output> {
        let number = self.free.pop().unwrap_or_else(|| self.add_seat());
        let seat = &mut self.seats[number];
        let result = seat.bell.poll(&mut future, &seat.waker);
        match result.is_ready() {
            true => self.free.push(number),
            false => seat.future = Some(future),
        }
        result
    }

    /// The output of one that has ended; `None` when no future goes on. Until then the owner is woken when one is.
    pub fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<Option<F::Output>> {
        if self.is_empty() {
            return Poll::Ready(None);
        }
        self.woken.owner.register(context.waker());
        if let Some(output) = self.go_through_turn() {
            return Poll::Ready(Some(output));
        }
        // Once: who wakes itself while it is polled comes again when others have had their turn.
        std::mem::swap(&mut self.turn, &mut *self.woken.lock());
        if let Some(output) = self.go_through_turn() {
            return Poll::Ready(Some(output));
        }
        Poll::Pending
    }

    fn go_through_turn(&mut self) -> Option<F::Output> {
        while let Some(seat) = self.turn.pop_front() {
            if let Poll::Ready(output) = self.poll_seat(seat) {
                return Some(output);
            }
        }
        None
    }

    fn add_seat(&mut self) -> usize {
        let seat = self.seats.len();
        let bell = Arc::new(Bell {
            seat,
            is_ringing: AtomicBool::new(false),
            woken: Arc::clone(&self.woken),
        });
        self.seats.push(Seat {
            future: None,
            waker: Waker::from(Arc::clone(&bell)),
            bell,
        });
        seat
    }

    fn poll_seat(&mut self, number: usize) -> Poll<F::Output> {
        let seat = &mut self.seats[number];
        let Some(future) = &mut seat.future else {
            seat.bell.answer();
            return Poll::Pending;
        };
        let result = seat.bell.poll(future, &seat.waker);
        if result.is_ready() {
            seat.future = None;
            self.free.push(number);
        }
        result
    }
}

impl Bell {
    /// Polls who has the seat. What rings from here on is heard.
    fn poll<F: Future + Unpin>(&self, future: &mut F, waker: &Waker) -> Poll<F::Output> {
        self.answer();
        Pin::new(future).poll(&mut Context::from_waker(waker))
    }

    /// It reads and writes, as the ring does: of the two one comes first. A ring that comes before is seen here, with all that led to
    /// it; one that comes after is a new one. A mere write could come late, and let a ring in between be taken for done.
    fn answer(&self) {
        self.is_ringing.swap(false, Ordering::AcqRel);
    }
}

impl Woken {
    /// Nothing under this lock can panic half-way.
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<usize>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_ringing.swap(true, Ordering::AcqRel) {
            self.woken.lock().push_back(self.seat);
            self.woken.owner.wake();
        }
    }
}

impl<F> Default for Flight<F> {
    fn default() -> Flight<F> {
        Flight {
            seats: Vec::new(),
            free: Vec::new(),
            turn: VecDeque::new(),
            woken: Arc::default(),
        }
    }
}

impl<F> fmt::Debug for Flight<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight")
            .field("n_futures", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
