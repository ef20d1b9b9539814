//! What was said, as the reader of a failed check needs it. Bounded: a check may send megabytes.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// Longer texts are cut.
const LONGEST: usize = 16 * 1024;

/// How many lines are kept at the start and at the end.
const FIRST: usize = 40;
const LAST: usize = 40;

/// Where something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the server.
    Out,
    /// From the server.
    In,
    /// Nowhere: something that happened to the connection.
    Note,
}

impl Direction {
    /// How it is shown.
    pub fn arrow(self) -> &'static str {
        match self {
            Direction::Out => "→",
            Direction::In => "←",
            Direction::Note => "·",
        }
    }
}

/// One thing that was said or happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which connection of the run.
    pub connection: u32,
    /// Where it went.
    pub direction: Direction,
    /// What stands before the message: `POST /`, a status. Empty over pipes.
    pub head: String,
    /// The message, or its beginning.
    pub text: String,
    /// How many bytes the message had.
    pub size: usize,
}

#[derive(Debug, Default)]
struct Lines {
    first: Vec<Line>,
    last: std::collections::VecDeque<Line>,
    left_out: usize,
}

/// Takes down what is said. Clones write to the same.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Lines>>);

impl Recorder {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes something down.
    pub(crate) fn note(&self, connection: u32, direction: Direction, head: &str, text: &[u8]) {
        let shown = &text[..text.len().min(LONGEST)];
        let line = Line {
            connection,
            direction,
            head: head.to_owned(),
            text: String::from_utf8_lossy(shown).trim_end().to_owned(),
            size: text.len(),
        };
        let mut lines = self.lines();
        if lines.first.len() < FIRST {
            lines.first.push(line);
            return;
        }
        lines.last.push_back(line);
        if lines.last.len() > LAST {
            lines.last.pop_front();
            lines.left_out += 1;
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        *self.lines() = Lines::default();
    }

    /// What was taken down since it was cleared.
    pub(crate) fn take(&self) -> Vec<Line> {
        let Lines {
            first,
            last,
            left_out,
        } = std::mem::take(&mut *self.lines());
        let gap = (left_out > 0).then(|| Line {
            connection: 0,
            direction: Direction::Note,
            head: String::new(),
            text: format!("({left_out} more)"),
            size: 0,
        });
        first.into_iter().chain(gap).chain(last).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_are_kept() {
        let recorder = Recorder::default();
        for number in 0..1000 {
            recorder.note(1, Direction::Out, "", format!("{number}\n").as_bytes());
        }
        let lines = recorder.take();
        let texts: Vec<_> = lines.iter().map(|it| it.text.as_str()).collect();
        assert_eq!(texts[..2], ["0", "1"]);
        assert_eq!(texts[FIRST], "(920 more)");
        assert_eq!(texts.last(), Some(&"999"));
        assert_eq!(lines.len(), FIRST + 1 + LAST);
        assert!(recorder.take().is_empty());
    }
}
