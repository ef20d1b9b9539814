//! Any flow, any timing, any failures: the engine does what a plain interpreter of the flow page
//! says, exactly once per attempt, and its state is what its journal adds up to.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod model;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use proptest::prelude::*;
use stepflow_engine::retry::Retry;
use stepflow_engine::scheduler::{Action, Attempt, Scheduler, Stage};
use stepflow_engine::{Completion, Components, Engine, Failure, Invocation, Options, Request};
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::{Plan, StepIdx};
use stepflow_flow::value::Value;
use stepflow_store::Store;
use stepflow_store::journal::{Entry, RunCreated};

use model::{Expected, Flow};
use support::plan;

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The scheduler alone, with results coming back in any order.
    #[test]
    fn the_scheduler_does_what_the_flow_says(flow in model::flow(), order in any::<u64>()) {
        let plan = plan(&flow.text());
        let history = Simulation::new(&flow, &plan, order).run();
        verify(&flow, &plan, &history);
    }

    /// The whole engine, with components that take any time.
    #[test]
    fn the_engine_does_what_the_flow_says(
        flow in model::flow(),
        delays in prop::collection::vec(0_u64..4, 16),
        limit in 1_usize..5,
    ) {
        let plan = plan(&flow.text());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let history = runtime.block_on(through_the_engine(&flow, &plan, delays, limit));
        verify(&flow, &plan, &history);
    }

    /// The state after any part of a journal is the one that the journal's writer had then, and
    /// going on from there ends the run.
    #[test]
    fn the_journal_is_the_state(flow in model::flow(), order in any::<u64>(), cut in any::<u64>()) {
        let plan = plan(&flow.text());
        let mut simulation = Simulation::new(&flow, &plan, order);
        while simulation.turn() {
            let mut replayed = replay(&plan, &simulation.entries);
            let expected = stages(&mut simulation.scheduler.clone());
            prop_assert_eq!(stages(&mut replayed), expected);
        }
        let entries = simulation.entries;
        // All but the last entry, which is the end.
        for n in 1..entries.len() {
            let mut replayed = replay(&plan, &entries[..n]);
            replayed.apply(&Entry::RunResumed).unwrap();
            let mut history = entries[..n].to_vec();
            history.push(Entry::RunResumed);
            let rest = Simulation { scheduler: replayed, entries: history, ..Simulation::new(&flow, &plan, cut) };
            verify(&flow, &plan, &rest.run());
        }
    }
}

fn replay(plan: &Plan, entries: &[Entry]) -> Scheduler {
    Scheduler::replay(plan.clone(), Retry::default(), entries).unwrap()
}

/// Where every step stands once the scheduler has drawn its conclusions and all waits are over.
fn stages(scheduler: &mut Scheduler) -> Vec<String> {
    let steps: Vec<StepIdx> = (0..scheduler.plan().steps().len())
        .map(StepIdx::new)
        .collect();
    loop {
        for &step in &steps {
            scheduler.wake(step);
        }
        match scheduler.next(usize::MAX) {
            None => break,
            Some(Action::Wait { step, .. }) => scheduler.wake(step),
            Some(Action::Record(_) | Action::Execute(_)) => {}
        }
    }
    steps
        .iter()
        .map(|&step| format!("{:?}", scheduler.stage(step)))
        .collect()
}

/// A run of the scheduler without an engine: nothing takes time, and what comes next is chance.
struct Simulation<'f> {
    flow: &'f Flow,
    scheduler: Scheduler,
    entries: Vec<Entry>,
    going_on: Vec<Attempt>,
    order: u64,
}

impl<'f> Simulation<'f> {
    fn new(flow: &'f Flow, plan: &Plan, order: u64) -> Simulation<'f> {
        let created = created(plan);
        let scheduler = Scheduler::new(plan.clone(), Retry::default(), &created);
        Simulation {
            flow,
            scheduler,
            entries: vec![Entry::RunCreated(Box::new(created))],
            going_on: Vec::new(),
            order,
        }
    }

    fn run(mut self) -> Vec<Entry> {
        while self.turn() {}
        assert!(
            self.scheduler.has_ended(),
            "the run neither goes on nor ends"
        );
        self.entries
    }

    /// Does one thing; returns whether there was anything to do.
    fn turn(&mut self) -> bool {
        let limit = 1 + self.chance(4);
        match self
            .scheduler
            .next(limit.saturating_sub(self.going_on.len()))
        {
            Some(Action::Record(entry)) => self.entries.push(entry),
            Some(Action::Wait { step, .. }) => self.scheduler.wake(step),
            Some(Action::Execute(attempt)) => {
                self.entries.push(attempt.entry());
                self.going_on.push(attempt);
            }
            None if self.scheduler.has_ended() || self.going_on.is_empty() => return false,
            None => {
                let next = self.chance(self.going_on.len());
                let Attempt {
                    step,
                    attempt,
                    input,
                } = self.going_on.swap_remove(next);
                // An interrupted attempt did nothing, so the model does not count it.
                let answered = 1 + self.n_failed(step);
                let result = self.flow.result(step.place(), answered, &input);
                let entry = self.scheduler.judge(step, attempt, result);
                self.scheduler.apply(&entry).unwrap();
                self.entries.push(entry);
            }
        }
        true
    }

    fn n_failed(&self, of: StepIdx) -> u32 {
        let failed = |entry: &&Entry| matches!(entry, Entry::StepFailed { step, attempt: 1.., .. } if *step == of);
        self.entries.iter().filter(failed).count() as u32
    }

    fn chance(&mut self, n: usize) -> usize {
        self.order = self
            .order
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.order >> 33) as usize % n
    }
}

fn created(plan: &Plan) -> RunCreated {
    RunCreated {
        flow_id: plan.flow_id(),
        input: Value::null(),
        variables: Value::null(),
        overrides: Value::null(),
        parent: None,
    }
}

/// Components that follow the model and take their time.
struct Modelled {
    flow: Flow,
    plan: Plan,
    delays: Vec<u64>,
    calls: Mutex<BTreeMap<(String, u32), usize>>,
}

impl Components for Modelled {
    fn execute(&self, call: Invocation) -> BoxFuture<'static, Result<Completion, Failure>> {
        let mut calls = self.calls.lock().unwrap();
        *calls
            .entry((call.step_id.to_string(), call.attempt))
            .or_default() += 1;
        let step = self.plan.step_idx(&call.step_id).unwrap().place();
        let result = self.flow.result(step, call.attempt, &call.input);
        let delay = self.delays[(step + call.attempt as usize) % self.delays.len()];
        Box::pin(async move {
            if delay > 0 {
                tokio::time::sleep(Duration::from_secs(delay)).await;
            }
            result
        })
    }
}

async fn through_the_engine(
    flow: &Flow,
    plan: &Plan,
    delays: Vec<u64>,
    limit: usize,
) -> Vec<Entry> {
    let components = Arc::new(Modelled {
        flow: flow.clone(),
        plan: plan.clone(),
        delays,
        calls: Mutex::default(),
    });
    let mut options = Options::default();
    options.limits.run = limit;
    let engine = Engine::new(
        Store::memory(),
        Arc::<Modelled>::clone(&components),
        options,
    );
    let run = engine
        .run(Request::new(plan.clone(), Value::null()))
        .unwrap();
    let finished = run.await.unwrap();
    let calls = std::mem::take(&mut *components.calls.lock().unwrap());
    assert!(
        calls.values().all(|&n| n == 1),
        "dispatched twice: {calls:?}"
    );
    let records = engine.store().load(&finished.run_id).await.unwrap();
    records.into_iter().map(|record| record.entry).collect()
}

/// Compares a whole journal with what the model expects, and with the rules of journals.
fn verify(flow: &Flow, plan: &Plan, entries: &[Entry]) {
    let mut started = BTreeSet::new();
    let mut ended = BTreeMap::new();
    let mut result = None;
    for entry in entries {
        assert!(result.is_none(), "something happened after the end");
        match entry {
            Entry::StepStarted { step, attempt } => {
                assert!(!ended.contains_key(&step.place()), "started after its end");
                assert!(started.insert((step.place(), *attempt)), "started twice");
            }
            Entry::StepFinished { step, outcome } => {
                let before = ended.insert(step.place(), outcome);
                assert!(before.is_none(), "ended twice");
            }
            Entry::RunFinished {
                outcome,
                failed_step,
            } => result = Some((outcome, failed_step)),
            Entry::RunCreated(_) | Entry::RunResumed | Entry::StepFailed { .. } => {}
        }
    }
    let (outcome, failed_step) = result.expect("every run ends");
    match flow.expected() {
        Expected::Ends { output, ran } => {
            assert_eq!(*outcome, output, "{}", flow.text());
            let finished: BTreeSet<usize> = ended.keys().copied().collect();
            assert_eq!(finished, ran, "{}", flow.text());
            let scheduler = replay(plan, entries);
            for (place, _) in plan.steps().iter().enumerate() {
                let stage = scheduler.stage(StepIdx::new(place));
                assert_eq!(ran.contains(&place), matches!(stage, Stage::Finished(_)));
            }
        }
        // Which of several failures comes first is a matter of timing.
        Expected::Fails { steps } => {
            assert!(
                matches!(outcome, Outcome::Failed(_)),
                "{outcome:?} {}",
                flow.text()
            );
            let step = failed_step.expect("only steps fail in the model").place();
            assert!(
                steps.contains(&step),
                "{step} failed, not one of {steps:?}: {}",
                flow.text()
            );
        }
    }
}
