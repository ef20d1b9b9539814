//! When a server that ended is started again, and when it is not any more.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Runtime;
use stepflow_tests::runtime::Setup;
use stepflow_tests::runtime::failure;
use stepflow_tests::runtime::success;
use stepflow_tests::soon;
use stepflow_tests::value;

use crate::from;

const NEVER: Duration = Duration::from_secs(3600);

fn starts(runtime: &Runtime) -> usize {
    let starts = std::fs::read_to_string(runtime.home().join("starts")).unwrap();
    starts.lines().count()
}

// req: stdio.restarts-are-bounded
#[tokio::test]
async fn a_server_that_dies_at_its_start_is_given_up_with_its_last_words() {
    let cases: [(&'static [&'static str], &[&str]); 2] = [
        (
            &["dies"],
            &["raw.py", "exited with status 1", "the licence has run out"],
        ),
        (
            &["dies-after-handshake"],
            &["exited with status 1", "that was all"],
        ),
    ];
    for (habit, says) in cases {
        let setup = Setup::default().plugin_with("it", Program::File("raw.py", habit), |it| {
            it.restart.max_restarts = 3;
            it.restart.max_restarts_at_start = 3;
            it.restart.probe_after = NEVER;
        });
        let runtime = setup.start();
        let calls = (0..5).map(|_| runtime.call("/it/echo", value("1")));
        for outcome in join_all(calls).await {
            let error = failure(&outcome);
            for word in says {
                assert!(error.message.contains(word), "{word}: {error}");
            }
        }
        assert_eq!(
            starts(&runtime),
            4,
            "one start and three restarts, after {habit:?}"
        );
        // From now on calls fail fast, and nothing is started for them.
        failure(&runtime.call("/it/echo", value("1")).await);
        assert_eq!(starts(&runtime), 4);
        runtime.shut_down().await;
    }
}

// req: stdio.failed-is-probed
#[tokio::test]
async fn a_plugin_that_failed_is_tried_once_by_a_later_call_and_may_work_again() {
    let setup = Setup::default().plugin_with("it", Program::File("raw.py", &["dies"]), |it| {
        it.restart.max_restarts = 1;
        it.restart.max_restarts_at_start = 1;
        it.restart.probe_after = Duration::from_millis(1);
    });
    let runtime = setup.start();
    let call = async || {
        // Calls to a plugin that has failed do not wait; its time passes between them.
        tokio::task::yield_now().await;
        runtime.attempt("/it/echo", value("1")).await
    };
    call().await.unwrap_err();
    assert_eq!(starts(&runtime), 2, "a start and a restart");
    let probe = async {
        while starts(&runtime) == 2 {
            call().await.unwrap_err();
        }
    };
    soon("another start", probe).await;
    assert_eq!(starts(&runtime), 3, "not a new budget of restarts");
    std::fs::write(runtime.home().join("licence"), "").unwrap();
    soon("a call works", async { while call().await.is_err() {} }).await;
    call().await.unwrap();
    assert_eq!(starts(&runtime), 4);
    runtime.shut_down().await;
}

// req: stdio.restarts-are-bounded
#[tokio::test]
async fn a_server_that_lived_long_enough_has_all_its_restarts_again() {
    // (how long is enough, codes of calls that each end the server)
    let cases = [
        (NEVER, [-32013, -32013, -32013, -32005, -32005, -32005]),
        (Duration::ZERO, [-32013; 6]),
    ];
    for (sustained_uptime, expected) in cases {
        let setup = Setup::default().plugin_with("it", Program::Rust, |it| {
            it.restart.max_restarts = 2;
            it.restart.max_restarts_at_start = 2;
            it.restart.sustained_uptime = sustained_uptime;
            it.restart.probe_after = NEVER;
        });
        let runtime = setup.start();
        let mut codes = Vec::new();
        for _ in expected {
            let failed = runtime.attempt("/it/exit", from(json!({"code": 0}))).await;
            codes.push(failed.unwrap_err().error.code);
        }
        assert_eq!(codes, expected, "{sustained_uptime:?} is enough");
        runtime.shut_down().await;
    }
}

// req: stdio.failed-instances-take-no-calls
#[tokio::test]
async fn an_instance_that_failed_costs_no_calls_while_another_lives() {
    let program = Program::File("raw.py", &["first-dies"]);
    let setup = Setup::default().plugin_with("it", program, |it| {
        it.instances = 2;
        it.restart.max_restarts_at_start = 0;
        it.restart.probe_after = NEVER;
    });
    let runtime = setup.start();
    // The first call waits for the instance that fails, and goes on to the other one.
    for _ in 0..3 {
        success(&runtime.call("/it/echo", value("1")).await);
    }
    let calls = (0..20).map(|_| runtime.call("/it/echo", value("1")));
    for outcome in join_all(calls).await {
        success(&outcome);
    }
    assert_eq!(starts(&runtime), 2);
    runtime.shut_down().await;
}
