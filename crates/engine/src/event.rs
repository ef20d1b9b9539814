//! What a subscriber of a run reads. Owns the stream's bounds: a slow reader loses the oldest
//! events and is told so, and never holds up the run.

use std::time::Duration;

use stepflow_store::journal::Entry;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// How many events a subscriber may fall behind before it loses the oldest.
pub(crate) const BACKLOG: usize = 1024;

/// Something to tell a subscriber.
#[derive(Clone, Debug)]
pub enum Event {
    /// An entry was recorded; it is durable.
    Recorded {
        /// Its place in the journal of the run.
        sequence: u64,
        /// The time since the engine took the run up. Differences between events are the waits and
        /// durations of attempts.
        elapsed: Duration,
        /// The entry.
        entry: Entry,
    },
    /// The subscriber was too slow, and these many events are lost to it. The journal has them.
    Missed {
        /// How many.
        n_events: u64,
    },
}

/// The events of one run, in order. The last is always `RunFinished`, unless the run was dropped.
///
/// ```no_run
/// # async fn watch(run: stepflow_engine::Run) {
/// use stepflow_engine::Event;
///
/// let mut events = run.events();
/// let watcher = async {
///     while let Some(event) = events.next().await {
///         println!("{event:?}");
///     }
/// };
/// let (finished, ()) = futures_util::join!(run, watcher);
/// # let _ = finished;
/// # }
/// ```
#[derive(Debug)]
pub struct Events {
    receiver: Option<broadcast::Receiver<Event>>,
}

impl Events {
    pub(crate) fn new(receiver: Option<broadcast::Receiver<Event>>) -> Events {
        Events { receiver }
    }

    /// The next event; `None` when there will be no more.
    pub async fn next(&mut self) -> Option<Event> {
        match self.receiver.as_mut()?.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(n_events)) => Some(Event::Missed { n_events }),
            Err(RecvError::Closed) => {
                self.receiver = None;
                None
            }
        }
    }
}
