//! Runs whose components live in other tasks and on other threads: no wake-up is lost.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use stepflow_engine::{
    Class, Completion, Components, Engine, Failure, Invocation, Options, Request,
};
use stepflow_flow::error::ErrorCode;
use stepflow_flow::value::Value;
use stepflow_store::Store;
use support::{brief, plan, value};
use tokio::sync::oneshot;

/// Answers from a task of its own, as a connection's reader does.
struct Elsewhere;

impl Components for Elsewhere {
    fn execute(&self, call: Invocation) -> BoxFuture<'static, Result<Completion, Failure>> {
        let (sender, receiver) = oneshot::channel();
        let held = call.clock.hold();
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            if &*call.component == "/builtin/late" {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            drop(held);
            if &*call.component == "/builtin/hang" {
                std::future::pending::<()>().await;
            }
            // The run may have ended in the meantime.
            let _ = sender.send(call.input);
        });
        Box::pin(async move {
            let lost = |_| Failure::new(Class::Unknown, ErrorCode::INTERNAL.error("lost"));
            receiver.await.map(Completion::Output).map_err(lost)
        })
    }
}

fn engine() -> Engine {
    Engine::new(Store::memory(), Arc::new(Elsewhere), Options::default())
}

/// Chains side by side.
fn chains(n_chains: usize, length: usize) -> String {
    let mut text = "steps:\n".to_owned();
    for chain in 0..n_chains {
        let _ = writeln!(text, "- {{id: s{chain}_0, component: x, input: {chain}}}");
        for n in 1..length {
            let before = n - 1;
            let _ = writeln!(
                text,
                "- {{id: s{chain}_{n}, component: x, input: {{$step: s{chain}_{before}}}}}"
            );
        }
    }
    let last = length - 1;
    let ends: Vec<String> = (0..n_chains)
        .map(|chain| format!("{{$step: s{chain}_{last}}}"))
        .collect();
    text + &format!("output: [{}]", ends.join(","))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_runs_on_many_threads() {
    let engine = engine();
    let plan = plan(&chains(20, 20));
    let expected = Value::list((0..20).map(|n| value(&n.to_string())));
    let runs: Vec<_> = (0..50)
        .map(|_| {
            let run = engine.run(Request::new(plan.clone(), Value::null()));
            tokio::spawn(run.unwrap())
        })
        .collect();
    for run in runs {
        let finished = run.await.unwrap().unwrap();
        assert_eq!(brief(&finished.outcome), expected.as_text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cancelling_from_another_thread_at_any_time() {
    let engine = engine();
    let plan = plan(&(chains(5, 5) + "\nmetadata: {}"));
    for n_yields in 0..100 {
        let run = engine
            .run(Request::new(plan.clone(), Value::null()))
            .unwrap();
        let handle = run.handle();
        let run = tokio::spawn(run);
        for _ in 0..n_yields {
            tokio::task::yield_now().await;
        }
        handle.cancel("enough");
        let finished = run.await.unwrap().unwrap();
        let text = brief(&finished.outcome);
        assert!(
            text == "failed: -32012" || text == "[0,1,2,3,4]",
            "after {n_yields}: {text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_clock_may_be_held_in_another_task() {
    let flow = |component: &str| {
        format!(
            "steps: [{{id: a, component: {component}, input: 1, timeout: 1s}}]\noutput: {{$step: a}}"
        )
    };
    for (component, outcome) in [("late", "1"), ("hang", "failed: -32006")] {
        let run = engine().run(Request::new(plan(&flow(component)), Value::null()));
        let finished = run.unwrap().await.unwrap();
        assert_eq!(brief(&finished.outcome), outcome);
    }
}
