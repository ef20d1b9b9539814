//! A run as its owner holds it. Owns the future, the way to cancel it and what it ends with; the
//! work itself is the driver's.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use stepflow_flow::error::{ErrorCode, FlowError};
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;
use stepflow_store::{RunId, StoreError};

use crate::event::{Events, Feed};
use crate::scheduler::Contradiction;

/// A run, ready to be awaited.
///
/// Nothing happens until it is polled, and everything happens within it: no task is spawned, so a
/// caller that wants the run in the background spawns it. Dropping it stops all its work at once
/// and leaves the journal as a crash would; [`RunHandle::cancel`] ends it in good order instead.
#[must_use = "a run does nothing unless it is awaited"]
pub struct Run {
    handle: RunHandle,
    work: BoxFuture<'static, Result<Finished, RunError>>,
}

/// Watches and cancels a run from anywhere. Cheap to clone; does not keep the run alive.
#[derive(Clone)]
pub struct RunHandle {
    run_id: RunId,
    control: Arc<Control>,
}

/// What the loop of a run and its handles share.
#[derive(Debug, Default)]
pub(crate) struct Control {
    pub(crate) feed: Feed,
    /// Why the run is to end before its work is done.
    end: OnceLock<FlowError>,
    /// How many attempts wait for something else than their component, and so hold no slot.
    n_waiting: AtomicUsize,
    waker: AtomicWaker,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The run.
    pub run_id: RunId,
    /// The result of the flow. The error of a failed step is here as its component gave it: code,
    /// message and data.
    pub outcome: Outcome,
    /// The step whose failure nobody handled, when that is why the run failed.
    pub failed_step: Option<FailedStep>,
}

/// A step whose failure ended its run. The error is the run's outcome.
#[derive(Clone, Debug)]
pub struct FailedStep {
    /// Its id.
    pub step_id: Arc<str>,
    /// The normalised path of its component.
    pub component: Arc<str>,
    /// Its input; `None` when it could not be computed.
    pub input: Option<Value>,
    /// How many attempts were made.
    pub attempts: u32,
}

/// A run could not go on because the runtime is broken; its journal says how far it came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The store failed.
    #[error("the journal of run {run_id} could not be read or written")]
    Store {
        /// The run.
        run_id: RunId,
        /// What the store said.
        source: StoreError,
    },
    /// There is no journal of this run.
    #[error("there is no run {run_id} in this store")]
    NoSuchRun {
        /// The run.
        run_id: RunId,
    },
    /// The run waits for nothing and has not ended: a defect of the engine.
    #[error("run {run_id} can neither go on nor end; please report this, with its journal")]
    Stalled {
        /// The run.
        run_id: RunId,
    },
    /// The journal does not fit the plan, or itself.
    #[error(
        "the journal of run {run_id} cannot be continued; is this the flow it was started with?"
    )]
    Journal {
        /// The run.
        run_id: RunId,
        /// Where it stops making sense.
        source: Contradiction,
    },
}

impl Run {
    pub(crate) fn new(
        handle: RunHandle,
        work: BoxFuture<'static, Result<Finished, RunError>>,
    ) -> Run {
        Run { handle, work }
    }

    /// The id of the run.
    pub fn id(&self) -> RunId {
        self.handle.run_id
    }

    /// A handle to watch and cancel the run with while somebody else awaits it.
    pub fn handle(&self) -> RunHandle {
        self.handle.clone()
    }

    /// The events of the run from now on; all of them, when the run was not polled yet.
    pub fn events(&self) -> Events {
        self.handle.events()
    }
}

impl Future for Run {
    type Output = Result<Finished, RunError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.work.as_mut().poll(context)
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Run({})", self.handle.run_id)
    }
}

impl RunHandle {
    pub(crate) fn new(run_id: RunId, control: Arc<Control>) -> RunHandle {
        RunHandle { run_id, control }
    }

    /// The id of the run.
    pub fn id(&self) -> RunId {
        self.run_id
    }

    /// Cancels the run: its attempts are dropped, which cancels them, and it ends as failed with
    /// code -32012. The [`Run`] resolves once all work has stopped. A run that has already ended
    /// keeps its outcome; of several reasons the first counts.
    pub fn cancel(&self, reason: impl Into<String>) {
        self.control.end(ErrorCode::CANCELLED.error(reason));
    }

    /// The events of the run from now on. They end at once when the run has ended.
    pub fn events(&self) -> Events {
        self.control.feed.subscribe()
    }
}

impl fmt::Debug for RunHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunHandle({})", self.run_id)
    }
}

impl Control {
    /// Ends the run as failed, as soon as it is polled again.
    pub(crate) fn end(&self, error: FlowError) {
        // A second reason changes nothing.
        let _ = self.end.set(error);
        self.waker.wake();
    }

    /// Why the run is to end, once it is; else the waker is told when it is.
    pub(crate) fn ended(&self, waker: &Waker) -> Option<&FlowError> {
        self.waker.register(waker);
        self.end.get()
    }

    /// An attempt frees its slot.
    pub(crate) fn begin_wait(&self) {
        self.n_waiting.fetch_add(1, Ordering::AcqRel);
        self.waker.wake();
    }

    /// An attempt takes its slot again.
    pub(crate) fn end_wait(&self) {
        self.n_waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// How many attempts hold no slot.
    pub(crate) fn n_waiting(&self) -> usize {
        self.n_waiting.load(Ordering::Acquire)
    }
}
