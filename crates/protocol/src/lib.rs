//! Stepflow's methods as data, the handshake, and the two kinds of errors turned into each other.
//!
//! This is the compatibility boundary: what is written here is what published component servers speak. It knows shapes and
//! names; it must not know how messages travel or how anything is run.
//!
//! # Layout
//!
//! - [`lifecycle`]: `initialize`, `initialized`, `ping`, and what each side can do
//! - [`component`]: `components/list`, `components/info`, `components/execute`
//! - [`blob`]: `blobs/put`, `blobs/get`
//! - [`flow`]: `flows/evaluate`, `flows/get_metadata`, `flows/submit_batch`, `flows/get_batch`
//! - [`notice`]: `$/progress`, `$/log`
//! - [`mod@handshake`]: the only maker of a [`Session`]
//! - [`error`]: the protocol's error table, and wire errors as flow errors

pub mod blob;
mod carry;
pub mod component;
pub mod error;
pub mod flow;
pub mod handshake;
pub mod lifecycle;
pub mod notice;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use std::sync::Arc;

pub use handshake::HandshakeError;
pub use handshake::Session;
pub use handshake::handshake;
pub use stepflow_flow::document::nearest;
pub use stepflow_flow::value::Value;

/// The version of the protocol that this code speaks, and the only one so far.
pub const PROTOCOL_VERSION: u32 = 1;

/// Where a message belongs, for logs and traces; every field may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Observability {
    /// W3C trace id: 32 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<Arc<str>>,
    /// W3C span id: 16 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_id: Option<Arc<str>>,
    /// The run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<Arc<str>>,
    /// The content id of the run's flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow_id: Option<Arc<str>>,
    /// The step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_id: Option<Arc<str>>,
}

/// A request id as JSON Schema sees it.
pub(crate) fn id_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": ["string", "integer", "null"] })
}
