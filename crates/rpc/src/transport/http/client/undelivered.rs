//! How much the answers weigh that were handed over and not delivered yet: whoever asks without end and takes no answer is
//! given up by that.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

/// What an answer under way takes besides its text, about.
const EACH_BYTES: usize = 2 * 1024;

/// The bytes of all answers under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Undelivered(Arc<AtomicUsize>);

/// Counts an answer while it is held.
#[derive(Debug)]
pub(super) struct Held {
    bytes: usize,
    sum: Arc<AtomicUsize>,
}

impl Undelivered {
    pub(super) fn hold(&self, bytes: usize) -> Held {
        let bytes = bytes + EACH_BYTES;
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Held {
            bytes,
            sum: Arc::clone(&self.0),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.sum.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_count_until_they_are_let_go() {
        let undelivered = Undelivered::default();
        let held = [undelivered.hold(10), undelivered.hold(0)];
        assert_eq!(undelivered.bytes(), 2 * EACH_BYTES + 10);
        drop(held);
        assert_eq!(undelivered.bytes(), 0);
    }
}
