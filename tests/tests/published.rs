//! Servers on the published SDK, unmodified, over stdio: what they can do works, and what they cannot do fails in a way
//! that names the cause. These tests are where the facts in the documentation about published servers come from.

use futures_util::future::join_all;
use serde_json::json;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;
use stepflow_tests::gate::Gate;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Runtime;
use stepflow_tests::runtime::Setup;
use stepflow_tests::runtime::failure;
use stepflow_tests::runtime::success;
use stepflow_tests::value;

const SERVER: Program = Program::Published("published.py");

fn from(tree: serde_json::Value) -> Value {
    value(&tree.to_string())
}

// req: published.execute
#[tokio::test]
async fn components_run() {
    let runtime = Runtime::of(SERVER);
    let outcome = runtime.call("/it/add", value(r#"{"a":2,"b":40}"#)).await;
    assert_eq!(success(&outcome), &value(r#"{"sum":42}"#));
    let input = value(r#"{"n":9007199254740993,"f":1.0,"s":"é\u0000","null":null,"deep":[[[]]]}"#);
    let outcome = runtime.call("/it/math/echo", input.clone()).await;
    assert_eq!(success(&outcome), &input);
    let flow = "steps: [{id: who, component: /it/ids}]\noutput: {$step: who}";
    let finished = runtime.run(flow, Value::null()).await;
    // Without an input there is null, and the component takes an object.
    assert_eq!(failure(&finished.outcome).code, -32003);
    let flow = "steps: [{id: who, component: /it/ids, input: {}}]\noutput: {$step: who}";
    let finished = runtime.run(flow, Value::null()).await;
    let output = success(&finished.outcome);
    let text = |key| output.get(key).unwrap().as_str().unwrap().into_owned();
    assert_eq!(text("run_id"), finished.run_id.to_string());
    assert_eq!(text("step_id"), "who");
    assert_eq!(output.get("attempt"), Some(value("1")));
    runtime.shut_down().await;
}

// req: published.list
#[tokio::test]
async fn components_are_listed() {
    let runtime = Runtime::of(SERVER);
    let list = runtime.plugins.list().await;
    let of_it = list.into_iter().find(|it| it.plugin == "it").unwrap();
    let paths: Vec<_> = of_it
        .components
        .unwrap()
        .into_iter()
        .flat_map(|it| it.0)
        .collect();
    for path in ["/it/add", "/it/math/echo", "/it/blob", "/it/udf"] {
        assert!(paths.iter().any(|found| found == path), "{path}: {paths:?}");
    }
    runtime.shut_down().await;
}

// req: published.callbacks
#[tokio::test]
async fn components_call_back() {
    let runtime = Runtime::of(SERVER);
    let calls = (0..100).map(|number| runtime.call("/it/blob", from(json!({"data": [number]}))));
    for (number, outcome) in join_all(calls).await.iter().enumerate() {
        let output = success(outcome);
        assert_eq!(output.get("data"), Some(from(json!([number]))));
    }
    let outcome = runtime.call("/it/missing", value("{}")).await;
    let error = failure(&outcome);
    assert!(error.message.contains("-32008"), "{error}");
    runtime.shut_down().await;
}

// req: published.udf
#[tokio::test]
async fn its_own_udf_runs_code_from_a_blob() {
    let flow = r#"
        steps:
        - id: code
          component: put_blob
          input:
            data:
              code: "input['a'] + input['b']"
              input_schema: {type: object, properties: {a: {type: integer}, b: {type: integer}}}
        - id: run
          component: /it/udf
          input: {blob_id: {$step: code, path: blob_id}, input: {$input: $}}
        output: {$step: run}
    "#;
    let runtime = Runtime::of(SERVER);
    let finished = runtime.run(flow, value(r#"{"a":2,"b":40}"#)).await;
    assert_eq!(success(&finished.outcome), &value("42"));
    runtime.shut_down().await;
}

// req: published.errors
#[tokio::test]
async fn any_exception_has_one_code() {
    let runtime = Runtime::of(SERVER);
    let outcome = runtime.call("/it/fail", value("{}")).await;
    let error = failure(&outcome);
    assert_eq!(error.code, -32003, "{error}");
    assert!(error.message.contains("out of cheese"), "{error}");
    let outcome = runtime.call("/it/no_such_component", value("{}")).await;
    let error = failure(&outcome);
    assert!(error.message.contains("no_such_component"), "{error}");
    runtime.shut_down().await;
}

// req: published.skip
#[tokio::test]
async fn a_skip_is_a_plain_value() {
    let runtime = Runtime::of(SERVER);
    let outcome = runtime.call("/it/skip", value("{}")).await;
    assert!(matches!(outcome, Outcome::Success(_)), "{outcome:?}");
    let said = success(&outcome).get("outcome").unwrap();
    assert_eq!(said.as_str().as_deref(), Some("skipped"));
    runtime.shut_down().await;
}

// req: published.concurrency
#[tokio::test]
async fn async_components_run_side_by_side() {
    let setup = Setup::default().plugin("it", SERVER);
    let gate = Gate::open(setup.home());
    let runtime = setup.start();
    let calls = (0..50).map(|number| runtime.call("/it/gate", gate.input(&number.to_string())));
    let watch = async {
        for visitor in gate.take(50).await.into_iter().rev() {
            let name = visitor.hello.name.clone();
            visitor.release(&name).await;
        }
    };
    let (outcomes, ()) = tokio::join!(join_all(calls), watch);
    for (number, outcome) in outcomes.iter().enumerate() {
        let said = success(outcome).get("said").unwrap();
        assert_eq!(said.as_str().unwrap(), number.to_string());
    }
    runtime.shut_down().await;
}

// req: published.timeouts
#[tokio::test]
async fn a_late_answer_costs_nothing() {
    let setup = Setup::default().plugin("it", SERVER);
    let gate = Gate::open(setup.home());
    let runtime = setup.start();
    let pid = async || {
        let outcome = runtime.call("/it/ids", value("{}")).await;
        success(&outcome).get("pid")
    };
    let before = pid().await;
    let call = runtime.call_as("/it/gate", "timeout: 200ms", gate.input("a"));
    let (outcome, visitor) = tokio::join!(call, gate.next());
    assert_eq!(failure(&outcome).code, -32006, "{outcome:?}");
    // It names no capability to be cancelled, and works on.
    visitor.release("late").await;
    assert_eq!(pid().await, before);
    runtime.shut_down().await;
}

// req: published.line-limit
#[tokio::test]
async fn a_line_it_cannot_read_ends_it_and_the_error_says_so() {
    const LINE: usize = 512 * 1024;
    let setup = Setup::default();
    let setup = setup.plugin_with("it", SERVER, |it| it.limits.retry_unknown = false);
    let runtime = setup.start();
    let input = |bytes| from(json!({"bytes": 1, "padding": "p".repeat(bytes)}));
    success(&runtime.call("/it/big", input(LINE - 1000)).await);
    let outcome = runtime.call("/it/big", input(2 * LINE)).await;
    let error = failure(&outcome);
    assert_eq!(error.code, -32013, "{error}");
    assert!(error.message.contains("Separator is"), "{error}");
    success(&runtime.call("/it/big", input(1)).await);
    runtime.shut_down().await;
}

// req: published.large-answers
#[tokio::test]
async fn an_answer_it_cannot_write_in_one_piece_costs_its_call_at_most() {
    let runtime = Runtime::of(SERVER);
    let pid = async || {
        let outcome = runtime.call("/it/ids", value("{}")).await;
        success(&outcome).get("pid")
    };
    let before = pid().await;
    for bytes in [1, 10_000, 60_000] {
        let outcome = runtime.call("/it/big", from(json!({"bytes": bytes}))).await;
        let text = success(&outcome).get("text").unwrap();
        assert_eq!(text.as_str().unwrap().len(), bytes);
    }
    // It writes to a pipe that does not block, and gives up on what does not fit at once: the answer is cut off, and
    // what follows stands behind it on the same line. How much fits depends on how fast we read.
    for bytes in [100_000, 1_000_000, 50_000_000] {
        let input = from(json!({"bytes": bytes}));
        let outcome = runtime.call_as("/it/big", "timeout: 2s", input).await;
        match &outcome {
            Outcome::Success(output) => assert!(output.as_text().len() > bytes),
            Outcome::Failed(error) => {
                assert!([-32000, -32003, -32006].contains(&error.code), "{error}")
            }
            Outcome::Skipped { .. } => panic!("{outcome:?}"),
        }
        assert_eq!(
            pid().await,
            before,
            "the next call is answered, by the same process"
        );
    }
    runtime.shut_down().await;
}
