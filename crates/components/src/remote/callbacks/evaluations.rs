//! Flows that a component runs and waits for, and what is written about flows. Owns under which key a run is found again; the run
//! itself is the engine's.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::future::Shared;
use futures_util::future::WeakShared;
use stepflow_engine::SubFlow;
use stepflow_flow::blob::BlobId;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::error::FlowError;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;
use stepflow_protocol::error::rpc_error;
use stepflow_protocol::error::to_rpc;
use stepflow_protocol::flow::EvaluateParams;
use stepflow_protocol::flow::EvaluateResult;
use stepflow_protocol::flow::GetMetadataParams;
use stepflow_protocol::flow::GetMetadataResult;
use stepflow_rpc::Call;
use stepflow_rpc::RpcError;

use super::Host;
use super::executions::Serving;
use super::get_blob;
use crate::subflows;
use crate::subflows::Given;
use crate::subflows::Started;

type Evaluation = Shared<BoxFuture<'static, Result<Outcome, FlowError>>>;

/// The flows that the attempts of one step asked for, by key.
#[derive(Debug, Default)]
struct Evaluations {
    by_key: Mutex<HashMap<String, Found>>,
}

#[derive(Debug)]
enum Found {
    /// It may be going on still; whoever asks for the same waits for the same.
    Begun(WeakShared<BoxFuture<'static, Result<Outcome, FlowError>>>),
    Ended(Outcome),
}

/// Runs a flow for a component.
pub(super) async fn on_evaluate(
    call: Call<Host>,
    params: EvaluateParams,
) -> Result<EvaluateResult, RpcError> {
    let executions = &call.state.executions;
    let serving = executions.serving(params.execution.as_ref(), params.observability.as_ref())?;
    let given = match (params.flow, params.flow_id) {
        (Some(flow), None) => Given::Inline(flow),
        (None, Some(flow_id)) => Given::Stored(flow_id),
        _ => {
            let message = "one of `flow` and `flow_id` must be there";
            return Err(rpc_error(ErrorCode::INVALID_PARAMS, message));
        }
    };
    let flow = find(&serving, &given, params.overrides, params.variables).await?;
    let key = match params.key {
        Some(key) => format!("key {key}"),
        None => default_key(&serving, &flow, &params.input)?,
    };
    let evaluation = evaluation(&serving, &flow, &key, params.input).map_err(to_rpc)?;
    let outcome = serving.wait(evaluation).await?.map_err(to_rpc)?;
    Ok(EvaluateResult { result: outcome })
}

/// The flow as a component asks for it.
pub(super) async fn find(
    serving: &Serving,
    given: &Given,
    overrides: Option<Value>,
    variables: Option<Value>,
) -> Result<SubFlow, RpcError> {
    let invocation = &serving.invocation;
    let overrides = overrides.unwrap_or_default();
    let found = given.find(&invocation.engine, &overrides, ErrorCode::INVALID_PARAMS);
    let mut flow = found.await.map_err(to_rpc)?;
    flow.variables = variables.unwrap_or_default();
    Ok(invocation.inherit(flow))
}

/// The same in every attempt for what is asked for in the same way: the flow, what it gets, and how often that was asked for before.
fn default_key(serving: &Serving, flow: &SubFlow, input: &Value) -> Result<String, RpcError> {
    let id = Value::string(&flow.flow_id.to_string());
    let parts = [
        id,
        input.clone(),
        flow.overrides.clone(),
        flow.variables.clone(),
    ];
    let what = BlobId::of(&Value::list(parts))
        .map_err(|error| rpc_error(ErrorCode::INVALID_PARAMS, format!("the input: {error}")))?;
    let occurrence = serving.occurrence(what);
    Ok(format!("{what} {occurrence}"))
}

/// The run that there is for this key, else a new one.
fn evaluation(
    serving: &Serving,
    flow: &SubFlow,
    key: &str,
    input: Value,
) -> Result<Evaluation, FlowError> {
    let call = &serving.invocation;
    let evaluations: Arc<Evaluations> = call.kept();
    let mut by_key = evaluations.lock();
    match by_key.get(key) {
        Some(Found::Ended(outcome)) => return Ok(ended(outcome)),
        Some(Found::Begun(begun)) => {
            if let Some(evaluation) = begun.upgrade() {
                return Ok(evaluation);
            }
        }
        None => {}
    }
    let run = match subflows::start(call, flow, key, input)? {
        Started::Misfit(outcome) => return Ok(ended(&outcome)),
        Started::Run(run) => run,
    };
    let (kept, own_key) = (Arc::clone(&evaluations), key.to_owned());
    let evaluation = async move {
        let ended = run.await.map_err(|error| subflows::broken(&error))?;
        let found = Found::Ended(ended.outcome.clone());
        kept.lock().insert(own_key, found);
        Ok(ended.outcome)
    };
    let evaluation = evaluation.boxed().shared();
    if let Some(begun) = evaluation.downgrade() {
        by_key.insert(key.to_owned(), Found::Begun(begun));
    }
    Ok(evaluation)
}

fn ended(outcome: &Outcome) -> Evaluation {
    std::future::ready(Ok(outcome.clone())).boxed().shared()
}

impl Evaluations {
    /// Nothing under this lock can panic half-way.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Found>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the author of a flow wrote under `metadata`.
pub(super) async fn on_get_metadata(
    call: Call<Host>,
    params: GetMetadataParams,
) -> Result<GetMetadataResult, RpcError> {
    let executions = &call.state.executions;
    let serving = executions.serving(params.execution.as_ref(), params.observability.as_ref());
    let own = serving
        .ok()
        .filter(|serving| serving.invocation.flow_id == params.flow_id);
    let flow = match own {
        // With the overrides of the run.
        Some(serving) => serving.invocation.outer.plan().flow().clone(),
        None => {
            let blob = get_blob(&call.state.store, &params.flow_id.to_string()).await;
            blob.map_err(to_rpc)?.data
        }
    };
    let metadata_of = |it: &Value| it.get("metadata").unwrap_or_else(|| Value::object([]));
    let steps = flow.get("steps").unwrap_or_default();
    let is_asked_for = |step: &&Value| {
        let id = step.get("id");
        let id = id.as_ref().and_then(Value::as_str);
        id.is_some() && id.as_deref() == params.step_id.as_deref()
    };
    Ok(GetMetadataResult {
        flow_metadata: metadata_of(&flow),
        step_metadata: steps.items().iter().find(is_asked_for).map(metadata_of),
    })
}
