//! The body of a POST, within its limit. Knows nothing of what the bytes mean, but where an id may stand.

use std::time::Duration;

use axum::body::Body;
use axum::body::BodyDataStream;
use axum::body::Bytes;
use futures_util::StreamExt;

use super::answer::Refusal;
use crate::message::EDGE_BYTES;
use crate::message::Id;
use crate::message::Salvaged;
use crate::message::salvage;

/// How much of a body that will not be served is read: most senders look for an answer only once they have written all.
const MOST_SKIPPED_BYTES: usize = 64 * 1024 * 1024;

/// Reads a whole body of at most so many bytes, which may stand still for so long.
pub(super) async fn read(body: Body, limit: usize, idle: Duration) -> Result<Vec<u8>, Refusal> {
    let mut parts = body.into_data_stream();
    let mut whole = Vec::new();
    loop {
        let part = tokio::time::timeout(idle, parts.next()).await;
        let Some(part) = part.map_err(|_| Refusal::too_slow(idle))? else {
            return Ok(whole);
        };
        let part = part.map_err(|error| Refusal::parse(&format!("the body broke off: {error}")))?;
        if whole.len() + part.len() > limit {
            whole.extend_from_slice(&part);
            let id = Ends::of(whole).skip(parts).await;
            return Err(Refusal::too_large(id, limit));
        }
        whole.extend_from_slice(&part);
    }
}

/// Reads a body that will not be served, in constant memory, for the id of its message.
pub(super) async fn skip(body: Body) -> Option<Id> {
    Ends::of(Vec::new()).skip(body.into_data_stream()).await
}

/// The first and the last bytes of a message.
struct Ends {
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Ends {
    fn of(mut head: Vec<u8>) -> Self {
        let tail = head[head.len().saturating_sub(EDGE_BYTES)..].to_vec();
        head.truncate(EDGE_BYTES);
        head.shrink_to_fit();
        Ends { head, tail }
    }

    async fn skip(mut self, mut parts: BodyDataStream) -> Option<Id> {
        let mut skipped = 0;
        while let Some(Ok(part)) = parts.next().await {
            skipped += part.len();
            self.extend(&part);
            if skipped > MOST_SKIPPED_BYTES {
                // What came last is not the message's end, and says nothing.
                self.tail.clear();
                break;
            }
        }
        salvage(&self.head, &self.tail).map(|found| match found {
            Salvaged::Answer(id) | Salvaged::Request(id) => id,
        })
    }

    fn extend(&mut self, part: &Bytes) {
        let room = EDGE_BYTES - self.head.len();
        self.head.extend_from_slice(&part[..room.min(part.len())]);
        if part.len() >= EDGE_BYTES {
            self.tail.clear();
        }
        let last = &part[part.len().saturating_sub(EDGE_BYTES)..];
        self.tail.extend_from_slice(last);
        let surplus = self.tail.len().saturating_sub(EDGE_BYTES);
        self.tail.drain(..surplus);
    }
}
