//! Bytes to arrivals. Lines are cut at `\n` before anything is decoded, so a bad line costs itself only, and a line over
//! the limit is thrown away in constant memory.

use std::fmt;
use std::sync::Arc;

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
use crate::transport::cut::cut;

/// How much is asked of the stream at least.
const CHUNK_BYTES: usize = 64 * 1024;
/// A message of this size is not copied out of the buffer: it takes the buffer along.
const LARGE_BYTES: usize = CHUNK_BYTES;
/// How much of a line that is no message is shown.
const NOISE_BYTES: usize = 1024;
/// The byte order mark that some programs put before their first line.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// How messages start, wherever on the line that is: with the version, as ours do, or with the id.
const MESSAGE_STARTS: [&[u8]; 2] = [b"{\"jsonrpc\":", b"{\"id\":"];

/// Reads messages from a byte stream.
pub struct LineReader<R> {
    input: R,
    buffer: Vec<u8>,
    /// Where in the buffer the line begins that is looked at; what stands before was taken.
    start: usize,
    /// Up to where in the buffer the line is known not to end.
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
            .field("buffered", &(self.buffer.len() - self.start))
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
            buffer: Vec::new(),
            start: 0,
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
            self.make_room();
            match self.input.read_buf(&mut self.buffer).await {
                Ok(0) => self.at_end = true,
                Ok(_) => {}
                Err(error) => return Arrival::Ended(error.into()),
            }
        }
    }

    /// What of the buffer was not taken yet.
    fn rest(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn make_room(&mut self) {
        if self.start == self.buffer.len() {
            self.empty_buffer();
        }
        if self.buffer.capacity() - self.buffer.len() >= CHUNK_BYTES / 2 {
            return;
        }
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        // Doubles where a line is long. The system moves large buffers without copying them.
        self.buffer.reserve(CHUNK_BYTES);
    }

    /// After a large line the buffer is as large: it goes back.
    fn empty_buffer(&mut self) {
        if self.buffer.capacity() > 4 * CHUNK_BYTES {
            self.buffer = Vec::new();
        }
        self.buffer.clear();
        (self.start, self.scanned) = (0, 0);
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
            let arrival = self.take_line(self.scanned + at);
            if arrival.is_some() {
                return arrival;
            }
        }
    }

    /// Takes the line that ends at this place in the buffer.
    fn take_line(&mut self, end: usize) -> Option<Arrival> {
        let (size, limit) = (end - self.start, self.limit);
        if size >= LARGE_BYTES && size <= limit && self.skipping.is_none() {
            let line = self.take_large(end);
            return self.decode_large(line);
        }
        let buffer = std::mem::take(&mut self.buffer);
        let line = &buffer[self.start..end];
        let arrival = match self.skipping.take() {
            Some(skipping) => Some(oversized(
                &skipping.head,
                line,
                skipping.dropped + size,
                limit,
            )),
            None if size > limit => Some(oversized(edge_start(line), line, size, limit)),
            None => self.decode(line),
        };
        self.buffer = buffer;
        self.start = end + 1;
        self.scanned = end + 1;
        arrival
    }

    /// The line with the buffer it stands in; what came after it is copied. Where that is the larger, the line is.
    fn take_large(&mut self, end: usize) -> Vec<u8> {
        let after = self.buffer.get(end + 1..).unwrap_or_default();
        if after.len() > end - self.start {
            let line = self.buffer[self.start..end].to_vec();
            (self.start, self.scanned) = (end + 1, end + 1);
            return line;
        }
        let after = after.to_vec();
        let mut line = std::mem::replace(&mut self.buffer, after);
        line.truncate(end);
        line.drain(..self.start);
        (self.start, self.scanned) = (0, 0);
        line
    }

    /// The bytes after the last line break, when nothing more comes: a last message without one is taken.
    fn take_last(&mut self) -> Option<Arrival> {
        let mut rest = std::mem::take(&mut self.buffer);
        rest.drain(..self.start);
        (self.start, self.scanned) = (0, 0);
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
            if self.rest().len() <= self.limit {
                return;
            }
            self.skipping = Some(Skipping {
                head: edge_start(self.rest()).to_vec(),
                dropped: 0,
            });
        }
        let Some(skipping) = &mut self.skipping else {
            return;
        };
        // Only the last bytes are worth keeping: the id may be there.
        let line = &self.buffer[self.start..];
        let kept = edge_end(line).to_vec();
        skipping.dropped += line.len() - kept.len();
        self.buffer = kept;
        (self.start, self.scanned) = (0, self.buffer.len());
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

    /// The same of a line that is a buffer of its own, which its parts will share.
    fn decode_large(&mut self, line: Vec<u8>) -> Option<Arrival> {
        if line.starts_with(BYTE_ORDER_MARK) {
            return self.decode(&line);
        }
        let line = match String::from_utf8(line) {
            Ok(line) => Arc::new(line),
            Err(error) => return self.decode(error.as_bytes()),
        };
        match Message::decode_shared(&line) {
            Ok(message) => Some(Arrival::Message(message)),
            Err(_) => self.decode(line.as_bytes()),
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
        self.noise.heard(&cut(line, NOISE_BYTES));
    }
}

/// A line over the limit, by what its ends tell.
fn oversized(head: &[u8], line: &[u8], size: usize, limit: usize) -> Arrival {
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
