//! What becomes of a step: the component's word or failure, seen from the flow.

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

use crate::from;

const PROGRAMS: [Program; 2] = [Program::Rust, Program::Python];

// req: engine.skip
#[tokio::test]
async fn a_component_that_skips_itself_skips_the_flow() {
    for program in PROGRAMS {
        let runtime = Runtime::of(program);
        let outcome = runtime
            .call("/it/skip", from(json!({"reason": "nothing new"})))
            .await;
        assert!(matches!(outcome, Outcome::Skipped { .. }), "{outcome:?}");
        runtime.shut_down().await;
    }
}

// req: engine.null-is-a-value
#[tokio::test]
async fn null_is_an_output_like_any_other() {
    for program in PROGRAMS {
        let runtime = Runtime::of(program);
        let outcome = runtime.call("/it/echo", Value::null()).await;
        assert!(success(&outcome).is_null());
        runtime.shut_down().await;
    }
}

// req: engine.error-fidelity
#[tokio::test]
async fn a_components_own_code_is_in_the_outcome() {
    for program in PROGRAMS {
        let runtime = Runtime::of(program);
        let data = json!({"retry_on": "Monday"});
        let input = json!({"code": 4242, "message": "closed", "data": data});
        let outcome = runtime.call("/it/fail", from(input)).await;
        let error = failure(&outcome);
        assert_eq!((error.code, &*error.message), (4242, "closed"));
        assert_eq!(error.data, Some(from(data)));
        runtime.shut_down().await;
    }
}

// req: engine.input-is-checked
#[tokio::test]
async fn input_that_does_not_fit_is_refused_with_pointers_and_never_tried_again() {
    for program in PROGRAMS {
        let runtime = Runtime::of(program);
        let keys = "onError: {action: retry, maxRetries: 5}";
        for (input, pointer) in [
            (json!({"name": "a", "count": "1"}), "/count"),
            (
                json!({"name": "a", "count": 1, "tags": ["x", 7]}),
                "/tags/1",
            ),
        ] {
            let outcome = runtime.call_as("/it/typed", keys, from(input)).await;
            let error = failure(&outcome);
            assert_eq!(error.code, -32003, "{error}");
            let data = error.data.as_ref().unwrap();
            let found = data.get("violations").unwrap().index(0).unwrap();
            let found = found.get("pointer").unwrap();
            assert_eq!(found.as_str().as_deref(), Some(pointer), "{data}");
        }
        runtime.shut_down().await;
    }
}

// req: engine.retries-count-attempts
#[tokio::test]
async fn retries_count_attempts_under_one_key() {
    let flow = "
        steps:
        - id: flaky
          component: /it/fail
          input: {message: not yet, code: 4242, before_attempt: 4}
          onError: {action: retry, maxRetries: 5, backoff: {type: constant, minDelay: 1ms}}
        - {id: same, component: /it/call, input: {$step: flaky}}
        - {id: other, component: /it/call, input: {$step: flaky}}
        output: {attempts: {$step: flaky}, same: {$step: same}, other: {$step: other}}
    ";
    for program in PROGRAMS {
        let runtime = Runtime::of(program);
        let finished = runtime.run(flow, Value::null()).await;
        let output = success(&finished.outcome);
        assert_eq!(output.get("attempts"), Some(value("4")));
        for step in ["same", "other"] {
            let call = output.get(step).unwrap();
            let text = |key| call.get(key).unwrap().as_str().unwrap().into_owned();
            assert_eq!(text("run_id"), finished.run_id.to_string());
            assert_eq!(text("step_id"), step);
            assert_eq!(text("key"), format!("{}/{step}", finished.run_id));
            assert!(text("flow_id").starts_with("sha256:"));
        }
        runtime.shut_down().await;
    }
}

// req: engine.timeout
#[tokio::test]
async fn a_step_that_takes_too_long_is_cancelled_at_its_component() {
    for program in PROGRAMS {
        let setup = Setup::default().plugin("it", program);
        let gate = Gate::open(setup.home());
        let runtime = setup.start();
        let before = runtime.call("/it/call", Value::null()).await;
        let call = runtime.call_as("/it/gate", "timeout: 200ms", gate.input("a"));
        let (outcome, visitor) = tokio::join!(call, gate.next());
        assert_eq!(failure(&outcome).code, -32006, "{outcome:?}");
        visitor.gone().await;
        let after = runtime.call("/it/call", Value::null()).await;
        let pid = |outcome| success(outcome).get("pid");
        assert_eq!(pid(&before), pid(&after), "the same process");
        runtime.shut_down().await;
    }
}

// req: plugins.timeout
#[tokio::test]
async fn a_plugin_bounds_the_time_of_its_calls() {
    let setup = Setup::default().plugin_with("it", Program::Rust, |it| {
        it.limits.timeout = Some(std::time::Duration::from_millis(200));
    });
    let gate = Gate::open(setup.home());
    let runtime = setup.start();
    let (outcome, visitor) = tokio::join!(runtime.call("/it/gate", gate.input("a")), gate.next());
    assert_eq!(failure(&outcome).code, -32006, "{outcome:?}");
    visitor.gone().await;
    runtime.shut_down().await;
}

// req: engine.cancel
#[tokio::test]
async fn a_cancelled_run_reaches_its_components() {
    for program in PROGRAMS {
        let setup = Setup::default().plugin("it", program);
        let gate = Gate::open(setup.home());
        let runtime = setup.start();
        let flow = "steps: [{id: a, component: /it/gate, input: {$input: $}}]\noutput: {$step: a}";
        let request =
            stepflow_engine::Request::new(stepflow_tests::runtime::plan(flow), gate.input("a"));
        let run = runtime.engine.run(request).unwrap();
        let handle = run.handle();
        let cancel = async {
            let visitor = gate.next().await;
            handle.cancel("changed my mind");
            visitor.gone().await;
        };
        let (finished, ()) = tokio::join!(run, cancel);
        let outcome = finished.unwrap().outcome;
        assert_eq!(failure(&outcome).code, -32012, "{outcome:?}");
        runtime.shut_down().await;
    }
}

// req: engine.blobs
#[tokio::test]
async fn blobs_of_components_are_the_runtimes() {
    let flow = "
        steps:
        - {id: put, component: /rust/blob, input: {data: {$input: $}}}
        - {id: get, component: /python/get_blob, input: {blob_id: {$step: put, path: blob_id}}}
        output: {$step: get}
    ";
    let setup = Setup::default();
    let setup = setup
        .plugin("rust", Program::Rust)
        .plugin("python", Program::Python);
    let runtime = setup.start();
    let input = from(json!({"n": 9_007_199_254_740_993_u64, "f": 1.0, "s": "é"}));
    let finished = runtime.run(flow, input.clone()).await;
    assert_eq!(success(&finished.outcome), &input);
    let id = stepflow_flow::blob::BlobId::of(&input).unwrap();
    assert!(runtime.store.get_blob(&id).await.unwrap().is_some());
    runtime.shut_down().await;
}

// req: engine.busy-is-not-broken
#[tokio::test]
async fn a_busy_component_is_asked_again_without_being_told_to() {
    for program in PROGRAMS {
        let runtime = Runtime::of(program);
        let input = json!({"code": -32011, "message": "later", "data": {"retry_after_ms": 1}, "before_attempt": 2});
        let outcome = runtime.call("/it/fail", from(input)).await;
        assert_eq!(success(&outcome), &value("2"));
        runtime.shut_down().await;
    }
}
