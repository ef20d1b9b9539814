//! A client that says exactly what a test wants said: one connection a request, nothing added but what HTTP asks for.

use std::net::SocketAddr;

use serde_json::Value;
use stepflow_tests::soon;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::recorder::Decoder;
use crate::recorder::Piece;

/// A connection on which something was asked.
#[derive(Debug)]
pub struct Asked {
    stream: TcpStream,
    decoder: Decoder,
    pieces: std::collections::VecDeque<Piece>,
}

/// Asks; the answer is read by the methods of what this gives.
pub async fn ask(to: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> Asked {
    let mut text = format!(
        "{line} HTTP/1.1\r\nHost: {to}\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.push_str(body);
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    Asked {
        stream,
        decoder: Decoder::default(),
        pieces: Default::default(),
    }
}

/// Posts a message, as a runtime does.
pub async fn post(to: SocketAddr, path: &str, message: &str) -> Asked {
    let headers = [
        ("Content-Type", "application/json; charset=utf-8"),
        ("Accept", "application/json, text/event-stream"),
    ];
    ask(to, &format!("POST {path}"), &headers, message).await
}

/// Opens a stream of events, and waits for its endpoint.
pub async fn open(to: SocketAddr, headers: &[(&str, &str)]) -> (Asked, Event) {
    let mut all = vec![("Accept", "text/event-stream")];
    all.extend(headers);
    let mut events = ask(to, "GET /runtime/events", &all, "").await;
    let first = events.event().await;
    (events, first)
}

/// One event.
#[derive(Debug)]
pub struct Event {
    pub id: String,
    pub data: Value,
}

impl Event {
    /// What the event `endpoint` names.
    pub fn endpoint(&self) -> &str {
        self.data["endpoint"].as_str().unwrap()
    }
}

impl Asked {
    /// The next event of a stream.
    pub async fn event(&mut self) -> Event {
        loop {
            if let Piece::Event(text) = self.piece().await {
                let field = |name| {
                    let value = text.lines().find_map(|line| line.strip_prefix(name));
                    value.unwrap_or_default().to_owned()
                };
                let data = serde_json::from_str(&field("data: ")).unwrap();
                return Event {
                    id: field("id: "),
                    data,
                };
            }
        }
    }

    /// The status of an answer that is no stream.
    pub async fn status(mut self) -> u16 {
        match self.piece().await {
            Piece::Whole(head, _) => head.first.split(' ').nth(1).unwrap().parse().unwrap(),
            other => panic!("no answer: {other:?}"),
        }
    }

    async fn piece(&mut self) -> Piece {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return piece;
            }
            let mut bytes = [0; 4096];
            let size = soon("an answer", self.stream.read(&mut bytes)).await;
            let size = size.unwrap();
            assert_ne!(size, 0, "the connection ended before the answer");
            self.pieces.extend(self.decoder.feed(&bytes[..size]));
        }
    }
}
