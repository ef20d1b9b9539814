//! The last lines of an endless output, in bounded memory.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::transport::cut::cut;

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
        let line: Box<str> = cut(line.as_bytes(), MAX_LINE_BYTES).into();
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.last.len() == MAX_LINES {
            lines.last.pop_front();
        }
        lines.last.push_back(line);
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

#[cfg(test)]
mod tests {
    use super::*;

    // req: stdio.stderr-tail
    #[test]
    fn the_last_lines_are_kept_and_long_ones_cut() {
        let most = "x".repeat(MAX_LINE_BYTES);
        let before_the_cut = "x".repeat(MAX_LINE_BYTES - "…".len() - 1);
        let (cut, cut_before) = (format!("{before_the_cut}x…"), format!("{before_the_cut}…"));
        // (lines, what is kept of them)
        let cases: [(Vec<String>, Vec<&str>); 4] = [
            (vec![], vec![]),
            (vec!["a".into(), "b".into()], vec!["a", "b"]),
            (vec![most.repeat(5), most.clone()], vec![&cut, &most]),
            // A character that the cut would split goes as a whole.
            (vec![format!("{before_the_cut}ééé")], vec![&cut_before]),
        ];
        for (lines, kept) in cases {
            let tail = Tail::default();
            lines.iter().for_each(|line| tail.push(line));
            assert_eq!(tail.text(), kept.join("\n"));
        }
        let tail = Tail::default();
        (1..=10_000).for_each(|number| tail.push(&number.to_string()));
        let last: Vec<_> = (10_001 - MAX_LINES..=10_000)
            .map(|it| it.to_string())
            .collect();
        assert_eq!(tail.text(), last.join("\n"));
        assert_eq!(tail.lines(), 10_000, "all are counted");
    }
}
