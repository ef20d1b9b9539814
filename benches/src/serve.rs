//! The other sides of the rows: this same program, started with `--serve`.

use std::io::BufRead;
use std::io::Write;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use stepflow_sdk::Context;
use stepflow_sdk::Error;
use stepflow_sdk::Server;
use stepflow_sdk::Value;

/// What to play.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Mode {
    /// Returns every line as it came, blocking.
    Lines,
    /// A component server of the Rust SDK.
    Server,
}

/// The input and output of every measured component: as it came.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
struct Anything(Value);

/// Plays until stdin ends.
pub fn run(mode: Mode) -> anyhow::Result<()> {
    match mode {
        Mode::Lines => lines(),
        Mode::Server => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(
                Server::new("bench")
                    .component("/echo", "Returns its input", echo)
                    .run_stdio(),
            )?;
            Ok(())
        }
    }
}

async fn echo(_context: Context, input: Anything) -> Result<Anything, Error> {
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

/// A server of the Python SDK with the same component.
pub const PYTHON_SERVER: &str = r#"
from typing import Any

from stepflow_sdk import StepflowServer

server = StepflowServer()


@server.component
def echo(input: Any) -> Any:
    """Returns its input."""
    return input


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
