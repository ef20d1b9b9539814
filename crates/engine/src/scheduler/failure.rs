//! What a failure means: another attempt, a skip, a value, or the end of the run. Owns the rules of
//! `onError` and of the retries beneath it.
//!
//! A step has three budgets of retries. What was not sent, or whose outcome is unknown, uses the
//! transport's; a busy component has its own; every other failure, and what those two could not
//! mend, uses the one of `onError: retry`. Budgets are per step and never refilled, so the number
//! of attempts is bounded by their sum.

use std::time::Duration;

use stepflow_flow::error::{ErrorCode, FlowError};
use stepflow_flow::flow::OnError;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::StepIdx;
use stepflow_flow::schema::Schema;
use stepflow_flow::value::Value;
use stepflow_store::journal::{Class, Entry};

use super::frontier::Phase;
use super::{Action, Resolved, Scheduler};
use crate::component::{Completion, Failure};
use crate::retry::Delay;

/// A component that asks to be left alone for longer is asked again after this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

impl Scheduler {
    /// The entry that the result of an attempt makes. Applying it is the caller's part.
    pub fn judge(&self, step: StepIdx, attempt: u32, result: Result<Completion, Failure>) -> Entry {
        let planned = self.plan.step(step);
        let failure = match result {
            Ok(Completion::Output(output)) => {
                match check(planned.output_schema.as_ref(), &output, "output") {
                    Ok(()) => {
                        let outcome = Outcome::Success(output);
                        return Entry::StepFinished { step, outcome };
                    }
                    Err(error) => Failure::new(Class::Refused, error),
                }
            }
            Ok(Completion::Skipped { reason }) => {
                return Entry::StepFinished {
                    step,
                    outcome: Outcome::Skipped { reason },
                };
            }
            Err(failure) if failure.class == Class::Unknown && planned.at_most_once => {
                Failure::new(Class::Unknown, outcome_unknown(&failure.error.message))
            }
            Err(failure) => failure,
        };
        Entry::StepFailed {
            step,
            attempt,
            class: failure.class,
            error: failure.error,
        }
    }

    /// The wait before the next attempt of a step that failed just now, if there is to be one.
    /// Takes the attempt from its budget.
    pub(super) fn spend_retry(&mut self, step: StepIdx, class: Class) -> Option<Delay> {
        let planned = self.plan.step(step);
        let spent = &mut self.frontier.step_mut(step).spent;
        let may_have_run = matches!(class, Class::Unknown | Class::TimedOut);
        match class {
            Class::Refused | Class::Cancelled => return None,
            _ if may_have_run && planned.at_most_once => return None,
            Class::NotSent | Class::Unknown
                if spent.transport < self.retry.transport_max_retries =>
            {
                spent.transport += 1;
                return Some(Delay::before(
                    spent.transport,
                    self.retry.transport_max_retries,
                    &self.retry.transport,
                ));
            }
            Class::Busy { retry_after } if spent.busy < self.retry.busy_max_retries => {
                spent.busy += 1;
                let at_least = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
                return Some(Delay {
                    at_least,
                    ..Delay::before(spent.busy, self.retry.busy_max_retries, &self.retry.busy)
                });
            }
            _ => {}
        }
        let OnError::Retry(retry) = &planned.on_error else {
            return None;
        };
        if spent.on_error >= retry.max_retries {
            return None;
        }
        spent.on_error += 1;
        Some(Delay::before(
            spent.on_error,
            retry.max_retries,
            &retry.backoff,
        ))
    }

    /// Applies `onError` to a step that failed for good.
    pub(super) fn decide_failure(&mut self, step: StepIdx) -> Option<Action> {
        let plan = self.plan.clone();
        let Phase::Failed(failed) = &self.frontier.step(step).phase else {
            return None;
        };
        let (class, error) = &**failed;
        let on_error = match &plan.step(step).on_error {
            _ if *class == Class::Cancelled => &OnError::Fail,
            OnError::Retry(retry) => &retry.then,
            other => other,
        };
        match on_error {
            // A retry after retries cannot be written; failing is what it would come to.
            OnError::Fail | OnError::Retry(_) => {
                let outcome = Outcome::Failed(error.clone());
                Some(self.finish(step, outcome))
            }
            OnError::Skip => Some(self.finish(step, Outcome::Skipped { reason: None })),
            OnError::UseDefault(default_value) => {
                let outcome = match self.resolve(step, default_value)? {
                    Resolved::Value(value) => Outcome::Success(value),
                    Resolved::Skipped { reason } => Outcome::Skipped { reason },
                    // Nothing handles the failure of what was to handle a failure.
                    Resolved::Failed(error) => Outcome::Failed(error),
                };
                Some(self.finish(step, outcome))
            }
        }
    }

    /// A step was in flight when the runtime stopped: nobody will ever hear how that ended.
    pub(super) fn decide_interrupted(&mut self, step: StepIdx) -> Option<Action> {
        if !self.plan.step(step).at_most_once {
            self.frontier.step_mut(step).phase = Phase::Due;
            self.frontier.queue_attempt(step);
            return None;
        }
        let attempt = self.frontier.step(step).attempt;
        let error = outcome_unknown("the runtime stopped while the step ran");
        Some(self.record(Entry::StepFailed {
            step,
            attempt,
            class: Class::Unknown,
            error,
        }))
    }
}

/// The failure of a step that must not run twice and may have run once.
pub(crate) fn outcome_unknown(cause: &str) -> FlowError {
    ErrorCode::OUTCOME_UNKNOWN.error(format!(
        "the step may or may not have run, and must not run twice: {cause}"
    ))
}

/// Checks a value against a schema, if there is one.
pub(super) fn check(schema: Option<&Schema>, value: &Value, what: &str) -> Result<(), FlowError> {
    let Some(schema) = schema else { return Ok(()) };
    let Err(violations) = schema.validate(value) else {
        return Ok(());
    };
    let texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
    let error = ErrorCode::INVALID_INPUT.error(format!(
        "the {what} does not fit its schema: {}",
        texts.join("; ")
    ));
    match Value::from_serialize(&serde_json::json!({ "violations": violations })) {
        Ok(data) => Err(error.with_data(data)),
        Err(_) => Err(error),
    }
}
