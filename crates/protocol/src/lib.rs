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
//! - [`schema`]: all of it as JSON Schema
//! - [`error`]: the protocol's error table, and wire errors as flow errors

pub mod blob;
mod carry;
pub mod component;
pub mod error;
pub mod flow;
pub mod handshake;
pub mod lifecycle;
pub mod notice;
pub mod schema;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::de::Visitor;
use std::fmt;
use std::sync::Arc;

pub use handshake::HandshakeError;
pub use handshake::Session;
pub use handshake::handshake;
pub use stepflow_flow::blob::BlobId;
pub use stepflow_flow::document::nearest;
pub use stepflow_flow::outcome::Outcome;
pub use stepflow_flow::value::Value;

/// The version of the protocol that this code speaks, and the only one so far.
pub const PROTOCOL_VERSION: u32 = 1;

/// Where a message belongs, for logs and traces; every field may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Observability {
    /// W3C trace id: 32 hexadecimal digits.
    #[serde(
        deserialize_with = "maybe_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub trace_id: Option<Arc<str>>,
    /// W3C span id: 16 hexadecimal digits.
    #[serde(
        deserialize_with = "maybe_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub span_id: Option<Arc<str>>,
    /// The run.
    #[serde(
        deserialize_with = "maybe_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub run_id: Option<Arc<str>>,
    /// The content id of the run's flow.
    #[serde(
        deserialize_with = "maybe_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub flow_id: Option<Arc<str>>,
    /// The step.
    #[serde(
        deserialize_with = "maybe_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub step_id: Option<Arc<str>>,
}

/// Reads shared text, with one allocation where serde takes two.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    struct Text;
    impl Visitor<'_> for Text {
        type Value = Arc<str>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_str<E>(self, text: &str) -> Result<Arc<str>, E> {
            Ok(text.into())
        }
    }
    deserializer.deserialize_str(Text)
}

/// The same where it may be missing.
pub(crate) fn maybe_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Arc<str>>, D::Error> {
    #[derive(Deserialize)]
    struct Text(#[serde(deserialize_with = "text")] Arc<str>);
    let text = Option::<Text>::deserialize(deserializer)?;
    Ok(text.map(|Text(text)| text))
}

/// A request id as JSON Schema sees it.
pub(crate) fn id_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": ["string", "integer", "null"] })
}
