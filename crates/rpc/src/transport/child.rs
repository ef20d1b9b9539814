//! A component server as a child process: start it, talk lines over its stdin and stdout, keep the end of what it says on
//! stderr, and see that neither it nor anything it started outlives us.
//!
//! Owns one process and its group. Whether and when to start the next one is the supervisor's business, further up.

mod command;
mod exit;
mod guard;
mod tail;

use std::fmt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use rustix::process::Pid;
use rustix::process::Signal;
use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::process::ChildStderr;
use tokio::process::ChildStdin;
use tokio::process::ChildStdout;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::cut::cut;
use super::lines;
use crate::error::Closed;
use crate::link::Ending;
use crate::link::Link;
pub use command::Command;
pub use command::SpawnError;
pub use exit::Exit;
pub use guard::Guard;
pub use tail::Tail;

/// How long a process that ended may leave its last output in the pipes, and one that closed its stdout may take to end.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Starts the command and makes a link of its stdin and stdout.
///
/// # Errors
/// [`SpawnError`] says what was tried and what to look at.
pub fn spawn(command: &Command, guard: Option<&Guard>) -> Result<(Link, Child), SpawnError> {
    let (process, pipes) = start(command)?;
    let said = Said::of(command);
    let options = lines::Options {
        max_message_bytes: command.max_message_bytes,
        noise: Arc::clone(&said) as Arc<dyn lines::Noise>,
    };
    let link = lines::link(pipes.stdout, pipes.stdin, &options);
    let outgoing = Arc::clone(&link.outgoing);
    let close = Box::new(move || outgoing.close());
    let child = watch_over(process, command, guard, said, Some(close));
    let link = ended_by_exit(link, child.exited.clone(), child.stop.clone());
    Ok((link, child))
}

/// The two ends that a process talks through.
#[derive(Debug)]
pub struct Pipes {
    /// What it reads.
    pub stdin: ChildStdin,
    /// What it writes.
    pub stdout: ChildStdout,
}

/// Starts the command and gives its stdin and stdout as they are, to those who must see every byte. Closing stdin, the first step
/// of a shutdown, is theirs too.
///
/// # Errors
/// [`SpawnError`] says what was tried and what to look at.
pub fn spawn_raw(command: &Command, guard: Option<&Guard>) -> Result<(Pipes, Child), SpawnError> {
    let (process, pipes) = start(command)?;
    let child = watch_over(process, command, guard, Said::of(command), None);
    Ok((pipes, child))
}

fn start(command: &Command) -> Result<(tokio::process::Child, Pipes), SpawnError> {
    let mut process = command.start()?;
    let stdin = process.stdin.take().expect("stdin is piped");
    let stdout = process.stdout.take().expect("stdout is piped");
    Ok((process, Pipes { stdin, stdout }))
}

/// Leaves a process to its warden.
fn watch_over(
    mut process: tokio::process::Child,
    command: &Command,
    guard: Option<&Guard>,
    said: Arc<Said>,
    close: Option<Box<dyn FnOnce() + Send>>,
) -> Child {
    let pid = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let pid = pid.expect("a process that was just started and not waited for has an id");
    if let Some(guard) = guard {
        guard.watch(pid);
    }
    let stderr = process.stderr.take().expect("stderr is piped");
    let (exit, exited) = watch::channel(None);
    let stop = CancellationToken::new();
    let warden = Warden {
        process,
        pid,
        guard: guard.cloned(),
        grace: command.shutdown_grace,
        stop: stop.clone(),
        close,
        stderr: tokio::spawn(drain(stderr, Arc::clone(&said))),
        said: Arc::clone(&said),
        exit,
    };
    tokio::spawn(warden.run());
    Child {
        pid,
        said,
        exited,
        stop,
    }
}

/// What the process says besides messages.
struct Said {
    name: Arc<str>,
    stderr: Tail,
    stdout: Tail,
}

impl Said {
    fn of(command: &Command) -> Arc<Said> {
        Arc::new(Said {
            name: command.name.clone(),
            stderr: Tail::default(),
            stdout: Tail::default(),
        })
    }
}

impl lines::Noise for Said {
    fn heard(&self, line: &str) {
        tracing::info!(target: "stepflow::output", plugin = %self.name, "stdout: {line}");
        self.stdout.push(line);
    }
}

/// A handle to a running child process. Dropping it ends the process by the same steps as [`Child::shut_down`].
pub struct Child {
    pid: Pid,
    said: Arc<Said>,
    exited: watch::Receiver<Option<Arc<Exit>>>,
    stop: CancellationToken,
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

impl Child {
    /// The process id, which is also the id of its group.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// How many lines it printed on stdout that are no messages.
    pub fn noise_lines(&self) -> u64 {
        self.said.stdout.lines()
    }

    /// The end of what it said on stderr.
    pub fn stderr_tail(&self) -> String {
        self.said.stderr.text()
    }

    /// Ends the process: close stdin, wait, SIGTERM to its group, wait, SIGKILL to its group, reap.
    pub async fn shut_down(&self) -> Arc<Exit> {
        self.stop.cancel();
        self.exited().await
    }

    /// Waits until the process has ended and was reaped.
    pub async fn exited(&self) -> Arc<Exit> {
        exit_of(self.exited.clone()).await
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn exit_of(mut exited: watch::Receiver<Option<Arc<Exit>>>) -> Arc<Exit> {
    let exit = exited
        .wait_for(Option::is_some)
        .await
        .ok()
        .and_then(|exit| exit.clone());
    exit.unwrap_or_else(|| Arc::new(Exit::unknown()))
}

/// Ends the link with the process's exit rather than with the bare end of its stdout.
fn ended_by_exit(
    link: Link,
    exited: watch::Receiver<Option<Arc<Exit>>>,
    stop: CancellationToken,
) -> Link {
    let exit = exit_of(exited.clone());
    let end = async move {
        let exit = exit.await;
        // A grandchild may hold stdout open for ever, and go on talking: what the process itself wrote is given time to
        // be read, and no more than that.
        tokio::time::sleep(LAST_WORDS).await;
        Closed::Exited(exit)
    };
    let incoming = Ending::new(link.incoming, end).explained(move |why| match why {
        Closed::ByPeer | Closed::Io(_) => why_ended(why, exited, stop).boxed(),
        why => std::future::ready(why).boxed(),
    });
    Link {
        incoming: Box::pin(incoming),
        ..link
    }
}

/// A process that closed its stdout is about to end. One that does not is of no use any more, and is ended.
async fn why_ended(
    why: Closed,
    exited: watch::Receiver<Option<Arc<Exit>>>,
    stop: CancellationToken,
) -> Closed {
    match tokio::time::timeout(LAST_WORDS, exit_of(exited)).await {
        Ok(exit) => Closed::Exited(exit),
        Err(_) => {
            stop.cancel();
            why
        }
    }
}

/// Reads stderr for the process's whole life, whatever it says and however long its lines are.
async fn drain(stderr: ChildStderr, said: Arc<Said>) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        let ended = read_bounded_line(&mut stderr, &mut line).await;
        if !line.is_empty() {
            let text = cut(&line, tail::MAX_LINE_BYTES);
            tracing::info!(target: "stepflow::output", plugin = %said.name, "{text}");
            said.stderr.push(&text);
        }
        if ended {
            return;
        }
    }
}

/// Reads to the next line break, keeping a bounded part, one byte longer than what is shown so that a cut is noticed; says whether the stream ended.
async fn read_bounded_line(stderr: &mut BufReader<ChildStderr>, line: &mut Vec<u8>) -> bool {
    loop {
        let Ok(chunk) = stderr.fill_buf().await else {
            return true;
        };
        if chunk.is_empty() {
            return true;
        }
        let line_break = memchr::memchr(b'\n', chunk);
        let end = line_break.unwrap_or(chunk.len());
        let room = (tail::MAX_LINE_BYTES + 1).saturating_sub(line.len());
        line.extend_from_slice(&chunk[..end.min(room)]);
        stderr.consume(line_break.map_or(end, |at| at + 1));
        if line_break.is_some() {
            while line.last() == Some(&b'\r') {
                line.pop();
            }
            return false;
        }
    }
}

/// Waits for the process's end or for the order to end it, and leaves nothing of its group behind.
struct Warden {
    process: tokio::process::Child,
    pid: Pid,
    guard: Option<Guard>,
    grace: Duration,
    stop: CancellationToken,
    /// Closes stdin.
    close: Option<Box<dyn FnOnce() + Send>>,
    stderr: JoinHandle<()>,
    said: Arc<Said>,
    exit: watch::Sender<Option<Arc<Exit>>>,
}

impl Warden {
    async fn run(mut self) {
        let stop = self.stop.clone();
        let ended = tokio::select! {
            status = self.process.wait() => status,
            () = stop.cancelled() => self.climb_down().await,
        };
        // Whatever the process started and left behind goes with it.
        self.signal(Signal::KILL);
        if let Some(guard) = &self.guard {
            guard.forget(self.pid);
        }
        let mut stderr = self.stderr;
        if tokio::time::timeout(LAST_WORDS, &mut stderr).await.is_err() {
            stderr.abort();
        }
        let exit = Exit {
            status: ended.ok(),
            stderr: self.said.stderr.text(),
            stdout: self.said.stdout.text(),
            noise_lines: self.said.stdout.lines(),
        };
        self.exit.send_replace(Some(Arc::new(exit)));
    }

    /// The shutdown ladder, a grace on each rung.
    async fn climb_down(&mut self) -> std::io::Result<ExitStatus> {
        if let Some(close) = self.close.take() {
            close();
        }
        if let Ok(status) = tokio::time::timeout(self.grace, self.process.wait()).await {
            return status;
        }
        self.signal(Signal::TERM);
        if let Ok(status) = tokio::time::timeout(self.grace, self.process.wait()).await {
            return status;
        }
        self.signal(Signal::KILL);
        self.process.wait().await
    }

    fn signal(&self, signal: Signal) {
        // The group may be gone already, which is what is wanted.
        let _ = rustix::process::kill_process_group(self.pid, signal);
    }
}

#[cfg(test)]
mod tests;
