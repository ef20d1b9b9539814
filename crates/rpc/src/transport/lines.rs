//! Messages as lines over a pair of byte streams: UTF-8 JSON, one message a line, framed on bytes and decoded after.
//! Owns a writer task and the reading; knows nothing of processes.

mod outbox;
mod reader;

use std::fmt;
use std::sync::Arc;

use futures_util::stream;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;

use crate::error::Closed;
use crate::link::Arrival;
use crate::link::Link;
use crate::link::Outgoing;
use crate::peer::DEFAULT_MAX_MESSAGE_BYTES;
use outbox::Outbox;
pub use reader::LineReader;

/// Told of what is no message: a line the program printed, bytes that are no text.
pub trait Noise: Send + Sync + 'static {
    /// One line of output, cut to a sensible length.
    fn heard(&self, line: &str);
}

/// Noise nobody listens to, but the log at debug level.
#[derive(Debug)]
pub struct Ignored;

impl Noise for Ignored {
    fn heard(&self, line: &str) {
        tracing::debug!(line, "a line that is no message ignored");
    }
}

/// How lines are read.
#[derive(Clone)]
pub struct Options {
    /// The longest line taken, in bytes.
    pub max_message_bytes: usize,
    /// Who hears of lines that are no messages.
    pub noise: Arc<dyn Noise>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("max_message_bytes", &self.max_message_bytes)
            .finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            noise: Arc::new(Ignored),
        }
    }
}

/// Makes a link of a stream to read from and a stream to write to.
///
/// The writer runs in a task of its own, so a full pipe in one direction never stops the other. The task ends when the
/// link's outgoing half is closed and its queue written, or when writing fails.
pub fn link<R, W>(input: R, output: W, options: &Options) -> Link
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let outbox = Arc::new(Outbox::default());
    tokio::spawn(outbox::write(Arc::clone(&outbox), output));
    let reading = Reading {
        reader: Some(LineReader::new(
            input,
            options.max_message_bytes,
            Arc::clone(&options.noise),
        )),
        outbox: Arc::clone(&outbox),
    };
    let incoming = stream::unfold(reading, Reading::step);
    let outgoing: Arc<dyn Outgoing> = outbox;
    Link {
        outgoing,
        incoming: Box::pin(incoming),
        back_channel: true,
    }
}

struct Reading<R> {
    reader: Option<LineReader<R>>,
    outbox: Arc<Outbox>,
}

impl<R: AsyncRead + Send + Unpin> Reading<R> {
    async fn step(mut self) -> Option<(Arrival, Self)> {
        let reader = self.reader.as_mut()?;
        let outbox = Arc::clone(&self.outbox);
        if let Some(closed) = outbox.overdue() {
            self.reader = None;
            return Some((Arrival::Ended(closed), self));
        }
        // `next` keeps its state in the reader, so losing this race loses nothing.
        let arrival = tokio::select! {
            biased;
            arrival = reader.next() => arrival,
            error = outbox.failed() => Arrival::Ended(error),
        };
        if matches!(arrival, Arrival::Ended(_)) {
            self.reader = None;
        }
        Some((arrival, self))
    }
}

impl From<std::io::Error> for Closed {
    fn from(error: std::io::Error) -> Self {
        Closed::Io(Arc::new(error))
    }
}

#[cfg(test)]
mod tests;
