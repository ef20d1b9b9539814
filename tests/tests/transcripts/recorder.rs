//! A TCP front that passes bytes on unchanged and notes the HTTP in them. What is noted was not passed on yet, so that
//! notes come in the order of causes. Knows HTTP/1.1 as far as the two ends speak it, and nothing of what is said.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use stepflow_tests::soon;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// One thing that passed, and the exchange that it belongs to.
#[derive(Clone, Debug)]
pub struct Note {
    pub exchange: usize,
    pub what: What,
}

/// What passed.
#[derive(Clone, Debug)]
pub enum What {
    Request(Head, Vec<u8>),
    Answer(Head, Vec<u8>),
    /// The head of a stream, and one event of it.
    Stream(Head),
    Event(String),
    /// The server's end of the connection.
    End,
}

/// The head of a request or an answer.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub first: String,
    pub headers: Vec<(String, String)>,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|it| it.0 == name);
        found.map(|it| it.1.as_str())
    }

    fn parse(text: &str) -> Head {
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let pairs = lines.filter_map(|line| line.split_once(':'));
        let headers = pairs.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
        Head {
            first,
            headers: headers.collect(),
        }
    }
}

/// A piece of what one end says on one connection.
#[derive(Debug)]
pub enum Piece {
    Whole(Head, Vec<u8>),
    Stream(Head),
    Event(String),
}

/// Takes bytes in any pieces, gives heads with their bodies, and the events of streams as they come.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    head: Option<Head>,
    body: Vec<u8>,
}

impl Decoder {
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Piece> {
        self.bytes.extend_from_slice(bytes);
        let mut pieces = Vec::new();
        while self.step(&mut pieces) {}
        pieces
    }

    /// Takes one more part out of the bytes; false where it is not there yet.
    fn step(&mut self, pieces: &mut Vec<Piece>) -> bool {
        let Some(head) = &self.head else {
            let Some(text) = self.take_until(b"\r\n\r\n") else {
                return false;
            };
            let head = Head::parse(&text);
            if is_stream(&head) {
                pieces.push(Piece::Stream(head.clone()));
            }
            self.head = Some(head);
            return true;
        };
        if head.header("transfer-encoding") == Some("chunked") {
            let is_stream = is_stream(head);
            return self.chunk(is_stream, pieces);
        }
        let length = head
            .header("content-length")
            .map_or(0, |it| it.parse().unwrap());
        if self.bytes.len() < length {
            return false;
        }
        self.body = self.bytes.drain(..length).collect();
        self.end(pieces);
        true
    }

    fn chunk(&mut self, is_stream: bool, pieces: &mut Vec<Piece>) -> bool {
        let Some(line) = find(&self.bytes, b"\r\n") else {
            return false;
        };
        let size = std::str::from_utf8(&self.bytes[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if self.bytes.len() < line + 2 + size + 2 {
            return false;
        }
        self.body.extend_from_slice(&self.bytes[line + 2..][..size]);
        self.bytes.drain(..line + 2 + size + 2);
        while is_stream && let Some(end) = find(&self.body, b"\n\n") {
            let event: Vec<u8> = self.body.drain(..end + 2).collect();
            let event = String::from_utf8(event).unwrap();
            pieces.push(Piece::Event(event.trim_end().to_owned()));
        }
        if size == 0 {
            self.end(pieces);
        }
        true
    }

    fn end(&mut self, pieces: &mut Vec<Piece>) {
        let (head, body) = (self.head.take(), std::mem::take(&mut self.body));
        if let Some(head) = head.filter(|head| !is_stream(head)) {
            pieces.push(Piece::Whole(head, body));
        }
    }

    fn take_until(&mut self, end: &[u8]) -> Option<String> {
        let at = find(&self.bytes, end)?;
        let taken: Vec<u8> = self.bytes.drain(..at + end.len()).collect();
        Some(String::from_utf8_lossy(&taken).trim_end().to_owned())
    }
}

fn is_stream(head: &Head) -> bool {
    head.header("content-type") == Some("text/event-stream")
}

fn find(bytes: &[u8], sought: &[u8]) -> Option<usize> {
    bytes.windows(sought.len()).position(|it| it == sought)
}

/// The front of one server. It ends when it is dropped.
#[derive(Debug)]
pub struct Recorder {
    pub address: SocketAddr,
    notes: Notes,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug, Default)]
struct Notes {
    notes: watch::Sender<Vec<Note>>,
    n_exchanges: Arc<AtomicUsize>,
}

impl Notes {
    fn add(&self, exchange: usize, what: What) {
        let note = Note { exchange, what };
        self.notes.send_modify(|notes| notes.push(note));
    }
}

impl Recorder {
    /// Begins to listen in front of a server on a port of this machine.
    pub async fn start(port: u16) -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let notes = Notes::default();
        let kept = notes.clone();
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(pass(near, port, kept.clone()));
            }
        });
        Recorder {
            address,
            notes,
            task,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What passed so far.
    pub fn notes(&self) -> Vec<Note> {
        self.notes.notes.borrow().clone()
    }

    /// Waits until something like this has passed so many times.
    pub async fn until(&self, times: usize, is_it: impl Fn(&Note) -> bool) {
        let mut notes = self.notes.notes.subscribe();
        let enough = |notes: &Vec<Note>| notes.iter().filter(|it| is_it(it)).count() >= times;
        soon("what is to pass", notes.wait_for(enough))
            .await
            .unwrap();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(near: TcpStream, port: u16, notes: Notes) {
    let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    // Nobody sends a second request on a connection before the first one's answer.
    let exchange = AtomicUsize::new(0);
    let requests = carry(near_in, far_out, |piece| {
        if let Piece::Whole(head, body) = piece {
            let number = notes.n_exchanges.fetch_add(1, Ordering::Relaxed);
            exchange.store(number, Ordering::Relaxed);
            notes.add(number, What::Request(head, body));
        }
    });
    let answers = carry(far_in, near_out, |piece| {
        let what = match piece {
            Piece::Whole(head, body) => What::Answer(head, body),
            Piece::Stream(head) => What::Stream(head),
            Piece::Event(text) => What::Event(text),
        };
        notes.add(exchange.load(Ordering::Relaxed), what);
    });
    let answers = async {
        answers.await;
        notes.add(exchange.load(Ordering::Relaxed), What::End);
    };
    tokio::join!(requests, answers);
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut note: impl FnMut(Piece)) {
    let mut decoder = Decoder::default();
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(size @ 1..) = from.read(&mut bytes).await {
        decoder.feed(&bytes[..size]).into_iter().for_each(&mut note);
        if to.write_all(&bytes[..size]).await.is_err() {
            break;
        }
    }
    // The other direction may go on.
    let _ = to.shutdown().await;
}
