//! One call through our rpc, over every transport, to a server in Rust and in Python.

pub mod big;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream;
use stepflow_flow::value::Value;
use stepflow_protocol::component::Execute;
use stepflow_protocol::component::ExecuteParams;
use stepflow_protocol::component::ExecuteResult;
use stepflow_rpc::Peer;
use tokio::sync::OnceCell;

use crate::child::Other;
use crate::child::Web;
use crate::effort::Effort;
use crate::effort::Pace;
use crate::floors::http;
use crate::floors::pipes;
use crate::peers;
use crate::place;
use crate::place::Reached;
use crate::place::Server;
use crate::row::Probe;
use crate::row::Row;
use crate::row::Unit;
use crate::serve;
use crate::serve::Mode;

/// What every measured component gets and returns.
pub const INPUT: &str = r#"{"text":"hello","number":1}"#;

/// The component servers that calls and runs are measured with.
pub struct Servers {
    /// The Rust SDK over stdio.
    pub rust: Other,
    /// The Python SDK over stdio.
    pub python: Other,
    /// The Rust SDK over HTTP.
    pub rust_web: Web,
    /// The Python SDK over HTTP.
    pub python_web: Web,
}

impl Servers {
    /// None of them is started yet.
    pub fn new(python: &Path) -> anyhow::Result<Self> {
        let python = Other::python(python, serve::PYTHON_SERVER);
        Ok(Servers {
            rust: Other::ours(Mode::Server)?,
            python: python.clone(),
            rust_web: Web::new(Other::ours(Mode::HttpServer)?),
            python_web: Web::new(python.argument("--http")),
        })
    }
}

/// Calls that are measured twice: one after the other, and many at once.
struct Pair {
    name: String,
    server: Server,
    component: &'static str,
    pace: Pace,
    in_flight: usize,
    /// How many exchanges of the floor one call takes.
    exchanges: u32,
    floors: Vec<[&'static str; 2]>,
    /// Those that do the same work: none of them calls back.
    peers: Vec<[&'static str; 2]>,
}

/// The probes of this module.
pub fn probes(servers: &Servers, effort: Effort) -> Vec<Probe> {
    let mut pairs = local(servers);
    let rust = (&servers.rust_web, Pace::Http, 64);
    let rust_floors = vec![[http::AXUM, http::AXUM_64]];
    let rust_peers = vec![peers::RMCP_HTTP];
    pairs.extend(web("Rust SDK", rust, rust_floors, rust_peers));
    let python = (&servers.python_web, Pace::Slow, 32);
    let python_floors = vec![
        [http::ASGI, http::ASGI_32],
        [http::ASGI_FAST, http::ASGI_FAST_32],
    ];
    let python_peers = vec![peers::MCP_SSE, peers::MCP_HTTP, peers::GRPC];
    pairs.extend(web("Python SDK", python, python_floors, python_peers));
    pairs
        .into_iter()
        .flat_map(|pair| pair.probes(effort))
        .collect()
}

/// Without a network.
fn local(servers: &Servers) -> Vec<Pair> {
    let pair = |name: &str, server, floors, peers| Pair {
        name: name.to_owned(),
        server,
        component: "/echo",
        pace: Pace::Pipes,
        in_flight: 64,
        exchanges: 1,
        floors,
        peers,
    };
    vec![
        pair("memory, Rust SDK", Server::Memory, vec![], vec![]),
        pair(
            "stdio, Rust SDK",
            Server::Stdio(servers.rust.clone()),
            vec![[pipes::BLOCKING, pipes::BLOCKING_PIPELINED]],
            vec![peers::RMCP_STDIO],
        ),
        pair(
            "stdio, Python SDK",
            Server::Stdio(servers.python.clone()),
            vec![[pipes::PYTHON, pipes::PYTHON_PIPELINED]],
            vec![peers::MCP_STDIO],
        ),
    ]
}

/// The three ways over HTTP.
fn web(
    sdk: &str,
    (web, pace, in_flight): (&Web, Pace, usize),
    floors: Vec<[&'static str; 2]>,
    peers: Vec<[&'static str; 2]>,
) -> [Pair; 3] {
    let ways = [
        ("HTTP session", Server::Session(web.clone()), "/echo", 1),
        ("HTTP plain", Server::Single(web.clone()), "/echo", 1),
        (
            "HTTP streamable with a call back",
            Server::Single(web.clone()),
            "/stored",
            2,
        ),
    ];
    ways.map(|(way, server, component, exchanges)| Pair {
        name: format!("{way}, {sdk}"),
        server,
        component,
        pace,
        in_flight,
        exchanges,
        floors: floors.clone(),
        peers: match exchanges {
            1 => peers.clone(),
            _ => vec![],
        },
    })
}

impl Pair {
    fn probes(self, effort: Effort) -> [Probe; 2] {
        // Both use the same connection.
        let reached = Arc::new(OnceCell::new());
        let hows = [
            (1, 0, "round trip".to_owned()),
            (self.in_flight, 1, format!("{} in flight", self.in_flight)),
        ];
        hows.map(|(in_flight, which, how)| {
            let unit = Unit::of(in_flight);
            let mut row = Row::new(format!("call: {}, {how}", self.name), unit);
            for floor in &self.floors {
                row = row.against_times(self.exchanges, floor[which]);
            }
            row = self
                .peers
                .iter()
                .fold(row, |row, peer| row.against(peer[which]));
            let operations = effort.operations(self.pace, in_flight);
            let (server, component) = (self.server.clone(), self.component);
            let reached = Arc::clone(&reached);
            Probe::one(row, move || {
                let (server, reached) = (server.clone(), Arc::clone(&reached));
                async move {
                    let peer = peer(&server, &reached).await?;
                    // In a task of its own, as the engine's runs are, and not on the thread that started the runtime.
                    let calls = tokio::spawn(calls(peer, component, operations, in_flight));
                    Ok(unit.figure(calls.await??, operations))
                }
            })
        })
    }
}

/// The peer of a server, which is connected when it is first needed.
async fn peer(server: &Server, reached: &OnceCell<Reached>) -> anyhow::Result<Peer> {
    let connect = async || place::reach(&server.place().await?).await;
    Ok(reached.get_or_try_init(connect).await?.peer())
}

/// Makes so many calls; says how long they took.
pub async fn calls(
    peer: Peer,
    component: &str,
    operations: usize,
    in_flight: usize,
) -> anyhow::Result<Duration> {
    let params = params(component, Value::parse(INPUT)?);
    // Opens the connections that the calls will use.
    run(&peer, &params, in_flight, in_flight).await?;
    let start = Instant::now();
    run(&peer, &params, operations, in_flight).await?;
    Ok(start.elapsed())
}

async fn run(
    peer: &Peer,
    params: &ExecuteParams,
    operations: usize,
    in_flight: usize,
) -> anyhow::Result<()> {
    let call = || async {
        let result = peer.call::<Execute>(params).await?;
        check(&result)
    };
    if in_flight == 1 {
        for _ in 0..operations {
            call().await?;
        }
        return Ok(());
    }
    let mut calls = stream::iter((0..operations).map(|_| call())).buffer_unordered(in_flight);
    while let Some(result) = calls.next().await {
        result?;
    }
    Ok(())
}

/// What is fast and wrong is not fast.
fn check(result: &ExecuteResult) -> anyhow::Result<()> {
    let ExecuteResult::Output(output) = result else {
        anyhow::bail!("the component skipped itself");
    };
    anyhow::ensure!(
        output.as_text() == INPUT,
        "the component returned {output:?}"
    );
    Ok(())
}

/// A call as the engine makes it.
pub fn params(component: &str, input: Value) -> ExecuteParams {
    ExecuteParams {
        component: component.into(),
        input,
        attempt: Some(1),
        step_id: Some("step".into()),
        run_id: Some("run".into()),
        flow_id: Some("flow".into()),
        observability: None,
        idempotency_key: None,
        deadline_ms: None,
        capabilities: None,
    }
}
