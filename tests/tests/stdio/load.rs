//! Much at once and much in one piece: no pipe may fill up and stop the other direction.

use serde_json::json;
use stepflow_components::options::Limits;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Runtime;
use stepflow_tests::runtime::Setup;
use stepflow_tests::runtime::success;

use crate::from;

const MEGABYTE: usize = 1 << 20;

/// Runs calls that send and receive so many bytes, all at once, through one process.
async fn exchange(program: Program, calls: usize, bytes: usize) {
    let limits = Limits {
        max_message_bytes: usize::MAX,
        ..Limits::default()
    };
    let setup = Setup::default().plugin_with("it", program, |it| it.limits = limits);
    let runtime = setup.start();
    // One input for all: what is tested are the pipes, not this machine's memory.
    let input = from(json!({"bytes": bytes, "padding": "p".repeat(bytes)}));
    let calls = (0..calls).map(async |_| {
        let outcome = runtime.call("/it/big", input.clone()).await;
        let output = success(&outcome);
        assert_eq!(output.get("received").unwrap().as_u64(), Some(bytes as u64));
        assert!(output.as_text().len() > bytes);
    });
    futures_util::future::join_all(calls).await;
    runtime.shut_down().await;
}

// req: stdio.no-pipe-deadlock
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_calls_of_four_megabytes_each_way_in_rust() {
    exchange(Program::Rust, 200, 4 * MEGABYTE).await;
}

// req: stdio.no-pipe-deadlock
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_calls_of_four_megabytes_each_way_in_python() {
    exchange(Program::Python, 200, 4 * MEGABYTE).await;
}

// req: stdio.no-size-cliff
#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_two_hundred_megabytes_in_rust() {
    exchange(Program::Rust, 1, 200 * MEGABYTE).await;
}

// req: stdio.no-size-cliff
#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_two_hundred_megabytes_in_python() {
    exchange(Program::Python, 1, 200 * MEGABYTE).await;
}

// req: stdio.no-pipe-deadlock
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_reads_while_it_writes() {
    let runtime = Runtime::of(Program::File("raw.py", &[]));
    let text = "t".repeat(4 * MEGABYTE);
    let calls = (0..50).map(async |number| {
        let input = from(json!({"number": number, "text": text}));
        let outcome = runtime.call("/it/echo", input).await;
        let output = success(&outcome);
        assert_eq!(output.get("number").unwrap().as_i64(), Some(number));
    });
    futures_util::future::join_all(calls).await;
    runtime.shut_down().await;
}

// req: stdio.stderr-is-drained
#[tokio::test]
async fn ten_megabytes_on_stderr_before_an_answer() {
    let input = from(json!({"stderr_bytes": 10 * MEGABYTE}));
    for program in [Program::Rust, Program::Python] {
        let runtime = Runtime::of(program);
        let outcome = runtime.call("/it/noise", input.clone()).await;
        assert_eq!(success(&outcome).as_u64(), Some(10 * MEGABYTE as u64));
        runtime.shut_down().await;
    }
    // In one piece, without a line break.
    let runtime = Runtime::of(Program::File("raw.py", &[]));
    let outcome = runtime
        .call("/it/stderr", from(json!({"bytes": 10 * MEGABYTE})))
        .await;
    assert_eq!(success(&outcome).as_u64(), Some(10 * MEGABYTE as u64));
    runtime.shut_down().await;
}
