//! `iterate`: runs a flow again and again, each time on what it said comes next.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use schemars::JsonSchema;
use serde::Serialize;
use stepflow_engine::Completion;
use stepflow_engine::Failure;
use stepflow_engine::Invocation;
use stepflow_engine::SubFlow;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::error::FlowError;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;

use super::Builtin;
use super::output;
use crate::subflows;
use crate::subflows::Started;
use crate::subflows::arguments::Arguments;
use crate::subflows::refused;

/// How often a flow runs that never says `result`, unless the input says otherwise.
const DEFAULT_MAX_ITERATIONS: u64 = 1000;

/// Which flow to run, and on what first.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes what is read key by key")]
struct Input {
    /// The flow itself, taken literally: it returns `{next}` to go on with that as its input, or `{result}` to stop.
    /// Either this or `flow_id`; `workflow` is its older name.
    #[schemars(default)]
    flow: Option<Value>,
    /// The content id of a stored flow.
    #[schemars(default)]
    flow_id: Option<String>,
    /// The input of the first run.
    initial_input: Value,
    /// How many runs at most; 1000 when missing.
    #[schemars(default, range(min = 1))]
    max_iterations: Option<u64>,
}

/// How it ended.
#[derive(Serialize, JsonSchema)]
struct Output {
    /// What the last run returned as `result`; where there were too many runs, its `next`.
    result: Value,
    /// How many runs there were.
    iterations: u64,
    /// Whether it ended because there were as many runs as there may be.
    terminated: bool,
}

/// How far it is; kept from one attempt to the next.
#[derive(Debug, Default)]
struct Progress {
    n_ended: u64,
    /// What the next run gets; none before the first.
    next: Option<Value>,
    /// How often the next run has failed in earlier attempts.
    n_failed: u64,
}

/// What a run of the body says.
enum Said {
    Next(Value),
    Result(Value),
}

pub(super) fn builtin() -> Builtin {
    Builtin::reading::<Input, Output, _, _>(
        "/iterate",
        "Runs a flow again and again on what it returns as `next`, until it returns `result`",
        |context| run(context.invocation),
    )
}

async fn run(call: Invocation) -> Result<Completion, Failure> {
    let arguments =
        Arguments::read(&call.input, &["initial_input", "max_iterations"]).map_err(refused)?;
    let given = arguments.flow().map_err(refused)?;
    let mut input = arguments.required("initial_input").map_err(refused)?;
    let most = arguments.count("max_iterations").map_err(refused)?;
    let most = most.unwrap_or(DEFAULT_MAX_ITERATIONS);
    let flow = given.for_step(&call).await?;
    let _lent = call.lend_slot();
    let progress: Arc<Mutex<Progress>> = call.kept();
    loop {
        let n_ended = lock(&progress).n_ended;
        if let Some(next) = lock(&progress).next.clone() {
            input = next;
        }
        if n_ended == most {
            return output(&Output {
                result: input,
                iterations: n_ended,
                terminated: true,
            });
        }
        let value = match iteration(&call, &flow, &progress, input.clone()).await? {
            Outcome::Success(value) => value,
            Outcome::Skipped { reason } => return Ok(Completion::Skipped { reason }),
            Outcome::Failed(error) => return Err(error.into()),
        };
        match said(&value, n_ended).map_err(refused)? {
            Said::Result(result) => {
                return output(&Output {
                    result,
                    iterations: n_ended + 1,
                    terminated: false,
                });
            }
            Said::Next(next) => {
                *lock(&progress) = Progress {
                    n_ended: n_ended + 1,
                    next: Some(next),
                    n_failed: 0,
                };
            }
        }
    }
}

/// One run of the body. One that failed in an earlier attempt runs again: that is what this attempt is for.
async fn iteration(
    call: &Invocation,
    flow: &SubFlow,
    progress: &Mutex<Progress>,
    input: Value,
) -> Result<Outcome, Failure> {
    loop {
        let (place, n_failed) = {
            let progress = lock(progress);
            (progress.n_ended, progress.n_failed)
        };
        let key = match n_failed {
            0 => place.to_string(),
            _ => format!("{place}/{n_failed}"),
        };
        let run = match subflows::start(call, flow, &key, input.clone()).map_err(refused)? {
            Started::Misfit(outcome) => return Ok(outcome),
            Started::Run(run) => run,
        };
        let ended = run.await.map_err(|error| subflows::broken(&error))?;
        if matches!(ended.outcome, Outcome::Failed(_)) {
            lock(progress).n_failed += 1;
            if ended.is_recorded {
                continue;
            }
        }
        return Ok(ended.outcome);
    }
}

/// Reads what the body returned.
fn said(value: &Value, n_ended: u64) -> Result<Said, FlowError> {
    let found: Vec<&str> = value.keys().collect();
    match (found.as_slice(), value.get("result"), value.get("next")) {
        (["result"], Some(result), _) => Ok(Said::Result(result)),
        (["next"], _, Some(next)) => Ok(Said::Next(next)),
        _ => {
            let what = match found.as_slice() {
                [] => format!("{value:?}"),
                keys => format!("an object with the keys {}", keys.join(", ")),
            };
            Err(ErrorCode::COMPONENT_FAILED.error(format!(
                "the flow returned {what} in iteration {}; it must return `{{result: …}}` to stop or `{{next: …}}` to go on, and nothing else",
                n_ended + 1
            )))
        }
    }
}

/// Nothing under this lock can panic half-way.
fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}
