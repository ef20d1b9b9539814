//! One stream of a session's events: what was not written yet, then what happens, and a comment in silence.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::body::Bytes;
use futures_util::stream;

use super::Session;
use super::Taken;
use crate::transport::http::server::answer;

/// Reads a session's events from where it stands, `first` before anything else.
pub(super) fn body(session: Arc<Session>, stream: u64, first: Bytes, keep_alive: Duration) -> Body {
    let reading = Reading {
        session,
        stream,
        first: Some(first),
        keep_alive,
    };
    Body::from_stream(stream::unfold(reading, Reading::step))
}

struct Reading {
    session: Arc<Session>,
    stream: u64,
    first: Option<Bytes>,
    keep_alive: Duration,
}

impl Reading {
    async fn step(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if let Some(first) = self.first.take() {
            return Some((Ok(first), self));
        }
        let text = self.next().await?;
        Some((Ok(text), self))
    }

    async fn next(&self) -> Option<Bytes> {
        loop {
            let happened = self.session.happened.notified();
            tokio::pin!(happened);
            // From here on nothing that happens is missed, although we look first and wait after.
            happened.as_mut().enable();
            match self.session.take(self.stream) {
                Taken::Event(text) => return Some(text),
                Taken::Over => return None,
                Taken::Nothing => {}
            }
            if tokio::time::timeout(self.keep_alive, happened)
                .await
                .is_err()
            {
                return Some(answer::KEEP_ALIVE);
            }
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.session.detach(self.stream);
    }
}
