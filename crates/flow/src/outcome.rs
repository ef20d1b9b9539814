//! What became of a step or a flow: it has a result, it was skipped, or it failed.
//!
//! Owns the shape of the protocol's `FlowResult`. Must not know how an outcome came about.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::FlowError;
use crate::value::Value;

/// The end of a step, an item or a whole flow.
///
/// ```
/// use stepflow_flow::{outcome::Outcome, value::Value};
/// let outcome = Outcome::Success(Value::parse("[1, 2]").unwrap());
/// let text = serde_json::to_string(&outcome).unwrap();
/// assert_eq!(text, r#"{"outcome":"success","result":[1, 2]}"#);
/// assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It ended with a result.
    Success(Value),
    /// It was left out, and so is what needs it.
    Skipped {
        /// Why, where someone said so.
        reason: Option<String>,
    },
    /// It failed, and nothing handled the failure.
    Failed(FlowError),
}

impl Outcome {
    /// The result of a success.
    pub fn result(&self) -> Option<&Value> {
        match self {
            Outcome::Success(value) => Some(value),
            Outcome::Skipped { .. } | Outcome::Failed(_) => None,
        }
    }

    /// The word that names this outcome on the wire: `success`, `skipped` or `failed`.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Success(_) => "success",
            Outcome::Skipped { .. } => "skipped",
            Outcome::Failed(_) => "failed",
        }
    }
}

/// How an outcome is written, and its schema.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "lowercase")]
#[schemars(rename = "FlowResult")]
enum Written<'a> {
    Success {
        result: &'a Value,
    },
    Skipped {
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    },
    Failed {
        error: &'a FlowError,
    },
}

/// How an outcome is read. All fields side by side rather than a tagged enum: serde buffers the fields of
/// a tagged enum, and a buffered value has lost its text.
#[derive(Deserialize)]
struct Read {
    outcome: Name,
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    error: Option<FlowError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    Success,
    Skipped,
    Failed,
}

/// A null result is a result, so only an absent one is `None`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    <Value as Deserialize>::deserialize(deserializer).map(Some)
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Outcome::Success(result) => Written::Success { result },
            Outcome::Skipped { reason } => Written::Skipped {
                reason: reason.as_deref(),
            },
            Outcome::Failed(error) => Written::Failed { error },
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Read::deserialize(deserializer)?;
        Ok(match read.outcome {
            Name::Success => Outcome::Success(
                read.result
                    .ok_or_else(|| D::Error::missing_field("result"))?,
            ),
            Name::Skipped => Outcome::Skipped {
                reason: read.reason,
            },
            Name::Failed => {
                Outcome::Failed(read.error.ok_or_else(|| D::Error::missing_field("error"))?)
            }
        })
    }
}

impl JsonSchema for Outcome {
    fn schema_name() -> Cow<'static, str> {
        Written::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Written::json_schema(generator)
    }
}
