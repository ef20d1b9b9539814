//! How a loop comes to be: for a new run, or for one that has a journal already.

use std::sync::Arc;

use stepflow_flow::plan::Plan;
use stepflow_store::RunId;
use stepflow_store::journal::{Class, Entry, Record, RunCreated};

use super::{Driver, Identity};
use crate::engine::{Engine, Request};
use crate::outer::{Around, Outer};
use crate::run::{Control, Run, RunError};
use crate::scheduler::{Contradiction, Scheduler, outcome_unknown};

/// Prepares the loop of a new run.
pub(crate) fn start(engine: Engine, request: Request, around: Option<Arc<Around>>) -> Run {
    let run_id = request.run_id.unwrap_or_else(RunId::new);
    let identity = Identity {
        run_id,
        flow_id: request.flow_id,
        trace_id: request.trace_id.unwrap_or(*run_id.as_bytes()),
        depth: request.parent.as_ref().map_or(0, |parent| parent.depth),
    };
    let control = Arc::<Control>::default();
    let outer = Outer::new(
        request.plan.clone(),
        request.variables.clone(),
        around,
        Arc::clone(&control),
    );
    let created = RunCreated {
        flow_id: request.flow_id,
        input: request.input,
        variables: request.variables,
        overrides: request.overrides,
        parent: request.parent,
    };
    // Who gives overrides, or asks for a run on behalf of a step, has stored the flow once for all such runs.
    let is_stored = created.parent.is_some() || !created.overrides.is_null();
    let unstored = (!is_stored).then(|| request.plan.flow().clone());
    let scheduler = Scheduler::new(request.plan, engine.options().retry.clone(), &created);
    let mut driver = Driver::new(engine, identity, scheduler, control, outer);
    driver.unstored = unstored;
    driver.into_run(vec![Entry::RunCreated(Box::new(created))])
}

/// Prepares the loop of a run that has a journal. Says too whether the run had ended already.
pub(crate) async fn resume(
    engine: Engine,
    run_id: RunId,
    plan: Plan,
    around: Option<Arc<Around>>,
) -> Result<(Run, bool), RunError> {
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
    let control = Arc::<Control>::default();
    let variables = created.variables.clone();
    let outer = Outer::new(plan.clone(), variables, around, Arc::clone(&control));
    let entries = records.iter().map(|record| &record.entry);
    let scheduler = Scheduler::replay(plan, engine.options().retry.clone(), entries);
    let scheduler = scheduler.map_err(broken)?;
    let mut driver = Driver::new(engine, identity, scheduler, control, outer);
    if let Some(Record {
        entry: Entry::RunFinished {
            outcome,
            failed_step,
        },
        ..
    }) = records.last()
    {
        driver.finished = Some(driver.finished(outcome, *failed_step));
        return Ok((driver.into_run(Vec::new()), true));
    }
    let staged = driver.take_up().map_err(broken)?;
    Ok((driver.into_run(staged), false))
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
