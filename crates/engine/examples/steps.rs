//! Measures the engine's own cost of a step: runs flows of instant components in memory, one after
//! the other and all at once, in growing sizes. The time per step should not depend on the size.
//!
//! `cargo run --release -p stepflow-engine --example steps`
#![expect(clippy::print_stdout, reason = "the table is the program's result")]

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use stepflow_engine::{Completion, Components, Engine, Failure, Invocation, Options, Request};
use stepflow_flow::document::Source;
use stepflow_flow::flow::Flow;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::Plan;
use stepflow_flow::value::Value;
use stepflow_store::Store;

/// The text of a flow with this many steps.
type Shape = fn(usize) -> String;

/// `/builtin/now` answers at once with its input; `/builtin/later` makes the engine wait once, as a
/// remote component would.
struct Echo;

impl Components for Echo {
    fn execute(&self, call: Invocation) -> BoxFuture<'static, Result<Completion, Failure>> {
        Box::pin(async move {
            if &*call.component == "/builtin/later" {
                tokio::task::yield_now().await;
            }
            Ok(Completion::Output(call.input))
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!(
        "{:<12} {:>8} {:>12} {:>12}",
        "shape", "steps", "µs/step", "steps/s"
    );
    let shapes: [(&str, Shape); 6] = [
        ("chain", chain),
        ("chain of {}", chain_of_objects),
        ("parallel", parallel),
        ("gathered", gathered),
        ("chain later", |n| chain(n).replace("now", "later")),
        ("all later", |n| parallel(n).replace("now", "later")),
    ];
    for (name, shape) in shapes {
        for n_steps in [1_000, 10_000, 100_000] {
            let plan = plan(&shape(n_steps));
            let best = measure(&plan).await;
            let per_step = best.as_secs_f64() / n_steps as f64;
            println!(
                "{name:<12} {n_steps:>8} {:>12.3} {:>12.0}",
                per_step * 1e6,
                1.0 / per_step
            );
        }
    }
    measure_runs(100_000).await;
}

/// What a whole run costs when there are many small ones, as for the items of a map.
async fn measure_runs(n_runs: usize) {
    let plan = plan(&chain(1));
    let engine = Engine::new(Store::memory(), Arc::new(Echo), Options::default());
    let start = Instant::now();
    for _ in 0..n_runs {
        let run = engine.run(Request::new(plan.clone(), Value::null()));
        let run = run.expect("the flow has no schemas");
        run.await.expect("memory does not fail");
    }
    let per_run = start.elapsed().as_secs_f64() / n_runs as f64;
    println!(
        "runs of one step: {:.3} µs each, {:.0}/s",
        per_run * 1e6,
        1.0 / per_run
    );
}

/// The shortest of several runs: what is longer is the machine's doing.
async fn measure(plan: &Plan) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let engine = Engine::new(Store::memory(), Arc::new(Echo), Options::default());
        let run = engine.run(Request::new(plan.clone(), Value::null()));
        let run = run.expect("the flow has no schemas");
        let start = Instant::now();
        let finished = run.await.expect("memory does not fail");
        best = best.min(start.elapsed());
        assert!(matches!(finished.outcome, Outcome::Success(_)));
    }
    best
}

fn plan(text: &str) -> Plan {
    let flow = Flow::parse(&Source::new("steps.yaml", text)).expect("the text is a flow");
    Plan::compile(&flow).expect("the flow is sound")
}

/// Each step needs the one before.
fn chain(n_steps: usize) -> String {
    let mut text = "steps:\n- {id: s0, component: now, input: 1}\n".to_owned();
    for n in 1..n_steps {
        let before = n - 1;
        let _ = writeln!(
            text,
            "- {{id: s{n}, component: now, input: {{$step: s{before}}}}}"
        );
    }
    let last = n_steps - 1;
    text + &format!("output: {{$step: s{last}}}")
}

/// Each step takes a field of the one before and makes an object of it.
fn chain_of_objects(n_steps: usize) -> String {
    let mut text = "steps:\n- {id: s0, component: now, input: {a: 1}}\n".to_owned();
    for n in 1..n_steps {
        let before = n - 1;
        let _ = writeln!(
            text,
            "- {{id: s{n}, component: now, input: {{a: {{$step: s{before}, path: a}}, b: text}}}}"
        );
    }
    let last = n_steps - 1;
    text + &format!("output: {{$step: s{last}}}")
}

/// No step needs another, and nothing needs them.
fn parallel(n_steps: usize) -> String {
    let mut text = "steps:\n".to_owned();
    for n in 0..n_steps {
        let _ = writeln!(text, "- {{id: s{n}, component: now, input: {n}}}");
    }
    text + "output: done"
}

/// No step needs another, and the output needs all of them.
fn gathered(n_steps: usize) -> String {
    let references: Vec<String> = (0..n_steps).map(|n| format!("{{$step: s{n}}}")).collect();
    let text = parallel(n_steps);
    text.trim_end_matches("done").to_owned() + &format!("[{}]", references.join(","))
}
