//! The table of the flow language's page: what an expression meets, and what comes of it.
//!
//! A case is an expression and what it evaluates to, as JSON, or `skipped`, `pending` and the step's id, or
//! `error` and words of the message.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use stepflow_flow::document::Source;
use stepflow_flow::error::{ErrorCode, FlowError};
use stepflow_flow::evaluate::{Evaluated, RunScope, Variables, evaluate};
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::{self, Plan, StepIdx};
use stepflow_flow::value::Value;

fn value(text: &str) -> Value {
    Value::parse(text).unwrap()
}

/// Five steps: `value`, `null`, `object` and `skipped` have ended that way, `running` has not.
fn plan(expression: &str) -> Plan {
    let steps = ["value", "null", "object", "skipped", "running"];
    let steps: Vec<String> = steps
        .iter()
        .map(|id| format!("{{id: \"{id}\", component: /py/a}}"))
        .collect();
    let text = format!("steps: [{}]\noutput: {expression}\n", steps.join(", "));
    let checked = plan::check(&Source::new("t", text));
    checked
        .plan
        .unwrap_or_else(|| panic!("{expression}: {}", checked.diagnostics))
}

fn outcome(plan: &Plan, step: StepIdx) -> Option<Outcome> {
    match &*plan.step(step).id {
        "value" => Some(Outcome::Success(value("1"))),
        "null" => Some(Outcome::Success(Value::null())),
        "object" => Some(Outcome::Success(value(
            r#"{"a": [10, {"b": "x"}], "n": null, "f": false}"#,
        ))),
        "skipped" => Some(Outcome::Skipped { reason: None }),
        _ => None,
    }
}

fn run(expression: &str) -> String {
    let plan = plan(expression);
    let outcomes: Vec<Option<Outcome>> = (0..plan.steps().len())
        .map(|place| outcome(&plan, StepIdx::new(place)))
        .collect();
    let input = value(r#"{"name": "Ada", "empty": {}, "big": 12345678901234567890123}"#);
    let variables: Variables = [
        ("key".into(), value("\"k1\"")),
        ("db".into(), value(r#"{"port": 1}"#)),
    ]
    .into_iter()
    .collect();
    let scope = RunScope {
        plan: &plan,
        input: &input,
        variables: &variables,
        outcomes: |step: StepIdx| outcomes[step.place()].as_ref(),
    };
    match evaluate(plan.output(), &scope) {
        Evaluated::Value(value) => value.as_text().to_owned(),
        Evaluated::Skipped { step } => format!("skipped {}", plan.step(step).id),
        Evaluated::Pending(step) => format!("pending {}", plan.step(step).id),
        Evaluated::Failed(error) => {
            assert_eq!(error.code, ErrorCode::EXPRESSION_FAILED.number());
            format!("error {}", error.message)
        }
    }
}

fn check(cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        let found = run(expression);
        match expected.strip_prefix("error ") {
            Some(words) => {
                assert!(found.starts_with("error "), "{expression}: {found}");
                assert!(
                    words.split(" … ").all(|word| found.contains(word)),
                    "{expression}: {found}"
                );
            }
            None => assert_eq!(&found, expected, "{expression}"),
        }
    }
}

#[test]
fn a_reference() {
    check(&[
        ("{$step: value}", "1"),
        ("{$step: 'null'}", "null"),
        ("{$step: object, path: $.n}", "null"),
        (
            "{$step: object, path: $.x}",
            "error step \"object\" … no $.x … keys a, n, f",
        ),
        ("{$step: object, path: $.n.x}", "error $.n is null"),
        ("{$step: 'null', path: x}", "error $ is null"),
        ("{$step: value, path: x}", "error $ is a number"),
        (
            "{$step: object, path: '$.a[2]'}",
            "error $.a is a list of 2 items",
        ),
        ("{$step: object, path: '$.a[-1].b'}", "\"x\""),
        ("{$step: skipped}", "skipped skipped"),
        ("{$step: skipped, path: any.thing}", "skipped skipped"),
        ("{$step: running}", "pending running"),
        ("{$input: name}", "\"Ada\""),
        ("{$input: big}", "12345678901234567890123"),
        (
            "{$input: empty.x}",
            "error the input … $.empty is an empty object",
        ),
        ("{$input: nam}", "error did you mean \"name\"?"),
    ]);
}

#[test]
fn a_reference_with_a_default() {
    let on_skip = "onSkip: {action: useDefault, defaultValue: 3}";
    check(&[
        (&format!("{{$step: value, {on_skip}}}"), "1"),
        (&format!("{{$step: 'null', {on_skip}}}"), "null"),
        (
            &format!("{{$step: object, path: x, {on_skip}}}"),
            "error no $.x",
        ),
        (&format!("{{$step: skipped, {on_skip}}}"), "3"),
        ("{$step: skipped, onSkip: {action: useDefault}}", "null"),
        (
            "{$step: skipped, onSkip: {action: skip}}",
            "skipped skipped",
        ),
        (
            "{$step: skipped, onSkip: {action: useDefault, defaultValue: {$step: running}}}",
            "pending running",
        ),
        (
            "{$step: value, onSkip: {action: useDefault, defaultValue: {$step: running}}}",
            "1",
        ),
    ]);
}

#[test]
fn variables() {
    check(&[
        ("{$variable: key}", "\"k1\""),
        ("{$variable: $.db.port}", "1"),
        (
            "{$variable: $.db.host, default: local}",
            "error the variable \"db\" … no $.host",
        ),
        (
            "{$variable: gone}",
            "error the variable \"gone\" has no value",
        ),
        ("{$variable: gone, default: {$input: name}}", "\"Ada\""),
        ("{$variable: key, default: {$step: running}}", "\"k1\""),
        ("{$from: {variable: gone, default: 7}}", "7"),
    ]);
}

#[test]
fn coalesce() {
    check(&[
        ("{$coalesce: [{$step: value}, {$step: running}]}", "1"),
        ("{$coalesce: [{$step: 'null'}, 2]}", "2"),
        ("{$coalesce: [{$step: object, path: x}, 2]}", "2"),
        ("{$coalesce: [{$step: skipped}, 2]}", "2"),
        ("{$coalesce: [{$variable: gone}, 2]}", "2"),
        ("{$coalesce: [{$step: object, path: f}, 2]}", "false"),
        ("{$coalesce: [{$step: skipped}, {$step: 'null'}]}", "null"),
        (
            "{$coalesce: [{$step: skipped}, {$step: object, path: x}]}",
            "null",
        ),
        ("{$coalesce: [{$step: skipped}]}", "skipped skipped"),
        (
            "{$coalesce: [{$step: skipped}, {$step: running}]}",
            "pending running",
        ),
        ("{$coalesce: [{deep: [{$step: skipped}]}, 2]}", "2"),
        ("{$coalesce: [null, null]}", "null"),
    ]);
}

#[test]
fn branches() {
    check(&[
        ("{$if: {$step: value}, then: a, else: b}", "\"a\""),
        ("{$if: 0, then: a, else: b}", "\"a\""),
        ("{$if: '', then: a, else: b}", "\"a\""),
        ("{$if: [], then: a, else: b}", "\"a\""),
        ("{$if: {$step: object, path: f}, then: a, else: b}", "\"b\""),
        ("{$if: {$step: 'null'}, then: a, else: b}", "\"b\""),
        ("{$if: {$step: 'null'}, then: a}", "null"),
        (
            "{$if: {$step: object, path: x}, then: a, else: b}",
            "error no $.x",
        ),
        (
            "{$if: {$step: skipped}, then: a, else: b}",
            "skipped skipped",
        ),
        (
            "{$if: {$step: running}, then: a, else: b}",
            "pending running",
        ),
        ("{$if: true, then: a, else: {$step: running}}", "\"a\""),
        (
            "{$if: false, then: {$step: skipped}, else: {$step: running}}",
            "pending running",
        ),
    ]);
}

#[test]
fn inside_data() {
    check(&[
        (
            "{a: {$step: value}, b: [{$input: name}, 2]}",
            r#"{"a":1,"b":["Ada",2]}"#,
        ),
        ("{a: [{$step: skipped}]}", "skipped skipped"),
        ("[{$step: value}, {$step: skipped}]", "skipped skipped"),
        (
            "{$literal: {$step: gone, x: {$if: 1}}}",
            r#"{"$step":"gone","x":{"$if":1}}"#,
        ),
        (
            "{a: 1.50, b: 1e3, c: 10000000000000000000000}",
            r#"{"a":1.50,"b":1e3,"c":10000000000000000000000}"#,
        ),
    ]);
}

#[test]
fn templates() {
    check(&[
        ("{$template: 'Hello {{ $input.name }}!'}", "\"Hello Ada!\""),
        (
            "{$template: '{{$step.object.a}} {{ $variable.key }}'}",
            r#""[10, {\"b\": \"x\"}] k1""#,
        ),
        ("{$template: '{{ $step.object[\"a\"][0] }}'}", "\"10\""),
        ("{$template: '{{{{ {{{ $step.value }}} {'}", "\"{{ {1} {\""),
        ("{$template: '{{ $step.skipped }}'}", "skipped skipped"),
        ("{$template: '{{ $step.running.x }}'}", "pending running"),
        (
            "{$template: '{{ $input.nope }}'}",
            "error the input … no $.nope",
        ),
        ("{$template: plain}", "\"plain\""),
    ]);
}

#[test]
fn the_older_dialect() {
    check(&[
        ("{$from: {workflow: input}, path: name}", "\"Ada\""),
        ("{$from: {step: object}, path: '$.a[0]'}", "10"),
        (
            "{$from: {step: skipped}, onSkip: {action: use_default, default_value: 3}}",
            "3",
        ),
        (
            "{$from: {step: skipped}, on_skip: {action: skip}}",
            "skipped skipped",
        ),
    ]);
}

/// Why the output of a flow has no value where each of its steps came to this result.
fn failure(plan: &Plan, result: &str) -> FlowError {
    let done = Outcome::Success(value(result));
    let scope = RunScope {
        plan,
        input: &Value::null(),
        variables: &Variables::default(),
        outcomes: |_| Some(&done),
    };
    match evaluate(plan.output(), &scope) {
        Evaluated::Failed(error) => error,
        _ => panic!("it has no value"),
    }
}

#[test]
fn an_error_has_data_for_programs() {
    let plan = plan("{$step: object, path: a.b}");
    let error = failure(&plan, r#"{"x": 1, "a": {"c": 2}}"#);
    let expected = r#"{"step":"object","path":"$.a.b","found":"$.a","type":"object","keys":["c"]}"#;
    assert_eq!(error.data.unwrap().as_text(), expected);
}

#[test]
fn a_run_inside_that_failed_is_why_there_is_no_result() {
    let plan = plan("{$step: object, path: \"results[0].result.n\"}");
    let check = |result: &str, expected: &str| {
        let error = failure(&plan, result);
        assert!(error.message.ends_with(expected), "{}", error.message);
    };
    check(
        r#"{"results": [{"outcome": "failed", "error": {"code": -32004, "message": "no rate"}}]}"#,
        "the keys outcome, error; the run inside failed: no rate (-32004)",
    );
    check(
        r#"{"results": [{"outcome": "skipped"}]}"#,
        "an object with the keys outcome",
    );
    check(
        r#"{"results": [{"outcome": "failed", "error": "of another kind"}]}"#,
        "the keys outcome, error",
    );
}
