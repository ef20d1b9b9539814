//! Servers on the published SDK, unmodified, over HTTP: it has no sessions, and asks on the stream of the request it serves.

use futures_util::future::join_all;
use serde_json::json;
use stepflow_flow::value::Value;
use stepflow_rpc::transport::http::client::SessionMode;
use stepflow_tests::gate::Gate;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::failure;
use stepflow_tests::runtime::success;
use stepflow_tests::value;

use crate::Pair;
use crate::from;

const SERVER: Program = Program::Published("published.py");

// req: published.http
#[tokio::test]
async fn components_run() {
    let pair = Pair::of(SERVER).await;
    let sum = pair.output("/add", value(r#"{"a":2,"b":40}"#)).await;
    assert_eq!(sum, value(r#"{"sum":42}"#));
    let input = value(r#"{"n":9007199254740993,"f":1.0,"s":"é\u0000","null":null,"deep":[[[]]]}"#);
    assert_eq!(pair.output("/math/echo", input.clone()).await, input);
    let flow = "steps: [{id: who, component: /it/ids, input: {}}]\noutput: {$step: who}";
    let finished = pair.runtime.run(flow, Value::null()).await;
    let output = success(&finished.outcome);
    let text = |key| output.get(key).unwrap().as_str().unwrap().into_owned();
    assert_eq!(text("run_id"), finished.run_id.to_string());
    assert_eq!(text("step_id"), "who");
    let list = pair.runtime.plugins.list().await;
    let of_it = list.into_iter().find(|it| it.plugin == "it").unwrap();
    let mut paths = of_it.components.unwrap().into_iter().flat_map(|it| it.0);
    assert!(paths.any(|path| path == "/it/math/echo"));
    pair.end().await;
}

// req: published.http-callbacks
#[tokio::test]
async fn components_call_back_on_the_streams_of_their_requests() {
    for session in [SessionMode::Auto, SessionMode::Off] {
        let pair = Pair::with(SERVER, |http| http.client.session = session).await;
        let calls = (0..100).map(async |number| {
            let input = from(json!({"data": [number]}));
            let output = pair.output("/blob", input).await;
            assert_eq!(output.get("data"), Some(from(json!([number]))));
        });
        join_all(calls).await;
        let error = pair.error("/missing", value("{}")).await;
        assert!(error.message.contains("-32008"), "{error}");
        pair.end().await;
    }
}

// req: published.http-udf
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
    let pair = Pair::of(SERVER).await;
    let input = value(r#"{"a":2,"b":40}"#);
    let finished = pair.runtime.run(flow, input).await;
    assert_eq!(success(&finished.outcome), &value("42"));
    pair.end().await;
}

// req: published.http-errors
#[tokio::test]
async fn errors_pass_through_whatever_their_status() {
    let pair = Pair::of(SERVER).await;
    let error = pair.error("/fail", value("{}")).await;
    assert_eq!(error.code, -32003, "{error}");
    assert!(error.message.contains("out of cheese"), "{error}");
    let error = pair.error("/no_such_component", value("{}")).await;
    assert!(error.message.contains("no_such_component"), "{error}");
    let skipped = pair.output("/skip", value("{}")).await;
    assert_eq!(skipped.get("outcome"), Some(value(r#""skipped""#)));
    pair.end().await;
}

// req: published.http-concurrency
#[tokio::test]
async fn calls_run_side_by_side_and_a_late_one_costs_nothing() {
    let pair = Pair::of(SERVER).await;
    let gate = Gate::open(pair.runtime.home());
    let calls = (0..50).map(async |number: i32| {
        let output = pair.output("/gate", gate.input(&number.to_string())).await;
        let said = output.get("said").unwrap();
        assert_eq!(said.as_str().unwrap(), number.to_string());
    });
    let watch = async {
        for visitor in gate.take(50).await.into_iter().rev() {
            let name = visitor.hello.name.clone();
            visitor.release(&name).await;
        }
    };
    tokio::join!(join_all(calls), watch);
    let call = pair
        .runtime
        .call_as("/it/gate", "timeout: 200ms", gate.input("late"));
    let (outcome, visitor) = tokio::join!(call, gate.next());
    assert_eq!(failure(&outcome).code, -32006, "{outcome:?}");
    visitor.release("late").await;
    let sum = pair.output("/add", value(r#"{"a":2,"b":40}"#)).await;
    assert_eq!(sum, value(r#"{"sum":42}"#));
    pair.end().await;
}

// req: published.http-sizes
#[tokio::test]
async fn large_messages_go_both_ways() {
    let pair = Pair::of(SERVER).await;
    for bytes in [1, 1 << 20, 32 << 20] {
        let input = from(json!({"bytes": bytes, "padding": "p".repeat(bytes)}));
        let output = pair.output("/big", input).await;
        assert_eq!(output.get("received").unwrap().as_u64(), Some(bytes as u64));
        assert_eq!(output.get("text").unwrap().as_str().unwrap().len(), bytes);
    }
    pair.end().await;
}
