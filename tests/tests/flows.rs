//! The corpus of `tests/flows`: flows with what must come out, in memory and over STDIO, in both dialects.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

use std::collections::BTreeSet;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use stepflow_components::Plugins;
use stepflow_engine::Class;
use stepflow_engine::Completion;
use stepflow_engine::Components;
use stepflow_engine::Engine;
use stepflow_engine::Failure;
use stepflow_engine::Invocation;
use stepflow_engine::Options;
use stepflow_engine::Request;
use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::document;
use stepflow_flow::document::Source;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::expression;
use stepflow_flow::flow::Flow;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::overrides;
use stepflow_flow::plan::Plan;
use stepflow_flow::value::Kind;
use stepflow_flow::value::Value;
use stepflow_tests::environment;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Runtime;
use stepflow_tests::soon;

/// How many cases there are at least: a corpus that cannot be found is no corpus.
const AT_LEAST: usize = 150;

/// A flow and what must come of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    flow: Value,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    variables: Value,
    #[serde(default)]
    overrides: Value,
    expect: Outcome,
    runs: Option<BTreeSet<String>>,
}

/// All cases, each with the name of its file before its own.
fn corpus() -> Vec<Case> {
    let mut files: Vec<_> = std::fs::read_dir(environment::workspace().join("tests/flows"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    files.sort();
    let cases: Vec<Case> = files.iter().flat_map(|file| cases(file)).collect();
    assert!(cases.len() >= AT_LEAST, "{} cases", cases.len());
    let mut names = HashSet::new();
    for case in &cases {
        assert!(names.insert(&case.name), "{} stands twice", case.name);
    }
    cases
}

fn cases(file: &Path) -> Vec<Case> {
    let name = file.file_stem().unwrap().to_str().unwrap();
    let source = Source::new(name, std::fs::read_to_string(file).unwrap());
    let mut diagnostics = Diagnostics::new(&source);
    let node = document::read(&source, &mut diagnostics);
    assert!(diagnostics.is_empty(), "{diagnostics}");
    let mut cases: Vec<Case> = node.unwrap().to_value().deserialize().unwrap();
    for case in &mut cases {
        case.name = format!("{name}: {}", case.name);
    }
    cases
}

impl Case {
    fn flow_with_overrides(&self) -> Flow {
        parsed(&overrides::apply(&self.flow, &self.overrides).unwrap())
    }

    /// What is not as it must be.
    fn problem(&self, outcome: &Outcome, ran: &BTreeSet<String>) -> Option<String> {
        let fits = match (&self.expect, outcome) {
            (Outcome::Failed(wanted), Outcome::Failed(error)) => {
                error.code == wanted.code
                    && error.message.contains(&*wanted.message)
                    && (wanted.data.is_none() || wanted.data == error.data)
            }
            (Outcome::Skipped { .. }, Outcome::Skipped { .. }) => true,
            (wanted, outcome) => wanted == outcome,
        };
        if !fits {
            return Some(format!("{}: {outcome:?}", self.name));
        }
        let runs = self.runs.as_ref().filter(|runs| *runs != ran)?;
        Some(format!("{}: {ran:?} ran, and not {runs:?}", self.name))
    }
}

fn parsed(flow: &Value) -> Flow {
    let source = Source::new("flow.json", flow.as_text());
    Flow::parse(&source).unwrap_or_else(|problems| panic!("{problems}\n{flow}"))
}

/// The components that a case can name, with a list of the steps that came to them.
struct Watched {
    /// Runs the built-ins, and `/it/…` where that is a server.
    plugins: Plugins,
    has_server: bool,
    ran: Mutex<BTreeSet<String>>,
}

impl Components for Watched {
    fn execute(&self, call: Invocation) -> BoxFuture<'static, Result<Completion, Failure>> {
        self.ran.lock().unwrap().insert(call.step_id.to_string());
        match call.component.strip_prefix("/it/") {
            Some(component) if !self.has_server => {
                let answer = in_memory(component, &call);
                async { answer }.boxed()
            }
            _ => self.plugins.execute(call),
        }
    }
}

/// What the test server does, in one process with the engine.
fn in_memory(component: &str, call: &Invocation) -> Result<Completion, Failure> {
    let text = |key: &str| {
        let found = call.input.get(key)?;
        found.as_str().map(|text| text.into_owned())
    };
    let number = |key: &str| call.input.get(key).and_then(|found| found.as_i64());
    match component {
        "echo" => Ok(Completion::Output(call.input.clone())),
        "skip" => Ok(Completion::Skipped {
            reason: text("reason"),
        }),
        "fail"
            if number("before_attempt").is_some_and(|before| i64::from(call.attempt) >= before) =>
        {
            Ok(Completion::Output(Value::from(serde_json::Value::from(
                call.attempt,
            ))))
        }
        "fail" => {
            let mut error = ErrorCode::COMPONENT_FAILED.error(text("message").unwrap());
            error.code = number("code").unwrap_or(error.code);
            error.data = call.input.get("data");
            Err(Failure::new(Class::Component, error))
        }
        unknown => {
            let error = ErrorCode::COMPONENT_NOT_FOUND.error(format!("there is no {unknown}"));
            Err(Failure::new(Class::Component, error))
        }
    }
}

/// Runs every case, made from its flow by `rewrite`.
async fn run_all(has_server: bool, rewrite: impl Fn(&Value) -> Value) {
    let runtime = Runtime::of(Program::Rust);
    let mut problems = Vec::new();
    for mut case in corpus() {
        case.flow = rewrite(&case.flow);
        let watched = Arc::new(Watched {
            plugins: runtime.plugins.clone(),
            has_server,
            ran: Mutex::default(),
        });
        let components: Arc<dyn Components> = Arc::clone(&watched) as _;
        let engine = Engine::new(runtime.store.clone(), components, Options::default());
        let plan = Plan::compile(&case.flow_with_overrides())
            .unwrap_or_else(|problems| panic!("{}: {problems}", case.name));
        let request = Request {
            variables: case.variables.clone(),
            ..Request::new(plan, case.input.clone())
        };
        let run = engine
            .run(request)
            .unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let finished = soon(&case.name, run).await.unwrap();
        let ran = watched.ran.lock().unwrap().clone();
        problems.extend(case.problem(&finished.outcome, &ran));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    runtime.shut_down().await;
}

// req: flow.corpus
#[tokio::test]
async fn in_memory_every_flow_comes_to_what_it_must() {
    run_all(false, Value::clone).await;
}

// req: flow.corpus
#[tokio::test]
async fn over_stdio_every_flow_comes_to_what_it_must() {
    run_all(true, Value::clone).await;
}

// req: flow.dialects
#[tokio::test]
async fn in_the_older_dialect_every_flow_comes_to_the_same() {
    run_all(false, older).await;
}

// req: flow.dialects
#[test]
fn both_dialects_give_equal_plans() {
    let mut n_rewritten = 0;
    for case in corpus() {
        let rewritten = older(&case.flow);
        n_rewritten += usize::from(rewritten != case.flow);
        assert_eq!(
            expressions(&parsed(&case.flow)),
            expressions(&parsed(&rewritten)),
            "{}",
            case.name
        );
    }
    assert!(
        n_rewritten >= AT_LEAST,
        "{n_rewritten} flows have references"
    );
}

/// All expressions of a flow, printed: what tells one plan from another beside ids and components.
fn expressions(flow: &Flow) -> Vec<Value> {
    let steps = flow.steps.iter().flat_map(|step| {
        let default = step.on_error.default_value();
        [Some(&step.input), step.skip_if.as_deref(), default]
    });
    steps
        .flatten()
        .chain([&flow.output])
        .map(expression::print)
        .collect()
}

/// The flow with its references in the older form.
fn older(value: &Value) -> Value {
    match value.kind() {
        Kind::List => Value::list(value.items().iter().map(older)),
        Kind::Object => older_object(value),
        _ => value.clone(),
    }
}

fn older_object(object: &Value) -> Value {
    let from = |source: &str, name: Value, also: &[&str]| {
        let mut inner = vec![(source, name)];
        let mut outer = Vec::new();
        for (key, value) in object.entries() {
            match key {
                "default" => inner.push((key, older(value))),
                key if also.contains(&key) => outer.push((key, older(value))),
                _ => {}
            }
        }
        outer.push(("$from", Value::object(inner)));
        outer
    };
    if object.get("$literal").is_some() {
        return object.clone();
    }
    if let Some(path) = object.get("$input") {
        let mut entries = from("workflow", Value::string("input"), &[]);
        entries.push(("path", path));
        return Value::object(entries);
    }
    if let Some(step) = object.get("$step") {
        return Value::object(from("step", step, &["path", "onSkip"]));
    }
    if let Some(name) = object.get("$variable") {
        return Value::object(from("variable", name, &[]));
    }
    Value::object(object.entries().map(|(key, value)| (key, older(value))))
}
