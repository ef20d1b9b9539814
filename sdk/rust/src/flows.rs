//! Flows that a component runs, alone and in batches, and what is written about its own flow.

use stepflow_protocol::Outcome;
use stepflow_protocol::Value;
use stepflow_protocol::blob::BlobType;
use stepflow_protocol::error::ErrorCode;
use stepflow_protocol::error::rpc_error;
use stepflow_protocol::flow::Evaluate;
use stepflow_protocol::flow::EvaluateParams;
use stepflow_protocol::flow::GetBatch;
use stepflow_protocol::flow::GetBatchParams;
use stepflow_protocol::flow::GetBatchResult;
use stepflow_protocol::flow::GetMetadata;
use stepflow_protocol::flow::GetMetadataParams;
use stepflow_protocol::flow::GetMetadataResult;
use stepflow_protocol::flow::SubmitBatch;
use stepflow_protocol::flow::SubmitBatchParams;
use stepflow_protocol::flow::SubmitBatchResult;
use stepflow_rpc::CallError;

use crate::context::Context;

/// A flow to run, and how.
///
/// ```
/// use stepflow_sdk::{Flow, Value};
/// let flow = Flow::inline(Value::parse(r#"{"output": {"$input": "$"}}"#).unwrap()).key("first");
/// ```
#[derive(Clone, Debug)]
pub struct Flow {
    given: Given,
    overrides: Option<Value>,
    variables: Option<Value>,
    max_concurrency: Option<u32>,
    key: Option<String>,
}

#[derive(Clone, Debug)]
enum Given {
    Stored(String),
    Inline(Value),
}

/// Whether to wait for the end of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// No: how far it is now.
    Now,
    /// Until all its runs have ended.
    AllEnded,
}

impl Flow {
    /// A flow that is stored with the runtime, by its content id.
    pub fn stored(flow_id: impl Into<String>) -> Flow {
        Flow::new(Given::Stored(flow_id.into()))
    }

    /// This flow.
    pub fn inline(flow: Value) -> Flow {
        Flow::new(Given::Inline(flow))
    }

    fn new(given: Given) -> Flow {
        Flow {
            given,
            overrides: None,
            variables: None,
            max_concurrency: None,
            key: None,
        }
    }

    /// With changes to its steps.
    #[must_use]
    pub fn overrides(mut self, overrides: Value) -> Flow {
        self.overrides = Some(overrides);
        self
    }

    /// With these variables, besides those of the run around it. Not for batches.
    #[must_use]
    pub fn variables(mut self, variables: Value) -> Flow {
        self.variables = Some(variables);
        self
    }

    /// With so many runs of a batch at once.
    #[must_use]
    pub fn max_concurrency(mut self, most: u32) -> Flow {
        self.max_concurrency = Some(most);
        self
    }

    /// Under a key: a later attempt that uses the same key joins what an earlier one began.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Flow {
        self.key = Some(key.into());
        self
    }
}

impl Context {
    /// Runs a flow and waits for its outcome. That it failed is an outcome, not an error.
    ///
    /// # Errors
    /// When the runtime cannot run it (-32008: there is no such flow), or is gone.
    pub async fn evaluate_flow(&self, flow: &Flow, input: Value) -> Result<Outcome, CallError> {
        let (flow_id, inline) = match &flow.given {
            Given::Stored(id) => (Some(read_id(id)?), None),
            Given::Inline(flow) => (None, Some(flow.clone())),
        };
        let params = EvaluateParams {
            flow_id,
            flow: inline,
            input,
            overrides: flow.overrides.clone(),
            variables: flow.variables.clone(),
            key: flow.key.clone(),
            execution: self.execution(),
            observability: self.observability(),
        };
        Ok(self.peer().call::<Evaluate>(&params).await?.result)
    }

    /// Starts a run of a flow for each input, and does not wait. The runs end with the run that this call belongs to.
    ///
    /// # Errors
    /// When the runtime cannot run it, or is gone.
    pub async fn submit_batch(
        &self,
        flow: &Flow,
        inputs: Vec<Value>,
    ) -> Result<SubmitBatchResult, CallError> {
        let flow_id = match &flow.given {
            Given::Stored(id) => read_id(id)?,
            Given::Inline(data) => self.put(data.clone(), BlobType::Flow).await?,
        };
        let params = SubmitBatchParams {
            flow_id,
            inputs,
            overrides: flow.overrides.clone(),
            max_concurrency: flow.max_concurrency,
            key: flow.key.clone(),
            execution: self.execution(),
            observability: self.observability(),
        };
        self.peer().call::<SubmitBatch>(&params).await
    }

    /// How far a batch of this run is, with the outcomes that there are.
    ///
    /// # Errors
    /// When the run has no such batch, or the runtime is gone.
    pub async fn get_batch(
        &self,
        batch_id: &str,
        until: Until,
    ) -> Result<GetBatchResult, CallError> {
        let params = GetBatchParams {
            batch_id: batch_id.to_owned(),
            wait: Some(until == Until::AllEnded),
            include_results: Some(true),
            execution: self.execution(),
            observability: self.observability(),
        };
        self.peer().call::<GetBatch>(&params).await
    }

    /// What the author of this call's flow and step wrote under `metadata`.
    ///
    /// # Errors
    /// When the runtime did not say which flow this is, does not have it, or is gone.
    pub async fn metadata(&self) -> Result<GetMetadataResult, CallError> {
        let params = GetMetadataParams {
            flow_id: read_id(self.flow_id().unwrap_or_default())?,
            step_id: self.step_id().map(str::to_owned),
            execution: self.execution(),
            observability: self.observability(),
        };
        self.peer().call::<GetMetadata>(&params).await
    }
}

fn read_id<Id: std::str::FromStr>(text: &str) -> Result<Id, CallError> {
    text.parse().map_err(|_: Id::Err| {
        let message = format!("`{text}` is no flow id; it looks like sha256:…");
        CallError::Remote(rpc_error(ErrorCode::BLOB_NOT_FOUND, message))
    })
}
