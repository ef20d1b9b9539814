//! Other people's programs that do the same work. Owns their rows; what they are made of is in `peers/`.
//!
//! A peer is driven by a program of its own, with the peer's own client: it reads lines of two numbers, how many operations and how many
//! at once, and answers each with the seconds that they took. So its rows are measured in the same rounds as ours.

use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::ChildStderr;
use tokio::process::ChildStdin;
use tokio::process::ChildStdout;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::child::Other;
use crate::effort::Effort;
use crate::effort::Pace;
use crate::row::Probe;
use crate::row::Row;
use crate::row::Unit;

/// The rows of a peer: a call at a time, and many at once.
pub type Rows = [&'static str; 2];

/// The Rust SDK of the Model Context Protocol over stdio.
pub const RMCP_STDIO: Rows = [
    "peer: rmcp call_tool, stdio, round trip",
    "peer: rmcp call_tool, stdio, 64 in flight",
];
/// The same over streamable HTTP.
pub const RMCP_HTTP: Rows = [
    "peer: rmcp call_tool, streamable HTTP, round trip",
    "peer: rmcp call_tool, streamable HTTP, 64 in flight",
];
/// The Python SDK of the Model Context Protocol over stdio.
pub const MCP_STDIO: Rows = [
    "peer: mcp for Python, stdio, round trip",
    "peer: mcp for Python, stdio, 64 in flight",
];
/// The same over its older transport, which has the session of ours.
pub const MCP_SSE: Rows = [
    "peer: mcp for Python, HTTP+SSE, round trip",
    "peer: mcp for Python, HTTP+SSE, 32 in flight",
];
/// The same over streamable HTTP.
pub const MCP_HTTP: Rows = [
    "peer: mcp for Python, streamable HTTP, round trip",
    "peer: mcp for Python, streamable HTTP, 32 in flight",
];
/// A unary call of gRPC to a Python server.
pub const GRPC: Rows = [
    "peer: grpcio unary call, round trip",
    "peer: grpcio unary call, 32 in flight",
];
/// The upstream orchestrator with its Python worker, as shipped: sequential steps, parallel steps.
pub const ORCHESTRATOR: Rows = [
    "peer: stepflow-orchestrator with stepflow-py, 100 sequential",
    "peer: stepflow-orchestrator with stepflow-py, 1 000 parallel",
];
/// The same in a network that acknowledges at once, which has the effect of `TCP_NODELAY`: upstream does not set it.
pub const ORCHESTRATOR_NODELAY: Rows = [
    "peer: stepflow-orchestrator with stepflow-py, quick acknowledgements, 100 sequential",
    "peer: stepflow-orchestrator with stepflow-py, quick acknowledgements, 1 000 parallel",
];
/// LangGraph without a checkpointer, in one Python process.
pub const LANGGRAPH: Rows = [
    "peer: langgraph in one process, 1 000 sequential",
    "peer: langgraph in one process, 1 000 parallel",
];

/// What peers are made with, as far as they could be installed.
#[derive(Clone, Debug, Default)]
pub struct Installed {
    /// The program with the peers in Rust.
    pub program: Option<PathBuf>,
    /// The Python with the peers in Python.
    pub python: Option<PathBuf>,
}

/// What is driven.
struct Peer {
    rows: Rows,
    /// The driver's name for it.
    subject: &'static str,
    maker: Maker,
    /// How many operations a measurement of each row has, and how many at once.
    work: [(usize, usize); 2],
    unit: fn(usize) -> Unit,
}

#[derive(Clone, Copy)]
enum Maker {
    Rust,
    Python,
    /// Python in a network of its own, where the kernel lets anybody make one.
    PythonInOwnNetwork,
}

/// The drivers that were started, which have servers of their own to end.
#[derive(Default)]
pub struct Drivers {
    all: Vec<Slot>,
}

/// A driver, once there is one.
type Slot = Arc<Mutex<Option<Driver>>>;

impl Drivers {
    /// Ends all of them.
    pub async fn end(self) {
        for slot in self.all {
            if let Some(driver) = slot.lock().await.take() {
                driver.end().await;
            }
        }
    }
}

/// The probes of this module, and what is to be ended after them.
pub fn probes(installed: &Installed, effort: Effort) -> (Vec<Probe>, Drivers) {
    let calls = |rows, subject, maker, pace, in_flight| Peer {
        rows,
        subject,
        maker,
        work: [1, in_flight].map(|it| (effort.operations(pace, it), it)),
        unit: Unit::of,
    };
    let steps = |rows, subject, maker, sequential| Peer {
        rows,
        subject,
        maker,
        work: [(sequential, 1), (1000, 1000)],
        unit: |_| Unit::PerSecond,
    };
    let (rust, python) = (Maker::Rust, Maker::Python);
    let own_network = Maker::PythonInOwnNetwork;
    let peers = [
        calls(RMCP_STDIO, "rmcp-stdio", rust, Pace::Http, 64),
        calls(RMCP_HTTP, "rmcp-http", rust, Pace::Http, 64),
        calls(MCP_STDIO, "mcp-stdio", python, Pace::Slow, 64),
        calls(MCP_SSE, "mcp-sse", python, Pace::Slow, 32),
        calls(MCP_HTTP, "mcp-http", python, Pace::Slow, 32),
        calls(GRPC, "grpc", python, Pace::Slow, 32),
        steps(ORCHESTRATOR, "orchestrator", python, 100),
        steps(ORCHESTRATOR_NODELAY, "orchestrator", own_network, 100),
        steps(LANGGRAPH, "langgraph", python, 1000),
    ];
    let (mut probes, mut drivers) = (Vec::new(), Drivers::default());
    for peer in peers {
        let driver = Slot::default();
        probes.extend(peer.probes(installed, &driver));
        drivers.all.push(driver);
    }
    (probes, drivers)
}

impl Peer {
    fn probes(self, installed: &Installed, slot: &Slot) -> [Probe; 2] {
        let other = self.maker.other(self.subject, installed);
        [0, 1].map(|which| {
            let (operations, in_flight) = self.work[which];
            let unit = (self.unit)(in_flight);
            let (slot, other) = (Arc::clone(slot), other.clone());
            let probe = Probe::one(Row::new(self.rows[which], unit), move || {
                let (slot, other) = (Arc::clone(&slot), other.clone());
                async move {
                    let other = other.context("not installed")?;
                    let mut slot = slot.lock().await;
                    let mut driver = match slot.take() {
                        Some(driver) => driver,
                        None => Driver::start(&other)?,
                    };
                    match driver.measure(operations, in_flight).await {
                        Some(elapsed) => {
                            *slot = Some(driver);
                            Ok(unit.figure(elapsed, operations))
                        }
                        None => anyhow::bail!("its driver ended: {}", driver.end().await),
                    }
                }
            });
            probe.of_peer()
        })
    }
}

impl Maker {
    fn other(self, subject: &str, installed: &Installed) -> Option<Other> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let script = folder.join("driver.py");
        let python = installed.python.as_ref();
        let (program, arguments) = match self {
            Maker::Rust => (installed.program.as_ref()?.clone().into(), Vec::new()),
            Maker::Python => (python?.clone().into(), vec![script.into()]),
            Maker::PythonInOwnNetwork => {
                let shell = folder.join("own-network.sh").into();
                (
                    "sh".into(),
                    vec![shell, python?.clone().into(), script.into()],
                )
            }
        };
        let other = Other { program, arguments };
        Some(other.argument(subject))
    }
}

/// How long a measurement may take: some peers wait for seconds where nothing is wrong.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a driver may take to end.
const FAREWELL: Duration = Duration::from_secs(15);

/// A driver that runs.
struct Driver {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// Reads what it says on stderr, and gives the last line when that ends.
    last_words: JoinHandle<String>,
}

impl Driver {
    fn start(other: &Other) -> anyhow::Result<Self> {
        let mut child = other.command().stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take().context("stderr is piped")?;
        Ok(Driver {
            stdin: child.stdin.take().context("stdin is piped")?,
            stdout: BufReader::new(child.stdout.take().context("stdout is piped")?),
            last_words: tokio::spawn(last_line(stderr)),
            child,
        })
    }

    /// Measures once; nothing comes of it when the driver has ended or does not come to an end.
    async fn measure(&mut self, operations: usize, in_flight: usize) -> Option<Duration> {
        let order = format!("{operations} {in_flight}\n");
        self.stdin.write_all(order.as_bytes()).await.ok()?;
        let mut answer = String::new();
        let answered = self.stdout.read_line(&mut answer);
        timeout(PATIENCE, answered).await.ok()?.ok()?;
        let seconds = answer.trim().parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// Lets it end its servers and then itself; gives its last words.
    async fn end(mut self) -> String {
        drop(self.stdin);
        if timeout(FAREWELL, self.child.wait()).await.is_err() {
            // It has had its time; that it cannot be killed means that it has just ended.
            let _ = self.child.kill().await;
        }
        timeout(FAREWELL, self.last_words)
            .await
            .map_or_else(|_| String::new(), Result::unwrap_or_default)
    }
}

async fn last_line(stderr: ChildStderr) -> String {
    let mut lines = BufReader::new(stderr).lines();
    let mut last = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if !line.trim().is_empty() {
            last = line;
        }
    }
    last
}
