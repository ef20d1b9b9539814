//! Whole runs through the engine, state in memory: steps one after the other and all at once, on built-in components and on
//! component servers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use futures_util::future::BoxFuture;
use stepflow_components::Options;
use stepflow_components::Plugins;
use stepflow_components::options;
use stepflow_engine::Completion;
use stepflow_engine::Components;
use stepflow_engine::Engine;
use stepflow_engine::Failure;
use stepflow_engine::Invocation;
use stepflow_engine::Request;
use stepflow_flow::document::Source;
use stepflow_flow::flow::Flow;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::Plan;
use stepflow_flow::value::Value;
use stepflow_protocol::component::Execute;
use stepflow_protocol::component::ExecuteResult;
use stepflow_store::Store;

use crate::caller;
use crate::caller::Task;
use crate::child::environment;
use crate::effort::Effort;
use crate::effort::Pace;
use crate::floors::http;
use crate::floors::pipes;
use crate::flows;
use crate::flows::Shape;
use crate::peers;
use crate::place;
use crate::place::Place;
use crate::place::Reached;
use crate::place::Server;
use crate::row::Probe;
use crate::row::Row;
use crate::row::Unit;
use crate::rpc;
use crate::rpc::Servers;

/// Both shapes, with the word that rows have for them.
const SHAPES: [(Shape, &str); 2] = [
    (Shape::Sequential, "sequential"),
    (Shape::Parallel, "parallel"),
];

/// Where the steps of two rows run, and what those are compared with: sequential, parallel.
struct Pair {
    name: &'static str,
    server: Option<Server>,
    pace: Pace,
    floors: Option<[&'static str; 2]>,
    peers: Vec<[&'static str; 2]>,
}

/// The probes of this module.
pub fn probes(servers: &Servers, effort: Effort) -> anyhow::Result<Vec<Probe>> {
    let mut probes = Vec::new();
    for pair in pairs(servers) {
        for (which, (shape, word)) in SHAPES.into_iter().enumerate() {
            let mut row = Row::new(
                format!("steps: {}, 1 000 {}", pair.name, word),
                Unit::PerSecond,
            );
            row = pair
                .floors
                .iter()
                .fold(row, |row, it| row.against(it[which]));
            row = pair
                .peers
                .iter()
                .fold(row, |row, it| row.against(it[which]));
            let repeats = effort.repeats(pair.pace, 1000);
            probes.push(steps(row, shape, 1000, pair.server.clone(), repeats)?);
        }
    }
    for (shape, word) in SHAPES {
        let name = format!("steps: built-in, 100 000 {}", word);
        let row =
            Row::new(name, Unit::PerSecond).against(format!("steps: built-in, 1 000 {}", word));
        probes.push(steps(row, shape, 100_000, None, 1)?);
    }
    probes.extend(memory(servers));
    Ok(probes)
}

fn pairs(servers: &Servers) -> [Pair; 6] {
    let pair = |name, server, pace, floors| Pair {
        name,
        server,
        pace,
        floors,
        peers: Vec::new(),
    };
    let blocking = [pipes::BLOCKING, pipes::BLOCKING_PIPELINED];
    let python = [pipes::PYTHON, pipes::PYTHON_PIPELINED];
    let stdio = |other: &crate::child::Other| Some(Server::Stdio(other.clone()));
    let session = |web: &crate::child::Web| Some(Server::Session(web.clone()));
    [
        pair("built-in", None, Pace::Pipes, None),
        pair("memory, Rust SDK", Some(Server::Memory), Pace::Pipes, None),
        pair(
            "stdio, Rust SDK",
            stdio(&servers.rust),
            Pace::Pipes,
            Some(blocking),
        ),
        Pair {
            peers: vec![
                peers::ORCHESTRATOR,
                peers::ORCHESTRATOR_NODELAY,
                peers::LANGGRAPH,
            ],
            ..pair(
                "stdio, Python SDK",
                stdio(&servers.python),
                Pace::Pipes,
                Some(python),
            )
        },
        pair(
            "HTTP session, Rust SDK",
            session(&servers.rust_web),
            Pace::Http,
            Some([http::AXUM, http::AXUM_64]),
        ),
        pair(
            "HTTP session, Python SDK",
            session(&servers.python_web),
            Pace::Slow,
            Some([http::ASGI, http::ASGI_32]),
        ),
    ]
}

fn steps(
    row: Row,
    shape: Shape,
    n_steps: usize,
    server: Option<Server>,
    repeats: usize,
) -> anyhow::Result<Probe> {
    let unit = row.unit;
    let component = component(server.is_some());
    let (first, flow) = (
        ready(component, shape, 1)?,
        ready(component, shape, n_steps)?,
    );
    Ok(Probe::one(row, move || {
        let (server, first, flow) = (server.clone(), first.clone(), flow.clone());
        async move {
            let place = match &server {
                Some(server) => Some(server.place().await?),
                None => None,
            };
            // A store of its own, so that no run is slowed by what earlier ones left.
            let runtime = Runtime::new(place.as_ref()).await?;
            // The first run starts the component server.
            runtime.run(&first).await?;
            runtime.run(&flow).await?;
            let start = Instant::now();
            for _ in 0..repeats {
                runtime.run(&flow).await?;
            }
            let elapsed = start.elapsed();
            runtime.close().await;
            Ok(unit.figure(elapsed, n_steps * repeats))
        }
    }))
}

/// Rows about memory, each measured in a process that does nothing else.
fn memory(servers: &Servers) -> Vec<Probe> {
    let probe = |name: &str, task: fn(Option<Place>) -> Task, server: Option<Server>| {
        let name = format!("memory of the runtime: {name}");
        Probe::one(Row::new(name, Unit::Megabytes), move || {
            let server = server.clone();
            async move {
                let place = match &server {
                    Some(server) => Some(server.place().await?),
                    None => None,
                };
                Ok(caller::have_done(&task(place)).await?.memory)
            }
        })
    };
    let parallel = |place| Task::Parallel { steps: 1000, place };
    let chain = |_| Task::Chain { steps: 100_000 };
    let python = Server::Stdio(servers.python.clone());
    let web = Server::Session(servers.python_web.clone());
    vec![
        probe("built-in, 1 000 parallel", parallel, None),
        probe("stdio, Python SDK, 1 000 parallel", parallel, Some(python)),
        probe(
            "HTTP session, Python SDK, 1 000 parallel",
            parallel,
            Some(web),
        ),
        probe("built-in, 100 000 sequential", chain, None),
    ]
}

/// Runs one flow in a runtime of its own; says how long, without the start of its component server.
pub async fn run_once(
    shape: Shape,
    n_steps: usize,
    place: Option<&Place>,
) -> anyhow::Result<Duration> {
    let component = component(place.is_some());
    let (first, flow) = (
        ready(component, shape, 1)?,
        ready(component, shape, n_steps)?,
    );
    run_second(place, &first, &flow).await
}

/// Runs a flow after another one, which starts what there is to start; says how long the second took.
pub async fn run_second(
    place: Option<&Place>,
    first: &Ready,
    flow: &Ready,
) -> anyhow::Result<Duration> {
    let runtime = Runtime::new(place).await?;
    runtime.run(first).await?;
    let start = Instant::now();
    runtime.run(flow).await?;
    let elapsed = start.elapsed();
    runtime.close().await;
    Ok(elapsed)
}

/// The size of the text of a flow of built-in steps, in bytes.
pub fn text_len(shape: Shape, n_steps: usize) -> usize {
    flows::text(component(false), shape, n_steps).len()
}

fn component(has_server: bool) -> &'static str {
    match has_server {
        true => "/bench/echo",
        false => "noop",
    }
}

/// A flow that is ready to run, and what comes of it.
#[derive(Clone)]
pub struct Ready {
    plan: Plan,
    input: Value,
    result: Arc<str>,
}

impl Ready {
    /// A flow by its text, what goes in, and the text of what has to come out.
    pub fn new(text: String, input: &str, result: String) -> anyhow::Result<Ready> {
        let flow = Flow::parse(&Source::new("bench.yaml", text))
            .map_err(|errors| anyhow::anyhow!("{errors}"))?;
        let plan = Plan::compile(&flow).map_err(|errors| anyhow::anyhow!("{errors}"))?;
        Ok(Ready {
            plan,
            input: Value::parse(input)?,
            result: result.into(),
        })
    }
}

fn ready(component: &str, shape: Shape, n_steps: usize) -> anyhow::Result<Ready> {
    let result = match shape {
        Shape::Sequential => rpc::INPUT.to_owned(),
        Shape::Parallel => format!("[{}]", vec![rpc::INPUT; n_steps].join(",")),
    };
    let text = flows::text(component, shape, n_steps);
    Ready::new(text, rpc::INPUT, result)
}

/// Reads a flow of built-in steps and compiles it; says how long.
pub fn read_once(shape: Shape, n_steps: usize) -> anyhow::Result<Duration> {
    let text = flows::text(component(false), shape, n_steps);
    let start = Instant::now();
    let ready = Ready::new(text, rpc::INPUT, String::new())?;
    let elapsed = start.elapsed();
    drop(ready);
    Ok(elapsed)
}

/// An engine, and what it runs steps on.
struct Runtime {
    engine: Engine,
    plugins: Option<Arc<Plugins>>,
}

impl Runtime {
    async fn new(place: Option<&Place>) -> anyhow::Result<Self> {
        let store = Store::memory();
        let mut options = Options::default();
        let plugin = match place {
            Some(Place::Memory) => {
                let link = place::reach(&Place::Memory).await?;
                let engine = Engine::new(store, Arc::new(Linked(link)), Default::default());
                return Ok(Runtime {
                    engine,
                    plugins: None,
                });
            }
            Some(Place::Stdio { program, arguments }) => {
                Some(options::Plugin::Stdio(Box::new(options::Stdio {
                    command: program.clone(),
                    arguments: arguments.clone(),
                    environment: environment(),
                    folder: PathBuf::from("."),
                    instances: 1,
                    limits: options::Limits::default(),
                    restart: options::Restart::default(),
                })))
            }
            Some(Place::Http { url, session }) => {
                Some(options::Plugin::Http(Box::new(options::Http {
                    client: place::client_options(url, *session)?,
                    connections: 1,
                    limits: options::Limits::default(),
                })))
            }
            None => None,
        };
        options
            .plugins
            .extend(plugin.map(|it| ("bench".into(), it)));
        let plugins = Plugins::new(options, store.clone());
        let plugins = plugins.map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
        let plugins = Arc::new(plugins);
        let engine = Engine::new(store, plugins.clone(), Default::default());
        Ok(Runtime {
            engine,
            plugins: Some(plugins),
        })
    }

    /// Runs a flow to its end, and looks at the result.
    async fn run(&self, flow: &Ready) -> anyhow::Result<()> {
        let request = Request::new(flow.plan.clone(), flow.input.clone());
        let run = self.engine.run(request).context("the run does not start")?;
        let finished = tokio::spawn(run).await?.context("the runtime failed")?;
        match finished.outcome {
            Outcome::Success(value) if value.as_text() == &*flow.result => Ok(()),
            Outcome::Success(_) => anyhow::bail!("the run has another result"),
            other => anyhow::bail!("the run ended otherwise: {other:?}"),
        }
    }

    async fn close(self) {
        if let Some(plugins) = self.plugins {
            plugins.shut_down().await;
        }
    }
}

/// Components at the other end of a link, with nothing between the engine and the rpc.
struct Linked(Reached);

impl Components for Linked {
    fn execute(&self, invocation: Invocation) -> BoxFuture<'static, Result<Completion, Failure>> {
        let peer = self.0.peer();
        Box::pin(async move {
            let params = rpc::params("/echo", invocation.input);
            let result = peer.call::<Execute>(&params).await;
            match result.expect("a link in memory does not break") {
                ExecuteResult::Output(output) => Ok(Completion::Output(output)),
                ExecuteResult::Skipped(_) => unreachable!("the component does not skip"),
            }
        })
    }
}
