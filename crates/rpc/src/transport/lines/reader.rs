//! Bytes to arrivals. Lines are cut at `\n` before anything is decoded, so a bad line costs itself only, and a line over
//! the limit is thrown away in constant memory.

use std::fmt;
use std::sync::Arc;

use bytes::Buf;
use bytes::BytesMut;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;

use super::Noise;
use crate::error::Closed;
use crate::error::Lost;
use crate::link::Arrival;
use crate::message::EDGE_BYTES;
use crate::message::Malformed;
use crate::message::Message;
use crate::message::Salvaged;
use crate::message::salvage;

/// How much is asked of the stream at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// How much of a line that is no message is shown.
const NOISE_BYTES: usize = 1024;
/// The byte order mark that some programs put before their first line.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// How messages start, wherever on the line that is: with the version, as ours do, or with the id.
const MESSAGE_STARTS: [&[u8]; 2] = [b"{\"jsonrpc\":", b"{\"id\":"];

/// Reads messages from a byte stream.
pub struct LineReader<R> {
    input: R,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line break.
    scanned: usize,
    limit: usize,
    skipping: Option<Skipping>,
    /// What the last line held besides the arrival it was told as.
    besides: Option<Arrival>,
    noise: Arc<dyn Noise>,
    at_end: bool,
}

impl<R> fmt::Debug for LineReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineReader")
            .field("buffered", &self.buffer.len())
            .finish_non_exhaustive()
    }
}

/// A line over the limit on its way out: its start is kept, its end is what the buffer holds.
struct Skipping {
    head: Vec<u8>,
    dropped: usize,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// A reader of lines of at most `limit` bytes.
    pub fn new(input: R, limit: usize, noise: Arc<dyn Noise>) -> Self {
        LineReader {
            input,
            buffer: BytesMut::new(),
            scanned: 0,
            limit,
            skipping: None,
            besides: None,
            noise,
            at_end: false,
        }
    }

    /// The next arrival; the last one is [`Arrival::Ended`]. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Arrival {
        loop {
            if let Some(arrival) = self.take_buffered() {
                return arrival;
            }
            if self.at_end {
                return Arrival::Ended(Closed::ByPeer);
            }
            // A long line doubles the buffer, so that it is copied a bounded number of times.
            self.buffer.reserve(
                self.buffer
                    .len()
                    .max(CHUNK_BYTES)
                    .min(self.limit.max(CHUNK_BYTES)),
            );
            match self.input.read_buf(&mut self.buffer).await {
                Ok(0) => self.at_end = true,
                Ok(_) => {}
                Err(error) => return Arrival::Ended(error.into()),
            }
        }
    }

    /// Takes lines from the buffer until one is worth telling.
    fn take_buffered(&mut self) -> Option<Arrival> {
        if let Some(arrival) = self.besides.take() {
            return Some(arrival);
        }
        loop {
            let Some(at) = memchr::memchr(b'\n', &self.buffer[self.scanned..]) else {
                self.scanned = self.buffer.len();
                self.skip_if_over_limit();
                return if self.at_end { self.take_last() } else { None };
            };
            let line = self.buffer.split_to(self.scanned + at);
            self.buffer.advance(1);
            self.scanned = 0;
            let arrival = match self.skipping.take() {
                Some(skipping) => {
                    Some(self.oversized(&skipping.head, &line, skipping.dropped + line.len()))
                }
                None if line.len() > self.limit => {
                    Some(self.oversized(edge_start(&line), &line, line.len()))
                }
                None => self.decode(&line),
            };
            if arrival.is_some() {
                self.give_back_memory();
                return arrival;
            }
        }
    }

    /// The bytes after the last line break, when nothing more comes: a last message without one is taken.
    fn take_last(&mut self) -> Option<Arrival> {
        let rest = self.buffer.split();
        self.scanned = 0;
        if rest.is_empty() || self.skipping.take().is_some() {
            return None;
        }
        match self.decode(&rest) {
            // The answer was cut off by the end itself: that is what its caller hears, and may call again.
            Some(Arrival::Lost { .. }) => None,
            arrival => arrival,
        }
    }

    fn skip_if_over_limit(&mut self) {
        if self.skipping.is_none() {
            if self.buffer.len() <= self.limit {
                return;
            }
            self.skipping = Some(Skipping {
                head: edge_start(&self.buffer).to_vec(),
                dropped: 0,
            });
        }
        let Some(skipping) = &mut self.skipping else {
            return;
        };
        // Only the last bytes are worth keeping: the id may be there.
        let excess = self.buffer.len().saturating_sub(EDGE_BYTES);
        self.buffer = BytesMut::from(&self.buffer[excess..]);
        self.scanned = self.buffer.len();
        skipping.dropped += excess;
    }

    /// After a large line the buffer is as large: it goes back unless more of the kind is there already.
    fn give_back_memory(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > 4 * CHUNK_BYTES {
            self.buffer = BytesMut::new();
        }
    }

    fn oversized(&self, head: &[u8], line: &[u8], size: usize) -> Arrival {
        let limit = self.limit;
        match salvage(head, edge_end(line)) {
            Some(Salvaged::Answer(id)) => Arrival::Lost {
                id,
                lost: Lost::Oversized { size, limit },
            },
            Some(Salvaged::Request(id)) => Arrival::Oversized { id, size, limit },
            // Somebody waits for this and cannot be named: only ending the link tells them.
            None => Arrival::Ended(Closed::Oversized { limit }),
        }
    }

    fn decode(&mut self, line: &[u8]) -> Option<Arrival> {
        let line = line
            .strip_prefix(BYTE_ORDER_MARK)
            .unwrap_or(line)
            .trim_ascii();
        if line.is_empty() {
            return None;
        }
        match std::str::from_utf8(line).map(Message::decode) {
            Ok(Ok(message)) => Some(Arrival::Message(message)),
            Ok(Err(Malformed::NotJson)) | Err(_) => self.rescue(line),
            Ok(Err(malformed)) => {
                if matches!(malformed, Malformed::NotAMessage { .. }) {
                    self.hear(line);
                }
                Some(Arrival::Malformed(malformed))
            }
        }
    }

    /// A line that is not JSON: a message behind printed text, an answer that can be named though not read, or noise.
    fn rescue(&mut self, line: &[u8]) -> Option<Arrival> {
        let Some((at, message)) = glued(line) else {
            self.hear(line);
            return unreadable(line);
        };
        self.hear(&line[..at]);
        // What stands before may be an answer that was cut off; its caller would wait for ever.
        self.besides = unreadable(&line[..at]);
        Some(Arrival::Message(message))
    }

    fn hear(&self, line: &[u8]) {
        self.noise.heard(&String::from_utf8_lossy(
            &line[..line.len().min(NOISE_BYTES)],
        ));
    }
}

/// A message at the end of a line that starts with something else. Of the places where one may start, only the first and
/// the last are tried, so that the work is bounded however many there are.
fn glued(line: &[u8]) -> Option<(usize, Message)> {
    let starts = MESSAGE_STARTS.iter().flat_map(|start| {
        let first = memchr::memmem::find(line.get(1..)?, start).map(|at| at + 1);
        Some([first, memchr::memmem::rfind(line, start)])
    });
    starts.flatten().flatten().find_map(|at| {
        let text = std::str::from_utf8(&line[at..]).ok()?;
        let message = Message::decode(text).ok()?;
        (at > 0).then_some((at, message))
    })
}

/// The call whose answer this line was meant to be, if that can be seen.
fn unreadable(line: &[u8]) -> Option<Arrival> {
    match salvage(edge_start(line), edge_end(line)) {
        Some(Salvaged::Answer(id)) => {
            let why = "the line is not UTF-8 JSON".to_owned();
            Some(Arrival::Lost {
                id,
                lost: Lost::Malformed { why },
            })
        }
        Some(Salvaged::Request(_)) | None => None,
    }
}

fn edge_start(line: &[u8]) -> &[u8] {
    &line[..line.len().min(EDGE_BYTES)]
}

fn edge_end(line: &[u8]) -> &[u8] {
    &line[line.len().saturating_sub(EDGE_BYTES)..]
}
