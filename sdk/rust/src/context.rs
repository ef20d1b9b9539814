//! What a component knows of the call it answers, and what it may ask of the runtime meanwhile.

use std::sync::Arc;

use serde::Serialize;
use stepflow_protocol::BlobId;
use stepflow_protocol::Observability;
use stepflow_protocol::Value;
use stepflow_protocol::blob;
use stepflow_protocol::component::ExecuteParams;
use stepflow_protocol::notice::Log;
use stepflow_protocol::notice::LogParams;
use stepflow_protocol::notice::Progress;
use stepflow_protocol::notice::ProgressParams;
use stepflow_rpc::CallError;
use stepflow_rpc::Id;
use stepflow_rpc::Peer;

use crate::connection::Agreed;

/// The call that a component answers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    call: Arc<Call>,
}

#[derive(Debug)]
struct Call {
    peer: Peer,
    id: Option<Id>,
    agreed: Agreed,
    attempt: u32,
    run_id: Option<Arc<str>>,
    step_id: Option<Arc<str>>,
    flow_id: Option<Arc<str>>,
    idempotency_key: Option<String>,
    observability: Option<Observability>,
}

impl Context {
    pub(crate) fn new(peer: Peer, id: Option<Id>, agreed: Agreed, params: &ExecuteParams) -> Self {
        Context {
            call: Arc::new(Call {
                peer,
                id,
                agreed,
                attempt: params.attempt.unwrap_or(1),
                run_id: params.run_id.clone(),
                step_id: params.step_id.clone(),
                flow_id: params.flow_id.clone(),
                idempotency_key: params.idempotency_key.clone(),
                observability: params.observability.clone(),
            }),
        }
    }

    /// Counts the attempts of this step, from 1.
    pub fn attempt(&self) -> u32 {
        self.call.attempt
    }

    /// The run, where the runtime said so.
    pub fn run_id(&self) -> Option<&str> {
        self.call.run_id.as_deref()
    }

    /// The step, where the runtime said so.
    pub fn step_id(&self) -> Option<&str> {
        self.call.step_id.as_deref()
    }

    /// The content id of the flow, where the runtime said so.
    pub fn flow_id(&self) -> Option<&str> {
        self.call.flow_id.as_deref()
    }

    /// The same in every attempt of the same work.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.call.idempotency_key.as_deref()
    }

    /// Stores data with the runtime and returns its content id.
    ///
    /// # Errors
    /// When the runtime refuses or is gone.
    pub async fn put_blob(&self, data: Value) -> Result<String, CallError> {
        Ok(self.put(data, blob::BlobType::Data).await?.to_string())
    }

    pub(crate) async fn put(
        &self,
        data: Value,
        blob_type: blob::BlobType,
    ) -> Result<BlobId, CallError> {
        let params = blob::PutParams {
            data,
            blob_type: Some(blob_type),
            execution: self.execution(),
            observability: self.observability(),
        };
        Ok(self.peer().call::<blob::Put>(&params).await?.blob_id)
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.call.peer
    }

    /// The request that call backs serve.
    pub(crate) fn execution(&self) -> Option<Id> {
        self.call.id.clone()
    }

    pub(crate) fn observability(&self) -> Option<Observability> {
        self.call.observability.clone()
    }

    /// Fetches data by its content id.
    ///
    /// # Errors
    /// When the runtime does not have it, refuses or is gone.
    pub async fn get_blob(&self, blob_id: &str) -> Result<Value, CallError> {
        let params = blob::GetParams {
            blob_id: blob_id.to_owned(),
            execution: self.call.id.clone(),
            observability: self.call.observability.clone(),
        };
        Ok(self.call.peer.call::<blob::Get>(&params).await?.data)
    }

    /// Says how far the call is, to a runtime that wants to know.
    ///
    /// # Errors
    /// When the runtime is gone.
    pub async fn progress(&self, fraction: f64, message: &str) -> Result<(), CallError> {
        let Some(id) = self
            .call
            .id
            .clone()
            .filter(|_| self.call.agreed.takes("progress"))
        else {
            return Ok(());
        };
        let params = ProgressParams {
            id,
            fraction: Some(fraction),
            message: Some(message.to_owned()),
        };
        self.call.peer.notify::<Progress>(&params).await
    }

    /// Says something into the log of the step, to a runtime that takes it.
    ///
    /// # Errors
    /// When the runtime is gone.
    pub async fn log(
        &self,
        level: &str,
        message: &str,
        data: Option<&impl Serialize>,
    ) -> Result<(), CallError> {
        if !self.call.agreed.takes("log") {
            return Ok(());
        }
        let params = LogParams {
            id: self.call.id.clone(),
            level: level.to_owned(),
            message: message.to_owned(),
            data: data.and_then(|data| Value::from_serialize(data).ok()),
        };
        self.call.peer.notify::<Log>(&params).await
    }
}
