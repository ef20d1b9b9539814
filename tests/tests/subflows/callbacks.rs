//! Flows that components run: the same over every transport that has a way back, for both SDKs.

use stepflow_components::options;
use stepflow_engine::Limits;
use stepflow_engine::Request;
use stepflow_flow::value::Value;
use stepflow_rpc::transport::http::client::SessionMode;
use stepflow_store::BlobType;
use stepflow_tests::gate::Gate;
use stepflow_tests::http;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Runtime;
use stepflow_tests::runtime::Setup;
use stepflow_tests::runtime::failure;
use stepflow_tests::runtime::plan;
use stepflow_tests::runtime::success;
use stepflow_tests::soon;
use stepflow_tests::value;

/// How a server is reached that can call back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Stdio(Program),
    Http(Program, SessionMode),
}

impl Way {
    /// A runtime with one plugin, called `it`, that takes so many calls at once.
    async fn runtime(self, at_once: Option<usize>) -> Reached {
        let setup = Setup::default();
        let limit = |limits: &mut options::Limits| limits.max_in_flight = at_once;
        match self {
            Way::Stdio(program) => Reached {
                runtime: setup
                    .plugin_with("it", program, |it| limit(&mut it.limits))
                    .start(),
                server: None,
            },
            Way::Http(program, session) => {
                let server = setup.server(program).await;
                let setup = setup.http_with("it", &server.url, |it| {
                    it.client.session = session;
                    limit(&mut it.limits);
                });
                Reached {
                    runtime: setup.start(),
                    server: Some(server),
                }
            }
        }
    }

    fn is_python(self) -> bool {
        let (Way::Stdio(program) | Way::Http(program, _)) = self;
        program == Program::Python
    }

    /// The component, and where the server has one, its twin that blocks a thread.
    fn twins(self, name: &str) -> Vec<String> {
        let mut names = vec![format!("/it/{name}")];
        if self.is_python() {
            names.push(format!("/it/{name}_in_thread"));
        }
        names
    }
}

struct Reached {
    runtime: Runtime,
    server: Option<http::Server>,
}

impl Reached {
    async fn shut_down(self) {
        match self.server {
            Some(server) => self.runtime.shut_down_with(server).await,
            None => self.runtime.shut_down().await,
        }
    }
}

macro_rules! over_every_way_back {
    ($($behaviour:ident)*) => { over_every_way_back! { @each { $($behaviour)* }
        rust_over_stdio Way::Stdio(Program::Rust);
        python_over_stdio Way::Stdio(Program::Python);
        rust_over_session Way::Http(Program::Rust, SessionMode::Auto);
        python_over_session Way::Http(Program::Python, SessionMode::Auto);
        rust_over_streams Way::Http(Program::Rust, SessionMode::Off);
        python_over_streams Way::Http(Program::Python, SessionMode::Off);
    } };
    (@each $behaviours:tt $($module:ident $way:expr;)*) => {
        $(over_every_way_back! { @one $module $way; $behaviours })*
    };
    (@one $module:ident $way:expr; { $($behaviour:ident)* }) => {
        mod $module {
            use super::*;
            $(#[tokio::test] async fn $behaviour() { super::$behaviour($way).await; })*
        }
    };
}

over_every_way_back! {
    a_component_runs_a_flow
    what_a_flow_ends_with_reaches_the_component
    a_batch_is_run_in_the_background
    metadata_is_what_the_author_wrote
    parents_that_wait_hold_no_place
    cancelling_a_run_reaches_the_flow_that_a_component_runs
}

/// The input of `/evaluate`.
fn evaluate(flow: &str, rest: &str) -> Value {
    value(&format!(r#"{{"flow":{flow}{rest}}}"#))
}

// req: subflows.evaluate
async fn a_component_runs_a_flow(way: Way) {
    let reached = way.runtime(None).await;
    let runtime = &reached.runtime;
    let flow = r#"{"variables":{"type":"object","properties":{"v":{"default":0}}},
        "steps":[{"id":"s","component":"/it/echo","input":[{"$input":"n"},{"$variable":"v"}]}],"output":{"$step":"s"}}"#;
    let id = runtime
        .store
        .put_blob(&value(flow), BlobType::Flow)
        .await
        .unwrap();
    let stored = format!("\"{id}\"");
    let patch = r#","overrides":{"s":{"$type":"merge_patch","value":{"input":"changed"}}}"#;
    for component in way.twins("evaluate") {
        for (flow, rest, expected) in [
            (flow, r#","input":{"n":1}"#, "[1,0]"),
            (&*stored, r#","input":{"n":2},"variables":{"v":9}"#, "[2,9]"),
            (&*stored, patch, r#""changed""#),
        ] {
            let outcome = runtime.call(&component, evaluate(flow, rest)).await;
            assert_eq!(success(&outcome), &value(expected), "{component} {rest}");
        }
    }
    reached.shut_down().await;
}

// req: subflows.evaluate-ends
async fn what_a_flow_ends_with_reaches_the_component(way: Way) {
    let reached = way.runtime(None).await;
    let fails = r#"{"steps":[{"id":"f","component":"/it/fail","input":{"code":4242,"message":"no"}}],"output":{"$step":"f"}}"#;
    let skips = r#"{"steps":[{"id":"s","component":"/it/skip","input":{"reason":"none today"}}],"output":{"$step":"s"}}"#;
    let unknown = format!("\"sha256:{}\"", "0".repeat(64));
    let unsound = r#"{"output":{"$step":"nowhere"}}"#;
    let patch = r#","overrides":{"x":{"$type":"merge_patch","value":{}}}"#;
    for component in way.twins("evaluate") {
        let ended = async |flow: &str, rest: &str| {
            reached.runtime.call(&component, evaluate(flow, rest)).await
        };
        assert_eq!(failure(&ended(fails, "").await).code, 4242);
        for (flow, rest, code, part) in [
            (skips, "", -32004, "was skipped: none today"),
            (&*unknown, "", -32008, "there is no flow"),
            (unsound, "", -32602, "there is no step"),
            (skips, patch, -32602, "no such step"),
        ] {
            let outcome = ended(flow, rest).await;
            let error = failure(&outcome);
            assert!(
                error.code == code && error.message.contains(part),
                "{error}"
            );
        }
    }
    reached.shut_down().await;
}

// req: subflows.batch
async fn a_batch_is_run_in_the_background(way: Way) {
    let reached = way.runtime(None).await;
    let flow = r#"{"steps":[{"id":"s","component":"/it/echo","skipIf":{"$input":"skip"},"input":{"$input":"n"}}],
        "output":{"$step":"s","onSkip":{"action":"useDefault","defaultValue":"skipped"}}}"#;
    let inputs = r#"[{"n":0,"skip":false},{"n":1,"skip":true},{"n":2},{"n":3,"skip":null}]"#;
    let expected = r#"{"total_runs":4,"completed_runs":3,"failed_runs":1,"running_runs":0,
        "results":[[0,"completed",0],[1,"completed","skipped"],[2,"failed",null],[3,"completed",3]]}"#;
    for component in way.twins("batch") {
        for at_once in [1, 100] {
            let input =
                format!(r#"{{"flow":{flow},"inputs":{inputs},"max_concurrency":{at_once}}}"#);
            let outcome = reached.runtime.call(&component, value(&input)).await;
            assert_eq!(success(&outcome), &value(expected), "{component} {at_once}");
        }
    }
    reached.shut_down().await;
}

// req: subflows.metadata
async fn metadata_is_what_the_author_wrote(way: Way) {
    let reached = way.runtime(None).await;
    for component in way.twins("metadata") {
        let flow = format!(
            "metadata: {{owner: billing}}\nsteps: [{{id: m, component: {component}, metadata: {{unit: EUR}}}}]\noutput: {{$step: m}}"
        );
        let finished = reached.runtime.run(&flow, Value::null()).await;
        let expected = value(r#"[{"owner":"billing"},{"unit":"EUR"}]"#);
        assert_eq!(success(&finished.outcome), &expected, "{component}");
    }
    reached.shut_down().await;
}

// req: subflows.slots
async fn parents_that_wait_hold_no_place(way: Way) {
    const PARENTS: usize = 150;
    let reached = way.runtime(Some(1)).await;
    let inner = r#"{"steps":[{"id":"s","component":"/it/echo","input":{"$input":"$"}}],"output":{"$step":"s"}}"#;
    for component in way.twins("evaluate") {
        let parents: Vec<_> = (0..PARENTS)
            .map(|n| {
                let input = evaluate(inner, &format!(r#","input":{n}"#));
                format!("- {{id: p{n}, component: {component}, input: {{$literal: {input}}}}}")
            })
            .collect();
        let outputs: Vec<_> = (0..PARENTS).map(|n| format!("{{$step: p{n}}}")).collect();
        let flow = format!(
            "steps:\n{}\noutput: [{}]",
            parents.join("\n"),
            outputs.join(",")
        );
        let finished = reached.runtime.run(&flow, Value::null()).await;
        let numbers: Vec<_> = (0..PARENTS).map(|n| n.to_string()).collect();
        let expected = value(&format!("[{}]", numbers.join(",")));
        assert_eq!(success(&finished.outcome), &expected, "{component}");
    }
    reached.shut_down().await;
}

// req: subflows.evaluate-cancel
async fn cancelling_a_run_reaches_the_flow_that_a_component_runs(way: Way) {
    let reached = way.runtime(None).await;
    let runtime = &reached.runtime;
    let gate = Gate::open(runtime.home());
    let inner = r#"{"steps":[{"id":"g","component":"/it/gate","input":{"$input":"$"}}],"output":{"$step":"g"}}"#;
    for component in way.twins("evaluate") {
        let input = evaluate(inner, &format!(r#","input":{}"#, gate.input("a")));
        let flow = format!(
            "steps: [{{id: e, component: {component}, input: {{$input: $}}}}]\noutput: {{$step: e}}"
        );
        let run = runtime
            .engine
            .run(Request::new(plan(&flow), input))
            .unwrap();
        let handle = run.handle();
        let run = tokio::spawn(run);
        let visitor = gate.next().await;
        handle.cancel("enough");
        assert_eq!(visitor.gone().await, "", "{component}");
        let finished = soon("the end", run).await.unwrap().unwrap();
        assert_eq!(failure(&finished.outcome).code, -32012);
    }
    reached.shut_down().await;
}

#[tokio::test]
async fn runs_that_components_ask_for_are_among_those_that_are_alive() {
    let limits = Limits {
        alive: 2,
        ..Limits::default()
    };
    let setup = Setup::default().plugin("it", Program::Rust);
    let runtime = setup.limits(limits).start();
    let around = |flow: &str| {
        format!(
            r#"{{"steps":[{{"id":"s","component":"/builtin/eval","input":{{"flow":{flow},"input":1}}}}],"output":{{"$step":"s"}}}}"#
        )
    };
    let (two, three) = (
        around(r#"{"output":1}"#),
        around(&around(r#"{"output":1}"#)),
    );
    for (component, input) in [
        ("/it/evaluate", r#""input":1"#),
        ("/it/batch", r#""inputs":[1]"#),
    ] {
        let input_of = |flow: &str| value(&format!(r#"{{"flow":{flow},{input}}}"#));
        success(&runtime.call(component, input_of(&two)).await);
        let outcome = runtime.call(component, input_of(&three)).await;
        let error = failure(&outcome);
        let fits = error.code == -32005 && error.message.contains("2 runs are alive inside one");
        assert!(fits, "{component}: {error}");
    }
    runtime.shut_down().await;
}

// req: subflows.evaluate-joins
#[tokio::test]
async fn a_later_attempt_joins_what_an_earlier_one_ran() {
    let runtime = Runtime::of(Program::Rust);
    // The flow stays up in another process, so that only the parent's crashes.
    let inner =
        r#"{"steps":[{"id":"c","component":"/builtin/noop","input":1}],"output":{"$step":"c"}}"#;
    for key in ["", r#","key":"mine""#] {
        let rest = format!(r#","crash_before_attempt":3{key}"#);
        let flow =
            "steps: [{id: e, component: /it/evaluate, input: {$input: $}}]\noutput: {$step: e}";
        let request = Request::new(plan(flow), evaluate(inner, &rest));
        let run = runtime.engine.run(request).unwrap();
        let mut events = run.events();
        let watch = async {
            let mut n = 0;
            while events.next().await.is_some() {
                n += 1;
            }
            n
        };
        let (finished, n_events) = tokio::join!(soon("a run", run), watch);
        assert_eq!(success(&finished.unwrap().outcome), &value("1"));
        assert!(n_events >= 8, "two attempts were lost: {n_events}");
    }
    runtime.shut_down().await;
}
