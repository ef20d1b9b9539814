//! One test: its run, which ends in time whatever its components do, and what is to be thought of the outcome.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use stepflow_engine::Engine;
use stepflow_engine::Request;
use stepflow_engine::Run;
use stepflow_flow::duration;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::flow::Case;
use stepflow_flow::flow::Expected;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::Plan;
use stepflow_flow::plan::StepIdx;
use stepflow_store::journal::Entry;

use super::mocks::Mocked;
use super::plain;
use crate::assemble::Runtime;
use crate::commands::Context;
use crate::input;
use crate::report::CliError;
use crate::report::words;
use crate::secrets::of_flow;

/// How long the work of a run may take to stop, before it is let go.
const STOPPING: Duration = Duration::from_secs(5);

/// One test and what became of it.
#[derive(Debug)]
pub struct RanCase {
    /// Its place among the tests of its flow.
    pub place: usize,
    /// Its name.
    pub name: Arc<str>,
    /// What was expected.
    pub expected: Option<Expected>,
    /// What there was.
    pub outcome: Outcome,
    /// The step whose failure ended the run.
    pub failed_step: Option<Arc<str>>,
    /// How it ran out of time, if it did; its outcome is then of no interest.
    pub timed_out: Option<String>,
    /// Why its expected outcome could not be written into the flow.
    pub not_updated: Option<&'static str>,
    /// How long it took.
    pub took: Duration,
    /// What is to be thought of it.
    pub verdict: Verdict,
}

/// What is to be thought of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is as expected.
    Passed,
    /// It is not.
    Failed,
    /// It was not, and is expected to be so from now on.
    Updated,
}

/// How a run ended.
struct Ended {
    outcome: Outcome,
    failed_step: Option<Arc<str>>,
    timed_out: Option<String>,
}

impl Ended {
    fn unstarted(error: stepflow_flow::error::FlowError) -> Ended {
        Ended {
            outcome: Outcome::Failed(error),
            failed_step: None,
            timed_out: None,
        }
    }
}

/// Runs a test within a time limit.
pub async fn run(
    place: usize,
    case: &Case,
    limit: Duration,
    plan: &Plan,
    runtime: &Runtime,
    context: &Context,
) -> Result<RanCase, CliError> {
    let began = Instant::now();
    let ended = end(case, limit, plan, runtime, context).await?;
    let is_met = match &case.output {
        _ if ended.timed_out.is_some() => false,
        Some(expected) => expected.is_met_by(&ended.outcome),
        None => !matches!(ended.outcome, Outcome::Failed(_)),
    };
    Ok(RanCase {
        place,
        name: Arc::clone(&case.name),
        expected: case.output.clone(),
        outcome: ended.outcome,
        failed_step: ended.failed_step,
        timed_out: ended.timed_out,
        not_updated: None,
        took: began.elapsed(),
        verdict: match is_met {
            true => Verdict::Passed,
            false => Verdict::Failed,
        },
    })
}

async fn end(
    case: &Case,
    limit: Duration,
    plan: &Plan,
    runtime: &Runtime,
    context: &Context,
) -> Result<Ended, CliError> {
    let given = case.variables.clone();
    let variables = match input::with_environment(given, plan, &context.environment) {
        Ok(variables) => variables,
        Err(error) => {
            let error = ErrorCode::INVALID_INPUT.error(plain(&error));
            return Ok(Ended::unstarted(error));
        }
    };
    of_flow::remember_given(plan, &variables, &context.screen.secrets);
    let components = Mocked {
        plugins: runtime.plugins.clone(),
        mocks: case.mocks.clone(),
    };
    let engine = Engine::new(
        runtime.engine.store().clone(),
        Arc::new(components),
        runtime.engine.options().clone(),
    );
    let request = Request {
        variables,
        ..Request::new(plan.clone(), case.input.clone())
    };
    match engine.run(request) {
        Err(refused) => Ok(Ended::unstarted(words::refusal(&refused))),
        Ok(run) => within(limit, run, &engine, plan).await,
    }
}

/// Awaits a run for so long, and has it stop then.
async fn within(
    limit: Duration,
    run: Run,
    engine: &Engine,
    plan: &Plan,
) -> Result<Ended, CliError> {
    let handle = run.handle();
    let mut run = pin!(run);
    if let Ok(finished) = tokio::time::timeout(limit, &mut run).await {
        let finished = finished?;
        return Ok(Ended {
            outcome: finished.outcome,
            failed_step: finished.failed_step.map(|step| step.step_id),
            timed_out: None,
        });
    }
    let mut message = format!("timed out after {}", duration::print(limit));
    // Without its journal it is told in fewer words.
    let journal = engine.store().load(&handle.id()).await.unwrap_or_default();
    let running = running(journal.iter().map(|record| &record.entry), plan);
    if !running.is_empty() {
        message.push_str(&format!(
            ", and this was not at its end: {}",
            running.join(", ")
        ));
    }
    handle.cancel(&*message);
    // Its components hear of it. What does not stop even so goes on without anybody.
    let _ = tokio::time::timeout(STOPPING, &mut run).await;
    Ok(Ended {
        outcome: Outcome::Failed(ErrorCode::CANCELLED.error(&*message)),
        failed_step: None,
        timed_out: Some(message),
    })
}

/// The steps that have begun and not ended, as they are called.
fn running<'e>(entries: impl Iterator<Item = &'e Entry>, plan: &Plan) -> Vec<String> {
    let mut steps: Vec<StepIdx> = Vec::new();
    for entry in entries {
        match entry {
            Entry::StepStarted { step, .. } if !steps.contains(step) => steps.push(*step),
            Entry::StepFinished { step, .. } => steps.retain(|it| it != step),
            _ => {}
        }
    }
    let ids = steps.iter().map(|step| &plan.step(*step).id);
    ids.map(|id| format!("`{id}`")).collect()
}
