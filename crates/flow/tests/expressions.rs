//! Expressions printed and read again, flows in every spelling, and flows of many steps.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::document::{self, Source, Span};
use stepflow_flow::expression::{self, Expression, If, OnSkip, Piece, Reference, StepName, Target};
use stepflow_flow::flow::{Flow, OnError};
use stepflow_flow::path::{Path, Segment};
use stepflow_flow::plan::{self, StepIdx};
use stepflow_flow::value::Value;

type Parsed = Expression<StepName>;

fn name() -> impl Strategy<Value = Arc<str>> {
    prop_oneof!["[a-z][a-z0-9_-]{0,6}", any::<String>()].prop_map(Arc::from)
}

fn path() -> impl Strategy<Value = Path> {
    let segment = prop_oneof![
        name().prop_map(Segment::Field),
        any::<i64>().prop_map(Segment::Index)
    ];
    proptest::collection::vec(segment, 0..3).prop_map(Path::new)
}

fn literal() -> impl Strategy<Value = Parsed> {
    let leaf = prop_oneof![
        Just("null"),
        Just("1.50"),
        Just("[]"),
        Just(r#"{"a":{"$step":"x"}}"#),
        Just("\"$.a\"")
    ];
    leaf.prop_map(|text| Expression::Literal(Value::parse(text).unwrap()))
}

fn reference(target: Target<StepName>, path: Path) -> Reference<StepName> {
    Reference {
        target,
        path,
        span: Span::default(),
        path_span: Span::default(),
    }
}

fn piece() -> impl Strategy<Value = Piece<StepName>> {
    let target = prop_oneof![
        Just(Target::Input),
        name().prop_map(|step| Target::Step {
            step,
            on_skip: OnSkip::Skip
        }),
        name().prop_map(|name| Target::Variable {
            name,
            default: None
        }),
    ];
    prop_oneof![
        "[a{} $.]{1,8}".prop_map(|text| Piece::Text(text.into())),
        (target, path()).prop_map(|(target, path)| Piece::Reference(reference(target, path))),
    ]
}

/// Texts side by side are one text when read again.
fn template() -> impl Strategy<Value = Parsed> {
    proptest::collection::vec(piece(), 0..5).prop_map(|pieces| {
        let mut joined: Vec<Piece<StepName>> = Vec::new();
        for piece in pieces {
            match (joined.last_mut(), piece) {
                (Some(Piece::Text(before)), Piece::Text(text)) => {
                    *before = format!("{before}{text}").into()
                }
                (_, piece) => joined.push(piece),
            }
        }
        Expression::Template(joined)
    })
}

fn expression() -> impl Strategy<Value = Parsed> {
    let leaf = prop_oneof![
        literal(),
        template(),
        path().prop_map(|path| Expression::Reference(Box::new(reference(Target::Input, path)))),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let step = (name(), proptest::option::of(inner.clone()), path()).prop_map(
            |(step, default, path)| {
                let on_skip = default.map_or(OnSkip::Skip, OnSkip::UseDefault);
                Expression::Reference(Box::new(reference(Target::Step { step, on_skip }, path)))
            },
        );
        let variable = (name(), proptest::option::of(inner.clone()), path()).prop_map(
            |(name, default, path)| {
                Expression::Reference(Box::new(reference(
                    Target::Variable { name, default },
                    path,
                )))
            },
        );
        let key = name().prop_filter("a `$` key is an expression", |key| !key.starts_with('$'));
        prop_oneof![
            step,
            variable,
            (inner.clone(), inner.clone(), inner.clone()).prop_map(
                |(condition, then, otherwise)| {
                    Expression::If(Box::new(If {
                        condition,
                        then,
                        otherwise,
                    }))
                }
            ),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Expression::Coalesce),
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Expression::List),
            proptest::collection::hash_map(key, inner, 0..4)
                .prop_map(|entries| Expression::Object(entries.into_iter().collect())),
        ]
    })
}

fn parse(text: &str) -> Parsed {
    let source = Source::new("e", text);
    let mut diagnostics = Diagnostics::new(&source);
    let node = document::read(&source, &mut diagnostics).unwrap();
    let parsed = expression::parse(&node, &mut diagnostics);
    assert!(!diagnostics.has_errors(), "{text}: {diagnostics}");
    parsed
}

proptest! {
    #[test]
    fn what_is_printed_is_the_expression(written in expression()) {
        let text = expression::print(&written);
        let read = expression::print(&parse(text.as_text()));
        // Data beside data is one literal when read again, and printing that once more changes nothing.
        let again = expression::print(&parse(read.as_text()));
        prop_assert_eq!(again.as_text(), read.as_text());
        prop_assert_eq!(references(&parse(text.as_text())), references(&written));
    }
}

fn references(expression: &Parsed) -> Vec<String> {
    let mut seen = Vec::new();
    expression.visit(expression::Need::AtOnce, &mut |reference, need| {
        let target = match &reference.target {
            Target::Input => "input".to_owned(),
            Target::Step { step, .. } => format!("step {step}"),
            Target::Variable { name, .. } => format!("variable {name}"),
        };
        seen.push(format!("{target} {} {need:?}", reference.path));
    });
    seen
}

#[test]
fn both_dialects_are_one() {
    let cases = [
        ("{$from: {workflow: input}}", r#"{"$input":"$"}"#),
        (
            "{$from: {workflow: input}, path: a.b}",
            r#"{"$input":"$.a.b"}"#,
        ),
        (
            "{$from: {step: s}, path: '$.x', onSkip: {action: skip}}",
            r#"{"$step":"s","path":"$.x"}"#,
        ),
        (
            "{$from: {step: s}, onSkip: {action: useDefault, defaultValue: {$from: {step: t}}}}",
            r#"{"$step":"s","onSkip":{"action":"useDefault","defaultValue":{"$step":"t"}}}"#,
        ),
        (
            "{$from: {variable: k, default: 1}}",
            r#"{"$variable":"$.k","default":1}"#,
        ),
        (
            "{$from: {variable: k}, path: x}",
            r#"{"$variable":"$.k.x"}"#,
        ),
        ("{$step: s, path: $}", r#"{"$step":"s"}"#),
        (
            "{a: {$literal: {$x: 1}}, b: {$input: y}}",
            r#"{"a":{"$literal":{"$x":1}},"b":{"$input":"$.y"}}"#,
        ),
        ("{$literal: {a: 1}}", r#"{"a":1}"#),
    ];
    for (text, expected) in cases {
        assert_eq!(
            expression::print(&parse(text)).as_text(),
            expected,
            "{text}"
        );
    }
}

#[test]
fn keys_in_either_spelling() {
    let camel = "
inputSchema: {type: object}
outputSchema: {}
steps:
  - id: a
    component: wait
    skipIf: false
    inputSchema: {}
    onError: {action: retry, maxRetries: 2, backoff: {type: fibonacci, minDelay: 100ms, maxDelay: 5}, then: {action: useDefault, defaultValue: 7}}
    mustExecute: true
    atMostOnce: true
    timeout: 1.5
    x-note: free
output: {$step: a, onSkip: {action: useDefault, defaultValue: 1}}
";
    let snake = [
        "inputSchema",
        "outputSchema",
        "skipIf",
        "onError",
        "maxRetries",
        "minDelay",
        "maxDelay",
    ];
    let snake = snake.iter().chain(&[
        "useDefault",
        "defaultValue",
        "mustExecute",
        "atMostOnce",
        "onSkip",
    ]);
    let snake = snake.fold(camel.to_owned(), |text, key| {
        let spelled: String = key
            .chars()
            .flat_map(|c| match c.is_uppercase() {
                true => vec!['_', c.to_ascii_lowercase()],
                false => vec![c],
            })
            .collect();
        text.replace(key, &spelled)
    });
    assert_ne!(camel, snake);
    for text in [camel, &snake] {
        let flow = Flow::parse(&Source::new("f", text)).unwrap_or_else(|found| panic!("{found}"));
        let step = &flow.steps[0];
        assert_eq!(&*step.component, "/builtin/wait");
        assert!(
            step.must_execute
                && step.at_most_once
                && step.skip_if.is_some()
                && step.input_schema.is_some()
        );
        assert_eq!(step.timeout, Some(std::time::Duration::from_millis(1500)));
        let OnError::Retry(retry) = &step.on_error else {
            panic!("it retries")
        };
        assert_eq!(
            (retry.max_retries, retry.backoff.delay(5).as_millis()),
            (2, 500)
        );
        assert!(matches!(retry.then, OnError::UseDefault(_)));
        assert!(flow.input_schema.is_some() && flow.output_schema.is_some());
    }
}

#[test]
fn schemas_in_the_newer_block() {
    let text = "
schemas:
  type: object
  $defs: {name: {type: string}}
  properties:
    input: {type: object, properties: {who: {$ref: '#/$defs/name'}}}
    variables: {type: object, properties: {key: {type: string, default: k, is_secret: true, env_var: KEY}}}
    steps: {a: {type: object, properties: {n: {type: integer}}}}
steps: [{id: a, component: /py/a, input: [{$input: who}, {$variable: key}]}]
output: {$step: a, path: n}
";
    let checked = plan::check(&Source::new("f", text));
    let plan = checked
        .plan
        .unwrap_or_else(|| panic!("{}", checked.diagnostics));
    assert!(checked.diagnostics.is_empty(), "{}", checked.diagnostics);
    let schema = plan.input_schema().unwrap();
    assert!(
        schema
            .validate(&Value::parse(r#"{"who": "Ada"}"#).unwrap())
            .is_ok()
    );
    let violations = schema
        .validate(&Value::parse(r#"{"who": 1}"#).unwrap())
        .unwrap_err();
    assert_eq!(
        (&*violations[0].pointer, violations[0].expected.as_deref()),
        ("/who", Some("string"))
    );
    let key = &plan.variables().unwrap().each["key"];
    assert_eq!((key.is_secret, key.env_var.as_deref()), (true, Some("KEY")));
    assert_eq!(key.default.as_ref().unwrap().as_text(), "\"k\"");
    assert!(plan.steps()[0].output_schema.is_some());
}

fn ids(plan: &plan::Plan, steps: &[StepIdx]) -> Vec<String> {
    steps
        .iter()
        .map(|step| plan.step(*step).id.to_string())
        .collect()
}

#[test]
fn what_runs_at_the_start() {
    let text = "
steps:
  - {id: effect, component: /py/a}
  - {id: must, component: /py/a, mustExecute: true}
  - {id: branch, component: /py/a}
  - {id: later, component: /py/a}
  - {id: default, component: /py/a}
  - {id: condition, component: /py/a}
  - {id: first, component: /py/a, input: {$step: deep}, skipIf: {$if: {$step: must}, then: {$step: branch}}}
  - {id: deep, component: /py/a}
  - {id: text, component: /py/a}
output:
  - {$if: {$step: condition}, then: {$step: branch}, else: {$step: must}}
  - {$coalesce: [{$step: first, onSkip: {action: useDefault, defaultValue: {$step: default}}}, {$step: later}]}
  - {$template: 'a {{ $step.text.x }}'}
";
    let checked = plan::check(&Source::new("f", text));
    let plan = checked
        .plan
        .unwrap_or_else(|| panic!("{}", checked.diagnostics));
    assert_eq!(
        ids(&plan, plan.roots()),
        ["effect", "must", "condition", "first", "text"]
    );
    assert_eq!(
        ids(&plan, plan.output_needs()),
        ["condition", "first", "text"]
    );
    let first = plan.step(plan.step_idx("first").unwrap());
    assert_eq!(ids(&plan, &first.input_needs), ["deep"]);
    assert_eq!(ids(&plan, &first.skip_if_needs), ["must"]);
    let notes: Vec<String> = plan
        .warnings()
        .iter()
        .map(|found| found.to_string())
        .collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(
        notes[0].starts_with("f:3:10: note[E0409]: step \"effect\""),
        "{notes:?}"
    );
}

#[test]
fn an_inline_flow_is_taken_as_it_is() {
    let text = "
steps:
  - id: each
    component: map
    input:
      items: {$input: items}
      workflow: {steps: [{id: s, component: noop, input: {$input: $}}], output: {$step: s}}
output: {$step: each}
";
    let checked = plan::check(&Source::new("f", text));
    let plan = checked
        .plan
        .unwrap_or_else(|| panic!("{}", checked.diagnostics));
    let Expression::Object(entries) = &plan.steps()[0].input else {
        panic!("an object")
    };
    let Expression::Literal(flow) = &entries[1].1 else {
        panic!("a literal")
    };
    let inner = plan::check(&Source::new("inner", flow.as_text()))
        .plan
        .unwrap();
    assert_eq!(&*inner.steps()[0].component, "/builtin/noop");
}

#[test]
fn a_flow_is_known_by_its_data() {
    let yaml = "name: a\nsteps: []\noutput: {$input: $}\n";
    let json = r#"{"output": {"$input": "$"}, "steps": [], "name": "a"}"#;
    let id = |text: &str| plan::check(&Source::new("f", text)).plan.unwrap().flow_id();
    assert_eq!(id(yaml), id(json));
    assert_ne!(id(yaml), id("steps: []\noutput: {$input: $}\n"));
}

const MANY: usize = 100_000;

/// Enough for a slow way to be felt, in tests beside the one that is large.
const SEVERAL: usize = 20_000;

fn many(write: impl Fn(&mut String, usize)) -> plan::Plan {
    let mut text = "steps:\n".to_owned();
    (0..MANY).for_each(|step| write(&mut text, step));
    writeln!(text, "output: {{ $step: s{} }}", MANY - 1).unwrap();
    let checked = plan::check(&Source::new("f", text));
    checked
        .plan
        .unwrap_or_else(|| panic!("{}", checked.diagnostics.iter().next().unwrap()))
}

#[test]
fn a_chain_of_many_steps() {
    let plan = many(|text, step| {
        let input = if step == 0 {
            "$input: $".to_owned()
        } else {
            format!("$step: s{}, path: a.b", step - 1)
        };
        writeln!(
            text,
            "  - id: s{step}\n    component: /py/add\n    input: {{ x: {{ {input} }}, y: 1 }}"
        )
        .unwrap();
    });
    assert_eq!(plan.steps().len(), MANY);
    assert_eq!(plan.roots(), [StepIdx::new(MANY - 1)]);
}

#[test]
fn a_fan_of_many_steps_that_all_fail_the_check() {
    let mut text = "steps:\n".to_owned();
    for step in 0..SEVERAL {
        writeln!(
            text,
            "  - {{ id: s{step}, component: /py/a, input: {{ $step: gone{step} }} }}"
        )
        .unwrap();
    }
    text.push_str("output: 1\n");
    let checked = plan::check(&Source::new("f", text));
    assert_eq!(checked.diagnostics.len(), SEVERAL);
}

#[test]
fn a_cycle_of_many_steps() {
    let mut text = "steps:\n".to_owned();
    for step in 0..SEVERAL {
        writeln!(
            text,
            "  - {{ id: s{step}, component: /py/a, input: {{ $step: s{} }} }}",
            (step + 1) % SEVERAL
        )
        .unwrap();
    }
    text.push_str("output: { $step: s0 }\n");
    let checked = plan::check(&Source::new("f", text));
    let found: Vec<String> = checked
        .diagnostics
        .iter()
        .map(|found| found.to_string())
        .collect();
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("s0 → s1 → s2") && found[0].contains("→ … → s0"),
        "{}",
        found[0]
    );
}

#[test]
fn an_object_and_a_list_of_many_parts() {
    let entries: Vec<String> = (0..SEVERAL)
        .map(|key| format!("\"k{key}\": {{ $input: \"$.k{key}\" }}"))
        .collect();
    let text = format!("output: {{ {} }}", entries.join(", "));
    let plan = plan::check(&Source::new("f", text)).plan.unwrap();
    let input: Vec<String> = (0..SEVERAL)
        .map(|key| format!("\"k{key}\":{key}"))
        .collect();
    let input = Value::parse(&format!("{{{}}}", input.join(","))).unwrap();
    let variables = stepflow_flow::evaluate::Variables::default();
    let scope = stepflow_flow::evaluate::RunScope {
        plan: &plan,
        input: &input,
        variables: &variables,
        outcomes: |_| None,
    };
    let evaluated = stepflow_flow::evaluate::evaluate(plan.output(), &scope);
    assert_eq!(
        evaluated,
        stepflow_flow::evaluate::Evaluated::Value(input.clone())
    );
}
