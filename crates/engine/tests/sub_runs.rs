//! Runs that a step asks for: slots, attempts, depth, background, and what is left when all is over.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use stepflow_engine::{
    Class, Completion, Components, Engine, Failure, Invocation, Limits, Options, Request, SubFlow,
};
use stepflow_flow::error::ErrorCode;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::Plan;
use stepflow_flow::value::Value;
use stepflow_store::Store;
use support::{Act, Script, brief, plan, slow, value};

/// `/builtin/nest` runs a flow and gives its outcome; everything else follows a script.
#[derive(Clone)]
struct Nest {
    script: Arc<Script>,
    inner: Plan,
    slots: Slots,
    /// The sub-runs: the attempt that asked, the id, and whether the outcome was there already.
    asked: Arc<Mutex<Vec<(u32, String, bool)>>>,
}

/// Whether a step that runs a flow gives its slot away meanwhile.
#[derive(Clone, Copy, PartialEq)]
enum Slots {
    Lent,
    Held,
}

impl Components for Nest {
    fn execute(&self, call: Invocation) -> BoxFuture<'static, Result<Completion, Failure>> {
        if &*call.component != "/builtin/nest" {
            return self.script.execute(call);
        }
        let nest = self.clone();
        async move {
            let flow = call.inherit(SubFlow::new(nest.inner.clone()));
            let refused = |error: stepflow_engine::StartError| {
                let error = ErrorCode::UNAVAILABLE.error(error.to_string());
                Failure::new(Class::Refused, error)
            };
            let run = call
                .sub_run(&flow, "key", call.input.clone())
                .map_err(refused)?;
            let _lent = (nest.slots == Slots::Lent).then(|| call.lend_slot());
            let ended = run.await.unwrap();
            let asked = (call.attempt, ended.run_id.to_string(), ended.is_recorded);
            nest.asked.lock().unwrap().push(asked);
            Ok(Completion::Output(
                Value::from_serialize(&ended.outcome).unwrap(),
            ))
        }
        .boxed()
    }
}

fn nest(script: &Arc<Script>, inner: &str, slots: Slots, limits: Limits) -> (Engine, Nest) {
    let nest = Nest {
        script: Arc::clone(script),
        inner: plan(inner),
        slots,
        asked: Arc::default(),
    };
    let options = Options {
        limits,
        ..Options::default()
    };
    let components = Arc::new(nest.clone());
    (Engine::new(Store::memory(), components, options), nest)
}

fn limits(run: usize, depth: u32) -> Limits {
    Limits {
        run,
        depth,
        ..Limits::default()
    }
}

async fn outcome(engine: &Engine, flow: &str, input: &str) -> String {
    let run = engine.run(Request::new(plan(flow), value(input))).unwrap();
    brief(&run.await.unwrap().outcome)
}

const INNER: &str = "
steps: [{id: in1, component: x, input: {$input: $}}, {id: in2, component: x, input: {$step: in1}}]
output: {$step: in2}";

#[tokio::test(start_paused = true)]
async fn a_step_that_waits_for_a_run_holds_no_slot() {
    let flow = "
steps: [{id: n, component: nest, input: 1}, {id: b, component: x, input: 2}]
output: [{$step: n, path: result}, {$step: b}]";
    for (slots, order) in [
        (Slots::Lent, ["in1#1", "b#1", "in2#1"]),
        (Slots::Held, ["in1#1", "in2#1", "b#1"]),
    ] {
        let script = Script::new([("in1", vec![slow(1)])]);
        let (engine, _) = nest(&script, INNER, slots, limits(1, 3));
        assert_eq!(outcome(&engine, flow, "null").await, "[1,2]");
        assert_eq!(script.called(), order);
        assert_eq!(
            script.most_running(),
            if slots == Slots::Lent { 2 } else { 1 }
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_attempt_goes_on_with_the_run_that_there_is() {
    let script = Script::new([("in2", vec![Act::Hang, Act::Echo])]);
    let (engine, nest) = nest(&script, INNER, Slots::Lent, Limits::default());
    let flow = "
steps: [{id: n, component: nest, input: 7, timeout: 1s, onError: {action: retry, maxRetries: 1}}]
output: {$step: n, path: result}";
    assert_eq!(outcome(&engine, flow, "null").await, "7");
    assert_eq!(script.called(), ["in1#1", "in2#1", "in2#2"], "in1 is done");
    let keys: Vec<_> = script.calls().into_iter().map(|call| call.key).collect();
    assert_eq!(keys[1], keys[2]);
    let asked = nest.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(keys[1].starts_with(&asked[0].1), "{keys:?} {asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_inside_sees_the_variables_that_it_declares() {
    let script = Script::new([]);
    let inner = "
variables: {type: object, properties: {a: {}, b: {default: 2}}}
steps: []
output: [{$variable: a}, {$variable: b}]";
    let (engine, _) = nest(&script, inner, Slots::Lent, Limits::default());
    let flow = "
variables: {type: object, properties: {a: {}, c: {}}}
steps: [{id: n, component: nest}]
output: {$step: n, path: result}";
    let request = Request {
        variables: value(r#"{"a":1,"c":3}"#),
        ..Request::new(plan(flow), Value::null())
    };
    let finished = engine.run(request).unwrap().await.unwrap();
    assert_eq!(brief(&finished.outcome), "[1,2]");
}

/// Each run runs the same flow again.
const AGAIN: &str = "{name: main, steps: [{id: again, component: nest}], output: {$step: again}}";

#[tokio::test]
async fn the_error_of_runs_too_deep_names_the_chain() {
    let script = Script::new([]);
    for (depth, chain) in [
        (1, "deeper: main/again → main/again; does"),
        (
            6,
            "deeper: main/again → main/again → main/again → … (1 more) → main/again → main/again → main/again; does",
        ),
    ] {
        let (engine, _) = nest(&script, AGAIN, Slots::Lent, limits(1, depth));
        let text = outcome(&engine, AGAIN, "null").await;
        assert!(text.contains("-32005") && text.contains(chain), "{text}");
    }
}

#[tokio::test]
async fn a_flow_that_runs_itself_twice_ends_the_top_level_run() {
    let script = Script::new([]);
    let twice = "
name: main
steps: [{id: left, component: nest}, {id: right, component: nest}]
output: [{$step: left}, {$step: right}]";
    let limits = Limits {
        depth: 30,
        alive: 100,
        ..Limits::default()
    };
    let (engine, nest) = nest(&script, twice, Slots::Lent, limits);
    let run = engine.run(Request::new(plan(twice), Value::null()));
    let finished = run.unwrap().await.unwrap();
    let Outcome::Failed(error) = finished.outcome else {
        panic!("{finished:?}")
    };
    let text = error.to_string();
    for part in [
        "-32005",
        "100 runs are alive inside one",
        "`limits.alive`",
        "main/left → main/left",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let n_ended = nest.asked.lock().unwrap().len();
    assert!(n_ended < 1000, "{n_ended} runs went on to their end");
}

#[tokio::test]
async fn only_runs_that_have_not_ended_are_alive() {
    let script = Script::new([]);
    let limits = Limits {
        alive: 1,
        ..Limits::default()
    };
    let (engine, nest) = nest(&script, INNER, Slots::Lent, limits);
    let steps: Vec<_> = (0..50)
        .map(|n| format!("{{id: s{n}, component: nest, input: [{}]}}", previous(n)))
        .collect();
    let flow = format!("{{steps: [{}], output: 1}}", steps.join(","));
    assert_eq!(outcome(&engine, &flow, "null").await, "1");
    assert_eq!(nest.asked.lock().unwrap().len(), 50);
}

/// A reference to the step before this one, if there is one.
fn previous(n: usize) -> String {
    let before = n.checked_sub(1);
    before.map_or_else(String::new, |n| format!("{{$step: s{n}}}"))
}

#[tokio::test]
async fn depth_costs_no_stack() {
    let script = Script::new([]);
    let shallow = AGAIN.replace("{$step: again}", "1");
    let (engine, nest) = nest(&script, &shallow, Slots::Lent, limits(1, 3000));
    assert_eq!(outcome(&engine, &shallow, "null").await, "1");
    assert_eq!(nest.asked.lock().unwrap().len(), 3000);
}

/// `/builtin/spawn` leaves work behind; `/builtin/count` looks at what attempts leave for each other.
struct Leaver(Arc<Script>);

impl Components for Leaver {
    fn execute(&self, call: Invocation) -> BoxFuture<'static, Result<Completion, Failure>> {
        let script = Arc::clone(&self.0);
        async move {
            match &*call.component {
                "/builtin/spawn" => {
                    let outer = call.outer.clone();
                    let inner = script.execute(call);
                    outer.in_background(async move { drop(inner.await) });
                    Ok(Completion::Output(Value::null()))
                }
                "/builtin/count" => {
                    let kept = call.kept::<Mutex<u32>>();
                    *kept.lock().unwrap() += 1;
                    let count = *kept.lock().unwrap();
                    if count < 3 {
                        let error = ErrorCode::COMPONENT_FAILED.error("again");
                        return Err(Failure::new(Class::Component, error));
                    }
                    Ok(Completion::Output(Value::from(serde_json::json!(count))))
                }
                _ => script.execute(call).await,
            }
        }
        .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn work_in_the_background_ends_with_its_run() {
    let script = Script::new([("s", vec![Act::Hang]), ("wait", vec![slow(1)])]);
    let engine = Engine::new(
        Store::memory(),
        Arc::new(Leaver(Arc::clone(&script))),
        Options::default(),
    );
    let flow = "
steps: [{id: s, component: spawn}, {id: wait, component: x, input: {$step: s}}]
output: {$step: wait}";
    let run = engine.run(Request::new(plan(flow), Value::null())).unwrap();
    let watch = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        script.running()
    };
    let (finished, running) = tokio::join!(run, watch);
    assert_eq!(brief(&finished.unwrap().outcome), "null");
    assert_eq!((running, script.running()), (2, 0));
    drop(engine);
    assert_eq!(
        Arc::strong_count(&script),
        1,
        "something still holds the components"
    );
}

#[tokio::test(start_paused = true)]
async fn attempts_leave_things_for_later_ones() {
    let script = Script::new([]);
    let engine = Engine::new(
        Store::memory(),
        Arc::new(Leaver(script)),
        Options::default(),
    );
    let flow = "
steps:
- {id: a, component: count, onError: {action: retry, maxRetries: 2}}
- {id: b, component: count, onError: {action: retry, maxRetries: 2}}
output: [{$step: a}, {$step: b}]";
    assert_eq!(outcome(&engine, flow, "null").await, "[3,3]");
}
