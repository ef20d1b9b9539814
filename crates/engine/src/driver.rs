//! The loop of a run. Owns the order of things: decide, record, act, wait. Decisions are the
//! scheduler's; how an attempt is made is the components'.
//!
//! One turn of the loop takes in all results that are there, lets the scheduler draw every
//! conclusion, makes the whole batch durable with one write (the end of one step travels with the
//! start of the next), and then makes the attempts. A new attempt is polled at once on this loop:
//! a component that answers at once costs no allocation in a queue, no wake-up and no task switch.

mod attempt;
mod failures;
mod random;
mod start;

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use stepflow_flow::blob::BlobId;
use stepflow_flow::error::FlowError;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::StepIdx;
use stepflow_flow::value::Value;
use stepflow_store::RunId;
use stepflow_store::journal::{Class, Entry};
use tokio::time::Instant;

use self::attempt::{Done, Work};
use self::failures::Failures;
use self::random::Random;
pub(crate) use self::start::{resume, start};
use crate::clock::Clock;
use crate::component::{Completion, Failure, Invocation, Trace};
use crate::engine::Engine;
use crate::flight::Flight;
use crate::outer::Outer;
use crate::retry::Delay;
use crate::run::{Control, FailedStep, Finished, Run, RunError, RunHandle};
use crate::scheduler::{Action, Attempt, Scheduler, outcome_unknown};

/// How many results one turn of the loop takes in before it records them.
const BATCH: usize = 256;

/// What is the same for all steps of a run.
struct Identity {
    run_id: RunId,
    flow_id: BlobId,
    trace_id: [u8; 16],
    depth: u32,
}

/// The state of the loop.
struct Driver {
    engine: Engine,
    identity: Identity,
    scheduler: Scheduler,
    control: Arc<Control>,
    outer: Outer,
    began: Instant,
    random: Random,
    /// Decided, not yet durable.
    staged: Vec<Entry>,
    /// To be made once what is staged is durable.
    attempts: Vec<Attempt>,
    /// Waits that began and that subscribers have not heard of.
    waits: Vec<(StepIdx, Duration)>,
    failures: Failures,
    /// Attempts and waits that are going on.
    flight: Flight<Work>,
    n_attempts_in_flight: usize,
    /// Whether there was no slot left when it was last decided what to do.
    was_full: bool,
    /// The flow, for a run that nobody may have stored it for yet.
    unstored: Option<Value>,
    /// What ended and was not looked at yet.
    done: Vec<Done>,
    finished: Option<Finished>,
}

/// What a turn of the loop found.
enum Turn {
    /// Attempts or waits ended; they are in `done`.
    Done,
    /// All slots were taken, and one was freed.
    Freed,
    /// The run is to end, whatever is going on.
    Ended(FlowError),
}

impl Driver {
    fn new(
        engine: Engine,
        identity: Identity,
        scheduler: Scheduler,
        control: Arc<Control>,
        outer: Outer,
    ) -> Driver {
        Driver {
            engine,
            identity,
            scheduler,
            control,
            outer,
            began: Instant::now(),
            random: Random::new(),
            staged: Vec::new(),
            attempts: Vec::new(),
            waits: Vec::new(),
            failures: Failures::default(),
            flight: Flight::default(),
            n_attempts_in_flight: 0,
            was_full: false,
            unstored: None,
            done: Vec::new(),
            finished: None,
        }
    }

    /// Turns the loop into the future its owner awaits. `staged` is what has been applied and is
    /// not durable yet.
    fn into_run(mut self, staged: Vec<Entry>) -> Run {
        self.staged = staged;
        let handle = RunHandle::new(self.identity.run_id, Arc::clone(&self.control));
        Run::new(handle, Box::pin(self.run()))
    }

    async fn run(mut self) -> Result<Finished, RunError> {
        self.began = Instant::now();
        self.store_flow().await?;
        loop {
            self.decide();
            if self.finished.is_some() {
                // What still runs is pointless from here on; it stops before the end is told.
                self.stop();
                self.outer.close().await;
            }
            self.commit().await?;
            if let Some(finished) = self.finished.take() {
                return Ok(finished);
            }
            match self.turn().await? {
                Turn::Done => self.take_in()?,
                Turn::Freed => {}
                Turn::Ended(error) => self.on_ended(error)?,
            }
            // Components that always answer at once must not keep the thread from other tasks.
            tokio::task::consume_budget().await;
        }
    }

    /// What the journal names has to be there first.
    async fn store_flow(&mut self) -> Result<(), RunError> {
        let Some(flow) = self.unstored.take() else {
            return Ok(());
        };
        let run_id = self.identity.run_id;
        let stored = self.engine.store().put_flow(self.identity.flow_id, &flow);
        stored
            .await
            .map_err(|source| RunError::Store { run_id, source })
    }

    /// Lets the scheduler draw its conclusions.
    fn decide(&mut self) {
        loop {
            let n_busy = self.n_busy() + self.attempts.len();
            let n_free = self.limit().saturating_sub(n_busy);
            match self.scheduler.next(n_free) {
                None => {
                    self.was_full = n_free == 0;
                    return;
                }
                Some(Action::Execute(attempt)) => {
                    self.staged.push(attempt.entry());
                    self.attempts.push(attempt);
                }
                Some(Action::Wait { step, delay }) => self.wait(step, &delay),
                Some(Action::Record(entry)) => {
                    self.note(&entry);
                    if let Entry::RunFinished {
                        outcome,
                        failed_step,
                    } = &entry
                    {
                        self.finished = Some(self.finished(outcome, *failed_step));
                    }
                    self.staged.push(entry);
                }
            }
        }
    }

    /// Takes note of what ended.
    fn note(&mut self, entry: &Entry) {
        self.failures
            .note(&self.identity.run_id, &self.scheduler, entry);
        if let Entry::StepFinished { step, .. } = entry {
            self.outer.forget(&self.scheduler.plan().step(*step).id);
        }
    }

    /// How many attempts may hold a slot.
    fn limit(&self) -> usize {
        self.engine.options().limits.run.max(1)
    }

    /// How many attempts hold a slot.
    fn n_busy(&self) -> usize {
        // An attempt may have ended before it takes back the slot that it lent.
        self.n_attempts_in_flight
            .saturating_sub(self.control.n_waiting())
    }

    /// Lets a step wait before its next attempt.
    fn wait(&mut self, step: StepIdx, delay: &Delay) {
        let wait = delay.length(self.random.fraction());
        self.failures
            .retried(&self.identity.run_id, &self.scheduler, step, delay, wait);
        if let Poll::Ready(done) = self.flight.launch(Work::wait(step, wait)) {
            self.done.push(done);
        }
        self.waits.push((step, wait));
    }

    /// Makes what is decided durable, then tells the subscribers.
    async fn commit(&mut self) -> Result<(), RunError> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let run_id = self.identity.run_id;
        let first = self.engine.store().append(&run_id, &self.staged).await;
        let first = first.map_err(|source| RunError::Store { run_id, source })?;
        self.control.feed.publish(first, self.began, &self.staged);
        self.staged.clear();
        self.control.feed.publish_waits(&self.waits);
        self.waits.clear();
        Ok(())
    }

    /// Makes the attempts that are due and waits until something ends.
    async fn turn(&mut self) -> Result<Turn, RunError> {
        std::future::poll_fn(|context| {
            if let Some(error) = self.control.ended(context.waker()) {
                return Poll::Ready(Ok(Turn::Ended(error.clone())));
            }
            self.launch();
            while self.done.len() < BATCH
                && let Poll::Ready(Some(done)) = self.flight.poll_ended(context)
            {
                self.n_attempts_in_flight -= usize::from(matches!(done, Done::Attempt { .. }));
                self.done.push(done);
            }
            if !self.done.is_empty() {
                return Poll::Ready(Ok(Turn::Done));
            }
            if self.was_full && self.n_busy() < self.limit() {
                return Poll::Ready(Ok(Turn::Freed));
            }
            if self.flight.is_empty() {
                // A run that can neither end nor go on must not wait for ever.
                return Poll::Ready(Err(RunError::Stalled {
                    run_id: self.identity.run_id,
                }));
            }
            Poll::Pending
        })
        .await
    }

    /// Makes the attempts that are due; those that end at once never enter the queue.
    fn launch(&mut self) {
        for attempt in std::mem::take(&mut self.attempts) {
            let work = self.work(attempt);
            match self.flight.launch(work) {
                Poll::Ready(done) => self.done.push(done),
                Poll::Pending => self.n_attempts_in_flight += 1,
            }
        }
    }

    /// Hands an attempt to its component.
    fn work(&mut self, attempt: Attempt) -> Work {
        let Attempt {
            step,
            attempt,
            input,
        } = attempt;
        let planned = self.scheduler.plan().step(step);
        let clock = if planned.timeout.is_some() {
            Clock::running()
        } else {
            Clock::default()
        };
        let invocation = Invocation {
            component: Arc::clone(&planned.component),
            input,
            run_id: self.identity.run_id,
            flow_id: self.identity.flow_id,
            step_id: Arc::clone(&planned.id),
            attempt,
            deadline: planned.timeout,
            clock,
            trace: Trace {
                trace_id: self.identity.trace_id,
                span_id: self.random.next().max(1).to_be_bytes(),
            },
            depth: self.identity.depth,
            outer: self.outer.clone(),
            engine: self.engine.clone(),
        };
        Work::attempt(step, attempt, self.engine.components(), invocation)
    }

    /// Takes in what ended.
    fn take_in(&mut self) -> Result<(), RunError> {
        for done in std::mem::take(&mut self.done) {
            match done {
                Done::Waited { step } => self.scheduler.wake(step),
                Done::Attempt {
                    step,
                    attempt,
                    result,
                } => {
                    let result = self.forbid_resending(step, result);
                    let entry = self.scheduler.judge(step, attempt, result);
                    self.note(&entry);
                    self.record(entry)?;
                }
            }
        }
        Ok(())
    }

    /// A plugin may forbid that a call is repeated whose outcome is unknown.
    fn forbid_resending(
        &self,
        step: StepIdx,
        result: Result<Completion, Failure>,
    ) -> Result<Completion, Failure> {
        let component = &self.scheduler.plan().step(step).component;
        result.map_err(|failure| match failure.class {
            Class::Unknown if !self.engine.components().resends_unknown(component) => {
                Failure::new(Class::Refused, outcome_unknown(&failure.error.message))
            }
            _ => failure,
        })
    }

    fn on_ended(&mut self, error: FlowError) -> Result<(), RunError> {
        self.stop();
        let outcome = Outcome::Failed(error);
        self.finished = Some(self.finished(&outcome, None));
        self.record(Entry::RunFinished {
            outcome,
            failed_step: None,
        })
    }

    /// Drops all work, which cancels it.
    fn stop(&mut self) {
        self.flight = Flight::default();
        self.attempts.clear();
        self.done.clear();
        self.n_attempts_in_flight = 0;
    }

    /// Applies a fact and stages it.
    fn record(&mut self, entry: Entry) -> Result<(), RunError> {
        let run_id = self.identity.run_id;
        self.scheduler
            .apply(&entry)
            .map_err(|source| RunError::Journal { run_id, source })?;
        self.staged.push(entry);
        Ok(())
    }

    fn finished(&self, outcome: &Outcome, failed_step: Option<StepIdx>) -> Finished {
        let failed_step = failed_step.map(|step| {
            let planned = self.scheduler.plan().step(step);
            FailedStep {
                step_id: Arc::clone(&planned.id),
                component: Arc::clone(&planned.component),
                input: self.scheduler.input(step),
                attempts: self.scheduler.attempts(step),
            }
        });
        Finished {
            run_id: self.identity.run_id,
            outcome: outcome.clone(),
            failed_step,
        }
    }
}

impl Drop for Driver {
    /// However the run ends, its subscribers learn that there is no more.
    fn drop(&mut self) {
        self.control.feed.close();
        self.outer.abandon();
    }
}
