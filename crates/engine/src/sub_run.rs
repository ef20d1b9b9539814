//! Runs that a step asks for. Owns how such a run comes to be: once for a step and a key, whichever attempt asks for it, with the
//! variables and the trace of the run around it. What becomes of its outcome is the component's affair.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use indexmap::IndexMap;
use stepflow_flow::blob::BlobId;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::Plan;
use stepflow_flow::value::Value;
use stepflow_store::RunId;
use tokio::task::{JoinSet, coop};

use crate::component::Invocation;
use crate::driver;
use crate::engine::{Request, StartError};
use crate::family::Member;
use crate::outer::{Around, Lent};
use crate::run::{Finished, Run, RunError};

/// A run is polled by the run around it. Every so often one gets a task of its own, so that depth costs no stack.
const POLLED_IN_ONE_TASK: u32 = 16;

/// A flow that a step runs, once or many times.
#[derive(Clone)]
pub struct SubFlow {
    /// The flow, checked and compiled, with its overrides.
    pub plan: Plan,
    /// The content id of the flow as it was given, before overrides.
    pub flow_id: BlobId,
    /// The overrides that the plan contains, or null.
    pub overrides: Value,
    /// The variables that are given to it, as an object, or null. Those of the run around it that it declares come on their own.
    pub variables: Value,
}

/// A run that a step asked for; does nothing unless it is awaited, and stops when it is dropped.
#[must_use = "a run does nothing unless it is awaited"]
pub struct SubRun {
    run_id: RunId,
    /// Gone when the run has ended, whoever still holds this.
    member: Option<Member>,
    work: Work,
}

enum Work {
    Here(Run),
    Boxed(BoxFuture<'static, Result<Ended, RunError>>),
}

/// How a run ended that a step asked for.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The run.
    pub run_id: RunId,
    /// Its outcome.
    pub outcome: Outcome,
    /// Whether it had ended before it was asked for this time.
    pub is_recorded: bool,
}

impl SubFlow {
    /// A flow as it stands, with no variables of its own.
    pub fn new(plan: Plan) -> SubFlow {
        SubFlow {
            flow_id: plan.flow_id(),
            plan,
            overrides: Value::null(),
            variables: Value::null(),
        }
    }
}

impl Invocation {
    /// The flow as this step runs it: with the variables of the run around it that it declares (all, where it declares none),
    /// unless it is given others. A default of its own counts more than one of the run around it.
    pub fn inherit(&self, mut flow: SubFlow) -> SubFlow {
        let declared = flow.plan.variables().map(|declared| &declared.each);
        let is_known = |name: &str| declared.is_none_or(|all| all.contains_key(name));
        let has_default = |name: &str| {
            let own = declared.and_then(|all| all.get(name));
            own.is_some_and(|own| own.default.is_some())
        };
        let around = self.outer.plan().variables();
        let defaults = around.into_iter().flat_map(|around| &around.each);
        let mut variables: IndexMap<&str, Value> = defaults
            .filter(|(name, _)| is_known(name) && !has_default(name))
            .filter_map(|(name, it)| Some((&**name, it.default.clone()?)))
            .collect();
        let given = self.outer.variables().entries();
        variables.extend(
            given
                .filter(|(name, _)| is_known(name))
                .map(|(name, value)| (name, value.clone())),
        );
        if variables.is_empty() {
            return flow;
        }
        let given = flow.variables.clone();
        variables.extend(given.entries().map(|(name, value)| (name, value.clone())));
        flow.variables = Value::object(variables);
        flow
    }

    /// The run of a flow that this step asks for under a key. A later attempt that asks with the same key goes on with the run
    /// that there is, or gets its recorded outcome.
    ///
    /// # Errors
    /// When the input or the variables do not fit the flow, runs are nested too deep, or too many are alive. The last of these
    /// ends the top-level run, whatever becomes of the step.
    pub fn sub_run(&self, flow: &SubFlow, key: &str, input: Value) -> Result<SubRun, StartError> {
        let run_id = self.run_id.of_sub_run(&self.step_id, key);
        let around = self.outer.with_step(&self.step_id);
        let request = Request {
            plan: flow.plan.clone(),
            flow_id: flow.flow_id,
            input,
            variables: flow.variables.clone(),
            overrides: flow.overrides.clone(),
            run_id: Some(run_id),
            parent: Some(self.as_parent(key)),
            trace_id: Some(self.trace.trace_id),
        };
        self.engine.check(&request, Some(&around))?;
        let member = self.join(&around)?;
        let engine = self.engine.clone();
        if self.attempt > 1 {
            let plan = flow.plan.clone();
            let work = async move {
                let around_it = Arc::clone(&around);
                match driver::resume(engine.clone(), run_id, plan, Some(around_it)).await {
                    Ok((run, is_recorded)) => Ok(Ended::new(run.await?, is_recorded)),
                    Err(RunError::NoSuchRun { .. }) => {
                        let run = driver::start(engine, request, Some(around));
                        Ok(Ended::new(run.await?, false))
                    }
                    Err(error) => Err(error),
                }
            };
            let work = Box::pin(work);
            return Ok(SubRun::new(run_id, member, Work::Boxed(work)).placed(self.depth));
        }
        let run = driver::start(engine, request, Some(around));
        Ok(SubRun::new(run_id, member, Work::Here(run)).placed(self.depth))
    }

    /// A place for one more run inside the top-level run; where there is none left, the top-level run ends.
    fn join(&self, around: &Arc<Around>) -> Result<Member, StartError> {
        let limit = self.engine.options().limits.alive;
        let family = self.outer.family();
        family.join(limit).ok_or_else(|| {
            let error = StartError::TooMany {
                limit,
                step_id: Arc::clone(&self.step_id),
                chain: around.describe(),
            };
            family.end(ErrorCode::UNAVAILABLE.error(error.to_string()));
            error
        })
    }

    /// Whether there is room for a run that can as well begin later, when another run of this step has ended. Whoever runs a
    /// flow many times asks before each but the only one.
    pub fn has_room(&self) -> bool {
        let limit = self.engine.options().limits.alive;
        self.outer.family().has_room(limit)
    }

    /// Frees the slot of this attempt in its run until the guard is dropped: it waits for something else than its component.
    pub fn lend_slot(&self) -> Lent {
        self.outer.lend_slot()
    }

    /// What earlier attempts of this step left for this one, and this one leaves for later ones; gone when the step has its
    /// outcome. As durable as the process.
    ///
    /// # Panics
    /// When a component keeps things of two types.
    pub fn kept<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.outer.kept(&self.step_id)
    }
}

impl SubRun {
    fn new(run_id: RunId, member: impl Into<Option<Member>>, work: Work) -> SubRun {
        SubRun {
            run_id,
            member: member.into(),
            work,
        }
    }

    /// The run as one at this depth is polled: as it is, or in a task of its own.
    fn placed(self, depth: u32) -> SubRun {
        if !(depth + 1).is_multiple_of(POLLED_IN_ONE_TASK) {
            return self;
        }
        let run_id = self.run_id;
        SubRun::new(run_id, None, Work::Boxed(apart(self)))
    }

    /// The id of the run.
    pub fn id(&self) -> RunId {
        self.run_id
    }
}

impl Ended {
    fn new(finished: Finished, is_recorded: bool) -> Ended {
        Ended {
            run_id: finished.run_id,
            outcome: finished.outcome,
            is_recorded,
        }
    }
}

impl Future for SubRun {
    type Output = Result<Ended, RunError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A run of quick steps never waits: a million of them one after the other would let nobody else come to his turn, no
        // time limit and no signal, if they did not make way now and then.
        let turn = ready!(coop::poll_proceed(context));
        let ended = match &mut self.work {
            Work::Here(run) => {
                let finished = Pin::new(run).poll(context);
                finished.map(|it| Ok(Ended::new(it?, false)))
            }
            Work::Boxed(work) => work.as_mut().poll(context),
        };
        if ended.is_ready() {
            turn.made_progress();
            self.member = None;
        }
        ended
    }
}

/// The same work in a task of its own, which ends when this is dropped.
fn apart<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> BoxFuture<'static, T> {
    Box::pin(async move {
        let mut tasks = JoinSet::new();
        tasks.spawn(work);
        match tasks.join_next().await.expect("there is one task") {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The whole runtime ends, and we with it.
                Err(_) => std::future::pending().await,
            },
        }
    })
}

impl fmt::Debug for SubFlow {
    /// Leaves out the variables, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubFlow")
            .field("flow_id", &self.flow_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SubRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubRun({})", self.run_id)
    }
}
