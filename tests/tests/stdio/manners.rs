//! Bad manners on stdout and elsewhere: text between messages, answers that are none, a slow start.

use serde_json::json;
use stepflow_engine::Class;
use stepflow_flow::value::Value;
use stepflow_tests::gate::Gate;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Runtime;
use stepflow_tests::runtime::Setup;
use stepflow_tests::runtime::failure;
use stepflow_tests::runtime::success;
use stepflow_tests::value;

use crate::from;

fn raw(habit: &'static [&'static str]) -> Runtime {
    Runtime::of(Program::File("raw.py", habit))
}

async fn pid(runtime: &Runtime) -> Value {
    success(&runtime.call("/it/pid", Value::null()).await).clone()
}

// req: stdio.noise-is-not-fatal
#[tokio::test]
async fn text_between_answers_costs_nothing() {
    let runtime = raw(&["noisy"]);
    let before = pid(&runtime).await;
    // Each kind of noise comes several times, each before another answer.
    let calls = (0..100).map(async |number| {
        let input = from(json!({"number": number}));
        let outcome = runtime.call("/it/echo", input.clone()).await;
        assert_eq!(success(&outcome), &input);
    });
    futures_util::future::join_all(calls).await;
    assert_eq!(pid(&runtime).await, before, "the same process all along");
    runtime.shut_down().await;
}

// req: stdio.print-is-safe
#[tokio::test]
async fn what_a_component_prints_does_not_reach_the_wire() {
    for program in [Program::Rust, Program::Python] {
        let runtime = Runtime::of(program);
        for stdout in [
            "a line\n",
            "no line break",
            "{\"half\":",
            "{\"jsonrpc\":\"2.0\"}\n",
        ] {
            let outcome = runtime
                .call("/it/noise", from(json!({"stdout": stdout})))
                .await;
            assert_eq!(success(&outcome), &value("0"), "{stdout}");
        }
        runtime.shut_down().await;
    }
}

// req: stdio.private-handles
#[tokio::test]
async fn a_components_own_programs_cannot_touch_the_wire() {
    for program in [Program::Rust, Program::Python] {
        let runtime = Runtime::of(program);
        for script in ["cat", "echo hello; printf 'no line break'", "read line"] {
            let input = from(json!({"command": ["sh", "-c", script]}));
            let outcome = runtime.call("/it/run", input).await;
            let status = success(&outcome).as_i64().unwrap();
            // There is nothing to read, which `read` counts as a failure.
            assert_eq!(status, i64::from(script == "read line"), "{script}");
        }
        runtime.shut_down().await;
    }
}

// req: stdio.writes-before-reading
#[tokio::test]
async fn a_server_may_write_much_before_it_reads() {
    let runtime = raw(&["writes-first"]);
    pid(&runtime).await;
    runtime.shut_down().await;
}

// req: stdio.slow-start
#[tokio::test]
async fn calls_wait_for_a_slow_start_and_their_time_does_not_run() {
    let setup = Setup::default().plugin("it", Program::File("raw.py", &["slow"]));
    let gate = Gate::open(setup.home());
    let runtime = setup.start();
    let call = runtime.call_as("/it/echo", "timeout: 2s", value("1"));
    let start = async {
        let visitor = gate.next().await;
        // Longer than the step may take, which counts from sending only.
        tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
        visitor.release("go").await;
    };
    let (outcome, ()) = tokio::join!(call, start);
    assert_eq!(success(&outcome), &value("1"));
    runtime.shut_down().await;
}

// req: rpc.wrong-answers
#[tokio::test]
async fn an_answer_that_is_none_fails_its_call_alone() {
    let runtime = raw(&[]);
    let before = pid(&runtime).await;
    // (what the server writes, what the error must say)
    for (text, says) in [
        (
            r#"{"jsonrpc":"2.0","id":THE_ID,"result":{}}"#,
            "neither `output` nor `skipped`",
        ),
        (r#"{"jsonrpc":"2.0","id":THE_ID,"result":7}"#, "wrong shape"),
        (
            r#"{"jsonrpc":"2.0","id":THE_ID,"error":"boom"}"#,
            "cannot be read",
        ),
        (r#"{"jsonrpc":"2.0","id":THE_ID}"#, "cannot be read"),
        (
            r#"{"jsonrpc":"2.0","id":THE_ID,"result":{"output":1e}}"#,
            "cannot be read",
        ),
        (
            r#"{"jsonrpc":"2.0","id":THE_ID,"result":1,"error":{"code":1,"message":"m"}}"#,
            "",
        ),
    ] {
        let input = from(json!({"text": text}));
        let failed = runtime.attempt("/it/line", input).await.unwrap_err();
        assert_eq!(failed.class, Class::Component, "{text}: {failed:?}");
        assert!(
            failed.error.message.contains(says),
            "{text}: {}",
            failed.error
        );
    }
    for stranger in [
        r#"{"jsonrpc":"2.0","id":"nobody","result":{"output":1}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}"#,
        r#"{"jsonrpc":"2.0","method":"weather/changed"}"#,
    ] {
        let answer = r#"{"jsonrpc":"2.0","id":THE_ID,"result":{"output":2}}"#;
        let input = from(json!({"text": format!("{stranger}\n{answer}\n{answer}")}));
        assert_eq!(success(&runtime.call("/it/line", input).await), &value("2"));
    }
    assert_eq!(pid(&runtime).await, before, "the same process all along");
    runtime.shut_down().await;
}

// req: rpc.late-response
#[tokio::test]
async fn a_late_answer_costs_nothing() {
    let setup = Setup::default().plugin("it", Program::File("raw.py", &[]));
    let gate = Gate::open(setup.home());
    let runtime = setup.start();
    let before = pid(&runtime).await;
    let call = runtime.call_as("/it/gate", "timeout: 200ms", value(r#"{"name":"a"}"#));
    let (outcome, visitor) = tokio::join!(call, gate.next());
    assert_eq!(failure(&outcome).code, -32006, "{outcome:?}");
    visitor.release("late").await;
    assert_eq!(pid(&runtime).await, before);
    runtime.shut_down().await;
}

// req: protocol.version
#[tokio::test]
async fn a_server_of_another_version_is_refused_with_both_versions() {
    let runtime = raw(&["other-version"]);
    let outcome = runtime.call("/it/echo", value("1")).await;
    let error = failure(&outcome);
    let says = ["version 2", "version 1", "raw.py"];
    let all = says.iter().all(|word| error.message.contains(word));
    assert!(all, "{error}");
    let starts = std::fs::read_to_string(runtime.home().join("starts")).unwrap();
    assert_eq!(starts.lines().count(), 1, "trying again would not help");
    runtime.shut_down().await;
}
