//! What the machine can do at best: lines through pipes, without a protocol.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncWriteExt;

use crate::Effort;
use crate::child::Other;
use crate::serve;
use crate::table::Row;
use crate::table::Unit;
use crate::table::figure;

/// Two processes that do nothing but pass a line of 200 bytes to and fro.
pub const BLOCKING: &str = "floor: blocking pipes, ping-pong";
/// The same with many lines under way.
pub const PIPELINED: &str = "floor: blocking pipes, pipelined";
/// An async parent and the least a Python child can do.
pub const PYTHON: &str = "floor: tokio to blocking Python, ping-pong";
/// The same with many lines under way.
pub const PYTHON_PIPELINED: &str = "floor: tokio to blocking Python, pipelined";

/// The rows of this module.
pub fn rows(python: &Path, effort: Effort) -> anyhow::Result<Vec<Box<dyn Row>>> {
    let ours = Other::ours("lines")?;
    let python = Other::python(python, serve::PYTHON_LINES);
    Ok(vec![
        Box::new(Blocking {
            other: ours.clone(),
            operations: effort.sequential,
            pipelined: false,
        }),
        Box::new(Blocking {
            other: ours,
            operations: effort.parallel,
            pipelined: true,
        }),
        Box::new(Tokio {
            other: python.clone(),
            operations: effort.sequential,
            pipelined: false,
        }),
        Box::new(Tokio {
            other: python,
            operations: effort.parallel,
            pipelined: true,
        }),
    ])
}

/// A line of JSON of 200 bytes, line break included.
fn line() -> Vec<u8> {
    let mut line = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"echo","params":{{"text":"{}"}}}}"#,
        "x".repeat(138)
    );
    line.push('\n');
    line.into_bytes()
}

struct Blocking {
    other: Other,
    operations: usize,
    pipelined: bool,
}

impl Row for Blocking {
    fn name(&self) -> &str {
        if self.pipelined { PIPELINED } else { BLOCKING }
    }

    fn unit(&self) -> Unit {
        if self.pipelined {
            Unit::PerSecond
        } else {
            Unit::Microseconds
        }
    }

    fn measure(&mut self) -> BoxFuture<'_, anyhow::Result<f64>> {
        let (other, operations, pipelined, unit) = (
            self.other.clone(),
            self.operations,
            self.pipelined,
            self.unit(),
        );
        async move {
            let elapsed =
                tokio::task::spawn_blocking(move || blocking(&other, operations, pipelined))
                    .await??;
            Ok(figure(unit, elapsed, operations))
        }
        .boxed()
    }
}

fn blocking(
    other: &Other,
    operations: usize,
    pipelined: bool,
) -> anyhow::Result<std::time::Duration> {
    let mut child = std::process::Command::new(&other.program)
        .args(&other.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let line = line();
    let mut answer = Vec::new();
    // The first line waits for the process to be there.
    stdin.write_all(&line)?;
    stdout.read_until(b'\n', &mut answer)?;
    let start = Instant::now();
    if pipelined {
        let writer = std::thread::spawn(move || -> std::io::Result<()> {
            let batch = line.repeat(64);
            for _ in 0..operations / 64 {
                stdin.write_all(&batch)?;
            }
            stdin.write_all(&line.repeat(operations % 64))
        });
        for _ in 0..operations {
            answer.clear();
            stdout.read_until(b'\n', &mut answer)?;
        }
        writer.join().expect("the writer does not panic")?;
    } else {
        for _ in 0..operations {
            stdin.write_all(&line)?;
            answer.clear();
            stdout.read_until(b'\n', &mut answer)?;
        }
        drop(stdin);
    }
    let elapsed = start.elapsed();
    child.wait()?;
    Ok(elapsed)
}

struct Tokio {
    other: Other,
    operations: usize,
    pipelined: bool,
}

impl Row for Tokio {
    fn name(&self) -> &str {
        if self.pipelined {
            PYTHON_PIPELINED
        } else {
            PYTHON
        }
    }

    fn unit(&self) -> Unit {
        if self.pipelined {
            Unit::PerSecond
        } else {
            Unit::Microseconds
        }
    }

    fn measure(&mut self) -> BoxFuture<'_, anyhow::Result<f64>> {
        async move {
            let elapsed = tokio_lines(&self.other, self.operations, self.pipelined).await?;
            Ok(figure(self.unit(), elapsed, self.operations))
        }
        .boxed()
    }
}

async fn tokio_lines(
    other: &Other,
    operations: usize,
    pipelined: bool,
) -> anyhow::Result<std::time::Duration> {
    let mut child = tokio::process::Command::new(&other.program)
        .args(&other.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let mut stdout = tokio::io::BufReader::new(child.stdout.take().expect("stdout is piped"));
    let line = line();
    let mut answer = Vec::new();
    stdin.write_all(&line).await?;
    stdout.read_until(b'\n', &mut answer).await?;
    let start = Instant::now();
    if pipelined {
        let writer = tokio::spawn(async move {
            let batch = line.repeat(64);
            for _ in 0..operations / 64 {
                stdin.write_all(&batch).await?;
            }
            stdin.write_all(&line.repeat(operations % 64)).await
        });
        for _ in 0..operations {
            answer.clear();
            stdout.read_until(b'\n', &mut answer).await?;
        }
        writer.await??;
    } else {
        for _ in 0..operations {
            stdin.write_all(&line).await?;
            answer.clear();
            stdout.read_until(b'\n', &mut answer).await?;
        }
        drop(stdin);
    }
    let elapsed = start.elapsed();
    child.wait().await?;
    Ok(elapsed)
}
