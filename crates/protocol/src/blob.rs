//! Blobs: data that a component stores with the runtime and finds again by its content id.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use stepflow_flow::blob::BlobId;
use stepflow_flow::value::Value;
use stepflow_rpc::Id;
use stepflow_rpc::Json;
use stepflow_rpc::Method;

use crate::Observability;
use crate::carry;
use crate::carry::Carry;

/// The method `blobs/put`.
#[derive(Debug)]
pub enum Put {}

impl Method for Put {
    const NAME: &'static str = "blobs/put";
    type Params = PutParams;
    type Result = PutResult;

    fn write_params(params: &Self::Params) -> Result<Json, serde_json::Error> {
        carry::write(params)
    }

    fn read_params(text: &Json) -> Result<Self::Params, String> {
        carry::read(text)
    }
}

/// The method `blobs/get`.
#[derive(Debug)]
pub enum Get {}

impl Method for Get {
    const NAME: &'static str = "blobs/get";
    type Params = GetParams;
    type Result = GetResult;

    fn write_result(result: &Self::Result) -> Result<Json, serde_json::Error> {
        carry::write(result)
    }

    fn read_result(text: &Json) -> Result<Self::Result, String> {
        carry::read(text)
    }
}

impl Carry for PutParams {
    const KEY: &'static str = "data";

    fn carried(&self) -> Option<&Value> {
        Some(&self.data)
    }

    fn place(&mut self) -> Option<&mut Value> {
        Some(&mut self.data)
    }
}

impl Carry for GetResult {
    const KEY: &'static str = "data";

    fn carried(&self) -> Option<&Value> {
        Some(&self.data)
    }

    fn place(&mut self) -> Option<&mut Value> {
        Some(&mut self.data)
    }
}

/// What a blob is meant for; no part of its id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BlobType {
    /// Plain JSON data.
    #[default]
    Data,
    /// The definition of a flow.
    Flow,
}

/// Data to store.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PutParams {
    /// The data.
    pub data: Value,
    /// What it is meant for; `data` when missing.
    #[serde(default)]
    pub blob_type: Option<BlobType>,
    /// The id of the execute request that this serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::id_schema")]
    pub execution: Option<Id>,
    /// Where this belongs, for logs and traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observability: Option<Observability>,
}

/// The id that equal data always has.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PutResult {
    /// `sha256:` and 64 hexadecimal digits.
    pub blob_id: BlobId,
}

/// Which blob to fetch.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetParams {
    /// As text, so that an id that is none gets the answer "not found" rather than "invalid params".
    pub blob_id: String,
    /// The id of the execute request that this serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::id_schema")]
    pub execution: Option<Id>,
    /// Where this belongs, for logs and traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observability: Option<Observability>,
}

/// A blob as it was stored first.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetResult {
    /// The data, byte for byte.
    pub data: Value,
    /// What it is meant for.
    pub blob_type: BlobType,
}
