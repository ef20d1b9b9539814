//! What pipes cost at best: a line of 200 bytes to and fro, many lines under way, and one large message through `cat`.

use std::io::BufRead;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncWriteExt;

use crate::child::Other;
use crate::effort::Effort;
use crate::effort::Pace;
use crate::floors::line;
use crate::row::Probe;
use crate::row::Row;
use crate::row::Unit;
use crate::rpc::big;
use crate::serve;
use crate::serve::Mode;

/// Two processes that do nothing but pass a line of 200 bytes to and fro.
pub const BLOCKING: &str = "floor: blocking pipes, ping-pong";
/// The same with many lines under way.
pub const BLOCKING_PIPELINED: &str = "floor: blocking pipes, pipelined";
/// Two async processes.
const TOKIO: &str = "floor: tokio to tokio, ping-pong";
/// The same with many lines under way.
const TOKIO_PIPELINED: &str = "floor: tokio to tokio, pipelined";
/// An async parent and the least a Python child can do.
pub const PYTHON: &str = "floor: tokio to blocking Python, ping-pong";
/// The same with many lines under way.
pub const PYTHON_PIPELINED: &str = "floor: tokio to blocking Python, pipelined";
/// A large message there and back.
pub const CAT: &str = "floor: 64 MB through cat and back";

/// How the lines travel.
#[derive(Clone, Copy, Debug)]
enum Travel {
    /// The next leaves when the last is back.
    PingPong,
    /// As many as the pipes hold.
    Pipelined,
}

/// How this end of the pipes is read and written.
#[derive(Clone, Copy, Debug)]
enum Parent {
    Blocking,
    Tokio,
}

/// The probes of this module.
pub fn probes(python: &Path, effort: Effort) -> anyhow::Result<Vec<Probe>> {
    let lines = Other::ours(Mode::Lines)?;
    let async_lines = Other::ours(Mode::AsyncLines)?;
    let python = Other::python(python, serve::PYTHON_LINES);
    let pair = |ping_pong, pipelined, parent, other: &Other| {
        [
            (ping_pong, Travel::PingPong),
            (pipelined, Travel::Pipelined),
        ]
        .map(|(name, travel)| probe(name, parent, other.clone(), travel, effort))
    };
    let mut probes = Vec::new();
    probes.extend(pair(BLOCKING, BLOCKING_PIPELINED, Parent::Blocking, &lines));
    probes.extend(pair(TOKIO, TOKIO_PIPELINED, Parent::Tokio, &async_lines));
    probes.extend(pair(PYTHON, PYTHON_PIPELINED, Parent::Tokio, &python));
    probes.push(Probe::one(
        Row::new(CAT, Unit::MegabytesPerSecond),
        || async {
            let elapsed = tokio::task::spawn_blocking(through_cat).await??;
            Ok(Unit::MegabytesPerSecond.figure(elapsed, big::BYTES / 1_000_000))
        },
    ));
    Ok(probes)
}

fn probe(name: &str, parent: Parent, other: Other, travel: Travel, effort: Effort) -> Probe {
    let (unit, in_flight) = match travel {
        Travel::PingPong => (Unit::Microseconds, 1),
        Travel::Pipelined => (Unit::PerSecond, 2),
    };
    let operations = effort.operations(Pace::Pipes, in_flight);
    Probe::one(Row::new(name, unit), move || {
        let other = other.clone();
        async move {
            let elapsed = match parent {
                Parent::Blocking => {
                    let work = move || blocking(&other, operations, travel);
                    tokio::task::spawn_blocking(work).await??
                }
                // In a task, as our rpc is: the thread that started the runtime is slower to wake.
                Parent::Tokio => tokio::spawn(tokio_lines(other, operations, travel)).await??,
            };
            Ok(unit.figure(elapsed, operations))
        }
    })
}

/// Lines in the portions in which they are written when nobody waits for an answer.
fn portions(operations: usize) -> impl Iterator<Item = Vec<u8>> {
    const PORTION: usize = 64;
    let line = line();
    let portion = line.repeat(PORTION);
    let rest = line.repeat(operations % PORTION);
    std::iter::repeat_n(portion, operations / PORTION).chain([rest])
}

fn blocking(other: &Other, operations: usize, travel: Travel) -> anyhow::Result<Duration> {
    let mut child = std::process::Command::new(&other.program)
        .args(&other.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    let mut stdout = std::io::BufReader::new(child.stdout.take().context("stdout is piped")?);
    let (line, mut answer) = (line(), Vec::new());
    // The first line waits for the process to be there.
    stdin.write_all(&line)?;
    stdout.read_until(b'\n', &mut answer)?;
    let start = Instant::now();
    let writer = match travel {
        Travel::PingPong => {
            for _ in 0..operations {
                stdin.write_all(&line)?;
                answer.clear();
                stdout.read_until(b'\n', &mut answer)?;
            }
            drop(stdin);
            None
        }
        Travel::Pipelined => {
            let write = move || portions(operations).try_for_each(|it| stdin.write_all(&it));
            let writer = std::thread::spawn(write);
            for _ in 0..operations {
                answer.clear();
                stdout.read_until(b'\n', &mut answer)?;
            }
            Some(writer)
        }
    };
    let elapsed = start.elapsed();
    anyhow::ensure!(answer.len() == line.len(), "the echo is another line");
    writer.map_or(Ok(()), |it| it.join().expect("the writer does not panic"))?;
    child.wait()?;
    Ok(elapsed)
}

async fn tokio_lines(other: Other, operations: usize, travel: Travel) -> anyhow::Result<Duration> {
    let mut child = other.command().spawn()?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    let mut stdout = tokio::io::BufReader::new(child.stdout.take().context("stdout is piped")?);
    let (line, mut answer) = (line(), Vec::new());
    stdin.write_all(&line).await?;
    stdout.read_until(b'\n', &mut answer).await?;
    let start = Instant::now();
    let writer = match travel {
        Travel::PingPong => {
            for _ in 0..operations {
                stdin.write_all(&line).await?;
                answer.clear();
                stdout.read_until(b'\n', &mut answer).await?;
            }
            drop(stdin);
            None
        }
        Travel::Pipelined => {
            let writer = tokio::spawn(async move {
                for portion in portions(operations) {
                    stdin.write_all(&portion).await?;
                }
                std::io::Result::Ok(())
            });
            for _ in 0..operations {
                answer.clear();
                stdout.read_until(b'\n', &mut answer).await?;
            }
            Some(writer)
        }
    };
    let elapsed = start.elapsed();
    anyhow::ensure!(answer.len() == line.len(), "the echo is another line");
    if let Some(writer) = writer {
        writer.await??;
    }
    child.wait().await?;
    Ok(elapsed)
}

/// The size of our large message through two pipes; `cat` reads and writes as fast as anything.
fn through_cat() -> anyhow::Result<Duration> {
    let message = vec![b'x'; big::BYTES];
    let mut child = std::process::Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    let mut stdout = child.stdout.take().context("stdout is piped")?;
    let mut answer = Vec::with_capacity(big::BYTES);
    let start = Instant::now();
    let writer = std::thread::spawn(move || stdin.write_all(&message));
    stdout.read_to_end(&mut answer)?;
    let elapsed = start.elapsed();
    writer.join().expect("the writer does not panic")?;
    child.wait()?;
    anyhow::ensure!(answer.len() == big::BYTES, "cat returned another size");
    Ok(elapsed)
}
