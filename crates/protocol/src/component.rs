//! Components: what a server offers, and running one.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use stepflow_flow::value::Value;
use stepflow_rpc::Json;
use stepflow_rpc::Method;
use stepflow_rpc::method;

use crate::Observability;
use crate::carry;
use crate::carry::Carry;
use crate::lifecycle::Capabilities;
use crate::lifecycle::Empty;

method!(List, "components/list", Empty => ListResult);
method!(Info, "components/info", InfoParams => InfoResult);

/// The method `components/execute`.
#[derive(Debug)]
pub enum Execute {}

impl Method for Execute {
    const NAME: &'static str = "components/execute";
    type Params = ExecuteParams;
    type Result = ExecuteResult;

    fn write_params(params: &Self::Params) -> Result<Json, serde_json::Error> {
        carry::write(params)
    }

    fn read_params(text: &Json) -> Result<Self::Params, String> {
        carry::read(text)
    }

    fn write_result(result: &Self::Result) -> Result<Json, serde_json::Error> {
        carry::write(result)
    }

    fn read_result(text: &Json) -> Result<Self::Result, String> {
        carry::read(text)
    }
}

impl Carry for ExecuteParams {
    const KEY: &'static str = "input";

    fn carried(&self) -> Option<&Value> {
        Some(&self.input)
    }

    fn place(&mut self) -> Option<&mut Value> {
        Some(&mut self.input)
    }
}

impl Carry for ExecuteResult {
    const KEY: &'static str = "output";

    fn carried(&self) -> Option<&Value> {
        match self {
            ExecuteResult::Output(output) => Some(output),
            ExecuteResult::Skipped(_) => None,
        }
    }

    fn place(&mut self) -> Option<&mut Value> {
        match self {
            ExecuteResult::Output(output) => Some(output),
            ExecuteResult::Skipped(_) => None,
        }
    }
}

/// What a server says of one component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComponentInfo {
    /// Its path, such as `/udf`.
    pub component: String,
    /// What it does, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema of its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Value>,
    /// JSON Schema of its output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
}

/// Everything a server offers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListResult {
    /// In the server's order.
    pub components: Vec<ComponentInfo>,
}

/// Which component to describe.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InfoParams {
    /// Its path, with or without the leading slash or the prefix.
    pub component: String,
}

/// The description of one component.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InfoResult {
    /// The description.
    pub info: ComponentInfo,
}

/// One attempt of one step.
///
/// The runtime always sends the first seven fields: published servers require them. A server should require only
/// `component` and `input`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExecuteParams {
    /// The component's path, with or without the leading slash or the prefix.
    #[serde(deserialize_with = "crate::text")]
    pub component: Arc<str>,
    /// Its input.
    pub input: Value,
    /// Counts the attempts of this step, from 1.
    #[serde(default)]
    pub attempt: Option<u32>,
    /// The step's id in its flow.
    #[serde(default, deserialize_with = "crate::maybe_text")]
    pub step_id: Option<Arc<str>>,
    /// The run's id.
    #[serde(default, deserialize_with = "crate::maybe_text")]
    pub run_id: Option<Arc<str>>,
    /// The content id of the run's flow.
    #[serde(default, deserialize_with = "crate::maybe_text")]
    pub flow_id: Option<Arc<str>>,
    /// Where this belongs, for logs and traces.
    #[serde(default)]
    pub observability: Option<Observability>,
    /// The same in every attempt of the same work, so that a component can see that it did it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The time left at sending, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// What the runtime accepts, repeated where there is no session to remember it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
}

/// How a component ended when it did not fail: `{"output": …}` or `{"skipped": {"reason": …}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "ExecuteWire", into = "ExecuteWire")]
#[schemars(with = "ExecuteWire")]
pub enum ExecuteResult {
    /// It has a result, which may be `null`.
    Output(Value),
    /// It chose to be skipped.
    Skipped(Skipped),
}

/// Why a component chose to be skipped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Skipped {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct ExecuteWire {
    /// The component's result.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    output: Option<Value>,
    /// Present when the component chose to be skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    skipped: Option<Skipped>,
}

/// Keeps `"output": null` apart from no output.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    <Value as Deserialize>::deserialize(deserializer).map(Some)
}

impl From<ExecuteResult> for ExecuteWire {
    fn from(result: ExecuteResult) -> Self {
        match result {
            ExecuteResult::Output(output) => ExecuteWire {
                output: Some(output),
                skipped: None,
            },
            ExecuteResult::Skipped(skipped) => ExecuteWire {
                output: None,
                skipped: Some(skipped),
            },
        }
    }
}

impl TryFrom<ExecuteWire> for ExecuteResult {
    type Error = &'static str;

    fn try_from(wire: ExecuteWire) -> Result<Self, Self::Error> {
        match (wire.output, wire.skipped) {
            (None, Some(skipped)) => Ok(ExecuteResult::Skipped(skipped)),
            (Some(_), Some(_)) => Err("it has both `output` and `skipped`"),
            (Some(output), None) => Ok(ExecuteResult::Output(output)),
            (None, None) => Err("it has neither `output` nor `skipped`"),
        }
    }
}
