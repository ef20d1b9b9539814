//! One message of 64 MB there and back: how fast, and in how much memory at either end.

use std::time::Duration;
use std::time::Instant;

use stepflow_flow::value::Value;
use stepflow_protocol::component::Execute;
use stepflow_protocol::component::ExecuteResult;

use crate::caller;
use crate::caller::Task;
use crate::child::peak_memory;
use crate::floors::pipes;
use crate::place;
use crate::place::Place;
use crate::place::Server;
use crate::row::Probe;
use crate::row::Row;
use crate::row::Unit;
use crate::rpc;
use crate::rpc::Servers;

/// The size of the large message.
pub const BYTES: usize = 64_000_000;

/// The probes of this module.
pub fn probes(servers: &Servers) -> Vec<Probe> {
    let servers = [
        ("stdio, Rust SDK", Server::Stdio(servers.rust.clone())),
        ("stdio, Python SDK", Server::Stdio(servers.python.clone())),
        (
            "HTTP session, Rust SDK",
            Server::Session(servers.rust_web.clone()),
        ),
        (
            "HTTP session, Python SDK",
            Server::Session(servers.python_web.clone()),
        ),
    ];
    servers.map(|(name, server)| probe(name, server)).into()
}

fn probe(name: &str, server: Server) -> Probe {
    let row = |what, unit| Row::new(format!("64 MB there and back: {name}{what}"), unit);
    let rows = vec![
        row("", Unit::MegabytesPerSecond).against(pipes::CAT),
        row(", memory of the caller", Unit::Megabytes),
        row(", memory of the server", Unit::Megabytes),
    ];
    Probe::many(rows, move || {
        let server = server.clone();
        async move {
            let task = Task::Big(server.place().await?);
            let figures = caller::have_done(&task).await?;
            let server_memory = match server.pid().await? {
                Some(pid) => peak_memory(pid)?,
                None => figures.server_memory.unwrap_or(f64::NAN),
            };
            Ok(vec![
                Unit::MegabytesPerSecond.figure(figures.elapsed, BYTES / 1_000_000),
                figures.memory,
                server_memory,
            ])
        }
    })
    // Each takes a second and is steady by itself.
    .pairs(1)
}

/// Sends the large message; says how long it took, and the memory of a server that is a child.
pub async fn send(place: &Place) -> anyhow::Result<(Duration, Option<f64>)> {
    let reached = place::reach(place).await?;
    let peer = reached.peer();
    // The first call is a small one, so that it is not the connection that is measured.
    let small = rpc::params("/echo", Value::parse(rpc::INPUT)?);
    peer.call::<Execute>(&small).await?;
    let params = rpc::params("/echo", Value::string(&"x".repeat(BYTES)));
    let start = Instant::now();
    let result = tokio::spawn(async move { peer.call::<Execute>(&params).await }).await??;
    let elapsed = start.elapsed();
    let ExecuteResult::Output(output) = result else {
        anyhow::bail!("the component skipped itself");
    };
    let size = output.as_text().len();
    anyhow::ensure!(size == BYTES + 2, "{size} bytes came back");
    let memory = reached.pid().map(peak_memory).transpose()?;
    reached.close().await;
    Ok((elapsed, memory))
}
