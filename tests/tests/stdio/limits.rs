//! Bounds: of one message, of calls at once, and the spread over several processes.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::json;
use stepflow_engine::Class;
use stepflow_flow::value::Value;
use stepflow_tests::gate::Gate;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Runtime;
use stepflow_tests::runtime::Setup;
use stepflow_tests::runtime::success;

use crate::from;

async fn pid(runtime: &Runtime) -> Value {
    success(&runtime.call("/it/pid", Value::null()).await).clone()
}

// req: stdio.oversized-answer
#[tokio::test]
async fn an_answer_over_the_limit_costs_its_call_alone() {
    const LIMIT: usize = 100_000;
    let program = Program::File("raw.py", &[]);
    let setup = Setup::default();
    let setup = setup.plugin_with("it", program, |it| it.limits.max_message_bytes = LIMIT);
    let runtime = setup.start();
    let before = pid(&runtime).await;
    for place in ["front", "end"] {
        for size in [LIMIT - 1, LIMIT] {
            let input = from(json!({"size": size, "place": place}));
            success(&runtime.call("/it/exact", input).await);
        }
        for size in [LIMIT + 1, 10 * LIMIT] {
            let input = from(json!({"size": size, "place": place}));
            let failed = runtime.attempt("/it/exact", input).await.unwrap_err();
            assert_eq!(
                failed.class,
                Class::Component,
                "the work was done: {failed:?}"
            );
            let says = format!("{size} bytes is over the limit of {LIMIT}");
            assert!(failed.error.message.contains(&says), "{}", failed.error);
        }
    }
    assert_eq!(pid(&runtime).await, before, "the connection lives");
    // Where nobody can be told alone, all are told, rather than that one waits for ever.
    let input = from(json!({"size": 2 * LIMIT, "place": "middle"}));
    let failed = runtime.attempt("/it/exact", input).await.unwrap_err();
    assert_eq!(failed.class, Class::Unknown, "{failed:?}");
    assert_ne!(pid(&runtime).await, before, "a new connection");
    runtime.shut_down().await;
}

// req: stdio.oversized-request
#[tokio::test]
async fn a_request_over_the_servers_limit_is_not_sent() {
    let runtime = Runtime::of(Program::File("raw.py", &["small"]));
    let before = pid(&runtime).await;
    // An input of such a size that its request is `over` bytes over the limit.
    let input = async |over: isize| {
        let failed = runtime
            .attempt("/it/echo", from(json!("x".repeat(10_000))))
            .await
            .unwrap_err();
        let words: Vec<_> = failed.error.message.split(' ').collect();
        let at = words.iter().position(|word| *word == "bytes").unwrap();
        let excess = words[at - 1].parse::<usize>().unwrap() - 10_000;
        json!("x".repeat((10_000 - excess).checked_add_signed(over).unwrap()))
    };
    for (over, fits) in [(-1, true), (0, true), (1, false)] {
        let input = from(input(over).await);
        let result = runtime.attempt("/it/echo", input).await;
        assert_eq!(result.is_ok(), fits, "{over}: {result:?}");
        if let Err(failed) = result {
            assert_eq!(failed.class, Class::Refused, "{failed:?}");
        }
    }
    assert_eq!(pid(&runtime).await, before, "the connection lives");
    runtime.shut_down().await;
}

// req: stdio.oversized-answer
#[tokio::test]
async fn a_server_of_ours_keeps_to_the_runtimes_limit() {
    for program in [Program::Rust, Program::Python] {
        let setup = Setup::default();
        let setup = setup.plugin_with("it", program, |it| it.limits.max_message_bytes = 10_000);
        let runtime = setup.start();
        success(&runtime.call("/it/big", from(json!({"bytes": 9_000}))).await);
        let failed = runtime
            .attempt("/it/big", from(json!({"bytes": 10_000})))
            .await;
        let failed = failed.unwrap_err();
        assert_eq!(failed.error.code, -32005, "{failed:?}");
        assert!(failed.error.message.contains("10000"), "{}", failed.error);
        success(&runtime.call("/it/big", from(json!({"bytes": 9_000}))).await);
        runtime.shut_down().await;
    }
}

// req: plugins.instances
#[tokio::test]
async fn several_instances_share_the_calls() {
    let setup = Setup::default().plugin_with("it", Program::Rust, |it| it.instances = 3);
    let gate = Gate::open(setup.home());
    let runtime = setup.start();
    let calls = (0..9).map(|_| runtime.call("/it/gate", gate.input("a")));
    let watch = async {
        let visitors = gate.take(9).await;
        let mut by_process = HashMap::<u32, usize>::new();
        for visitor in visitors {
            *by_process.entry(visitor.hello.pid).or_default() += 1;
            visitor.release("go").await;
        }
        by_process
    };
    let (outcomes, by_process) = tokio::join!(futures_util::future::join_all(calls), watch);
    outcomes.iter().map(success).for_each(|_| ());
    assert_eq!(by_process.into_values().collect::<Vec<_>>(), [3, 3, 3]);
    runtime.shut_down().await;
}

// req: plugins.max-in-flight
#[tokio::test]
async fn no_more_calls_are_in_flight_than_allowed() {
    let setup = Setup::default();
    let setup = setup.plugin_with("it", Program::Rust, |it| it.limits.max_in_flight = Some(3));
    let gate = Gate::open(setup.home());
    let runtime = setup.start();
    let calls = (0..10).map(|_| runtime.call("/it/gate", gate.input("a")));
    let watch = async {
        let mut here = gate.take(3).await;
        for arrived in 3..10 {
            // The list is asked for behind whatever was sent, so a fourth would have had its time.
            runtime.plugins.list().await;
            assert!(gate.next().now_or_never().is_none(), "{arrived} are enough");
            here.pop().unwrap().release("go").await;
            here.push(gate.next().await);
        }
        for visitor in here {
            visitor.release("go").await;
        }
    };
    let (outcomes, ()) = tokio::join!(futures_util::future::join_all(calls), watch);
    outcomes.iter().map(success).for_each(|_| ());
    runtime.shut_down().await;
}

// req: stdio.stderr-tail
#[tokio::test]
async fn the_last_words_of_a_server_are_cut_to_what_people_read() {
    // A cut line ends with a mark, which takes its own room.
    let cut = format!("{}…", "e".repeat(2048 - '…'.len_utf8()));
    let lines = |from: usize, to: usize| (from..=to).map(|it| it.to_string()).collect::<Vec<_>>();
    // (what the server writes to stderr, the lines that are kept)
    let cases = [
        ("e".repeat(10_000_000), vec![cut.clone()]),
        (lines(1, 10_000).join("\n"), lines(9_951, 10_000)),
        (vec!["e".repeat(100_000); 100].join("\n"), vec![cut; 50]),
    ];
    let setup = Setup::default().plugin_with("it", Program::File("raw.py", &[]), |it| {
        it.restart.sustained_uptime = Duration::ZERO;
    });
    let runtime = setup.start();
    for (says, kept) in cases {
        let failed = runtime.attempt("/it/last_words", from(json!(says))).await;
        let message = failed.unwrap_err().error.message;
        let told: Vec<_> = message
            .lines()
            .filter_map(|line| line.strip_prefix("  | "))
            .collect();
        assert!(
            told == kept,
            "{} lines: {:.200}",
            told.len(),
            told.join("\n")
        );
    }
    runtime.shut_down().await;
}
