//! How a loop comes to be: for a new run, or for one that has a journal already.

use stepflow_flow::plan::Plan;
use stepflow_store::RunId;
use stepflow_store::journal::{Class, Entry, Record, RunCreated};

use super::{Driver, Identity};
use crate::engine::{Engine, Request};
use crate::run::{Run, RunError};
use crate::scheduler::{Contradiction, Scheduler, outcome_unknown};

/// Prepares the loop of a new run.
pub(crate) fn start(engine: Engine, request: Request) -> Run {
    let run_id = request.run_id.unwrap_or_else(RunId::new);
    let identity = Identity {
        run_id,
        flow_id: request.flow_id,
        trace_id: request.trace_id.unwrap_or(*run_id.as_bytes()),
        depth: request.parent.as_ref().map_or(0, |parent| parent.depth),
    };
    let created = RunCreated {
        flow_id: request.flow_id,
        input: request.input,
        variables: request.variables,
        overrides: request.overrides,
        parent: request.parent,
    };
    let scheduler = Scheduler::new(request.plan, engine.options().retry.clone(), &created);
    let driver = Driver::new(engine, identity, scheduler);
    driver.into_run(vec![Entry::RunCreated(Box::new(created))])
}

/// Prepares the loop of a run that has a journal.
pub(crate) async fn resume(engine: Engine, run_id: RunId, plan: Plan) -> Result<Run, RunError> {
    let records = engine.store().load(&run_id).await;
    let records = records.map_err(|source| RunError::Store { run_id, source })?;
    let broken = |source| RunError::Journal { run_id, source };
    let created = match records.first() {
        Some(Record {
            entry: Entry::RunCreated(created),
            ..
        }) => created,
        Some(_) => return Err(broken(Contradiction::NotCreated)),
        None => return Err(RunError::NoSuchRun { run_id }),
    };
    if created.overrides.is_null() && created.flow_id != plan.flow_id() {
        return Err(broken(Contradiction::OtherFlow {
            recorded: created.flow_id.to_string(),
            given: plan.flow_id().to_string(),
        }));
    }
    let identity = Identity {
        run_id,
        flow_id: created.flow_id,
        trace_id: *run_id.as_bytes(),
        depth: created.parent.as_ref().map_or(0, |parent| parent.depth),
    };
    let entries = records.iter().map(|record| &record.entry);
    let scheduler = Scheduler::replay(plan, engine.options().retry.clone(), entries);
    let mut driver = Driver::new(engine, identity, scheduler.map_err(broken)?);
    if let Some(Record {
        entry: Entry::RunFinished {
            outcome,
            failed_step,
        },
        ..
    }) = records.last()
    {
        driver.finished = Some(driver.finished(outcome, *failed_step));
        return Ok(driver.into_run(Vec::new()));
    }
    let staged = driver.take_up().map_err(broken)?;
    Ok(driver.into_run(staged))
}

impl Driver {
    /// Tells the scheduler that the run goes on in another process, and which of the interrupted
    /// calls their plugins forbid to repeat.
    fn take_up(&mut self) -> Result<Vec<Entry>, Contradiction> {
        let mut staged = vec![Entry::RunResumed];
        self.scheduler.apply(&Entry::RunResumed)?;
        for (step, attempt) in self.scheduler.interrupted() {
            let component = &self.scheduler.plan().step(step).component;
            if !self.engine.components().resends_unknown(component) {
                let error = outcome_unknown("the runtime stopped while the step ran");
                staged.push(Entry::StepFailed {
                    step,
                    attempt,
                    class: Class::Refused,
                    error,
                });
            }
        }
        staged[1..]
            .iter()
            .try_for_each(|entry| self.scheduler.apply(entry))?;
        Ok(staged)
    }
}
