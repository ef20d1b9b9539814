//! The calls under way on one connection, as what comes back on it sees them. Owns to which of them a request belongs, and that a
//! call whose component waits for a flow holds no slot and is not on the clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use stepflow_engine::Held;
use stepflow_engine::Invocation;
use stepflow_engine::Lent;
use stepflow_flow::blob::BlobId;
use stepflow_protocol::Observability;
use stepflow_protocol::error::ErrorCode;
use stepflow_protocol::error::rpc_error;
use stepflow_rpc::Id;
use stepflow_rpc::RpcError;
use tokio_util::sync::CancellationToken;

use crate::pool::Slot;

/// The execute requests under way on one connection.
#[derive(Clone, Debug, Default)]
pub struct Executions {
    by_id: Arc<Mutex<HashMap<Id, Execution>>>,
}

/// What a call back needs to know of the call it belongs to.
#[derive(Clone, Debug)]
pub struct Execution {
    /// The run.
    pub run_id: String,
    /// The step.
    pub step_id: Arc<str>,
    /// The attempt.
    pub attempt: u32,
    /// The call itself, where an engine stands behind it.
    pub serving: Option<Arc<Serving>>,
}

/// A call with an engine behind it.
#[derive(Debug)]
pub struct Serving {
    /// What the component was told.
    pub invocation: Invocation,
    slot: Slot,
    waiting: Mutex<Waiting>,
    occurrences: Mutex<HashMap<BlobId, u64>>,
    over: CancellationToken,
}

/// The requests of one call that wait for flows, and what is given away meanwhile.
#[derive(Debug, Default)]
struct Waiting {
    n_requests: usize,
    given_away: Option<(Lent, Held)>,
}

/// One request that waits.
struct Wait<'a>(&'a Serving);

/// Keeps a call listed while it is under way.
#[derive(Debug)]
pub struct Listed {
    executions: Executions,
    id: Id,
    serving: Option<Arc<Serving>>,
}

/// A call to a server that asks for no flows.
impl From<&Invocation> for Execution {
    fn from(invocation: &Invocation) -> Self {
        Execution {
            run_id: invocation.run_id.to_string(),
            step_id: Arc::clone(&invocation.step_id),
            attempt: invocation.attempt,
            serving: None,
        }
    }
}

impl Execution {
    /// A call that may come back for flows.
    pub fn of(serving: &Arc<Serving>) -> Self {
        Execution {
            serving: Some(Arc::clone(serving)),
            ..Execution::from(&serving.invocation)
        }
    }
}

impl Executions {
    /// Lists a call before it is sent, so that its first call back finds it.
    pub fn list(&self, id: &Id, execution: Execution) -> Listed {
        let serving = execution.serving.clone();
        lock(&self.by_id).insert(id.clone(), execution);
        Listed {
            executions: self.clone(),
            id: id.clone(),
            serving,
        }
    }

    /// The call with this id, while it is under way.
    pub fn find(&self, id: Option<&Id>) -> Option<Execution> {
        lock(&self.by_id).get(id?).cloned()
    }

    /// The call that a request belongs to: the one that it names, else one of the step that it is about.
    ///
    /// # Errors
    /// -32602 when there is none, or none with an engine behind it.
    pub fn serving(
        &self,
        execution: Option<&Id>,
        observability: Option<&Observability>,
    ) -> Result<Arc<Serving>, RpcError> {
        let found = match execution {
            Some(id) => self.find(Some(id)),
            None => observability.and_then(|it| self.find_step(it)),
        };
        let Some(found) = found else {
            let message = "no call is under way that this could belong to; name the execute request in `execution`";
            return Err(rpc_error(ErrorCode::INVALID_PARAMS, message));
        };
        found.serving.ok_or_else(|| {
            let message =
                "this call was made by itself, so that there is nothing to run flows with";
            rpc_error(ErrorCode::UNAVAILABLE, message)
        })
    }

    fn find_step(&self, observability: &Observability) -> Option<Execution> {
        let run_id = observability.run_id.as_deref()?;
        let step_id = observability.step_id.as_deref()?;
        let calls = lock(&self.by_id);
        let mut calls = calls.values();
        calls
            .find(|it| it.run_id == run_id && &*it.step_id == step_id)
            .cloned()
    }
}

impl Serving {
    /// A call that holds this slot.
    pub(crate) fn new(invocation: Invocation, slot: Slot) -> Arc<Self> {
        Arc::new(Serving {
            invocation,
            slot,
            waiting: Mutex::default(),
            occurrences: Mutex::default(),
            over: CancellationToken::new(),
        })
    }

    /// How often this call has asked for the same before.
    pub(crate) fn occurrence(&self, what: BlobId) -> u64 {
        let mut occurrences = lock(&self.occurrences);
        let count = occurrences.entry(what).or_default();
        *count += 1;
        *count - 1
    }

    /// Does what the component waits for. Until that is done the call holds no slot, neither of its run nor of its plugin, and its
    /// time stands still; with several such requests at once, from the first to the last. When the call ends, so does the work.
    ///
    /// # Errors
    /// -32012 when the call is over.
    pub(crate) async fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, RpcError> {
        let wait = self.begin_wait();
        let waiting = async {
            let done = work.await;
            // The component goes on only when its plugin has room for it.
            if lock(&self.waiting).n_requests == 1 {
                self.slot.take_again().await;
                // Another request may have begun to wait meanwhile.
                if lock(&self.waiting).n_requests > 1 {
                    self.slot.lend();
                }
            }
            done
        };
        let result = tokio::select! {
            biased;
            () = self.over.cancelled() => {
                Err(rpc_error(ErrorCode::CANCELLED, "the call that asked for this is over"))
            }
            done = waiting => Ok(done),
        };
        drop(wait);
        result
    }

    fn begin_wait(&self) -> Wait<'_> {
        let mut waiting = lock(&self.waiting);
        waiting.n_requests += 1;
        self.slot.lend();
        if waiting.n_requests == 1 {
            waiting.given_away = Some((self.invocation.lend_slot(), self.invocation.clock.pause()));
        }
        Wait(self)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(&self.0.waiting);
        waiting.n_requests -= 1;
        if waiting.n_requests == 0 {
            waiting.given_away = None;
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        lock(&self.executions.by_id).remove(&self.id);
        if let Some(serving) = &self.serving {
            serving.over.cancel();
            serving.slot.lend();
        }
    }
}

/// Nothing under these locks can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
