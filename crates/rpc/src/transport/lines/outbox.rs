//! What waits to be written, and the task that writes it. Small messages gather in one buffer that is written at once;
//! large ones are written from where they are, without a copy.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::error::Closed;
use crate::link::Outgoing;
use crate::link::Ticket;
use crate::message::Id;
use crate::message::Message;
use crate::message::unbreak;

/// Callers that can wait do so while more than this is queued.
const HIGH_WATER_BYTES: usize = 1024 * 1024;
/// Messages from this size on are not copied into the common buffer.
const LARGE_BYTES: usize = 64 * 1024;

struct Piece {
    content: Content,
    /// How much of it are answers, in bytes.
    answers: usize,
}

enum Content {
    Small(Vec<u8>),
    Large(Message),
}

#[derive(Default)]
struct Queue {
    pieces: VecDeque<Piece>,
    last_ticket: u64,
    closed: bool,
    /// Why writing failed.
    failed: Option<Closed>,
}

/// The outgoing half of a link made of lines.
#[derive(Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    queued: AtomicUsize,
    queued_answers: AtomicUsize,
    /// The ticket of the last message whose bytes may have been written.
    left: AtomicU64,
    filled: Notify,
    drained: Notify,
    /// The writer is done, for better or worse.
    written: CancellationToken,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes everything that is queued; from here on it may have left.
    fn take(&self) -> Taken {
        let mut queue = self.lock();
        self.left.store(queue.last_ticket, Ordering::Release);
        if queue.pieces.is_empty() && queue.closed {
            return Taken::Closed;
        }
        Taken::Pieces(std::mem::take(&mut queue.pieces))
    }

    fn fail(&self, error: io::Error) -> Closed {
        let closed = Closed::from(error);
        let mut queue = self.lock();
        queue.failed = Some(closed.clone());
        queue.closed = true;
        queue.pieces.clear();
        drop(queue);
        self.queued.store(0, Ordering::Release);
        self.queued_answers.store(0, Ordering::Release);
        self.drained.notify_waiters();
        closed
    }

    fn wrote(&self, bytes: usize, answers: usize) {
        self.queued_answers.fetch_sub(answers, Ordering::AcqRel);
        let before = self.queued.fetch_sub(bytes, Ordering::AcqRel);
        if before > HIGH_WATER_BYTES && before - bytes <= HIGH_WATER_BYTES {
            self.drained.notify_waiters();
        }
    }
}

enum Taken {
    Pieces(VecDeque<Piece>),
    Closed,
}

impl Outgoing for Outbox {
    fn send(&self, message: Message, _about: Option<&Id>) -> Result<Ticket, Closed> {
        let mut queue = self.lock();
        if let Some(closed) = &queue.failed {
            return Err(closed.clone());
        }
        if queue.closed {
            return Err(Closed::ByUs);
        }
        let was_empty = queue.pieces.is_empty();
        let is_answer = message.is_answer();
        let bytes = push(&mut queue.pieces, message);
        if is_answer {
            if let Some(piece) = queue.pieces.back_mut() {
                piece.answers += bytes;
            }
            self.queued_answers.fetch_add(bytes, Ordering::AcqRel);
        }
        queue.last_ticket += 1;
        let ticket = Ticket(queue.last_ticket);
        self.queued.fetch_add(bytes, Ordering::AcqRel);
        drop(queue);
        if was_empty {
            self.filled.notify_one();
        }
        Ok(ticket)
    }

    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        let is_full = || self.queued.load(Ordering::Acquire) > HIGH_WATER_BYTES;
        is_full().then(|| {
            async move {
                loop {
                    let drained = self.drained.notified();
                    if !is_full() {
                        return;
                    }
                    drained.await;
                }
            }
            .boxed()
        })
    }

    fn may_have_left(&self, ticket: Ticket) -> bool {
        ticket.0 <= self.left.load(Ordering::Acquire)
    }

    fn queued(&self) -> usize {
        self.queued.load(Ordering::Acquire)
    }

    fn queued_answers(&self) -> usize {
        self.queued_answers.load(Ordering::Acquire)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    fn written(&self) -> BoxFuture<'_, ()> {
        self.written.cancelled().boxed()
    }

    fn abandon(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.pieces.clear();
        drop(queue);
        self.filled.notify_one();
    }
}

/// Appends a message and says how many bytes it counts for.
fn push(pieces: &mut VecDeque<Piece>, message: Message) -> usize {
    let size = message.size();
    if size >= LARGE_BYTES {
        pieces.push_back(Piece {
            content: Content::Large(message),
            answers: 0,
        });
        return size;
    }
    let has_room = |piece: &Piece| matches!(&piece.content, Content::Small(buffer) if buffer.len() < LARGE_BYTES);
    if !pieces.back().is_some_and(has_room) {
        let content = Content::Small(Vec::with_capacity(size.max(512)));
        pieces.push_back(Piece {
            content,
            answers: 0,
        });
    }
    let Some(Piece {
        content: Content::Small(buffer),
        ..
    }) = pieces.back_mut()
    else {
        unreachable!("a small piece was just put there")
    };
    let start = buffer.len();
    message.encode(buffer);
    unbreak(&mut buffer[start..]);
    buffer.push(b'\n');
    buffer.len() - start
}

/// Writes what is queued until the outbox is closed and empty, or writing fails: then it says why.
pub(super) async fn write<W: AsyncWrite + Send + Unpin>(
    outbox: std::sync::Arc<Outbox>,
    mut output: W,
) -> Result<(), Closed> {
    let _written = outbox.written.clone().drop_guard();
    loop {
        let pieces = match outbox.take() {
            Taken::Closed => break,
            Taken::Pieces(pieces) => pieces,
        };
        if pieces.is_empty() {
            outbox.filled.notified().await;
            continue;
        }
        for piece in pieces {
            let answers = piece.answers;
            match write_piece(&mut output, piece.content).await {
                Ok(bytes) => outbox.wrote(bytes, answers),
                Err(error) => return Err(outbox.fail(error)),
            }
        }
        if let Err(error) = output.flush().await {
            return Err(outbox.fail(error));
        }
    }
    // Dropping the stream closes it; a shutdown that fails has nobody left to tell.
    let _ = output.shutdown().await;
    Ok(())
}

async fn write_piece<W: AsyncWrite + Send + Unpin>(
    output: &mut W,
    content: Content,
) -> io::Result<usize> {
    match content {
        Content::Small(buffer) => {
            output.write_all(&buffer).await?;
            Ok(buffer.len())
        }
        Content::Large(message) => {
            let size = message.size();
            let (head, body, tail) = message.parts();
            output.write_all(&head).await?;
            for piece in body.pieces() {
                write_unbroken(output, piece.as_bytes()).await?;
            }
            output.write_all(&[tail.as_bytes(), b"\n"].concat()).await?;
            Ok(size)
        }
    }
}

async fn write_unbroken<W: AsyncWrite + Send + Unpin>(
    output: &mut W,
    body: &[u8],
) -> io::Result<()> {
    // In portions, so that the writing does not wait for the search, and finds what it writes where the search has put it.
    for portion in body.chunks(LARGE_BYTES) {
        let mut rest = portion;
        while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
            output.write_all(&rest[..at]).await?;
            output.write_all(b" ").await?;
            rest = &rest[at + 1..];
        }
        output.write_all(rest).await?;
    }
    Ok(())
}
