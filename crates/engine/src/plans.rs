//! Plans of flows that steps ask for. Owns how such a flow is found, checked and compiled, once for many that ask for the same.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stepflow_flow::blob::{BlobId, CanonicalError};
use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::document::Source;
use stepflow_flow::overrides::{self, OverrideError};
use stepflow_flow::plan::{self, Plan};
use stepflow_flow::value::Value;
use stepflow_store::{Store, StoreError};

use crate::sub_run::SubFlow;

/// How many plans are kept at hand.
const KEPT: usize = 64;

/// Why a flow cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No flow has this id.
    #[error("there is no flow {flow_id} in this store; was it stored as a blob?")]
    NotFound {
        /// The id.
        flow_id: BlobId,
    },
    /// The flow has mistakes.
    #[error("the flow cannot be run:\n{0}")]
    Unsound(Diagnostics),
    /// The flow is data that has no id.
    #[error("the flow cannot be run, because it has no id")]
    NoId(#[from] CanonicalError),
    /// The overrides cannot be applied to the flow.
    #[error("{0}")]
    Overrides(#[from] OverrideError),
    /// The store failed.
    #[error("the flow could not be read or stored")]
    Store(#[from] StoreError),
}

/// The plans that were asked for last.
#[derive(Default)]
pub(crate) struct Plans {
    by_flow: Mutex<HashMap<BlobId, Plan>>,
}

impl Plans {
    /// The plan of a stored flow.
    pub(crate) async fn stored(&self, store: &Store, flow_id: BlobId) -> Result<Plan, PlanError> {
        if let Some(plan) = self.lock().get(&flow_id) {
            return Ok(plan.clone());
        }
        let blob = store.get_blob(&flow_id).await?;
        let flow = blob.ok_or(PlanError::NotFound { flow_id })?.data;
        let plan = compile(&flow)?;
        self.keep(flow_id, &plan);
        Ok(plan)
    }

    /// The plan of a flow as it stands. The flow is stored, since the journals of its runs name it by its id only.
    pub(crate) async fn given(&self, store: &Store, flow: &Value) -> Result<Plan, PlanError> {
        let flow_id = BlobId::of(flow)?;
        if let Some(plan) = self.lock().get(&flow_id) {
            return Ok(plan.clone());
        }
        let plan = compile(flow)?;
        store.put_flow(flow_id, flow).await?;
        self.keep(flow_id, &plan);
        Ok(plan)
    }

    fn keep(&self, flow_id: BlobId, plan: &Plan) {
        let mut plans = self.lock();
        if plans.len() >= KEPT {
            plans.clear();
        }
        plans.insert(flow_id, plan.clone());
    }

    /// Nothing under this lock can panic half-way.
    fn lock(&self) -> MutexGuard<'_, HashMap<BlobId, Plan>> {
        self.by_flow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The flow with its overrides, which are not kept at hand: each caller has its own.
pub(crate) fn overridden(plan: Plan, overrides: &Value) -> Result<SubFlow, PlanError> {
    let flow = SubFlow::new(plan);
    if overrides.is_null() {
        return Ok(flow);
    }
    let changed = overrides::apply(flow.plan.flow(), overrides)?;
    Ok(SubFlow {
        plan: compile(&changed)?,
        overrides: overrides.clone(),
        ..flow
    })
}

fn compile(flow: &Value) -> Result<Plan, PlanError> {
    let checked = plan::check(&Source::new("flow", flow.as_text()));
    checked.plan.ok_or(PlanError::Unsound(checked.diagnostics))
}
