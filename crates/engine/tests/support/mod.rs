//! What the engine's tests share: flows from text, and components that follow a script.
#![allow(
    dead_code,
    reason = "each test program uses its own part of this module"
)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use stepflow_engine::{
    Class, Completion, Components, Engine, Failure, Finished, Invocation, Limits, Options, Request,
};
use stepflow_flow::document::Source;
use stepflow_flow::error::FlowError;
use stepflow_flow::flow::Flow;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::Plan;
use stepflow_flow::value::Value;
use stepflow_store::Store;
use tokio::time::Instant;

/// A plan from the text of a flow.
pub fn plan(text: &str) -> Plan {
    let source = Source::new("flow.yaml", text);
    let flow = Flow::parse(&source).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let plan = Plan::compile(&flow);
    plan.unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// A value from its text.
pub fn value(text: &str) -> Value {
    Value::parse(text).unwrap()
}

/// What a scripted component does in one attempt.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers with its input.
    Echo,
    /// Answers with this JSON.
    Output(&'static str),
    /// Skips itself.
    Skip(Option<&'static str>),
    /// Fails, with this code.
    Fail(Class, i64),
    /// Waits first.
    After(Duration, Box<Act>),
    /// Waits first without being on the clock, as for a process to start.
    Unsent(Duration, Box<Act>),
    /// Waits first for something that it asked for, which is not on the clock either.
    Paused(Duration, Box<Act>),
    /// Never answers.
    Hang,
    /// Panics when it is asked.
    Panic,
}

/// Waits, then answers with its input.
pub fn slow(seconds: u64) -> Act {
    Act::After(Duration::from_secs(seconds), Box::new(Act::Echo))
}

/// One call that a scripted component got.
#[derive(Clone, Debug)]
pub struct Call {
    pub step: String,
    pub attempt: u32,
    pub key: String,
    pub input: String,
    pub at: Duration,
}

/// Components that follow a script, by step id. Each attempt takes the next act; the last one
/// stays. A step without a script echoes.
pub struct Script {
    acts: HashMap<&'static str, Vec<Act>>,
    unresendable: bool,
    began: Instant,
    calls: Mutex<Vec<Call>>,
    /// How many calls are going on, and how many ever did at once.
    running: Arc<AtomicUsize>,
    most_running: AtomicUsize,
}

impl Script {
    pub fn new(acts: impl IntoIterator<Item = (&'static str, Vec<Act>)>) -> Arc<Script> {
        Arc::new(Script::build(acts))
    }

    /// A script whose plugin has `retryUnknown: false`.
    pub fn unresendable(acts: impl IntoIterator<Item = (&'static str, Vec<Act>)>) -> Arc<Script> {
        Arc::new(Script {
            unresendable: true,
            ..Script::build(acts)
        })
    }

    fn build(acts: impl IntoIterator<Item = (&'static str, Vec<Act>)>) -> Script {
        Script {
            acts: acts.into_iter().collect(),
            unresendable: false,
            began: Instant::now(),
            calls: Mutex::default(),
            running: Arc::default(),
            most_running: AtomicUsize::default(),
        }
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// The calls as `step#attempt`, in order.
    pub fn called(&self) -> Vec<String> {
        let calls = self.calls();
        let names = calls.iter();
        names
            .map(|call| format!("{}#{}", call.step, call.attempt))
            .collect()
    }

    /// How many calls are going on.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    pub fn most_running(&self) -> usize {
        self.most_running.load(Ordering::SeqCst)
    }
}

impl Components for Script {
    fn execute(&self, call: Invocation) -> BoxFuture<'static, Result<Completion, Failure>> {
        self.calls.lock().unwrap().push(Call {
            step: call.step_id.to_string(),
            attempt: call.attempt,
            key: call.idempotency_key(),
            input: call.input.as_text().to_owned(),
            at: self.began.elapsed(),
        });
        let acts = self.acts.get(&*call.step_id);
        let act = acts.map_or(Act::Echo, |acts| {
            acts[(call.attempt as usize - 1).min(acts.len() - 1)].clone()
        });
        let running = Running::new(&self.running);
        self.most_running
            .fetch_max(self.running(), Ordering::SeqCst);
        async move {
            let _running = running;
            perform(act, call).await
        }
        .boxed()
    }

    fn resends_unknown(&self, _component: &str) -> bool {
        !self.unresendable
    }
}

/// Counts a call for as long as its future lives.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Running {
        count.fetch_add(1, Ordering::SeqCst);
        Running(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn perform(mut act: Act, call: Invocation) -> Result<Completion, Failure> {
    loop {
        act = match act {
            Act::Echo => return Ok(Completion::Output(call.input)),
            Act::Output(text) => return Ok(Completion::Output(value(text))),
            Act::Skip(reason) => {
                let reason = reason.map(str::to_owned);
                return Ok(Completion::Skipped { reason });
            }
            Act::Fail(class, code) => return Err(Failure::new(class, error(code))),
            Act::After(wait, then) => {
                tokio::time::sleep(wait).await;
                *then
            }
            Act::Unsent(wait, then) => {
                let held = call.clock.hold();
                tokio::time::sleep(wait).await;
                drop(held);
                *then
            }
            Act::Paused(wait, then) => {
                let held = call.clock.pause();
                tokio::time::sleep(wait).await;
                drop(held);
                *then
            }
            Act::Hang => std::future::pending().await,
            Act::Panic => panic!("out of order"),
        };
    }
}

/// The error of a scripted failure.
pub fn error(code: i64) -> FlowError {
    FlowError {
        code,
        message: format!("error {code}"),
        data: Some(value(r#"{"why":"scripted"}"#)),
    }
}

/// An engine in memory with a limit of attempts in flight.
pub fn engine(script: &Arc<Script>, limit: usize) -> Engine {
    let limits = Limits {
        run: limit,
        ..Limits::default()
    };
    let options = Options {
        limits,
        ..Options::default()
    };
    Engine::new(Store::memory(), Arc::<Script>::clone(script), options)
}

/// Runs a flow with an input to its end.
pub async fn run(script: &Arc<Script>, flow: &str, input: &str) -> Finished {
    let request = Request::new(plan(flow), value(input));
    engine(script, 1024).run(request).unwrap().await.unwrap()
}

/// An outcome in few words: its result as JSON, `skipped`, `skipped: reason` or `failed: code`.
pub fn brief(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Success(value) => value.as_text().to_owned(),
        Outcome::Skipped { reason: None } => "skipped".to_owned(),
        Outcome::Skipped {
            reason: Some(reason),
        } => format!("skipped: {reason}"),
        Outcome::Failed(error) => format!("failed: {}", error.code),
    }
}
