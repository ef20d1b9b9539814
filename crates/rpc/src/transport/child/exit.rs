//! How a child process ended and what it said last: what every call that was in flight is told.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// The end of a child process.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Its status; `None` when it could not be had.
    pub status: Option<ExitStatus>,
    /// The last lines on stderr.
    pub stderr: String,
    /// The last lines on stdout that were no messages.
    pub stdout: String,
    /// How many such lines there were.
    pub noise_lines: u64,
}

impl Exit {
    pub(super) fn unknown() -> Self {
        Exit {
            status: None,
            stderr: String::new(),
            stdout: String::new(),
            noise_lines: 0,
        }
    }

    /// The status in words: `exited with status 1`, `was killed by signal 9`.
    pub fn status_text(&self) -> String {
        match self.status {
            None => "ended in a way that could not be seen".to_owned(),
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("exited with status {code}"),
                (None, Some(signal)) => format!("was killed by signal {signal}"),
                (None, None) => format!("ended: {status}"),
            },
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the process {}", self.status_text())?;
        if !self.stderr.is_empty() {
            write!(f, "; its last output on stderr:\n{}", indent(&self.stderr))?;
        }
        if !self.stdout.is_empty() {
            let count = self.noise_lines;
            write!(
                f,
                "\nand {count} line(s) on stdout that are no messages, the last:\n{}",
                indent(&self.stdout)
            )?;
        }
        Ok(())
    }
}

fn indent(text: &str) -> String {
    text.lines()
        .map(|line| format!("  | {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
