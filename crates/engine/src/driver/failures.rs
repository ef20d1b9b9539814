//! What the log says of failures that a run goes on after: tried again, or taken by `onError`. Nobody else would ever
//! hear of them. Owns the memory of errors between a failure and what becomes of it; decides nothing.

use std::collections::HashMap;
use std::time::Duration;

use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::StepIdx;
use stepflow_store::RunId;
use stepflow_store::journal::Entry;
use tracing::{debug, warn};

use crate::retry::Delay;
use crate::scheduler::Scheduler;

/// The last errors of steps of which it is not known yet what becomes of them.
#[derive(Default)]
pub(super) struct Failures(HashMap<StepIdx, String>);

impl Failures {
    /// Takes note of failures, and tells of those that turned out not to matter.
    pub(super) fn note(&mut self, run_id: &RunId, scheduler: &Scheduler, entry: &Entry) {
        match entry {
            Entry::StepFailed {
                step,
                attempt,
                class,
                error,
            } => {
                let traceback = error.data.as_ref().and_then(|data| data.get("traceback"));
                let traceback = traceback.as_ref().and_then(|it| it.as_str());
                // The class decides what happens next and is in no result, so the log has it.
                debug!(
                    %run_id,
                    step_id = %scheduler.plan().step(*step).id,
                    attempt,
                    ?class,
                    code = error.code,
                    error = error.message,
                    traceback = traceback.as_deref(),
                    "attempt failed"
                );
                self.0.insert(*step, error.message.clone());
            }
            Entry::StepFinished { step, outcome } if !self.0.is_empty() => {
                let Some(error) = self.0.remove(step) else {
                    return;
                };
                let became = match outcome {
                    Outcome::Failed(_) => return,
                    Outcome::Skipped { .. } => "skipped",
                    Outcome::Success(_) => "default",
                };
                let planned = scheduler.plan().step(*step);
                warn!(
                    target: "stepflow::step",
                    %run_id,
                    step_id = %planned.id,
                    component = %planned.component,
                    error,
                    became,
                    "the step failed, and its onError took the failure"
                );
            }
            _ => {}
        }
    }

    /// Tells that a step is tried again after a wait.
    pub(super) fn retried(
        &mut self,
        run_id: &RunId,
        scheduler: &Scheduler,
        step: StepIdx,
        delay: &Delay,
        wait: Duration,
    ) {
        let planned = scheduler.plan().step(step);
        let attempt = scheduler.attempts(step);
        warn!(
            target: "stepflow::step",
            %run_id,
            step_id = %planned.id,
            component = %planned.component,
            attempt,
            of = attempt.saturating_add(delay.left),
            // A recovered run waits again and has not heard the error.
            error = self.0.remove(&step).unwrap_or_default(),
            wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            "attempt failed; another one follows"
        );
    }
}
