//! What a flow comes to: what runs, in which order, and what skips, failures and schemas mean.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use stepflow_engine::{Class, Request, StartError, Subject};
use support::{Act, Script, brief, engine, plan, run, slow, value};

/// Runs a flow and compares its outcome and the calls it made, in order.
async fn check(
    acts: impl IntoIterator<Item = (&'static str, Vec<Act>)>,
    flow: &str,
    outcome: &str,
    calls: &[&str],
) {
    let script = Script::new(acts);
    let finished = run(&script, flow, r#"{"yes":true,"no":false,"n":[1,2]}"#).await;
    assert_eq!(brief(&finished.outcome), outcome, "{flow}");
    assert_eq!(script.called(), calls, "{flow}");
    assert_eq!(script.running(), 0, "nothing goes on after the end");
}

#[tokio::test(start_paused = true)]
async fn references_make_the_order() {
    check([], "output: 1", "1", &[]).await;
    check([], "output: {$input: '$.n[-1]'}", "2", &[]).await;
    check(
        [],
        "
steps:
- {id: b, component: x, input: {v: {$step: a}}}
- {id: a, component: x, input: 1}
output: {$step: b, path: v}",
        "1",
        &["a#1", "b#1"],
    )
    .await;
    // Steps that become ready together start in the order of the text.
    check(
        [],
        "
steps:
- {id: a, component: x}
- {id: d, component: x, input: {$step: a}}
- {id: c, component: x, input: {$step: a}}
- {id: b, component: x, input: {$step: a}}
output: 1",
        "1",
        &["a#1", "d#1", "c#1", "b#1"],
    )
    .await;
    // A diamond: each step once, the joining one last.
    check(
        [("l", vec![slow(2)]), ("r", vec![slow(1)])],
        "
steps:
- {id: a, component: x, input: 1}
- {id: l, component: x, input: {$step: a}}
- {id: r, component: x, input: {$step: a}}
- {id: z, component: x, input: [{$step: l}, {$step: r}]}
output: {$step: z}",
        "[1,1]",
        &["a#1", "l#1", "r#1", "z#1"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_runs() {
    // A step that nothing references runs for its effect, and the run waits for it.
    check(
        [("effect", vec![slow(5)])],
        "steps: [{id: effect, component: x, input: 1}]\noutput: 2",
        "2",
        &["effect#1"],
    )
    .await;
    let lazy = |condition: &str, must_execute: bool| {
        format!(
            "
steps:
- {{id: t, component: x, input: 1}}
- {{id: e, component: x, input: 2, mustExecute: {must_execute}}}
output: {{$if: {{$input: {condition}}}, then: {{$step: t}}, else: {{$step: e}}}}"
        )
    };
    check([], &lazy("yes", false), "1", &["t#1"]).await;
    check([], &lazy("no", false), "2", &["e#1"]).await;
    check([], &lazy("yes", true), "1", &["e#1", "t#1"]).await;
    // Later items of $coalesce run only when they are reached.
    let coalesce = "
steps:
- {id: a, component: x, input: 1}
- {id: b, component: x, input: 2}
- {id: c, component: x, input: {$coalesce: [{$step: a}, {$step: b}]}}
output: {$step: c}";
    check([], coalesce, "1", &["a#1", "c#1"]).await;
    check(
        [("a", vec![Act::Output("null")])],
        coalesce,
        "2",
        &["a#1", "b#1", "c#1"],
    )
    .await;
    check(
        [("a", vec![Act::Skip(None)])],
        coalesce,
        "2",
        &["a#1", "b#1", "c#1"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_branch_needs_all_its_steps_at_once() {
    let script = Script::new([
        ("a", vec![slow(10)]),
        ("b", vec![slow(10)]),
        ("c", vec![slow(10)]),
    ]);
    let flow = "
steps:
- {id: a, component: x, input: 1}
- {id: b, component: x, input: 2}
- {id: c, component: x, input: 3}
output: {$if: {$input: yes}, then: [{$step: a}, {$step: b}, {$step: c}]}";
    let finished = run(&script, flow, r#"{"yes":true}"#).await;
    assert_eq!(brief(&finished.outcome), "[1,2,3]");
    assert_eq!(script.most_running(), 3);
}

#[tokio::test(start_paused = true)]
async fn skips_spread_until_something_covers_them() {
    let skip = || [("a", vec![Act::Skip(Some("not today"))])];
    let flow = |output: &str| {
        format!(
            "
steps:
- {{id: a, component: x}}
- {{id: b, component: x, input: [1, {{$step: a}}]}}
output: {output}"
        )
    };
    check(skip(), &flow("{$step: b}"), "skipped: not today", &["a#1"]).await;
    check(
        skip(),
        &flow("{$step: b, onSkip: {action: useDefault, defaultValue: 3}}"),
        "3",
        &["a#1"],
    )
    .await;
    check(skip(), &flow("{$coalesce: [{$step: b}, 4]}"), "4", &["a#1"]).await;
    check(skip(), &flow("5"), "5", &["a#1"]).await;
}

#[tokio::test(start_paused = true)]
async fn skip_if_is_decided_without_the_input() {
    let flow = |skip_if: &str| {
        format!(
            "
steps:
- {{id: slow, component: x, input: 1}}
- {{id: s, component: x, input: {{$step: slow}}, skipIf: {skip_if}}}
- {{id: after, component: x, input: {{$coalesce: [{{$step: s}}, 0]}}}}
output: {{$step: after}}"
        )
    };
    let script = || [("slow", vec![slow(100)])];
    // What the input needs runs all the same: skipIf was not known when it was needed.
    check(
        script(),
        &flow("{$input: yes}"),
        "0",
        &["after#1", "slow#1"],
    )
    .await;
    check(
        script(),
        &flow("{$input: no}"),
        "1",
        &["slow#1", "s#1", "after#1"],
    )
    .await;
    check(script(), &flow("{$input: missing}"), "failed: -32009", &[]).await;
}

#[tokio::test(start_paused = true)]
async fn failures_are_handled_as_the_step_says() {
    let flow = |on_error: &str| {
        format!(
            "
steps: [{{id: a, component: x, onError: {on_error}}}]
output: {{$coalesce: [{{$step: a}}, skipped]}}"
        )
    };
    let fails = || [("a", vec![Act::Fail(Class::Component, 42)])];
    check(fails(), &flow("{action: fail}"), "failed: 42", &["a#1"]).await;
    check(fails(), &flow("{action: skip}"), r#""skipped""#, &["a#1"]).await;
    check(
        fails(),
        &flow("{action: useDefault, defaultValue: {v: 1}}"),
        r#"{"v":1}"#,
        &["a#1"],
    )
    .await;
    // The default is an expression whose steps run only when it is needed.
    let lazy = "
steps:
- {id: d, component: x, input: 7}
- {id: a, component: x, onError: {action: useDefault, defaultValue: {$step: d}}}
output: {$step: a}";
    check(fails(), lazy, "7", &["a#1", "d#1"]).await;
    check([], lazy, "null", &["a#1"]).await;
    // A default that has no value is a failure that nothing handles.
    check(
        fails(),
        &flow("{action: useDefault, defaultValue: {$input: missing}}"),
        "failed: -32009",
        &["a#1"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_keeps_its_error_and_names_its_step() {
    let script = Script::new([("a", vec![Act::Fail(Class::Component, 4242)])]);
    let flow = "steps: [{id: a, component: /py/f, input: {k: {$input: n}}}]\noutput: {$step: a}";
    let finished = run(&script, flow, r#"{"n":1.0}"#).await;
    let text = serde_json::to_string(&finished.outcome).unwrap();
    assert_eq!(
        text,
        r#"{"outcome":"failed","error":{"code":4242,"message":"error 4242","data":{"why":"scripted"}}}"#
    );
    let failed = finished.failed_step.unwrap();
    assert_eq!(
        (&*failed.step_id, &*failed.component, failed.attempts),
        ("a", "/py/f", 1)
    );
    assert_eq!(failed.input.unwrap().as_text(), r#"{"k":1.0}"#);
}

#[tokio::test(start_paused = true)]
async fn an_unhandled_failure_stops_everything_else() {
    let script = Script::new([
        (
            "bad",
            vec![Act::After(
                Duration::from_secs(1),
                Box::new(Act::Fail(Class::Component, 1)),
            )],
        ),
        ("long", vec![Act::Hang]),
    ]);
    let flow = "
steps:
- {id: bad, component: x}
- {id: long, component: x}
- {id: next, component: x, input: {$step: long}}
output: known";
    let finished = run(&script, flow, "null").await;
    assert_eq!(brief(&finished.outcome), "failed: 1");
    assert_eq!(script.called(), ["bad#1", "long#1"]);
    assert_eq!(script.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn expression_errors_are_failures_without_an_attempt() {
    let flow = |on_error: &str| {
        format!(
            "
steps: [{{id: a, component: x, input: {{$input: missing}}, onError: {on_error}}}]
output: {{$step: a}}"
        )
    };
    check([], &flow("{action: fail}"), "failed: -32009", &[]).await;
    check([], &flow("{action: skip}"), "skipped", &[]).await;
    check(
        [],
        &flow("{action: retry, maxRetries: 5, then: {action: useDefault, defaultValue: 1}}"),
        "1",
        &[],
    )
    .await;
    check([], "output: {$input: missing}", "failed: -32009", &[]).await;
}

#[tokio::test(start_paused = true)]
async fn schemas_of_steps_are_kept() {
    let flow = |on_error: &str| {
        format!(
            "
steps:
- id: a
  component: x
  input: {{n: {{$input: n}}}}
  inputSchema: {{properties: {{n: {{type: array}}}}}}
  outputSchema: {{properties: {{n: {{maxItems: 1}}}}}}
  onError: {on_error}
output: {{$step: a}}"
        )
    };
    check([], &flow("{action: fail}"), "failed: -32003", &["a#1"]).await;
    let retry = flow("{action: retry, then: {action: useDefault, defaultValue: 1}}");
    check([], &retry, "1", &["a#1"]).await;

    let script = Script::new([]);
    let finished = run(&script, &flow("{action: fail}"), r#"{"n":"text"}"#).await;
    let stepflow_flow::outcome::Outcome::Failed(error) = finished.outcome else {
        panic!("it should fail")
    };
    let violations = error.data.unwrap().get("violations").unwrap();
    let pointer = violations.index(0).unwrap().get("pointer").unwrap();
    assert_eq!(pointer.as_text(), r#""/n""#);
    assert!(script.called().is_empty(), "a bad input is never sent");
}

#[tokio::test(start_paused = true)]
async fn schemas_of_the_flow_are_kept() {
    let flow = "
inputSchema: {type: object, required: [n], properties: {n: {type: integer}}}
variables: {type: object, properties: {v: {type: string}}}
outputSchema: {type: integer, minimum: 5}
steps: []
output: {$input: n}";
    let script = Script::new([]);
    let engine = engine(&script, 8);
    let request = Request::new(plan(flow), value(r#"{"n":"one"}"#));
    match engine.run(request).unwrap_err() {
        StartError::Invalid {
            subject,
            violations,
        } => {
            assert_eq!(subject, Subject::Input);
            assert_eq!(violations[0].pointer, "/n");
            assert_eq!(violations[0].expected.as_deref(), Some("integer"));
        }
        other => panic!("{other}"),
    }
    let mut request = Request::new(plan(flow), value(r#"{"n":1}"#));
    request.variables = value(r#"{"v":1}"#);
    let error = engine.run(request.clone()).unwrap_err();
    assert!(
        matches!(
            error,
            StartError::Invalid {
                subject: Subject::Variables,
                ..
            }
        ),
        "{error}"
    );
    request.variables = value(r#"{"v":"x"}"#);
    let finished = engine.run(request).unwrap().await.unwrap();
    assert_eq!(brief(&finished.outcome), "failed: -32003");
    assert!(finished.failed_step.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_its_own_step() {
    let flow = "
steps:
- {id: a, component: x, onError: {action: skip}}
- {id: b, component: x, input: 1}
output: [{$coalesce: [{$step: a}, 0]}, {$step: b}]";
    check([("a", vec![Act::Panic])], flow, "[0,1]", &["a#1", "b#1"]).await;
}

#[tokio::test(start_paused = true)]
async fn attempts_in_flight_are_limited() {
    let steps: Vec<String> = (0..20)
        .map(|n| format!("- {{id: s{n}, component: x, input: {n}}}"))
        .collect();
    let flow = format!("steps:\n{}\noutput: done", steps.join("\n"));
    for limit in [1, 3, 100] {
        let script =
            Script::new(["s1", "s2", "s3", "s4", "s5", "s6"].map(|id| (id, vec![slow(1)])));
        let request = Request::new(plan(&flow), value("null"));
        let finished = engine(&script, limit).run(request).unwrap().await.unwrap();
        assert_eq!(brief(&finished.outcome), r#""done""#);
        assert_eq!(script.calls().len(), 20);
        assert!(script.most_running() <= limit.max(1));
    }
}

#[tokio::test(start_paused = true)]
async fn runs_may_not_be_nested_without_end() {
    let script = Script::new([]);
    let engine = engine(&script, 8);
    let mut request = Request::new(plan("output: 1"), value("null"));
    request.parent = Some(stepflow_store::journal::Parent {
        run_id: stepflow_store::RunId::new(),
        step_id: "eval".to_owned(),
        key: String::new(),
        depth: 33,
    });
    let error = engine.run(request).unwrap_err();
    assert!(
        matches!(error, StartError::TooDeep { limit: 32, .. }),
        "{error}"
    );
}
