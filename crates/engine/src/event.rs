//! What a subscriber of a run reads. Owns the stream's bounds: a slow reader loses the oldest
//! events and is told so, and never holds up the run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stepflow_flow::plan::StepIdx;
use stepflow_store::journal::Entry;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

/// How many events a subscriber may fall behind before it loses the oldest.
const BACKLOG: usize = 1024;

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
    /// An attempt failed, and the next one follows after a wait. Nothing is recorded: a recovered
    /// run waits anew.
    Waiting {
        /// The step.
        step: StepIdx,
        /// The wait.
        wait: Duration,
    },
    /// The subscriber was too slow, and these many events are lost to it. The journal has them.
    Missed {
        /// How many.
        n_events: u64,
    },
}

/// The events of one run, in order. The last is `RunFinished`, unless the run was dropped.
///
/// Whoever comes late subscribes first and reads the journal then: sequence numbers say which
/// events the journal has shown already, and nothing falls in between.
///
/// ```no_run
/// # async fn watch(run: stepflow_engine::Run) {
/// let mut events = run.events();
/// let watch = async {
///     while let Some(event) = events.next().await {
///         println!("{event:?}");
///     }
/// };
/// let (finished, ()) = tokio::join!(run, watch);
/// # let _ = finished;
/// # }
/// ```
#[derive(Debug)]
pub struct Events {
    receiver: Option<broadcast::Receiver<Event>>,
}

impl Events {
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

/// Where a run puts its events. Costs next to nothing until somebody subscribes, since most runs
/// (the items of a map) have no audience.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    /// Whether there may be anyone to tell, known without the lock.
    watched: AtomicBool,
    channel: Mutex<Channel>,
}

#[derive(Debug, Default)]
enum Channel {
    #[default]
    Unwatched,
    Watched(broadcast::Sender<Event>),
    Closed,
}

impl Feed {
    /// The events from now on; none when the run has ended.
    pub(crate) fn subscribe(&self) -> Events {
        let mut channel = self.channel();
        let receiver = match &*channel {
            Channel::Unwatched => {
                let (sender, receiver) = broadcast::channel(BACKLOG);
                *channel = Channel::Watched(sender);
                self.watched.store(true, Ordering::Release);
                Some(receiver)
            }
            Channel::Watched(sender) => Some(sender.subscribe()),
            Channel::Closed => None,
        };
        Events { receiver }
    }

    /// Tells the subscribers, if there are any, of entries that are durable now.
    pub(crate) fn publish(&self, first: u64, began: Instant, entries: &[Entry]) {
        self.tell(|| {
            let elapsed = began.elapsed();
            let entries = (first..).zip(entries);
            entries.map(move |(sequence, entry)| Event::Recorded {
                sequence,
                elapsed,
                entry: entry.clone(),
            })
        });
    }

    /// Tells the subscribers, if there are any, that steps wait before they are tried again.
    pub(crate) fn publish_waits(&self, waits: &[(StepIdx, Duration)]) {
        self.tell(|| {
            let waits = waits.iter();
            waits.map(|&(step, wait)| Event::Waiting { step, wait })
        });
    }

    fn tell<I: Iterator<Item = Event>>(&self, events: impl FnOnce() -> I) {
        if !self.watched.load(Ordering::Acquire) {
            return;
        }
        if let Channel::Watched(sender) = &*self.channel() {
            for event in events() {
                // Without receivers there is nobody to tell, which is not an error.
                let _ = sender.send(event);
            }
        }
    }

    /// Ends the streams of all subscribers, after what they have not read yet.
    pub(crate) fn close(&self) {
        *self.channel() = Channel::Closed;
    }

    fn channel(&self) -> MutexGuard<'_, Channel> {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
