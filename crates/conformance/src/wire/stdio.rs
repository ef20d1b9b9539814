//! A connection over the pipes of a process: bytes out, lines in. Frames by line breaks and by nothing else.

use std::sync::Arc;
use std::sync::PoisonError;
use std::time::Duration;

use stepflow_rpc::Message;
use stepflow_rpc::message::Malformed;
use stepflow_rpc::transport::child;
use stepflow_rpc::transport::child::Child;
use stepflow_rpc::transport::child::Exit;
use stepflow_rpc::transport::child::Guard;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::process::ChildStdin;
use tokio::process::ChildStdout;
use tokio::sync::mpsc;
use tokio::sync::watch;

use super::Heard;
use super::What;
use crate::lab::Lab;
use crate::transcript::Direction;
use crate::transcript::Recorder;
use crate::verdict::Stop;
use crate::verdict::brief;

/// A longer line is no message of any test.
const LONGEST_LINE: usize = 128 * 1024 * 1024;

/// How long a process may take to end once its stdout is closed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The pipes of a process. Its end is seen to when they are dropped.
#[derive(Debug)]
pub struct Pipes {
    stdin: Option<ChildStdin>,
    child: Arc<Child>,
    reads: watch::Sender<bool>,
    recorder: Recorder,
    number: u32,
    endings: Arc<std::sync::Mutex<tokio::task::JoinSet<()>>>,
}

impl Pipes {
    pub(super) fn open(
        lab: &Lab,
        command: &child::Command,
        guard: Option<&Guard>,
        number: u32,
        inbox: mpsc::Sender<Heard>,
    ) -> Result<Pipes, Stop> {
        let (pipes, child) = child::spawn_raw(command, guard).map_err(|error| {
            Stop::fail(
                "the server cannot be started",
                "a process",
                error.to_string(),
            )
        })?;
        let (reads, may_read) = watch::channel(true);
        let reader = Reader {
            stdout: BufReader::new(pipes.stdout),
            may_read,
            recorder: lab.recorder.clone(),
            number,
            inbox,
        };
        let child = Arc::new(child);
        tokio::spawn(reader.run(Arc::clone(&child)));
        Ok(Pipes {
            stdin: Some(pipes.stdin),
            child,
            reads,
            recorder: lab.recorder.clone(),
            number,
            endings: Arc::clone(&lab.endings),
        })
    }

    /// Writes a message and a line break.
    pub(super) async fn write_line(&mut self, text: &str) -> Result<(), Stop> {
        self.recorder
            .note(self.number, Direction::Out, "", text.as_bytes());
        let mut line = Vec::with_capacity(text.len() + 1);
        line.extend_from_slice(text.as_bytes());
        line.push(b'\n');
        self.put(&line).await
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// When the server does not read any more.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.recorder.note(self.number, Direction::Out, "", bytes);
        self.put(bytes).await
    }

    async fn put(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let Some(stdin) = &mut self.stdin else {
            return Ok(());
        };
        let written = async {
            stdin.write_all(bytes).await?;
            stdin.flush().await
        };
        written.await.map_err(|error| {
            Stop::fail(
                "the server does not read its stdin",
                "that it reads",
                error.to_string(),
            )
        })
    }

    /// Stops reading what the server writes, or goes on.
    pub fn set_reading(&self, reads: bool) {
        self.reads.send_replace(reads);
    }

    /// Closes the server's stdin.
    pub fn close(&mut self) {
        self.recorder
            .note(self.number, Direction::Note, "", b"stdin is closed");
        self.stdin = None;
    }

    /// Waits for the end of the process; nobody tells it to end.
    pub async fn exited(&self) -> Arc<Exit> {
        self.child.exited().await
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        self.stdin = None;
        self.reads.send_replace(true);
        let child = Arc::clone(&self.child);
        let mut endings = self.endings.lock().unwrap_or_else(PoisonError::into_inner);
        endings.spawn(async move {
            child.shut_down().await;
        });
    }
}

struct Reader {
    stdout: BufReader<ChildStdout>,
    may_read: watch::Receiver<bool>,
    recorder: Recorder,
    number: u32,
    inbox: mpsc::Sender<Heard>,
}

impl Reader {
    async fn run(mut self, child: Arc<Child>) {
        let mut line = Vec::new();
        let why = loop {
            // Nobody is left to open the gate: then it stands open.
            let _ = self.may_read.wait_for(|may| *may).await;
            match self.read(&mut line).await {
                Ok(true) => {}
                Ok(false) => break None,
                Err(error) => break Some(format!("its stdout cannot be read: {error}")),
            }
            let message = std::str::from_utf8(&line).map_err(|_| Malformed::NotJson);
            let message = message.and_then(Message::decode);
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            if !text.is_empty() {
                self.recorder
                    .note(self.number, Direction::In, "", text.as_bytes());
                let heard = Heard {
                    text: text.to_owned(),
                    instance: None,
                    what: What::Message(message),
                };
                if self.inbox.send(heard).await.is_err() {
                    return;
                }
            }
            line.clear();
        };
        let why = match why {
            Some(why) => why,
            None => match tokio::time::timeout(LAST_WORDS, child.exited()).await {
                Ok(exit) => last_words(&exit),
                Err(_) => "it closed its stdout, and lives on".to_owned(),
            },
        };
        if self.inbox.is_closed() {
            // The end of a connection that nobody uses any more is not part of what the next check sees.
            return;
        }
        self.recorder
            .note(self.number, Direction::Note, "", why.as_bytes());
        let ended = Heard {
            text: String::new(),
            instance: None,
            what: What::Ended(why),
        };
        // Who does not listen any more need not know.
        let _ = self.inbox.send(ended).await;
    }

    /// Reads to the next line break; says whether there was anything.
    async fn read(&mut self, line: &mut Vec<u8>) -> std::io::Result<bool> {
        loop {
            let chunk = self.stdout.fill_buf().await?;
            if chunk.is_empty() {
                return Ok(!line.is_empty());
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let n_taken = end.map_or(chunk.len(), |at| at + 1);
            line.extend_from_slice(&chunk[..n_taken]);
            self.stdout.consume(n_taken);
            if end.is_some() {
                return Ok(true);
            }
            if line.len() > LONGEST_LINE {
                return Err(std::io::Error::other("a line without end"));
            }
        }
    }
}

/// How a process ended, and the last that it said on stderr.
fn last_words(exit: &Exit) -> String {
    const MOST: usize = 8;
    let lines: Vec<_> = exit.stderr.lines().collect();
    let last = lines.iter().rev().take(MOST).rev().map(|it| brief(it));
    let last: Vec<_> = last.collect();
    format!("the process {}: {}", exit.status_text(), last.join("\n"))
}
