//! Messages as lines over a pair of byte streams: UTF-8 JSON, one message a line, framed on bytes and decoded after.
//! Owns a writer task and the reading; knows nothing of processes.

mod outbox;
mod reader;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;

use crate::error::Closed;
use crate::link::Ending;
use crate::link::Link;
use crate::peer::DEFAULT_MAX_MESSAGE_BYTES;
use outbox::Outbox;
pub use reader::LineReader;

/// How long answers may still arrive after writing failed, before the link counts as ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

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
    let writer = tokio::spawn(outbox::write(Arc::clone(&outbox), output));
    let end = async move {
        match writer.await {
            Ok(Err(closed)) => {
                // Answers to what was written before may still arrive, but not for ever.
                tokio::time::sleep(LAST_WORDS).await;
                closed
            }
            // Nothing more will be written, which does not keep the other side from going on.
            Ok(Ok(())) | Err(_) => std::future::pending().await,
        }
    };
    let noise = Arc::clone(&options.noise);
    let mut reader = LineReader::new(input, options.max_message_bytes, noise);
    let arrivals = stream::poll_fn(move |context| {
        // `next` keeps its state in the reader: a future that is made anew loses nothing.
        std::pin::pin!(reader.next()).poll(context).map(Some)
    });
    Link {
        outgoing: outbox,
        incoming: Box::pin(Ending::new(arrivals, end)),
        back_channel: true,
    }
}

impl From<std::io::Error> for Closed {
    fn from(error: std::io::Error) -> Self {
        Closed::Io(Arc::new(error))
    }
}

#[cfg(test)]
mod tests;
