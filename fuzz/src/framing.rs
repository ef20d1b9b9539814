//! Messages and lines: what arrives from another program.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use futures_util::FutureExt;
use stepflow_rpc::Arrival;
use stepflow_rpc::Closed;
use stepflow_rpc::Message;
use stepflow_rpc::transport::lines::Ignored;
use stepflow_rpc::transport::lines::LineReader;
use tokio::io::AsyncRead;
use tokio::io::ReadBuf;

/// A message that was understood is written so that it is understood the same way.
pub fn message(bytes: &[u8]) {
    let Some(message) = read(bytes) else {
        return;
    };
    let once = written(&message);
    let again = read(&once).expect("what we write, we can read");
    assert_eq!(written(&again), once, "writing is stable");
}

fn read(bytes: &[u8]) -> Option<Message> {
    Message::decode(std::str::from_utf8(bytes).ok()?).ok()
}

fn written(message: &Message) -> Vec<u8> {
    let mut text = Vec::new();
    message.encode(&mut text);
    text
}

/// A stream of any bytes is read to its end; whatever they were, a message on a line of its own after them arrives,
/// unless the link ended before, and arrivals do not depend on the pieces in which bytes come.
pub fn lines(bytes: &[u8]) {
    const LIMIT: usize = 200;
    const LAST: &[u8] = b"\n{\"jsonrpc\":\"2.0\",\"id\":\"last\",\"result\":0}\n";
    let all = [bytes, LAST].concat();
    let arrivals = arrivals(&all, all.len(), LIMIT);
    for step in [1, 7] {
        assert_eq!(
            self::arrivals(&all, step, LIMIT),
            arrivals,
            "in steps of {step}"
        );
    }
    let is_over = arrivals
        .last()
        .is_some_and(|last| last.starts_with("ended"));
    let has_last = arrivals.iter().any(|arrival| arrival.contains("\"last\""));
    assert!(is_over || has_last, "{arrivals:?}");
}

/// Everything that arrives, in words.
fn arrivals(bytes: &[u8], step: usize, limit: usize) -> Vec<String> {
    let pieces = Pieces { bytes, step };
    let mut reader = LineReader::new(pieces, limit, Arc::new(Ignored));
    let mut arrivals = Vec::new();
    loop {
        let arrival = reader
            .next()
            .now_or_never()
            .expect("these bytes never wait");
        match arrival {
            Arrival::Ended(Closed::ByPeer) => return arrivals,
            Arrival::Ended(why) => {
                arrivals.push(format!("ended: {why}"));
                return arrivals;
            }
            Arrival::Message(message) => {
                arrivals.push(String::from_utf8_lossy(&written(&message)).into_owned());
            }
            other => arrivals.push(format!("{other:?}")),
        }
    }
}

/// Bytes that come in pieces.
struct Pieces<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = self.step.min(self.bytes.len()).min(buffer.remaining());
        let (piece, rest) = self.bytes.split_at(length);
        buffer.put_slice(piece);
        self.bytes = rest;
        Poll::Ready(Ok(()))
    }
}
