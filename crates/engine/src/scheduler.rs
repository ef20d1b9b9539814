//! Decides what a run does next. Owns the rules: what runs, when, how often, and what a failure
//! means (`docs/flows.md`, "What runs, and when" and "When a step fails"). Pure: no clock, no IO, no
//! chance, no tasks, so that the same entries always lead to the same state.
//!
//! A [`Scheduler`] is what the entries of a journal add up to. Facts from outside come in through
//! [`Scheduler::apply`]; [`Scheduler::next`] says what to do and has already applied what it
//! decides, so a caller may collect a whole cascade of decisions, make all of it durable with one
//! write, and only then act on it.

mod failure;
mod frontier;
mod needs;
mod replay;
pub(crate) mod variables;

use stepflow_flow::error::FlowError;
use stepflow_flow::evaluate::{Evaluated, Scope, Variables, evaluate};
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::{CompiledExpression, Plan, StepIdx};
use stepflow_flow::value::Value;
use stepflow_store::journal::{Class, Entry, RunCreated};

use crate::retry::{Delay, Retry};
pub(crate) use failure::outcome_unknown;
use frontier::{Frontier, Phase};
pub use replay::Contradiction;

/// The state of a run.
#[derive(Clone)]
pub struct Scheduler {
    plan: Plan,
    retry: Retry,
    input: Value,
    variables: Variables,
    frontier: Frontier,
    outcomes: Vec<Option<Outcome>>,
    end: End,
}

/// How far a run is from its end.
#[derive(Clone, Debug, PartialEq)]
enum End {
    /// The output is not known.
    Open,
    /// The output is known; the run ends when all that runs has ended.
    Output(Outcome),
    /// Something failed that nothing handles; the run ends now.
    Failing {
        error: FlowError,
        step: Option<StepIdx>,
    },
    /// `RunFinished` was applied.
    Ended,
}

/// Where a step stands, for whoever watches or looks back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stage<'a> {
    /// Nothing needs it so far, or the run ended before its turn came.
    Idle,
    /// It is needed and waits: for other steps, for a free slot, or for its error to be handled.
    Waiting,
    /// An attempt is going on.
    Running {
        /// The number of that attempt.
        attempt: u32,
    },
    /// An attempt failed or was interrupted, and another one will follow.
    Retrying {
        /// The number of the attempt that failed.
        attempt: u32,
    },
    /// The run ended while it was going on, or between two attempts.
    Stopped {
        /// The number of its last attempt.
        attempt: u32,
    },
    /// It has its outcome.
    Finished(&'a Outcome),
}

/// What an expression comes to once nothing is missing.
enum Resolved {
    Value(Value),
    Skipped { reason: Option<String> },
    Failed(FlowError),
}

/// Something to do. The scheduler has applied it already, but it must not be acted on before it is
/// durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Record this entry.
    Record(Entry),
    /// Record that the attempt started ([`Attempt::entry`]), then make it, then apply what
    /// [`Scheduler::judge`] makes of its result.
    Execute(Attempt),
    /// Wait this long, then call [`Scheduler::wake`]. Nothing to record.
    Wait {
        /// The step to try again.
        step: StepIdx,
        /// The wait.
        delay: Delay,
    },
}

/// An attempt to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// The step.
    pub step: StepIdx,
    /// Counts from 1.
    pub attempt: u32,
    /// The input of the step, evaluated and checked.
    pub input: Value,
}

impl Attempt {
    /// The entry that says that this attempt started.
    pub fn entry(&self) -> Entry {
        Entry::StepStarted {
            step: self.step,
            attempt: self.attempt,
        }
    }
}

impl Scheduler {
    /// The state of a run that has just been created.
    pub fn new(plan: Plan, retry: Retry, created: &RunCreated) -> Scheduler {
        let mut frontier = Frontier::new(plan.steps().len());
        for &root in plan.roots() {
            frontier.activate(root);
        }
        let output = StepIdx::new(plan.steps().len());
        if !frontier.wait_for(output, plan.output_needs()) {
            frontier.queue_decision(output);
        }
        Scheduler {
            input: created.input.clone(),
            variables: variables::effective(&plan, &created.variables),
            outcomes: vec![None; plan.steps().len()],
            end: End::Open,
            frontier,
            plan,
            retry,
        }
    }

    /// The plan of the run.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where a step stands.
    pub fn stage(&self, step: StepIdx) -> Stage<'_> {
        let it = self.frontier.step(step);
        let attempt = it.attempt;
        match &it.phase {
            Phase::Finished => {
                Stage::Finished(self.outcome(step).expect("a finished step has an outcome"))
            }
            _ if self.has_ended() && attempt == 0 => Stage::Idle,
            _ if self.has_ended() => Stage::Stopped { attempt },
            Phase::Idle => Stage::Idle,
            Phase::Needed | Phase::SkipIf | Phase::Input | Phase::Failed(_) => Stage::Waiting,
            Phase::Started => Stage::Running { attempt },
            Phase::Interrupted | Phase::Delayed(_) | Phase::Due => Stage::Retrying { attempt },
        }
    }

    /// The input of a step, if it can be evaluated by now.
    pub fn input(&self, step: StepIdx) -> Option<Value> {
        match evaluate(&self.plan.step(step).input, self) {
            Evaluated::Value(input) => Some(input),
            _ => None,
        }
    }

    /// How many attempts of a step were made.
    pub fn attempts(&self, step: StepIdx) -> u32 {
        self.frontier.step(step).attempt
    }

    /// The steps that were in flight when the runtime stopped, each with its last attempt.
    pub fn interrupted(&self) -> impl Iterator<Item = (StepIdx, u32)> {
        let steps = self.frontier.steps().iter().enumerate();
        steps
            .filter(|(_, step)| step.phase == Phase::Interrupted)
            .map(|(index, step)| (StepIdx::new(index), step.attempt))
    }

    /// Whether the end of the run was applied.
    pub fn has_ended(&self) -> bool {
        matches!(self.end, End::Ended)
    }

    /// Says what to do next, given how many more attempts may be in flight; `None` when there is
    /// nothing to do until something happens.
    pub fn next(&mut self, n_free: usize) -> Option<Action> {
        while !self.has_ended() {
            if let Some(entry) = self.run_finished() {
                return Some(self.record(entry));
            }
            let action = if let Some(node) = self.frontier.next_decision() {
                self.decide(node)
            } else if n_free > 0 {
                let step = self.frontier.next_attempt()?;
                self.attempt(step)
            } else {
                return None;
            };
            if action.is_some() {
                return action;
            }
        }
        None
    }

    /// The wait before another attempt of this step is over.
    pub fn wake(&mut self, step: StepIdx) {
        let it = self.frontier.step_mut(step);
        if matches!(it.phase, Phase::Delayed(_)) {
            it.phase = Phase::Due;
            self.frontier.queue_attempt(step);
        }
    }

    /// The end of the run, if it is due: a failure ends it at once, an output when all that runs
    /// has ended.
    fn run_finished(&self) -> Option<Entry> {
        match &self.end {
            End::Failing { error, step } => Some(Entry::RunFinished {
                outcome: Outcome::Failed(error.clone()),
                failed_step: *step,
            }),
            End::Output(outcome) if self.frontier.is_at_rest() => Some(Entry::RunFinished {
                outcome: outcome.clone(),
                failed_step: None,
            }),
            End::Output(_) | End::Open | End::Ended => None,
        }
    }

    fn record(&mut self, entry: Entry) -> Action {
        self.apply(&entry)
            .expect("the scheduler's own decisions fit its state");
        Action::Record(entry)
    }

    /// Moves a node on as far as it goes without a slot.
    fn decide(&mut self, node: StepIdx) -> Option<Action> {
        if node.place() == self.outcomes.len() {
            self.decide_output(node);
            return None;
        }
        match &self.frontier.step(node).phase {
            Phase::Needed => {
                self.open(node);
                None
            }
            Phase::SkipIf => self.decide_skip(node),
            Phase::Failed(_) => self.decide_failure(node),
            Phase::Interrupted => self.decide_interrupted(node),
            Phase::Delayed(delay) => Some(Action::Wait {
                step: node,
                delay: **delay,
            }),
            // The node has moved on since it was queued, or waits for a slot.
            Phase::Idle | Phase::Input | Phase::Started | Phase::Due | Phase::Finished => None,
        }
    }

    /// Looks at what a needed step needs itself. What its input needs starts at once, even while
    /// `skipIf` is undecided.
    fn open(&mut self, step: StepIdx) {
        let planned = self.plan.step(step);
        if planned.skip_if.is_none() {
            return self.wait_for_input(step);
        }
        self.frontier.step_mut(step).phase = Phase::SkipIf;
        if !self.frontier.wait_for(step, &planned.skip_if_needs) {
            self.frontier.queue_decision(step);
        }
        for &need in &planned.input_needs {
            self.frontier.activate(need);
        }
    }

    /// Decides `skipIf`, whose references are all there.
    fn decide_skip(&mut self, step: StepIdx) -> Option<Action> {
        let plan = self.plan.clone();
        let planned = plan.step(step);
        let skip_if = planned
            .skip_if
            .as_ref()
            .expect("only steps with skipIf wait for it");
        match self.resolve(step, skip_if)? {
            Resolved::Value(value) if value.is_truthy() => {
                Some(self.finish(step, Outcome::Skipped { reason: None }))
            }
            Resolved::Value(_) => {
                self.wait_for_input(step);
                None
            }
            Resolved::Skipped { reason } => Some(self.finish(step, Outcome::Skipped { reason })),
            Resolved::Failed(error) => Some(self.fail_unattempted(step, error)),
        }
    }

    /// Queues a step for an attempt as soon as what its input needs is there.
    fn wait_for_input(&mut self, step: StepIdx) {
        self.frontier.step_mut(step).phase = Phase::Input;
        if !self
            .frontier
            .wait_for(step, &self.plan.step(step).input_needs)
        {
            self.frontier.queue_attempt(step);
        }
    }

    /// Starts an attempt: its references are there and a slot is free.
    fn attempt(&mut self, step: StepIdx) -> Option<Action> {
        let plan = self.plan.clone();
        let planned = plan.step(step);
        let input = match self.resolve(step, &planned.input)? {
            Resolved::Value(input) => input,
            Resolved::Skipped { reason } => {
                return Some(self.finish(step, Outcome::Skipped { reason }));
            }
            Resolved::Failed(error) => return Some(self.fail_unattempted(step, error)),
        };
        if let Err(error) = failure::check(planned.input_schema.as_ref(), &input, "input") {
            return Some(self.fail_unattempted(step, error));
        }
        let attempt = Attempt {
            step,
            attempt: self.frontier.step(step).attempt + 1,
            input,
        };
        self.apply(&attempt.entry())
            .expect("the scheduler's own decisions fit its state");
        Some(Action::Execute(attempt))
    }

    /// Evaluates an expression of a node. `None` means that the node waits for more steps first;
    /// it comes up again when they have ended.
    fn resolve(&mut self, node: StepIdx, expression: &CompiledExpression) -> Option<Resolved> {
        let evaluated = evaluate(expression, self);
        if let Evaluated::Value(value) = evaluated {
            return Some(Resolved::Value(value));
        }
        if self
            .frontier
            .wait_for(node, &needs::missing(expression, self))
        {
            return None;
        }
        Some(match evaluated {
            Evaluated::Value(value) => Resolved::Value(value),
            Evaluated::Skipped { step } => Resolved::Skipped {
                reason: self.skip_reason(step),
            },
            Evaluated::Failed(error) => Resolved::Failed(error),
            Evaluated::Pending(step) => unreachable!("{step:?} has no outcome, so it is missing"),
        })
    }

    /// Works out the output of the flow, whose references are all there. That may be long before
    /// the run ends.
    fn decide_output(&mut self, output: StepIdx) {
        let plan = self.plan.clone();
        let checked = match self.resolve(output, plan.output()) {
            None => return,
            Some(Resolved::Value(value)) => {
                let fits = failure::check(plan.output_schema(), &value, "output");
                fits.map(|()| Outcome::Success(value))
            }
            Some(Resolved::Skipped { reason }) => Ok(Outcome::Skipped { reason }),
            Some(Resolved::Failed(error)) => Err(error),
        };
        self.end = match checked {
            Ok(outcome) => End::Output(outcome),
            Err(error) => End::Failing { error, step: None },
        };
    }

    /// Why a step was skipped, where a component said so. What follows from that skip keeps the
    /// reason.
    fn skip_reason(&self, step: StepIdx) -> Option<String> {
        match self.outcome(step) {
            Some(Outcome::Skipped { reason }) => reason.clone(),
            _ => None,
        }
    }

    fn finish(&mut self, step: StepIdx, outcome: Outcome) -> Action {
        self.record(Entry::StepFinished { step, outcome })
    }

    /// The step fails without an attempt: an expression or a schema says no.
    fn fail_unattempted(&mut self, step: StepIdx, error: FlowError) -> Action {
        let attempt = self.frontier.step(step).attempt;
        self.record(Entry::StepFailed {
            step,
            attempt,
            class: Class::Refused,
            error,
        })
    }
}

impl Scope for Scheduler {
    fn input(&self) -> &Value {
        &self.input
    }

    fn variable(&self, name: &str) -> Option<&Value> {
        self.variables.get(name)
    }

    fn outcome(&self, step: StepIdx) -> Option<&Outcome> {
        self.outcomes.get(step.place())?.as_ref()
    }

    fn step_id(&self, step: StepIdx) -> &str {
        &self.plan.step(step).id
    }
}
