//! How entries change the state. Owns the one function through which every fact passes, whether it
//! has just happened or is read back from a journal.

use stepflow_flow::error::FlowError;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::{Plan, StepIdx};
use stepflow_store::journal::{Class, Entry};

use super::frontier::{Phase, Step};
use super::{End, Scheduler};
use crate::retry::Retry;

/// An entry that cannot follow the ones before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// The journal does not begin with the creation of its run.
    #[error("the journal does not begin with the creation of the run")]
    NotCreated,
    /// The run is created a second time.
    #[error("the run is created a second time")]
    CreatedTwice,
    /// The journal is about another flow.
    #[error("the run belongs to the flow {recorded}, not to {given}")]
    OtherFlow {
        /// The flow that the journal names.
        recorded: String,
        /// The flow of the plan.
        given: String,
    },
    /// A step that the plan does not have.
    #[error("the plan has no step number {place}")]
    NoSuchStep {
        /// The place that the step would have.
        place: usize,
    },
    /// A step cannot do this where it stands: start while it runs, fail before it started, end
    /// twice.
    #[error("step `{step_id}` cannot have {what} at this point")]
    OutOfOrder {
        /// The step.
        step_id: String,
        /// What it is said to have done.
        what: &'static str,
    },
    /// Something happened after the end of the run.
    #[error("something happened after the end of the run")]
    AfterTheEnd,
}

impl Scheduler {
    /// The state that a journal adds up to.
    ///
    /// # Errors
    /// When the entries do not fit the plan or each other.
    pub fn replay<'a>(
        plan: Plan,
        retry: Retry,
        entries: impl IntoIterator<Item = &'a Entry>,
    ) -> Result<Scheduler, Contradiction> {
        let mut entries = entries.into_iter();
        let Some(Entry::RunCreated(created)) = entries.next() else {
            return Err(Contradiction::NotCreated);
        };
        let mut scheduler = Scheduler::new(plan, retry, created);
        entries.try_for_each(|entry| scheduler.apply(entry))?;
        Ok(scheduler)
    }

    /// Takes a fact into account.
    ///
    /// # Errors
    /// When it does not fit what is known; the state is then unchanged.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), Contradiction> {
        if self.has_ended() {
            return Err(Contradiction::AfterTheEnd);
        }
        match entry {
            Entry::RunCreated(_) => return Err(Contradiction::CreatedTwice),
            Entry::RunResumed => self.on_resumed(),
            Entry::StepStarted { step, attempt } => self.on_started(*step, *attempt)?,
            Entry::StepFailed {
                step,
                attempt,
                class,
                error,
            } => {
                self.on_failed(*step, *attempt, *class, error)?;
            }
            Entry::StepFinished { step, outcome } => self.on_finished(*step, outcome)?,
            Entry::RunFinished { .. } => self.end = End::Ended,
        }
        Ok(())
    }

    /// Attempts that were going on are not any more.
    fn on_resumed(&mut self) {
        for index in 0..self.outcomes.len() {
            let step = StepIdx::new(index);
            let it = self.frontier.step_mut(step);
            if matches!(it.phase, Phase::Started) {
                it.phase = Phase::Interrupted;
                self.frontier.queue_decision(step);
            }
        }
    }

    fn on_started(&mut self, step: StepIdx, attempt: u32) -> Result<(), Contradiction> {
        let it = self.known(step)?;
        if matches!(
            it.phase,
            Phase::Started | Phase::Failed(_) | Phase::Finished
        ) {
            return Err(self.out_of_order(step, "started"));
        }
        if attempt != it.attempt + 1 {
            return Err(self.out_of_order(step, "started with this attempt number"));
        }
        self.touch(step);
        let it = self.frontier.step_mut(step);
        it.attempt = attempt;
        it.phase = Phase::Started;
        Ok(())
    }

    fn on_failed(
        &mut self,
        step: StepIdx,
        attempt: u32,
        class: Class,
        error: &FlowError,
    ) -> Result<(), Contradiction> {
        let it = self.known(step)?;
        if matches!(
            it.phase,
            Phase::Failed(_) | Phase::Delayed(_) | Phase::Finished
        ) {
            return Err(self.out_of_order(step, "failed"));
        }
        if attempt != it.attempt {
            return Err(self.out_of_order(step, "failed in this attempt"));
        }
        self.touch(step);
        self.frontier.step_mut(step).phase = match self.spend_retry(step, class) {
            Some(delay) => Phase::Delayed(Box::new(delay)),
            None => Phase::Failed(Box::new((class, error.clone()))),
        };
        self.frontier.queue_decision(step);
        Ok(())
    }

    fn on_finished(&mut self, step: StepIdx, outcome: &Outcome) -> Result<(), Contradiction> {
        if matches!(self.known(step)?.phase, Phase::Finished) {
            return Err(self.out_of_order(step, "ended"));
        }
        self.touch(step);
        self.outcomes[step.place()] = Some(outcome.clone());
        self.frontier.finish(step);
        if let Outcome::Failed(error) = outcome {
            self.end = End::Failing {
                error: error.clone(),
                step: Some(step),
            };
        }
        Ok(())
    }

    /// The step, if the plan has it.
    fn known(&self, step: StepIdx) -> Result<&Step, Contradiction> {
        let steps = self.frontier.steps();
        steps.get(step.place()).ok_or(Contradiction::NoSuchStep {
            place: step.place(),
        })
    }

    /// Makes sure that a step that something happened to counts as needed, and what it needs too:
    /// a replayed journal is ahead of the scheduler's own decisions.
    fn touch(&mut self, step: StepIdx) {
        self.frontier.activate(step);
        if matches!(self.frontier.step(step).phase, Phase::Needed) {
            self.open(step);
        }
    }

    fn out_of_order(&self, step: StepIdx, what: &'static str) -> Contradiction {
        Contradiction::OutOfOrder {
            step_id: self.plan.step(step).id.to_string(),
            what,
        }
    }
}
