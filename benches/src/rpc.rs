//! One call through our rpc: over memory, and over stdio to a server in Rust and in Python.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use stepflow_flow::value::Value;
use stepflow_protocol::Session;
use stepflow_protocol::component::Execute;
use stepflow_protocol::component::ExecuteParams;
use stepflow_protocol::handshake;
use stepflow_protocol::lifecycle::InitializeParams;
use stepflow_rpc::Peer;
use stepflow_rpc::Router;
use stepflow_rpc::peer;
use stepflow_rpc::peer::Connection;
use stepflow_rpc::transport::child;
use stepflow_rpc::transport::child::Child;
use stepflow_rpc::transport::child::Command;
use stepflow_rpc::transport::memory;

use crate::Effort;
use crate::child::Other;
use crate::child::environment;
use crate::floors;
use crate::serve;
use crate::table::Row;
use crate::table::Unit;
use crate::table::figure;

const IN_FLIGHT: usize = 64;

stepflow_rpc::method!(Echo, "echo", EchoParams => EchoParams);

/// What the call over memory carries.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct EchoParams {
    text: String,
}

/// The rows of this module.
pub async fn rows(python: &Path, effort: Effort) -> anyhow::Result<Vec<Box<dyn Row>>> {
    let rust = Arc::new(connect(&Other::ours("server")?).await?);
    let python = Arc::new(connect(&Other::python(python, serve::PYTHON_SERVER)).await?);
    let row =
        |server: &Arc<Server>, name: &str, in_flight: usize, floor: &'static str| -> Box<dyn Row> {
            let operations = if in_flight == 1 {
                effort.sequential
            } else {
                effort.parallel
            };
            Box::new(Calls {
                name: name.to_owned(),
                server: Arc::clone(server),
                operations,
                in_flight,
                floor,
            })
        };
    Ok(vec![
        Box::new(Memory {
            operations: effort.sequential,
        }),
        row(
            &rust,
            "rpc: stdio, Rust server, round trip",
            1,
            floors::BLOCKING,
        ),
        row(
            &rust,
            "rpc: stdio, Rust server, 64 in flight",
            IN_FLIGHT,
            floors::PIPELINED,
        ),
        row(
            &python,
            "rpc: stdio, Python SDK, round trip",
            1,
            floors::PYTHON,
        ),
        row(
            &python,
            "rpc: stdio, Python SDK, 64 in flight",
            IN_FLIGHT,
            floors::PYTHON_PIPELINED,
        ),
    ])
}

struct Memory {
    operations: usize,
}

impl Row for Memory {
    fn name(&self) -> &str {
        "rpc: memory, round trip"
    }

    fn unit(&self) -> Unit {
        Unit::Microseconds
    }

    fn measure(&mut self) -> BoxFuture<'_, anyhow::Result<f64>> {
        async move {
            let (left, right) = memory::pair();
            let router = Router::new(()).method::<Echo, _, _>(|_, params| async { Ok(params) });
            let _server = peer::connect(right, router);
            let client = peer::connect(left, Router::new(()));
            let params = EchoParams {
                text: "x".repeat(100),
            };
            let start = Instant::now();
            for _ in 0..self.operations {
                client.peer().call::<Echo>(&params).await?;
            }
            Ok(figure(self.unit(), start.elapsed(), self.operations))
        }
        .boxed()
    }
}

struct Server {
    session: Session,
    _connection: Connection,
    _child: Child,
}

async fn connect(other: &Other) -> anyhow::Result<Server> {
    let mut command = Command::new("bench", other.program.clone(), std::env::current_dir()?);
    command.arguments.clone_from(&other.arguments);
    command.environment = environment();
    let (link, child) = child::spawn(&command, None)?;
    let connection = peer::connect(link, Router::new(()));
    let params = InitializeParams {
        runtime_protocol_version: 1,
        protocol_prefix: None,
        runtime: None,
        max_message_bytes: None,
        capabilities: None,
    };
    let session = handshake(connection.peer(), params).await?;
    Ok(Server {
        session,
        _connection: connection,
        _child: child,
    })
}

struct Calls {
    name: String,
    server: Arc<Server>,
    operations: usize,
    in_flight: usize,
    floor: &'static str,
}

impl Row for Calls {
    fn name(&self) -> &str {
        &self.name
    }

    fn unit(&self) -> Unit {
        if self.in_flight == 1 {
            Unit::Microseconds
        } else {
            Unit::PerSecond
        }
    }

    fn floor(&self) -> Option<&str> {
        Some(self.floor)
    }

    fn measure(&mut self) -> BoxFuture<'_, anyhow::Result<f64>> {
        let unit = self.unit();
        let (peer, operations, in_flight) = (
            self.server.session.peer().clone(),
            self.operations,
            self.in_flight,
        );
        async move {
            // In a task of its own, as the engine's runs are, and not on the thread that started the runtime.
            let elapsed = tokio::spawn(calls(peer, operations, in_flight)).await??;
            Ok(figure(unit, elapsed, operations))
        }
        .boxed()
    }
}

async fn calls(
    peer: Peer,
    operations: usize,
    in_flight: usize,
) -> anyhow::Result<std::time::Duration> {
    let params = params();
    peer.call::<Execute>(&params).await?;
    let start = Instant::now();
    if in_flight == 1 {
        for _ in 0..operations {
            peer.call::<Execute>(&params).await?;
        }
    } else {
        let mut calls = stream::iter((0..operations).map(|_| peer.call::<Execute>(&params)))
            .buffer_unordered(in_flight);
        while let Some(result) = calls.next().await {
            result?;
        }
    }
    Ok(start.elapsed())
}

fn params() -> ExecuteParams {
    ExecuteParams {
        component: "/echo".into(),
        input: Value::parse(r#"{"text":"hello","number":1}"#).expect("this is JSON"),
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
