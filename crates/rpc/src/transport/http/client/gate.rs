//! Order where HTTP has none: each message is a POST of its own, but a request must not overtake a notification that was
//! sent before it (`initialized`, above all).

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long a notification that is not delivered holds back what comes after it: one that a server takes and never
/// acknowledges must not hold up every later call.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

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
            let delivered = async { while before.changed().await.is_ok() {} };
            let _ = timeout(LONGEST_WAIT, delivered).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    /// Whether it is this message's turn now.
    async fn has_come(turn: Turn) -> bool {
        let mut coming = pin!(turn.come());
        poll_fn(|context| Poll::Ready(coming.as_mut().poll(context).is_ready())).await
    }

    #[tokio::test]
    async fn requests_wait_for_the_notifications_before_them_and_for_nothing_else() {
        let gate = Gate::default();
        assert!(has_come(gate.turn()).await, "nothing is under way");
        let before = gate.turn();
        let (turn, pass) = gate.notification();
        assert!(has_come(turn).await, "it is the first");
        assert!(has_come(before).await, "it was sent earlier");
        assert!(!has_come(gate.turn()).await);
        assert!(!has_come(gate.turn()).await, "for every one of them");
        let waiting = gate.turn();
        drop(pass);
        assert!(has_come(waiting).await);
        assert!(has_come(gate.turn()).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_notification_that_is_never_delivered_does_not_hold_back_the_rest_for_ever() {
        let gate = Gate::default();
        let (_turn, _pass) = gate.notification();
        let waiting = gate.turn();
        assert!(!has_come(gate.turn()).await);
        let come = timeout(2 * LONGEST_WAIT, waiting.come()).await;
        assert!(come.is_ok(), "it waits for ever");
    }

    #[tokio::test]
    async fn notifications_go_one_after_the_other() {
        let gate = Gate::default();
        let (first, first_pass) = gate.notification();
        let (second, second_pass) = gate.notification();
        let (third, third_pass) = gate.notification();
        assert!(has_come(first).await);
        let request = gate.turn();
        drop(first_pass);
        assert!(has_come(second).await);
        drop(second_pass);
        assert!(!has_come(request).await, "the third is still under way");
        assert!(has_come(third).await);
        let request = gate.turn();
        drop(third_pass);
        assert!(has_come(request).await);
    }
}
