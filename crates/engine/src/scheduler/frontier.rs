//! Which steps are needed, what each one waits for, and which can move on. Owns the bookkeeping of
//! a run's progress in constant time per step and per reference; must not know what steps mean:
//! no plan, no expression, no outcome is looked at here.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use stepflow_flow::error::FlowError;
use stepflow_flow::plan::StepIdx;
use stepflow_store::journal::Class;

use crate::retry::Delay;

/// Where a step stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    /// Nothing needs it so far.
    Idle,
    /// Something needs it; what it needs itself has not been looked at.
    Needed,
    /// Waits for what its `skipIf` needs.
    SkipIf,
    /// Waits for what its input needs, or for a free slot when nothing is missing.
    Input,
    /// An attempt is going on.
    Started,
    /// An attempt was going on when the runtime stopped.
    Interrupted,
    /// It failed and is not tried again; `onError` decides, and may wait for a default's needs.
    Failed(Box<(Class, FlowError)>),
    /// It will be tried again after this wait.
    Delayed(Box<Delay>),
    /// It will be tried again as soon as a slot is free.
    Due,
    /// It has its outcome.
    Finished,
}

/// The bookkeeping of one step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) phase: Phase,
    /// How many outcomes the phase waits for.
    missing: u32,
    /// The number of the last attempt; 0 before the first.
    pub(super) attempt: u32,
    /// Retries used up, by budget.
    pub(super) spent: Spent,
}

/// Retries used up, by budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) transport: u32,
    pub(super) busy: u32,
    pub(super) on_error: u32,
}

/// The steps of a run, and one more node, the last, that stands for the flow's output.
#[derive(Clone, Debug)]
pub(super) struct Frontier {
    steps: Vec<Step>,
    waiters: Waiters,
    /// Nodes that can move on without a slot. May hold nodes that have moved on since.
    decide: VecDeque<StepIdx>,
    /// Steps that can move on once a slot is free. May hold steps that have moved on since.
    ready: VecDeque<StepIdx>,
    /// How many steps are needed and not finished.
    n_open: usize,
}

impl Frontier {
    /// A frontier of `n_steps` steps and the output, none of them needed.
    pub(super) fn new(n_steps: usize) -> Frontier {
        let idle = Step {
            phase: Phase::Idle,
            missing: 0,
            attempt: 0,
            spent: Spent::default(),
        };
        Frontier {
            steps: vec![idle; n_steps + 1],
            waiters: Waiters::new(n_steps),
            decide: VecDeque::new(),
            ready: VecDeque::new(),
            n_open: 0,
        }
    }

    pub(super) fn step(&self, step: StepIdx) -> &Step {
        &self.steps[step.place()]
    }

    pub(super) fn step_mut(&mut self, step: StepIdx) -> &mut Step {
        &mut self.steps[step.place()]
    }

    /// The steps, without the node of the output.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps[..self.steps.len() - 1]
    }

    /// Whether every needed step has finished.
    pub(super) fn is_at_rest(&self) -> bool {
        self.n_open == 0
    }

    /// Makes a step needed, unless it is already. Its own needs are looked at later, from the
    /// queue, so that a chain of any length costs no stack.
    pub(super) fn activate(&mut self, step: StepIdx) {
        let it = &mut self.steps[step.place()];
        if matches!(it.phase, Phase::Idle) {
            it.phase = Phase::Needed;
            self.n_open += 1;
            self.decide.push_back(step);
        }
    }

    /// Activates `needs` and lets `node` wait for those that have no outcome. Returns whether it
    /// has to wait at all.
    pub(super) fn wait_for(&mut self, node: StepIdx, needs: &[StepIdx]) -> bool {
        for &need in needs {
            self.activate(need);
            if !matches!(self.steps[need.place()].phase, Phase::Finished) {
                self.waiters.add(need, node);
                self.steps[node.place()].missing += 1;
            }
        }
        self.steps[node.place()].missing > 0
    }

    /// Queues a node whose next decision needs no slot.
    pub(super) fn queue_decision(&mut self, node: StepIdx) {
        self.decide.push_back(node);
    }

    /// Queues a step whose next attempt needs a slot.
    pub(super) fn queue_attempt(&mut self, step: StepIdx) {
        self.ready.push_back(step);
    }

    /// The next node to decide about, if it still waits for a decision and for nothing else.
    pub(super) fn next_decision(&mut self) -> Option<StepIdx> {
        loop {
            let node = self.decide.pop_front()?;
            if self.steps[node.place()].missing == 0 {
                return Some(node);
            }
        }
    }

    /// The next step that wants a slot.
    pub(super) fn next_attempt(&mut self) -> Option<StepIdx> {
        loop {
            let step = self.ready.pop_front()?;
            let it = &self.steps[step.place()];
            // A replayed journal may have moved the step on since it was queued.
            if matches!(it.phase, Phase::Input | Phase::Due) && it.missing == 0 {
                return Some(step);
            }
        }
    }

    /// Finishes a step and queues the nodes that waited for nothing else.
    pub(super) fn finish(&mut self, step: StepIdx) {
        self.steps[step.place()].phase = Phase::Finished;
        self.n_open -= 1;
        let mut next = self.waiters.take(step);
        while let Some(edge) = next {
            let (waiter, after) = self.waiters.get(edge);
            next = after;
            let it = &mut self.steps[waiter.place()];
            it.missing -= 1;
            match it.phase {
                _ if it.missing > 0 => {}
                Phase::Input => self.ready.push_back(waiter),
                _ => self.decide.push_back(waiter),
            }
        }
    }
}

/// Who waits for whom: a linked list per step in one arena, so that waiting allocates nothing.
/// Lists keep their order, so that steps which become ready together start in the flow's order.
#[derive(Clone, Debug)]
struct Waiters {
    lists: Vec<List>,
    edges: Vec<(StepIdx, Option<Edge>)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct List {
    first: Option<Edge>,
    last: Option<Edge>,
}

/// A place in the arena, counted from 1 so that an `Option` of it takes four bytes.
type Edge = NonZeroU32;

impl Waiters {
    fn new(n_steps: usize) -> Waiters {
        Waiters {
            lists: vec![List::default(); n_steps],
            edges: Vec::new(),
        }
    }

    fn add(&mut self, need: StepIdx, waiter: StepIdx) {
        self.edges.push((waiter, None));
        let place = u32::try_from(self.edges.len()).ok().and_then(Edge::new);
        let edge = place.expect("a plan has fewer than 2^32 references");
        let list = &mut self.lists[need.place()];
        match list.last {
            Some(last) => self.edges[last.get() as usize - 1].1 = Some(edge),
            None => list.first = Some(edge),
        }
        list.last = Some(edge);
    }

    /// The first waiter of a step that has finished; nobody is told twice.
    fn take(&mut self, need: StepIdx) -> Option<Edge> {
        std::mem::take(&mut self.lists[need.place()]).first
    }

    fn get(&self, edge: Edge) -> (StepIdx, Option<Edge>) {
        self.edges[edge.get() as usize - 1]
    }
}
