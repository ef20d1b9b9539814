//! Servers over stdio that do not start, die, make noise or are told to stop; and that nothing of them is left.

use std::time::Duration;
use std::time::Instant;

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use stepflow_tests::figure;
use stepflow_tests::gate::Gate;
use stepflow_tests::process;
use stepflow_tests::runtime::failure;
use stepflow_tests::runtime::success;

use super::error;
use super::from;
use super::output;
use super::raw;
use super::raw_with;

#[tokio::test]
async fn an_mcp_server_that_dies_in_a_call_says_how_and_is_started_again() {
    let it = raw_with(&[], |it| it.limits.retry_unknown = false);
    let lost = error(&it, "/it/die", json!({})).await;
    assert_eq!(lost.code, -32013, "{lost}");
    for words in ["exited with status 3", "these are my last words"] {
        assert!(lost.message.contains(words), "{lost}");
    }
    assert_eq!(
        output(&it, "/it/text", json!({})).await,
        from(json!("a text"))
    );
    it.shut_down().await;
}

#[tokio::test]
async fn calls_lost_with_an_mcp_server_are_sent_again() {
    let it = raw(&[]);
    let gate = Gate::open(it.home());
    let calls =
        (0..10).map(|number| it.call("/it/gate", from(json!({"name": number.to_string()}))));
    let kill = async {
        let visitors = gate.take(10).await;
        process::kill(visitors[0].hello.pid, Signal::KILL);
        for visitor in gate.take(10).await {
            assert_ne!(visitor.hello.pid, visitors[0].hello.pid);
            visitor.release("through").await;
        }
    };
    let (outcomes, ()) = tokio::join!(join_all(calls), kill);
    for outcome in &outcomes {
        assert_eq!(success(outcome), &from(json!("through")));
    }
    it.shut_down().await;
}

#[tokio::test]
async fn a_killed_mcp_server_fails_every_call_at_once() {
    let it = raw_with(&[], |it| it.limits.retry_unknown = false);
    let gate = Gate::open(it.home());
    let calls =
        (0..20).map(|number| it.call("/it/gate", from(json!({"name": number.to_string()}))));
    let kill = async {
        let visitors = gate.take(20).await;
        process::kill(visitors[0].hello.pid, Signal::KILL);
        Instant::now()
    };
    let (outcomes, killed) = tokio::join!(join_all(calls), kill);
    figure(
        "all 20 callers heard of the kill",
        killed.elapsed(),
        Duration::from_secs(1),
    );
    for outcome in &outcomes {
        let lost = failure(outcome);
        assert_eq!(lost.code, -32013, "{lost}");
        assert!(lost.message.contains("killed by signal 9"), "{lost}");
    }
    it.shut_down().await;
}

#[tokio::test]
async fn an_mcp_server_is_told_of_a_call_that_nobody_waits_for() {
    let it = raw(&[]);
    let gate = Gate::open(it.home());
    let input = from(json!({"name": "a"}));
    let call = it.call_as("/it/gate", "timeout: 300ms", input);
    let arrival = gate.next();
    let (outcome, visitor) = tokio::join!(call, arrival);
    assert_eq!(failure(&outcome).code, -32006);
    assert_eq!(visitor.gone().await, "cancelled");
    assert_eq!(
        output(&it, "/it/text", json!({})).await,
        from(json!("a text"))
    );
    it.shut_down().await;
}

#[tokio::test]
async fn noise_on_the_stdout_of_an_mcp_server_is_passed_over() {
    let it = raw(&["noise"]);
    for _ in 0..3 {
        assert_eq!(
            output(&it, "/it/text", json!({})).await,
            from(json!("a text"))
        );
    }
    it.shut_down().await;
}

#[tokio::test]
async fn ten_megabytes_on_the_stderr_of_an_mcp_server_hold_up_nothing() {
    let it = raw(&["loud"]);
    assert_eq!(
        output(&it, "/it/text", json!({})).await,
        from(json!("a text"))
    );
    it.shut_down().await;
}

#[tokio::test]
async fn an_mcp_server_that_does_not_start_says_why() {
    for (habit, words) in [
        (
            &["dies"],
            &[
                "mcp_raw.py dies",
                "ended before it answered",
                "there is no such folder",
            ][..],
        ),
        (
            &["silent"],
            &["did not answer `initialize` within 700ms", "an MCP server"],
        ),
        (&["refuses"], &["mcp_raw.py refuses", "not today"]),
        (&["version"], &["1999-12-31", "2025-11-25"]),
    ] {
        let it = raw_with(habit, |it| {
            if habit == &["silent"] {
                it.limits.initialize_timeout = Duration::from_millis(700);
            }
        });
        let unavailable = error(&it, "/it/text", json!({})).await;
        assert_eq!(unavailable.code, -32005, "{habit:?}: {unavailable}");
        for words in words {
            assert!(
                unavailable.message.contains(words),
                "{habit:?}: {unavailable}"
            );
        }
        it.shut_down().await;
    }
}
