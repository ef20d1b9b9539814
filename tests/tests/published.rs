//! Servers on the published SDK, unmodified: what they can do works over stdio and over HTTP, and what they cannot do fails in a way
//! that names the cause. These tests are where the facts in the documentation about published servers come from.

use futures_util::future::join_all;
use serde_json::json;
use stepflow_flow::error::FlowError;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;
use stepflow_rpc::transport::http::client::SessionMode;
use stepflow_tests::gate::Gate;
use stepflow_tests::http;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Runtime;
use stepflow_tests::runtime::Setup;
use stepflow_tests::runtime::failure;
use stepflow_tests::runtime::success;
use stepflow_tests::value;

const SERVER: Program = Program::Published("published.py");

/// How it is reached. Over HTTP it has no sessions, and asks on the stream of the request that it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Stdio,
    /// By a runtime that would like a session, and by one that does not ask for any.
    Http(SessionMode),
}

const WAYS: [Way; 3] = [
    Way::Stdio,
    Way::Http(SessionMode::Auto),
    Way::Http(SessionMode::Off),
];

/// A server, and a runtime that knows it as `it`.
struct Published {
    runtime: Runtime,
    server: Option<http::Server>,
    gate: Gate,
}

impl Published {
    async fn start(way: Way) -> Published {
        let setup = Setup::default();
        let gate = Gate::open(setup.home());
        let (setup, server) = match way {
            Way::Stdio => (setup.plugin("it", SERVER), None),
            Way::Http(session) => {
                let server = setup.server(SERVER).await;
                let setup =
                    setup.http_with("it", &server.url, |http| http.client.session = session);
                (setup, Some(server))
            }
        };
        Published {
            runtime: setup.start(),
            server,
            gate,
        }
    }

    async fn output(&self, component: &str, input: Value) -> Value {
        success(&self.runtime.call(component, input).await).clone()
    }

    async fn error(&self, component: &str, input: Value) -> FlowError {
        failure(&self.runtime.call(component, input).await).clone()
    }

    /// The process that serves.
    async fn pid(&self) -> Option<Value> {
        self.output("/it/ids", value("{}")).await.get("pid")
    }

    async fn end(self) {
        match self.server {
            Some(server) => self.runtime.shut_down_with(server).await,
            None => self.runtime.shut_down().await,
        }
    }
}

fn from(tree: serde_json::Value) -> Value {
    value(&tree.to_string())
}

// req: published.execute
#[tokio::test]
async fn components_run() {
    for way in WAYS {
        let it = Published::start(way).await;
        let sum = it.output("/it/add", value(r#"{"a":2,"b":40}"#)).await;
        assert_eq!(sum, value(r#"{"sum":42}"#), "{way:?}");
        let input =
            value(r#"{"n":9007199254740993,"f":1.0,"s":"é\u0000","null":null,"deep":[[[]]]}"#);
        assert_eq!(
            it.output("/it/math/echo", input.clone()).await,
            input,
            "{way:?}"
        );
        let flow = "steps: [{id: who, component: /it/ids}]\noutput: {$step: who}";
        let finished = it.runtime.run(flow, Value::null()).await;
        // Without an input there is null, and the component takes an object.
        assert_eq!(failure(&finished.outcome).code, -32003, "{way:?}");
        let flow = "steps: [{id: who, component: /it/ids, input: {}}]\noutput: {$step: who}";
        let finished = it.runtime.run(flow, Value::null()).await;
        let output = success(&finished.outcome);
        let text = |key| output.get(key).unwrap().as_str().unwrap().into_owned();
        assert_eq!(text("run_id"), finished.run_id.to_string());
        assert_eq!(text("step_id"), "who");
        assert_eq!(output.get("attempt"), Some(value("1")), "{way:?}");
        it.end().await;
    }
}

// req: published.list
#[tokio::test]
async fn components_are_listed() {
    for way in WAYS {
        let it = Published::start(way).await;
        let list = it.runtime.plugins.list().await;
        let of_it = list.into_iter().find(|it| it.plugin == "it").unwrap();
        let paths: Vec<_> = of_it
            .components
            .unwrap()
            .into_iter()
            .map(|it| it.0)
            .collect();
        for path in ["/it/add", "/it/math/echo", "/it/blob", "/it/udf"] {
            assert!(
                paths.iter().flatten().any(|found| found == path),
                "{way:?} {path}: {paths:?}"
            );
        }
        it.end().await;
    }
}

// req: published.callbacks
#[tokio::test]
async fn components_call_back() {
    for way in WAYS {
        let it = Published::start(way).await;
        let calls = (0..100).map(async |number| {
            let output = it.output("/it/blob", from(json!({"data": [number]}))).await;
            assert_eq!(output.get("data"), Some(from(json!([number]))), "{way:?}");
        });
        join_all(calls).await;
        let error = it.error("/it/missing", value("{}")).await;
        assert!(error.message.contains("-32008"), "{way:?}: {error}");
        it.end().await;
    }
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
    for way in WAYS {
        let it = Published::start(way).await;
        let finished = it.runtime.run(flow, value(r#"{"a":2,"b":40}"#)).await;
        assert_eq!(success(&finished.outcome), &value("42"), "{way:?}");
        it.end().await;
    }
}

// req: published.errors
#[tokio::test]
async fn any_exception_has_one_code() {
    for way in WAYS {
        let it = Published::start(way).await;
        let error = it.error("/it/fail", value("{}")).await;
        assert_eq!(error.code, -32003, "{way:?}: {error}");
        assert!(error.message.contains("out of cheese"), "{way:?}: {error}");
        let error = it.error("/it/no_such_component", value("{}")).await;
        assert!(
            error.message.contains("no_such_component"),
            "{way:?}: {error}"
        );
        it.end().await;
    }
}

// req: published.skip
#[tokio::test]
async fn a_skip_is_a_plain_value() {
    for way in WAYS {
        let it = Published::start(way).await;
        let skipped = it.output("/it/skip", value("{}")).await;
        assert_eq!(
            skipped.get("outcome"),
            Some(value(r#""skipped""#)),
            "{way:?}"
        );
        it.end().await;
    }
}

// req: published.concurrency
#[tokio::test]
async fn async_components_run_side_by_side() {
    for way in WAYS {
        let it = Published::start(way).await;
        let calls = (0..50).map(async |number: i32| {
            let output = it
                .output("/it/gate", it.gate.input(&number.to_string()))
                .await;
            let said = output.get("said").unwrap();
            assert_eq!(said.as_str().unwrap(), number.to_string(), "{way:?}");
        });
        let watch = async {
            for visitor in it.gate.take(50).await.into_iter().rev() {
                let name = visitor.hello.name.clone();
                visitor.release(&name).await;
            }
        };
        tokio::join!(join_all(calls), watch);
        it.end().await;
    }
}

// req: published.timeouts
#[tokio::test]
async fn a_late_answer_costs_nothing() {
    for way in WAYS {
        let it = Published::start(way).await;
        let before = it.pid().await;
        let call = it
            .runtime
            .call_as("/it/gate", "timeout: 200ms", it.gate.input("a"));
        let (outcome, visitor) = tokio::join!(call, it.gate.next());
        assert_eq!(failure(&outcome).code, -32006, "{way:?}: {outcome:?}");
        // It names no capability to be cancelled, and works on.
        visitor.release("late").await;
        assert_eq!(it.pid().await, before, "{way:?}");
        it.end().await;
    }
}

// req: published.sizes
#[tokio::test]
async fn large_messages_go_both_ways_over_http() {
    let it = Published::start(Way::Http(SessionMode::Auto)).await;
    for bytes in [1, 1 << 20, 32 << 20] {
        let input = from(json!({"bytes": bytes, "padding": "p".repeat(bytes)}));
        let output = it.output("/it/big", input).await;
        assert_eq!(output.get("received").unwrap().as_u64(), Some(bytes as u64));
        assert_eq!(output.get("text").unwrap().as_str().unwrap().len(), bytes);
    }
    it.end().await;
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
    let it = Published::start(Way::Stdio).await;
    let before = it.pid().await;
    for bytes in [1, 10_000, 60_000] {
        let outcome = it
            .runtime
            .call("/it/big", from(json!({"bytes": bytes})))
            .await;
        let text = success(&outcome).get("text").unwrap();
        assert_eq!(text.as_str().unwrap().len(), bytes);
    }
    // It writes to a pipe that does not block, and gives up on what does not fit at once: the answer is cut off, and
    // what follows stands behind it on the same line. How much fits depends on how fast we read.
    for bytes in [100_000, 1_000_000, 50_000_000] {
        let input = from(json!({"bytes": bytes}));
        let outcome = it.runtime.call_as("/it/big", "timeout: 2s", input).await;
        match &outcome {
            Outcome::Success(output) => assert!(output.as_text().len() > bytes),
            Outcome::Failed(error) => {
                assert!([-32000, -32003, -32006].contains(&error.code), "{error}")
            }
            Outcome::Skipped { .. } => panic!("{outcome:?}"),
        }
        assert_eq!(
            it.pid().await,
            before,
            "the next call is answered, by the same process"
        );
    }
    it.end().await;
}
