//! Calls from peer to peer in one process, with typed params and results: as messages in memory, and as lines of bytes.

use std::future::Future;

use anyhow::Context;
use futures_util::StreamExt;
use futures_util::stream;
use stepflow_flow::value::Value;
use stepflow_protocol::component::Execute;
use stepflow_protocol::component::ExecuteParams;
use stepflow_protocol::component::ExecuteResult;
use stepflow_rpc::Link;
use stepflow_rpc::Peer;
use stepflow_rpc::Router;
use stepflow_rpc::peer;
use stepflow_rpc::transport::lines;
use stepflow_rpc::transport::memory;

use crate::Workload;

/// Holds what 64 calls write, so that neither end waits for room.
const PIPE: usize = 64 * 1024;

/// Makes two linked ends.
type Links = fn() -> (Link, Link);

/// What every call carries to and fro.
const INPUT: &str = r#"{"text":"hello","number":1}"#;

/// The workloads of this module.
pub fn workloads() -> Vec<Workload> {
    let links: [(&str, Links); 2] = [("memory", memory::pair), ("lines", lines_pair)];
    let hows = [(1, "round trip"), (64, "64 in flight")];
    let workload = |(name, links): (&str, Links), (in_flight, how)| {
        Workload::new(format!("call, {name}, {how}"), (4096, 1), move |repeats| {
            on_one_thread(calls(links, repeats, in_flight))
        })
    };
    let all = links.into_iter();
    all.flat_map(|link| hows.map(|how| workload(link, how)))
        .collect()
}

/// Runs to the end on a runtime without threads.
pub fn on_one_thread(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("a runtime cannot be made")?
        .block_on(work)
}

/// Two links over lines that pass through memory.
fn lines_pair() -> (Link, Link) {
    let (near, far) = tokio::io::duplex(PIPE);
    let [near, far] = [near, far].map(|end| {
        let (input, output) = tokio::io::split(end);
        lines::link(input, output, &lines::Options::default())
    });
    (near, far)
}

async fn calls(links: Links, repeats: usize, in_flight: usize) -> anyhow::Result<()> {
    let (near, far) = links();
    let router = Router::new(())
        .method::<Execute, _, _>(|_, params| async { Ok(ExecuteResult::Output(params.input)) });
    let _server = peer::connect(far, router);
    let client = peer::connect(near, Router::new(()));
    let (peer, params) = (client.peer(), params()?);
    let calls = (0..repeats).map(|_| call(&peer, &params));
    let mut results = stream::iter(calls).buffer_unordered(in_flight);
    while let Some(result) = results.next().await {
        result?;
    }
    Ok(())
}

async fn call(peer: &Peer, params: &ExecuteParams) -> anyhow::Result<()> {
    match peer.call::<Execute>(params).await? {
        ExecuteResult::Output(output) if output.as_text() == INPUT => Ok(()),
        other => anyhow::bail!("the answer is {other:?}"),
    }
}

fn params() -> anyhow::Result<ExecuteParams> {
    Ok(ExecuteParams {
        component: "/echo".into(),
        input: Value::parse(INPUT)?,
        attempt: Some(1),
        step_id: Some("step".into()),
        run_id: Some("run".into()),
        flow_id: Some("flow".into()),
        observability: None,
        idempotency_key: None,
        deadline_ms: None,
        capabilities: None,
    })
}
