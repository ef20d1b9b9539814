//! What a component says while it runs. Sent only to a runtime that named the capability.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use stepflow_flow::value::Value;
use stepflow_rpc::Id;
use stepflow_rpc::notice;

notice!(Progress, "$/progress", ProgressParams);
notice!(Log, "$/log", LogParams);

/// How far an execute request is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ProgressParams {
    /// The execute request.
    #[schemars(schema_with = "crate::id_schema")]
    pub id: Id,
    /// From 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// What it does now, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A line of a component's log.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LogParams {
    /// The execute request it belongs to; none for what the server says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::id_schema")]
    pub id: Option<Id>,
    /// `debug`, `info`, `warning` or `error`; others count as `info`.
    pub level: String,
    /// The text.
    pub message: String,
    /// Fields besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}
