//! Servers that die: at the start, in the middle of a call, of any cause. Whoever waits hears of it at once, and the next
//! call finds a new process after a new handshake.

use std::time::Duration;
use std::time::Instant;

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use stepflow_components::options::Limits;
use stepflow_engine::Class;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;
use stepflow_tests::figure;
use stepflow_tests::gate::Gate;
use stepflow_tests::gate::Hello;
use stepflow_tests::process;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Runtime;
use stepflow_tests::runtime::Setup;
use stepflow_tests::runtime::failure;
use stepflow_tests::runtime::success;
use stepflow_tests::value;

use crate::from;

/// Within this time of a server's death every caller has heard of it.
const PROMISE: Duration = Duration::from_secs(1);

/// Kills the process under twenty calls; returns who was there, and what became of the calls.
async fn kill_under_twenty(
    runtime: &Runtime,
    gate: &Gate,
    what: &str,
) -> (Vec<Hello>, Vec<Outcome>) {
    let calls = (0..20).map(|number| {
        let input = gate.input_until(&number.to_string(), 2);
        runtime.call("/it/gate", input)
    });
    let kill = async {
        let visitors = gate.take(20).await;
        let hellos: Vec<_> = visitors
            .iter()
            .map(|visitor| visitor.hello.clone())
            .collect();
        process::kill(hellos[0].pid, Signal::KILL);
        (Instant::now(), hellos)
    };
    let (outcomes, (killed, hellos)) = tokio::join!(join_all(calls), kill);
    let what = format!("all 20 callers heard of the kill ({what})");
    figure(&what, killed.elapsed(), PROMISE);
    (hellos, outcomes)
}

// req: stdio.death-wakes-callers
#[tokio::test]
async fn a_killed_server_fails_every_call_at_once() {
    for program in [Program::Rust, Program::Python] {
        let limits = Limits {
            retry_unknown: false,
            ..Limits::default()
        };
        let setup = Setup::default().plugin_with("it", program, |it| it.limits = limits);
        let gate = Gate::open(setup.home());
        let runtime = setup.start();
        let what = format!("{program:?}, not sent again");
        let (hellos, outcomes) = kill_under_twenty(&runtime, &gate, &what).await;
        for outcome in &outcomes {
            let error = failure(outcome);
            assert_eq!(error.code, -32013, "{error}");
            assert!(error.message.contains("killed by signal 9"), "{error}");
        }
        // Servers refuse calls before the handshake, so an answer proves a new one.
        let outcome = runtime.call("/it/call", Value::null()).await;
        let pid = success(&outcome).get("pid").unwrap().as_u64();
        assert_ne!(pid, Some(u64::from(hellos[0].pid)));
        runtime.shut_down().await;
    }
}

// req: engine.resend-unknown
#[tokio::test]
async fn calls_lost_with_a_server_are_sent_again_with_the_same_key() {
    for program in [Program::Rust, Program::Python] {
        let setup = Setup::default().plugin("it", program);
        let gate = Gate::open(setup.home());
        let runtime = setup.start();
        let what = format!("{program:?}, sent again");
        let (mut hellos, outcomes) = kill_under_twenty(&runtime, &gate, &what).await;
        hellos.sort_by_key(|hello| hello.name.parse::<u32>().unwrap());
        assert_eq!(outcomes.len(), 20, "none is lost");
        for (hello, outcome) in hellos.iter().zip(&outcomes) {
            let output = success(outcome);
            let again: Hello = output.deserialize().unwrap();
            assert_eq!((hello.attempt, again.attempt), (1, 2));
            assert_eq!((&again.name, &again.key), (&hello.name, &hello.key));
            assert!(hello.key.is_some());
            assert_ne!(again.pid, hello.pid, "by a new process");
        }
        let keys: std::collections::HashSet<_> = hellos.iter().map(|it| &it.key).collect();
        assert_eq!(keys.len(), 20, "each has a key of its own");
        runtime.shut_down().await;
    }
}

// req: engine.at-most-once
#[tokio::test]
async fn a_step_that_may_run_once_is_not_sent_again() {
    let runtime = Runtime::of(Program::Rust);
    let input = from(json!({"code": 0, "before_attempt": 2}));
    let outcome = runtime.call_as("/it/exit", "atMostOnce: true", input).await;
    assert_eq!(failure(&outcome).code, -32013, "{outcome:?}");
    runtime.shut_down().await;
}

// req: stdio.any-exit-is-a-failure
#[tokio::test]
async fn any_end_in_the_middle_of_a_call_is_recovered_from() {
    for program in [Program::Rust, Program::Python] {
        let runtime = Runtime::of(program);
        for (component, input) in [
            ("/it/exit", json!({"code": 0, "before_attempt": 2})),
            ("/it/exit", json!({"code": 7, "before_attempt": 2})),
            ("/it/crash", json!({"before_attempt": 2})),
        ] {
            let outcome = runtime.call(component, from(input)).await;
            assert_eq!(success(&outcome), &value("2"), "{component} in attempt 2");
        }
        runtime.shut_down().await;
    }
}

// req: stdio.any-exit-is-a-failure
#[tokio::test]
async fn a_lost_call_says_how_the_process_ended() {
    // (component, input, what the error says)
    let cases = [
        ("/it/exit", json!({"code": 0}), "exited with status 0"),
        ("/it/exit", json!({"code": 7}), "exited with status 7"),
        ("/it/crash", json!({}), "killed by signal 6"),
    ];
    for program in [Program::Rust, Program::Python] {
        let runtime = Runtime::of(program);
        for (component, input, says) in cases.clone() {
            let failed = runtime.attempt(component, from(input)).await.unwrap_err();
            assert_eq!(failed.class, Class::Unknown, "{failed:?}");
            assert!(failed.error.message.contains(says), "{}", failed.error);
        }
        runtime.shut_down().await;
    }
}

// req: stdio.half-closed
#[tokio::test]
async fn a_server_that_closes_one_end_is_ended_and_replaced() {
    for component in ["/it/close_stdout", "/it/close_stdin"] {
        let program = Program::File("raw.py", &[]);
        let setup = Setup::default().plugin_with("it", program, |it| {
            it.limits.shutdown_grace = Duration::from_millis(100);
        });
        let runtime = setup.start();
        let lost = runtime.attempt(component, Value::null());
        // Only writing shows that nobody reads any more.
        let more = async {
            loop {
                let input = value(&format!("{:?}", "x".repeat(1 << 20)));
                if runtime.attempt("/it/echo", input).await.is_err() {
                    return;
                }
            }
        };
        let (lost, ()) = tokio::join!(lost, more);
        assert_eq!(lost.unwrap_err().class, Class::Unknown, "{component}");
        success(&runtime.call("/it/pid", Value::null()).await);
        runtime.shut_down().await;
    }
}

// req: stdio.no-orphans
#[tokio::test]
async fn what_a_server_leaves_behind_is_ended_and_keeps_nobody_waiting() {
    let runtime = Runtime::of(Program::File("raw.py", &[]));
    // The process is gone, but its child holds stdout open.
    let failed = runtime
        .attempt("/it/leave_child", Value::null())
        .await
        .unwrap_err();
    assert_eq!(failed.class, Class::Unknown, "{failed:?}");
    runtime.mark().all_gone().await;
    success(&runtime.call("/it/pid", Value::null()).await);
    runtime.shut_down().await;
}

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
            it.restart.probe_after = Duration::from_secs(3600);
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

// req: stdio.start-failures-explain
#[tokio::test]
async fn a_start_that_fails_says_what_was_tried() {
    let failing = async |change: fn(&mut stepflow_components::options::Stdio)| {
        let runtime = Setup::default()
            .plugin_with("it", Program::Rust, change)
            .start();
        let outcome = runtime.call("/it/echo", value("1")).await;
        let message = failure(&outcome).message.clone();
        runtime.shut_down().await;
        message
    };
    let message = failing(|it| it.command = "no-such-program".into()).await;
    for says in ["`it`", "no-such-program", "not found", "PATH"] {
        assert!(message.contains(says), "{says}: {message}");
    }
    let message = failing(|it| it.folder = "/no/such/folder".into()).await;
    assert!(message.contains("/no/such/folder"), "{message}");
    let message = failing(|it| it.command = "/dev/null".into()).await;
    assert!(message.contains("/dev/null"), "{message}");
    let message = failing(|it| {
        (it.command, it.arguments) = ("sh".into(), vec!["-c".into(), "echo hi; exit 5".into()]);
    })
    .await;
    for says in ["status 5", "| hi", "print to stderr"] {
        assert!(message.contains(says), "{says}: {message}");
    }
    let message = failing(|it| {
        (it.command, it.arguments) = ("sleep".into(), vec!["1000".into()]);
        it.limits.initialize_timeout = Duration::from_millis(100);
        it.limits.shutdown_grace = Duration::from_millis(100);
    })
    .await;
    for says in ["`sleep 1000`", "initialize", "100ms"] {
        assert!(message.contains(says), "{says}: {message}");
    }
}

// req: stdio.shutdown-ladder
#[tokio::test]
async fn a_server_that_will_not_end_is_killed() {
    let program = Program::File("raw.py", &["stubborn"]);
    let setup = Setup::default().plugin_with("it", program, |it| {
        it.limits.shutdown_grace = Duration::from_millis(50);
    });
    let runtime = setup.start();
    success(&runtime.call("/it/pid", Value::null()).await);
    runtime.shut_down().await;
}

// req: stdio.no-orphans
#[tokio::test]
async fn a_runtime_that_is_dropped_takes_its_servers_along() {
    for program in [Program::Rust, Program::Python] {
        let runtime = Runtime::of(program);
        success(&runtime.call("/it/echo", value("1")).await);
        let mark = runtime.mark().clone();
        drop(runtime);
        mark.all_gone().await;
    }
}

// req: plugins.instances
#[tokio::test]
async fn the_death_of_one_instance_costs_its_own_calls() {
    let setup = Setup::default().plugin_with("it", Program::Rust, |it| {
        it.instances = 2;
        it.limits.retry_unknown = false;
    });
    let gate = Gate::open(setup.home());
    let runtime = setup.start();
    let calls = (0..10).map(|_| runtime.call("/it/gate", gate.input("a")));
    let kill = async {
        let visitors = gate.take(10).await;
        let victim = visitors[0].hello.pid;
        process::kill(victim, Signal::KILL);
        for visitor in visitors {
            visitor.release("go").await;
        }
    };
    let (outcomes, ()) = tokio::join!(join_all(calls), kill);
    let n_failed = outcomes
        .iter()
        .filter(|it| matches!(it, Outcome::Failed(_)))
        .count();
    assert_eq!(n_failed, 5, "{outcomes:?}");
    runtime.shut_down().await;
}

// req: stdio.shutdown-ladder
#[tokio::test]
async fn a_shutdown_in_the_middle_of_a_start_waits_for_the_process() {
    let setup = Setup::default().plugin("it", Program::File("raw.py", &["slow"]));
    let gate = Gate::open(setup.home());
    let runtime = setup.start();
    let call = runtime.call("/it/echo", value("1"));
    let shut_down = async {
        let visitor = gate.next().await;
        runtime.plugins.shut_down().await;
        assert!(runtime.mark().processes().is_empty(), "it is gone already");
        drop(visitor);
    };
    let (outcome, ()) = tokio::join!(call, shut_down);
    let error = failure(&outcome);
    assert!(error.message.contains("shutting down"), "{error}");
    runtime.shut_down().await;
}
