//! A TCP proxy as they are on a bad day: it cuts connections, delays what they carry, holds it back and lets it go in
//! crumbs. What it does is decided by a seed; knows HTTP only so far as to tell a stream of events from a message.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What goes wrong, in pieces of a thousand that pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Decides which.
    pub seed: u64,
    /// How many are the last of their connection, and arrive by half.
    pub cut: u64,
    /// How many wait for milliseconds.
    pub delay: u64,
    /// How many wait for what comes after them.
    pub hold: u64,
    /// How many go in crumbs.
    pub crumble: u64,
}

/// Words in the heads of requests that become others of the same length.
#[derive(Clone, Copy, Debug)]
pub struct Rewrite {
    /// What stands there.
    pub from: &'static str,
    /// What stands there instead.
    pub to: &'static str,
    /// In how many requests.
    pub most: usize,
}

/// A proxy; it ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where it is.
    pub url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    target: Mutex<SocketAddr>,
    faults: Faults,
    state: Mutex<u64>,
    n_cut: AtomicUsize,
    lines: Mutex<Vec<Arc<Line>>>,
    rewrite: Mutex<Option<Rewrite>>,
}

/// One connection through the proxy.
#[derive(Debug, Default)]
struct Line {
    is_stream: AtomicBool,
    is_cut: AtomicBool,
    cut: Notify,
}

enum Fate {
    Pass,
    Cut,
    Delay,
    Hold,
    Crumble,
}

impl Proxy {
    /// Starts a proxy to a server.
    pub async fn start(url: &str, faults: Faults) -> Proxy {
        let port = crate::http::port(url);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            target: Mutex::new(([127, 0, 0, 1], port).into()),
            faults,
            state: Mutex::new(faults.seed | 1),
            n_cut: AtomicUsize::new(0),
            lines: Mutex::default(),
            rewrite: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&accepting).connect(stream));
            }
        });
        Proxy { url, shared, task }
    }

    /// Cuts all streams of events, and says how many there were.
    pub fn cut_streams(&self) -> usize {
        let lines = self.shared.lines.lock().unwrap();
        let streams = lines.iter().filter(|it| {
            it.is_stream.load(Ordering::Relaxed) && !it.is_cut.load(Ordering::Relaxed)
        });
        streams.map(|line| self.shared.cut(line)).count()
    }

    /// Leads to another server from now on, and cuts all that leads to the present one: as if that was started again.
    pub fn lead_to(&self, url: &str) {
        *self.shared.target.lock().unwrap() = ([127, 0, 0, 1], crate::http::port(url)).into();
        let lines = self.shared.lines.lock().unwrap();
        lines.iter().for_each(|line| self.shared.cut(line));
    }

    /// Changes words in the heads of the next requests that have them.
    pub fn rewrite(&self, rewrite: Rewrite) {
        assert_eq!(rewrite.from.len(), rewrite.to.len());
        *self.shared.rewrite.lock().unwrap() = Some(rewrite);
    }

    /// How many connections were cut.
    pub fn n_cut(&self) -> usize {
        self.shared.n_cut.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn connect(self: Arc<Self>, near: TcpStream) {
        let target = *self.target.lock().unwrap();
        let Ok(far) = TcpStream::connect(target).await else {
            return;
        };
        near.set_nodelay(true).unwrap();
        far.set_nodelay(true).unwrap();
        let line = Arc::new(Line::default());
        self.lines.lock().unwrap().push(Arc::clone(&line));
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        let both = async {
            tokio::join!(
                self.carry(near_in, far_out, &line),
                self.carry(far_in, near_out, &line)
            )
        };
        tokio::select! {
            _ = both => {}
            () = line.cut.notified() => {}
        }
        line.is_cut.store(true, Ordering::Relaxed);
        let mut lines = self.lines.lock().unwrap();
        lines.retain(|it| !Arc::ptr_eq(it, &line));
    }

    async fn carry(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, line: &Line) {
        let mut piece = vec![0; 16 * 1024];
        loop {
            let Ok(size @ 1..) = from.read(&mut piece).await else {
                // The other direction may go on.
                let _ = to.shutdown().await;
                return;
            };
            if piece.starts_with(b"GET ") || piece.starts_with(b"POST ") {
                let is_stream = piece.starts_with(b"GET ");
                line.is_stream.store(is_stream, Ordering::Relaxed);
                self.rewrite(&mut piece[..size]);
            }
            let mut size = size;
            match self.fate() {
                Fate::Pass => {}
                Fate::Cut => {
                    let _ = to.write_all(&piece[..size / 2]).await;
                    return self.cut(line);
                }
                Fate::Delay => tokio::time::sleep(Duration::from_millis(3)).await,
                Fate::Hold => {
                    let wait = Duration::from_millis(5);
                    let more = tokio::time::timeout(wait, from.read(&mut piece[size..])).await;
                    size += more.ok().and_then(Result::ok).unwrap_or_default();
                }
                Fate::Crumble => {
                    for byte in &piece[..size] {
                        let _ = to.write_all(&[*byte]).await;
                        tokio::task::yield_now().await;
                    }
                    continue;
                }
            }
            if to.write_all(&piece[..size]).await.is_err() {
                return self.cut(line);
            }
        }
    }

    /// Changes the head of a request, which comes in one piece.
    fn rewrite(&self, piece: &mut [u8]) {
        let mut rewrite = self.rewrite.lock().unwrap();
        let Some(Rewrite { from, to, most }) = rewrite.as_mut().filter(|it| it.most > 0) else {
            return;
        };
        let found = piece
            .windows(from.len())
            .position(|it| it == from.as_bytes());
        if let Some(place) = found {
            piece[place..place + from.len()].copy_from_slice(to.as_bytes());
            *most -= 1;
        }
    }

    fn cut(&self, line: &Line) {
        line.is_cut.store(true, Ordering::Relaxed);
        self.n_cut.fetch_add(1, Ordering::Relaxed);
        line.cut.notify_one();
    }

    fn fate(&self) -> Fate {
        let mut state = self.state.lock().unwrap();
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        let mut lot = *state % 1000;
        let Faults {
            cut,
            delay,
            hold,
            crumble,
            ..
        } = self.faults;
        for (share, fate) in [
            (cut, Fate::Cut),
            (delay, Fate::Delay),
            (hold, Fate::Hold),
            (crumble, Fate::Crumble),
        ] {
            if lot < share {
                return fate;
            }
            lot -= share;
        }
        Fate::Pass
    }
}
