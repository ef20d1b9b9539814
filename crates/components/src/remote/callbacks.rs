//! What a component server may ask of the runtime while it works, and what it tells us. Answers about blobs come
//! from the store, those about flows from the engine of the call that a request belongs to.

pub mod batches;
pub mod evaluations;
pub mod executions;

use std::sync::Arc;

use stepflow_flow::blob::BlobId;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::error::FlowError;
use stepflow_flow::value::Value;
use stepflow_protocol::blob;
use stepflow_protocol::error::to_rpc;
use stepflow_protocol::flow;
use stepflow_protocol::lifecycle::Empty;
use stepflow_protocol::lifecycle::Ping;
use stepflow_protocol::notice::Log;
use stepflow_protocol::notice::LogParams;
use stepflow_protocol::notice::Progress;
use stepflow_protocol::notice::ProgressParams;
use stepflow_rpc::Call;
use stepflow_rpc::Router;
use stepflow_rpc::RpcError;
use stepflow_store::Blob;
use stepflow_store::Store;
use stepflow_store::StoreError;
use tracing::debug;

pub use executions::Execution;
pub use executions::Executions;

/// The runtime as one connection's server sees it.
#[derive(Clone, Debug)]
pub struct Host {
    /// The plugin's name, for logs.
    pub plugin: Arc<str>,
    /// Where blobs are.
    pub store: Store,
    /// The calls under way.
    pub executions: Executions,
}

/// What a component server may send us.
pub fn router(host: Host) -> Router<Host> {
    Router::new(host)
        .method::<blob::Put, _, _>(on_put_blob)
        .method::<blob::Get, _, _>(on_get_blob)
        .method::<flow::Evaluate, _, _>(evaluations::on_evaluate)
        .method::<flow::GetMetadata, _, _>(evaluations::on_get_metadata)
        .method::<flow::SubmitBatch, _, _>(batches::on_submit_batch)
        .method::<flow::GetBatch, _, _>(batches::on_get_batch)
        .method::<Ping, _, _>(|_, Empty {}| async { Ok(Empty {}) })
        .notice::<Progress, _>(on_progress)
        .notice::<Log, _>(on_log)
}

async fn on_put_blob(
    call: Call<Host>,
    params: blob::PutParams,
) -> Result<blob::PutResult, RpcError> {
    let blob_type = params.blob_type.unwrap_or_default();
    let blob_id = put_blob(&call.state.store, &params.data, blob_type)
        .await
        .map_err(to_rpc)?;
    Ok(blob::PutResult { blob_id })
}

async fn on_get_blob(
    call: Call<Host>,
    params: blob::GetParams,
) -> Result<blob::GetResult, RpcError> {
    let blob = get_blob(&call.state.store, &params.blob_id)
        .await
        .map_err(to_rpc)?;
    Ok(blob::GetResult {
        data: blob.data,
        blob_type: from_store(blob.blob_type),
    })
}

fn on_progress(call: Call<Host>, progress: ProgressParams) {
    let Some(execution) = call.state.executions.find(Some(&progress.id)) else {
        debug!(plugin = %call.state.plugin, "progress of a call that is not under way ignored");
        return;
    };
    let message = progress.message.as_deref().unwrap_or_default();
    tell_progress(&call.state.plugin, &execution, progress.fraction, message);
}

/// Logs how far a call is.
pub(crate) fn tell_progress(
    plugin: &str,
    execution: &Execution,
    fraction: Option<f64>,
    message: &str,
) {
    debug!(
        target: "stepflow::progress",
        plugin, run = %execution.run_id, step = %execution.step_id, fraction, "{message}"
    );
}

fn on_log(call: Call<Host>, log: LogParams) {
    let execution = call.state.executions.find(log.id.as_ref());
    let data = log.data.as_ref().map_or("", Value::as_text);
    let plugin = &call.state.plugin;
    tell_log(plugin, execution.as_ref(), &log.level, &log.message, data);
}

/// Logs what a server wants logged, at the level that it names.
pub(crate) fn tell_log(
    plugin: &str,
    execution: Option<&Execution>,
    level: &str,
    message: &str,
    data: &str,
) {
    let (run, step) = execution.map_or(("", ""), |execution| {
        (execution.run_id.as_str(), &*execution.step_id)
    });
    macro_rules! say {
        ($level:ident) => {
            tracing::$level!(target: "stepflow::output", plugin, run, step, data, "{message}")
        };
    }
    match level.to_ascii_lowercase().as_str() {
        "error" | "critical" | "fatal" => say!(error),
        "warning" | "warn" => say!(warn),
        "debug" => say!(debug),
        "trace" => say!(trace),
        _ => say!(info),
    }
}

/// Stores data for a component.
///
/// # Errors
/// -32602 for data that has no canonical form, -32005 when the store fails.
pub async fn put_blob(
    store: &Store,
    data: &Value,
    blob_type: blob::BlobType,
) -> Result<BlobId, FlowError> {
    store
        .put_blob(data, to_store(blob_type))
        .await
        .map_err(store_failed)
}

/// Fetches data for a component.
///
/// # Errors
/// -32008 for an id that names nothing or is none, -32005 when the store fails.
pub async fn get_blob(store: &Store, blob_id: &str) -> Result<Blob, FlowError> {
    let id: BlobId = blob_id
        .parse()
        .map_err(|error: stepflow_flow::blob::NotABlobId| {
            ErrorCode::BLOB_NOT_FOUND.error(error.to_string())
        })?;
    let blob = store.get_blob(&id).await.map_err(store_failed)?;
    blob.ok_or_else(|| {
        ErrorCode::BLOB_NOT_FOUND.error(format!("there is no blob {id} in this store"))
    })
}

fn store_failed(error: StoreError) -> FlowError {
    match &error {
        StoreError::Canonical(why) => ErrorCode::INVALID_PARAMS.error(format!("{error}: {why}")),
        _ => ErrorCode::UNAVAILABLE.error(format!("the store failed: {error}")),
    }
}

fn to_store(blob_type: blob::BlobType) -> stepflow_store::BlobType {
    match blob_type {
        blob::BlobType::Data => stepflow_store::BlobType::Data,
        blob::BlobType::Flow => stepflow_store::BlobType::Flow,
    }
}

fn from_store(blob_type: stepflow_store::BlobType) -> blob::BlobType {
    match blob_type {
        stepflow_store::BlobType::Data => blob::BlobType::Data,
        stepflow_store::BlobType::Flow => blob::BlobType::Flow,
    }
}
