//! The events of one session: those to be written, and those written last, for a client that lost its stream. Owns their
//! numbers and the bounds of what is kept; knows nothing of connections.

use std::collections::VecDeque;

use axum::body::Bytes;

/// What is kept besides what was not written yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

struct Event {
    text: Bytes,
    is_answer: bool,
}

/// Numbers events from 1 on and keeps them: all that were not written, and a bounded number of those that were.
pub(super) struct EventLog {
    bounds: Bounds,
    kept: VecDeque<Event>,
    kept_bytes: usize,
    /// The number of the oldest event that is kept.
    first: u64,
    /// How many of those that are kept were handed out.
    written: usize,
    unwritten_answer_bytes: usize,
}

impl EventLog {
    pub(super) fn new(bounds: Bounds) -> Self {
        EventLog {
            bounds,
            kept: VecDeque::new(),
            kept_bytes: 0,
            first: 1,
            written: 0,
            unwritten_answer_bytes: 0,
        }
    }

    /// The number that the next event will have.
    pub(super) fn next_number(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    /// The number of the last event that was handed out.
    pub(super) fn last_written(&self) -> u64 {
        self.first + self.written as u64 - 1
    }

    pub(super) fn is_all_written(&self) -> bool {
        self.written == self.kept.len()
    }

    pub(super) fn unwritten_answer_bytes(&self) -> usize {
        self.unwritten_answer_bytes
    }

    /// Adds the event of [`EventLog::next_number`].
    pub(super) fn push(&mut self, text: Bytes, is_answer: bool) {
        self.kept_bytes += text.len();
        if is_answer {
            self.unwritten_answer_bytes += text.len();
        }
        self.kept.push_back(Event { text, is_answer });
    }

    /// Hands out the next event that was not written yet.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let event = self.kept.get(self.written)?;
        let text = event.text.clone();
        if event.is_answer {
            self.unwritten_answer_bytes -= text.len();
        }
        self.written += 1;
        self.trim();
        Some(text)
    }

    /// Goes back to just after an event, for a client that saw nothing later; says how many bytes are to be written again,
    /// or nothing where some of what it missed is gone.
    pub(super) fn rewind(&mut self, seen: u64) -> Option<usize> {
        if !(self.first - 1..self.next_number()).contains(&seen) {
            return None;
        }
        let place = usize::try_from(seen + 1 - self.first).ok()?;
        let mut again = 0;
        while self.written > place {
            self.written -= 1;
            let event = &self.kept[self.written];
            again += event.text.len();
            if event.is_answer {
                self.unwritten_answer_bytes += event.text.len();
            }
        }
        Some(again)
    }

    /// Forgets the oldest events that were written, but for the very last one: whoever lost its stream in the middle of that
    /// one can always come back.
    fn trim(&mut self) {
        while self.written > 1
            && (self.kept.len() > self.bounds.events || self.kept_bytes > self.bounds.bytes)
        {
            let Some(event) = self.kept.pop_front() else {
                return;
            };
            self.kept_bytes -= event.text.len();
            self.first += 1;
            self.written -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(events: usize, bytes: usize) -> EventLog {
        EventLog::new(Bounds { events, bytes })
    }

    fn push(log: &mut EventLog, text: &str) {
        log.push(Bytes::copy_from_slice(text.as_bytes()), false);
    }

    fn take(log: &mut EventLog) -> Option<String> {
        let text = log.take()?;
        Some(String::from_utf8(text.to_vec()).unwrap())
    }

    #[test]
    fn what_was_not_written_is_never_dropped() {
        let mut log = log(2, 4);
        for n in 0..100 {
            push(&mut log, &format!("event {n}"));
        }
        for n in 0..100 {
            assert_eq!(take(&mut log), Some(format!("event {n}")));
        }
        assert_eq!(take(&mut log), None);
        // The last one is kept, though it is over both bounds' share.
        assert_eq!(log.rewind(99), Some("event 99".len()));
        assert_eq!(take(&mut log), Some("event 99".to_owned()));
    }

    #[test]
    fn a_client_goes_on_where_it_was_or_not_at_all() {
        // How many were pushed, written; what was seen; what is written next, or nothing where it cannot go on.
        let cases: [(u64, u64, u64, Option<u64>); 9] = [
            (0, 0, 0, Some(1)),
            (3, 3, 0, Some(1)),
            (3, 3, 2, Some(3)),
            (3, 3, 3, Some(4)),
            (3, 1, 1, Some(2)),
            (3, 1, 3, Some(2)),
            (3, 3, 4, None),
            (5, 5, 1, None),
            (5, 5, 2, Some(3)),
        ];
        for (pushed, written, seen, expected) in cases {
            let mut log = log(3, 1000);
            for n in 1..=pushed {
                push(&mut log, &n.to_string());
            }
            for _ in 0..written {
                take(&mut log).unwrap();
            }
            let resumed = log.rewind(seen).map(|_| log.last_written() + 1);
            assert_eq!(resumed, expected, "{pushed} {written} {seen}");
            if resumed.is_some_and(|next| next <= pushed) {
                assert_eq!(take(&mut log), expected.map(|next| next.to_string()));
            }
        }
    }

    #[test]
    fn answers_are_counted_until_they_are_written_and_again_after_a_rewind() {
        let mut log = log(10, 1000);
        log.push(Bytes::from_static(b"four"), true);
        log.push(Bytes::from_static(b"no answer"), false);
        assert_eq!(log.unwritten_answer_bytes(), 4);
        log.take().unwrap();
        log.take().unwrap();
        assert_eq!(log.unwritten_answer_bytes(), 0);
        assert!(log.is_all_written());
        assert_eq!(log.rewind(0), Some("fourno answer".len()));
        assert_eq!(log.unwritten_answer_bytes(), 4);
    }
}
