//! Flows run on behalf of a component: alone, in batches, and what is written about them.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use stepflow_flow::blob::BlobId;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;
use stepflow_rpc::Id;
use stepflow_rpc::method;

use crate::Observability;

method!(Evaluate, "flows/evaluate", EvaluateParams => EvaluateResult);
method!(GetMetadata, "flows/get_metadata", GetMetadataParams => GetMetadataResult);
method!(SubmitBatch, "flows/submit_batch", SubmitBatchParams => SubmitBatchResult);
method!(GetBatch, "flows/get_batch", GetBatchParams => GetBatchResult);

/// A flow to run, by id or as it stands, and its input.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EvaluateParams {
    /// The content id of a stored flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_id: Option<BlobId>,
    /// The flow itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Value>,
    /// Its input.
    #[serde(default)]
    pub input: Value,
    /// Changes to its steps for this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Value>,
    /// Values of its variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variables: Option<Value>,
    /// Tells this run apart from others of the same step: a later attempt joins it instead of starting a second one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The id of the execute request that this serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::id_schema")]
    pub execution: Option<Id>,
    /// Where this belongs, for logs and traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observability: Option<Observability>,
}

/// How the run ended.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EvaluateResult {
    /// Its outcome.
    pub result: Outcome,
}

/// Which flow, and which of its steps, to describe.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetMetadataParams {
    /// The content id of the flow.
    pub flow_id: BlobId,
    /// A step of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_id: Option<String>,
    /// The id of the execute request that this serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::id_schema")]
    pub execution: Option<Id>,
    /// Where this belongs, for logs and traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observability: Option<Observability>,
}

/// What the flow's author wrote under `metadata`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetMetadataResult {
    /// Of the flow.
    pub flow_metadata: Value,
    /// Of the step, where one was asked for and exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_metadata: Option<Value>,
}

/// One flow to run on many inputs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SubmitBatchParams {
    /// The content id of a stored flow.
    pub flow_id: BlobId,
    /// A run each.
    pub inputs: Vec<Value>,
    /// Changes to its steps for these runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Value>,
    /// How many runs may go on at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u32>,
    /// Tells this batch apart from others of the same step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The id of the execute request that this serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::id_schema")]
    pub execution: Option<Id>,
    /// Where this belongs, for logs and traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observability: Option<Observability>,
}

/// A batch that was taken.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SubmitBatchResult {
    /// Names it.
    pub batch_id: String,
    /// How many runs it has.
    pub total_runs: u64,
}

/// Which batch to look at.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetBatchParams {
    /// Names it.
    pub batch_id: String,
    /// Whether to answer only when all its runs have ended.
    #[serde(default)]
    pub wait: Option<bool>,
    /// Whether to answer with the runs' results.
    #[serde(default)]
    pub include_results: Option<bool>,
    /// The id of the execute request that this serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::id_schema")]
    pub execution: Option<Id>,
    /// Where this belongs, for logs and traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observability: Option<Observability>,
}

/// The state of a batch.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetBatchResult {
    /// Its counts.
    pub details: BatchDetails,
    /// Its runs, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Vec<BatchOutput>>,
}

/// What is known of a batch.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BatchDetails {
    /// Names it.
    pub batch_id: String,
    /// The content id of its flow.
    pub flow_id: BlobId,
    /// The flow's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_name: Option<String>,
    /// How many runs it has.
    pub total_runs: u64,
    /// `running` or `cancelled`.
    pub status: BatchStatus,
    /// When it was taken (RFC 3339).
    pub created_at: String,
    /// How many runs succeeded or were skipped.
    pub completed_runs: u64,
    /// How many runs go on.
    pub running_runs: u64,
    /// How many runs failed.
    pub failed_runs: u64,
    /// How many runs were cancelled.
    pub cancelled_runs: u64,
    /// How many runs are paused.
    pub paused_runs: u64,
    /// When the last run ended (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<String>,
}

/// Whether a batch goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchStatus {
    /// It goes on, or has ended by itself.
    Running,
    /// It was cancelled.
    Cancelled,
}

/// One run of a batch.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BatchOutput {
    /// The place of its input.
    pub batch_input_index: u64,
    /// How far it is.
    pub status: String,
    /// Its outcome, once it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Outcome>,
}
