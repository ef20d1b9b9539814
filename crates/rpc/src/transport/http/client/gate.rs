//! Order where HTTP has none: each message is a POST of its own, but a request must not overtake a notification that was
//! sent before it (`initialized`, above all).

use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::watch;

/// Knows the last notification that is still under way.
#[derive(Debug, Default)]
pub(super) struct Gate {
    last: Mutex<Option<watch::Receiver<()>>>,
}

/// What a message waits for before it is posted.
#[derive(Debug)]
pub(super) struct Turn {
    before: Option<watch::Receiver<()>>,
}

/// Held while a notification is under way.
#[derive(Debug)]
pub(super) struct Pass {
    _delivered: watch::Sender<()>,
}

impl Gate {
    /// The turn of a request or an answer: after all notifications so far.
    pub(super) fn turn(&self) -> Turn {
        Turn {
            before: self
                .last
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }

    /// The turn of a notification, and what holds back those that come later until it is dropped.
    pub(super) fn notification(&self) -> (Turn, Pass) {
        let (delivered, waiting) = watch::channel(());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.replace(waiting);
        (
            Turn { before },
            Pass {
                _delivered: delivered,
            },
        )
    }
}

impl Turn {
    /// Waits until it is this message's turn.
    pub(super) async fn come(self) {
        if let Some(mut before) = self.before {
            // Nothing is ever sent: the end of the channel is the signal.
            while before.changed().await.is_ok() {}
        }
    }
}
