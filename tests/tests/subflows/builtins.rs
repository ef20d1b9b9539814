//! `eval`, `map` and `iterate`: what they take, what they give, and what becomes of the runs inside when one outside ends.

use serde_json::json;
use stepflow_engine::Limits;
use stepflow_engine::Request;
use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::document;
use stepflow_flow::document::Source;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;
use stepflow_store::BlobType;
use stepflow_tests::gate::Gate;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Runtime;
use stepflow_tests::runtime::Setup;
use stepflow_tests::runtime::failure;
use stepflow_tests::runtime::plan;
use stepflow_tests::runtime::success;
use stepflow_tests::soon;
use stepflow_tests::value;

fn from(tree: serde_json::Value) -> Value {
    Value::from(tree)
}

/// A flow of one step that runs a built-in with this input, in YAML.
fn step(component: &str, input: &str) -> String {
    format!("steps: [{{id: it, component: {component}, input: {input}}}]\noutput: {{$step: it}}")
}

async fn run(runtime: &Runtime, component: &str, input: &str) -> Outcome {
    let flow = step(component, input);
    runtime.run(&flow, Value::null()).await.outcome
}

/// Runs a built-in that succeeds, and compares what it gives.
async fn check(runtime: &Runtime, component: &str, input: &str, expected: serde_json::Value) {
    let outcome = run(runtime, component, input).await;
    assert_eq!(success(&outcome), &from(expected), "{component} {input}");
}

/// Runs a built-in that fails, and looks for the code and a part of the message.
async fn check_failure(runtime: &Runtime, component: &str, input: &str, code: i64, part: &str) {
    let outcome = run(runtime, component, input).await;
    let error = failure(&outcome);
    let fits = error.code == code && error.message.contains(part);
    assert!(fits, "{component} {input}: {error}");
}

const DOUBLE: &str =
    "{steps: [{id: n, component: noop, input: {$input: n}}], output: [{$step: n}, {$step: n}]}";

// req: subflows.eval
#[tokio::test]
async fn eval_runs_a_flow_and_tells_how_it_ended() {
    let runtime = Setup::default().start();
    let outcome = run(
        &runtime,
        "eval",
        &format!("{{flow: {DOUBLE}, input: {{n: 4}}}}"),
    )
    .await;
    let output = success(&outcome);
    let result = json!({"outcome": "success", "result": [4, 4]});
    assert_eq!(output.get("result"), Some(from(result)));
    let run_id = output.get("run_id").unwrap();
    run_id
        .as_str()
        .unwrap()
        .parse::<stepflow_store::RunId>()
        .unwrap();
    for (flow, result) in [
        (
            "{steps: [{id: s, component: noop, skipIf: true}], output: {$step: s}}",
            json!({"outcome": "skipped"}),
        ),
        (
            "{inputSchema: {type: string}, output: 1}",
            json!({"outcome": "failed", "error": {"code": -32003,
                "message": "the input of the flow does not fit its schema: it must be a string",
                "data": {"violations": [{"pointer": "", "message": "must be a string", "expected": "string"}]}}}),
        ),
    ] {
        let outcome = run(&runtime, "eval", &format!("{{workflow: {flow}, input: 4}}")).await;
        assert_eq!(
            success(&outcome).get("result"),
            Some(from(result)),
            "{flow}"
        );
    }
    let outcome = run(
        &runtime,
        "eval",
        "{flow: {output: {$input: nothing}}, input: {}}",
    )
    .await;
    let code = success(&outcome)
        .get("result")
        .unwrap()
        .get("error")
        .unwrap()
        .get("code");
    assert_eq!(code, Some(value("-32009")));
}

// req: subflows.by-id
#[tokio::test]
async fn a_flow_may_be_named_by_its_id() {
    let runtime = Setup::default().start();
    let flow = value(r#"{"output":{"$input":"$"}}"#);
    let id = runtime.store.put_blob(&flow, BlobType::Flow).await.unwrap();
    let one = |n: i64| json!({"outcome": "success", "result": n});
    let expected = json!({"results": [one(1), one(2)], "successful": 2, "failed": 0, "skipped": 0});
    check(
        &runtime,
        "map",
        &format!("{{flow_id: \"{id}\", items: [1, 2]}}"),
        expected,
    )
    .await;
    let unknown = "0".repeat(64);
    for (id, part) in [
        (format!("sha256:{unknown}"), "there is no flow sha256:0000"),
        ("7up".to_owned(), "`7up` is no flow id"),
    ] {
        for (component, rest) in [
            ("eval", "input: 1"),
            ("map", "items: []"),
            ("iterate", "initial_input: 1"),
        ] {
            let input = format!("{{flow_id: \"{id}\", {rest}}}");
            check_failure(&runtime, component, &input, -32008, part).await;
        }
    }
}

// req: subflows.recursion
#[tokio::test]
async fn a_flow_that_runs_itself_is_stopped_with_the_chain() {
    let runtime = Setup::default().start();
    let flow = value(
        r#"{"name":"me","steps":[{"id":"again","component":"/builtin/eval","input":{"flow_id":{"$input":"$"},"input":{"$input":"$"}}}],"output":{"$step":"again"}}"#,
    );
    let id = runtime.store.put_blob(&flow, BlobType::Flow).await.unwrap();
    let input = format!("{{flow_id: \"{id}\", input: \"{id}\"}}");
    let outcome = run(&runtime, "eval", &input).await;
    // The failure of the innermost step, in as many results as there are runs.
    let text = serde_json::to_string(&outcome).unwrap();
    assert!(
        text.contains("nested 32 deep")
            && text.contains("me/again → me/again; does a flow run itself?"),
        "{text}"
    );
}

// req: subflows.mistakes
#[tokio::test]
async fn mistakes_in_the_input_say_what_is_expected() {
    let runtime = Setup::default().start();
    for (component, input, part) in [
        ("eval", "{input: 1}", "one of `flow` and `flow_id`"),
        (
            "eval",
            "{flow: {output: 1}, workflow: {output: 1}, input: 1}",
            "one of `flow` and `flow_id`",
        ),
        ("eval", "{flow: {output: 1}}", "has no `input`"),
        (
            "eval",
            "{flow: {output: 1}, inptu: 1}",
            "did you mean `input`?",
        ),
        ("eval", "7", "is an object, and this is number"),
        (
            "eval",
            "{flow: 7, input: 1}",
            "/flow must be a flow, and this is number",
        ),
        (
            "eval",
            "{flow_id: 7, input: 1}",
            "/flow_id must be a string, and this is number",
        ),
        (
            "eval",
            "{flow: {output: {$step: a}}, input: 1}",
            "there is no step",
        ),
        ("map", "{flow: {output: 1}}", "has no `items`"),
        (
            "map",
            "{flow: {output: 1}, items: {}}",
            "/items must be a list, and this is object",
        ),
        (
            "map",
            "{flow: {output: 1}, items: [], max_concurrency: 0}",
            "/max_concurrency must be a whole number from 1 on",
        ),
        ("iterate", "{flow: {output: 1}}", "has no `initial_input`"),
        (
            "iterate",
            "{flow: {output: 1}, initial_input: 1, max_iterations: -1}",
            "/max_iterations must be",
        ),
    ] {
        // As the flow's input, so that only the run sees it: the check of the flow would find some of these itself.
        let flow = step(component, "{$input: $}");
        let outcome = runtime.run(&flow, yaml(input)).await.outcome;
        let error = failure(&outcome);
        let fits = error.code == -32003 && error.message.contains(part);
        assert!(fits, "{component} {input}: {error}");
    }
}

fn yaml(text: &str) -> Value {
    let source = Source::new("input", text);
    let mut diagnostics = Diagnostics::new(&source);
    document::read(&source, &mut diagnostics)
        .unwrap()
        .to_value()
}

// req: subflows.map-order
#[tokio::test]
async fn results_are_in_the_order_of_the_items_whatever_ends_first() {
    let runtime = Setup::default().start();
    // Some dozens of waits that look random and are the same in every run.
    let waits: Vec<u64> = (0..60_u64)
        .map(|n| n.wrapping_mul(2_654_435_761) % 17)
        .collect();
    let flow = "{steps: [{id: s, component: sleep, input: {duration_ms: {$input: $}}}], output: {$step: s, path: duration_ms}}";
    for at_once in [1, 7, 100] {
        let input = format!("{{flow: {flow}, items: {waits:?}, max_concurrency: {at_once}}}");
        let results: Vec<_> = waits
            .iter()
            .map(|wait| json!({"outcome": "success", "result": wait}))
            .collect();
        let expected = json!({"results": results, "successful": 60, "failed": 0, "skipped": 0});
        check(&runtime, "map", &input, expected).await;
    }
}

// req: subflows.map-items-differ
#[tokio::test]
async fn each_item_ends_in_its_own_way() {
    let runtime = Setup::default().start();
    let flow = "{inputSchema: {type: object}, steps: [
        {id: skips, component: noop, skipIf: {$coalesce: [{$input: skip}, false]}, input: {$input: n}},
        {id: other, component: noop, input: [{$input: n}]}],
      output: {$if: {$coalesce: [{$input: other}, false]}, then: {$step: other}, else: {$step: skips}}}";
    let items = "[{n: 1}, {n: 2, skip: true}, {n: 3, other: true}, {}, 7]";
    let outcome = run(
        &runtime,
        "map",
        &format!("{{flow: {flow}, items: {items}}}"),
    )
    .await;
    let output = success(&outcome);
    let results = output.get("results").unwrap();
    assert_eq!(
        results.index(0),
        Some(value(r#"{"outcome":"success","result":1}"#))
    );
    assert_eq!(results.index(1), Some(value(r#"{"outcome":"skipped"}"#)));
    assert_eq!(
        results.index(2),
        Some(value(r#"{"outcome":"success","result":[3]}"#))
    );
    let code = |place| {
        results
            .index(place)
            .unwrap()
            .get("error")
            .unwrap()
            .get("code")
            .unwrap()
    };
    assert_eq!((code(3), code(4)), (value("-32009"), value("-32003")));
    let count = |key: &str| output.get(key).unwrap().as_u64().unwrap();
    assert_eq!(
        (count("successful"), count("failed"), count("skipped")),
        (2, 2, 1)
    );
}

// req: subflows.map-limits
#[tokio::test]
async fn no_more_items_go_on_than_are_allowed() {
    let runtime = Runtime::of(Program::Rust);
    let gate = Gate::open(runtime.home());
    let path = gate.input("x").get("path").unwrap();
    let flow = "{steps: [{id: g, component: /it/gate, input: {path: {$input: path}, name: {$input: name}}}], output: {$step: g, path: name}}";
    let items: Vec<_> = (0..9)
        .map(|n| json!({"path": path, "name": format!("{n}")}))
        .collect();
    let items = from(json!(items));
    let mapping = format!(
        "steps: [{{id: m, component: map, input: {{flow: {flow}, items: {{$input: $}}, max_concurrency: 3}}}}]\noutput: {{$step: m, path: successful}}"
    );
    let run = runtime.run(&mapping, items);
    let watch = async {
        let mut waiting = Vec::new();
        for arrived in 0..9 {
            waiting.push(gate.next().await);
            // The next one comes only when one has gone.
            if arrived >= 2 {
                assert_eq!(waiting.len(), 3);
                waiting.remove(1).release("go").await;
            }
        }
        for visitor in waiting {
            visitor.release("go").await;
        }
    };
    let (finished, ()) = tokio::join!(run, watch);
    assert_eq!(success(&finished.outcome), &value("9"));
    runtime.shut_down().await;
}

#[tokio::test]
async fn maps_in_maps_make_do_with_the_room_that_there_is() {
    let limits = Limits {
        alive: 40,
        ..Limits::default()
    };
    let setup = Setup::default().plugin("it", Program::Rust);
    let runtime = setup.limits(limits).start();
    // Its answer takes a while, so that all that may begin have begun by then.
    let leaf = "{steps: [{id: s, component: /it/echo, input: {$input: $}}], output: {$step: s}}";
    let items = "[1, 2, 3, 4, 5, 6, 7, 8]";
    let around = |flow: &str| {
        format!(
            "{{steps: [{{id: m, component: map, input: {{flow: {flow}, items: {items}}}}}], output: {{$step: m, path: successful}}}}"
        )
    };
    let finished = runtime
        .run(&around(&around(&around(leaf))), Value::null())
        .await;
    assert_eq!(success(&finished.outcome), &value("8"));
    runtime.shut_down().await;
}

// req: subflows.cancel
#[tokio::test]
async fn cancelling_a_run_reaches_the_components_of_the_runs_inside() {
    let runtime = Runtime::of(Program::Rust);
    let gate = Gate::open(runtime.home());
    let body = "{steps: [{id: g, component: /it/gate, input: {$input: $}}], output: {$step: g}}";
    let twice = format!(
        "{{steps: [{{id: m, component: map, input: {{flow: {body}, items: [{{$input: $}}, {{$input: $}}]}}}}], output: {{$step: m}}}}"
    );
    for (flow, n_visitors) in [
        (
            step("eval", &format!("{{flow: {body}, input: {{$input: $}}}}")),
            1,
        ),
        (
            step(
                "iterate",
                &format!("{{flow: {body}, initial_input: {{$input: $}}}}"),
            ),
            1,
        ),
        (
            step("eval", &format!("{{flow: {twice}, input: {{$input: $}}}}")),
            2,
        ),
    ] {
        let request = Request::new(plan(&flow), gate.input("a"));
        let run = runtime.engine.run(request).unwrap();
        let handle = run.handle();
        let run = tokio::spawn(run);
        let mut visitors = Vec::new();
        for _ in 0..n_visitors {
            visitors.push(gate.next().await);
        }
        handle.cancel("enough");
        for visitor in visitors {
            assert_eq!(visitor.gone().await, "");
        }
        let finished = soon("the end", run).await.unwrap().unwrap();
        assert_eq!(failure(&finished.outcome).code, -32012);
    }
    assert_eq!(
        success(&runtime.call("/it/echo", value("1")).await),
        &value("1")
    );
    runtime.shut_down().await;
}

// req: subflows.iterate
#[tokio::test]
async fn iterate_goes_on_until_it_is_told_to_stop() {
    let runtime = Setup::default().start();
    // Takes one item off a list each time.
    let body = "{output: {$if: {$input: more}, then: {next: {$input: more}}, else: {result: {$input: last}}}}";
    let check_iterate = async |input: &str, expected| {
        check(
            &runtime,
            "iterate",
            &format!("{{flow: {body}, {input}}}"),
            expected,
        )
        .await;
    };
    check_iterate(
        "initial_input: {more: {more: {more: null, last: x}}}",
        json!({"result": "x", "iterations": 3, "terminated": false}),
    )
    .await;
    check_iterate(
        "initial_input: {more: {more: {more: null, last: x}}}, max_iterations: 2",
        json!({"result": {"more": null, "last": "x"}, "iterations": 2, "terminated": true}),
    )
    .await;
    check_iterate(
        "initial_input: {more: null, last: null}, max_iterations: 1",
        json!({"result": null, "iterations": 1, "terminated": false}),
    )
    .await;
    let endless = "{flow: {output: {next: {$input: $}}}, initial_input: 5}";
    let expected = json!({"result": 5, "iterations": 1000, "terminated": true});
    check(&runtime, "iterate", endless, expected).await;
    for (output, part) in [
        ("7", "returned 7 in iteration 1"),
        ("{}", "returned {} in iteration 1"),
        ("{result: 1, next: 2}", "with the keys result, next"),
        ("{resutl: 1}", "with the keys resutl"),
    ] {
        let input = format!("{{flow: {{output: {output}}}, initial_input: 1}}");
        check_failure(&runtime, "iterate", &input, -32004, part).await;
    }
    let skipped = "{flow: {steps: [{id: s, component: noop, skipIf: true}], output: {$step: s}}, initial_input: 1}";
    assert!(matches!(
        run(&runtime, "iterate", skipped).await,
        Outcome::Skipped { .. }
    ));
}
