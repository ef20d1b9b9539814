//! What is stored under a content id. Owns the stored form; ids and canonical JSON are the flow
//! crate's.

use serde::{Deserialize, Serialize};
use stepflow_flow::value::Value;

/// What a blob is meant for.
///
/// The type is no part of the id: equal data has an equal id. Once data was stored as a flow, it
/// is a flow for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlobType {
    /// Plain JSON data.
    #[default]
    Data,
    /// The definition of a flow.
    Flow,
}

impl BlobType {
    /// The type of data that was stored as `self` and is stored again as `other`.
    pub fn merge(self, other: BlobType) -> BlobType {
        if self == BlobType::Flow { self } else { other }
    }
}

/// A stored blob.
#[derive(Debug, Clone, PartialEq)]
pub struct Blob {
    /// The data, byte for byte as it was first stored.
    pub data: Value,
    /// What it is meant for.
    pub blob_type: BlobType,
}
