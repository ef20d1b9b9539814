//! The last lines of an endless output, in bounded memory.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Longer lines are cut.
pub(super) const MAX_LINE_BYTES: usize = 2 * 1024;
const MAX_LINES: usize = 50;

#[derive(Debug, Default)]
struct Lines {
    last: VecDeque<Box<str>>,
    count: u64,
}

/// Keeps the last lines pushed, each cut to a sensible length.
#[derive(Debug, Default)]
pub struct Tail {
    lines: Mutex<Lines>,
}

impl Tail {
    /// Adds a line.
    pub fn push(&self, line: &str) {
        let cut = line.floor_char_boundary(MAX_LINE_BYTES);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.last.len() == MAX_LINES {
            lines.last.pop_front();
        }
        lines.last.push_back(line[..cut].into());
        lines.count += 1;
    }

    /// The lines kept, with line breaks between.
    pub fn text(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .last
            .iter()
            .map(AsRef::as_ref)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// How many lines were ever pushed.
    pub fn lines(&self) -> u64 {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count
    }
}
