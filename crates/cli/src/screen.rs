//! stderr: the one way to it, scrubbed of secrets and never in the middle of a progress line. What is said is decided by
//! the callers.

use std::io;
use std::io::Write;

use indicatif::MultiProgress;
use tracing_subscriber::fmt::MakeWriter;

use crate::secrets::Secrets;

/// How much is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loudness {
    /// Nothing but the result.
    Silent,
    /// Errors.
    Quiet,
    /// Warnings and progress too.
    Normal,
    /// More and more.
    Verbose(u8),
}

/// The way to stderr. Clones lead to the same place.
#[derive(Clone, Debug)]
pub struct Screen {
    /// What must not be shown.
    pub secrets: Secrets,
    /// How much is to be said.
    pub loudness: Loudness,
    /// Progress lines; hidden where stderr is no terminal.
    pub bars: MultiProgress,
}

impl Screen {
    /// A screen without secrets.
    pub fn new(loudness: Loudness) -> Screen {
        Screen {
            secrets: Secrets::default(),
            loudness,
            bars: MultiProgress::new(),
        }
    }

    /// Says something that matters even to those who asked for quiet. Colours go where they are not wanted.
    pub fn say(&self, text: &str) {
        if self.loudness > Loudness::Silent {
            self.write(&format!("{}\n", text.trim_end()));
        }
    }

    /// Says something that is good to know.
    pub fn tell(&self, text: &str) {
        if self.loudness >= Loudness::Normal {
            self.say(text);
        }
    }

    fn write(&self, text: &str) {
        let clean = self.secrets.scrub(text);
        self.bars.suspend(|| {
            let mut stderr = anstream::stderr().lock();
            // A reader that left does not want to know.
            let _ = stderr.write_all(clean.as_bytes());
            let _ = stderr.flush();
        });
    }
}

impl<'s> MakeWriter<'s> for Screen {
    type Writer = Lines<'s>;

    fn make_writer(&'s self) -> Lines<'s> {
        Lines(self)
    }
}

/// Takes log lines, each whole.
pub struct Lines<'s>(&'s Screen);

impl Write for Lines<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write(&String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
