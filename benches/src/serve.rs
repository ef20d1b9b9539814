//! The other sides of the rows: this same program, started with `--serve`, and a few lines of Python.

use std::io::BufRead;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;

use clap::ValueEnum;
use stepflow_sdk::Context;
use stepflow_sdk::Error;
use stepflow_sdk::Server;
use stepflow_sdk::Value;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;

use crate::floors;

/// What to play.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Mode {
    /// Returns every line as it came, blocking.
    Lines,
    /// Returns every line as it came, with async pipes.
    AsyncLines,
    /// Returns the body of every POST.
    Http,
    /// A component server of the Rust SDK over stdio.
    Server,
    /// A component server of the Rust SDK over HTTP.
    HttpServer,
    /// Does one task and says what it took.
    Caller,
}

impl Mode {
    /// Its name on the command line.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }
}

/// Plays until stdin ends.
pub fn run(mode: Mode) -> anyhow::Result<()> {
    if let Mode::Lines = mode {
        return lines();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match mode {
            Mode::Lines => lines(),
            Mode::AsyncLines => async_lines().await,
            Mode::Http => {
                end_with_stdin();
                floors::http::serve().await
            }
            Mode::Caller => anyhow::bail!("a caller wants `--task`"),
            Mode::Server => Ok(server().run_stdio().await?),
            Mode::HttpServer => {
                end_with_stdin();
                let options = stepflow_sdk::http::Options::default();
                Ok(server()
                    .run_http(([127, 0, 0, 1], 0).into(), options)
                    .await?)
            }
        }
    })
}

/// The component server that is measured.
pub fn server() -> Server {
    Server::new("bench")
        .component("/echo", "Returns its input", echo)
        .component("/stored", "Stores a little and returns its input", stored)
}

async fn echo(_context: Context, input: Value) -> Result<Value, Error> {
    Ok(input)
}

async fn stored(context: Context, input: Value) -> Result<Value, Error> {
    let stored = context.put_blob(input.clone()).await;
    stored.map_err(Error::from_call)?;
    Ok(input)
}

fn lines() -> anyhow::Result<()> {
    let mut input = std::io::stdin().lock();
    let mut output = std::io::stdout().lock();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        output.write_all(&line)?;
        output.flush()?;
        line.clear();
    }
    Ok(())
}

/// With pipes that the reactor waits for: `tokio::io::stdin` hands every read to a thread.
async fn async_lines() -> anyhow::Result<()> {
    let input = pipe::Receiver::from_owned_fd(std::io::stdin().as_fd().try_clone_to_owned()?)?;
    let mut output = pipe::Sender::from_owned_fd(std::io::stdout().as_fd().try_clone_to_owned()?)?;
    let mut input = tokio::io::BufReader::new(input);
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line).await? > 0 {
        output.write_all(&line).await?;
        line.clear();
    }
    Ok(())
}

/// Ends this process with whoever started it.
fn end_with_stdin() {
    std::thread::spawn(|| {
        let mut rest = Vec::new();
        // Whether it ended or broke: there is nobody left to serve.
        let _ = std::io::stdin().read_to_end(&mut rest);
        std::process::exit(0);
    });
}

/// A server of the Python SDK with the same components; `--http` serves it over HTTP.
pub const PYTHON_SERVER: &str = r#"
import os, sys, threading
from typing import Any

from stepflow_sdk import StepflowServer, SyncContext

server = StepflowServer()


@server.component
def echo(input: Any) -> Any:
    """Returns its input."""
    return input


@server.component
def stored(input: Any, context: SyncContext) -> Any:
    """Stores a little and returns its input."""
    context.put_blob(input)
    return input


def end_with_stdin():
    sys.stdin.buffer.read()
    os._exit(0)


if "--http" in sys.argv:
    threading.Thread(target=end_with_stdin, daemon=True).start()
    server.run(["--http", "--port", "0"])
server.run()
"#;

/// The least a Python program can do with a line of JSON: read, decode, encode, write.
pub const PYTHON_LINES: &str = r#"
import sys
import msgspec

decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
write, flush = sys.stdout.buffer.write, sys.stdout.buffer.flush
for line in sys.stdin.buffer:
    write(encode(decode(line)) + b"\n")
    flush()
"#;

/// The least a Python program can do with a POST: hand its body back, under the same uvicorn as the SDK's. Its arguments name the
/// parser and the loop.
pub const PYTHON_ECHO: &str = r#"
import os, socket, sys, threading

import uvicorn


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        event = await receive()
        body += event["body"]
        more = event["more_body"]
    headers = [(b"content-type", b"application/json; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def end_with_stdin():
    sys.stdin.buffer.read()
    os._exit(0)


threading.Thread(target=end_with_stdin, daemon=True).start()
# Without the protocol's number asyncio would leave Nagle's algorithm on.
listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
listening.bind(("127.0.0.1", 0))
listening.listen()
print(f"serving on http://127.0.0.1:{listening.getsockname()[1]}", file=sys.stderr, flush=True)
parser, loop = sys.argv[1:]
config = uvicorn.Config(app, http=parser, loop=loop, log_level="warning", access_log=False)
uvicorn.Server(config).run([listening])
"#;
