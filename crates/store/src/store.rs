//! The handle to the durable facts. Owns the choice of backend; knows nothing of SQL or files,
//! which are the backends' own affair.

use std::sync::Arc;

use stepflow_flow::blob::{BlobId, CanonicalError};
use stepflow_flow::value::Value;

use crate::journal::{Entry, Record};
use crate::memory::Memory;
use crate::{Blob, BlobType, RunId};

/// Blobs and journals, wherever they are kept. Cheap to clone; clones share everything.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use stepflow_flow::value::Value;
/// use stepflow_store::{BlobType, Store};
///
/// let store = Store::memory();
/// let id = store.put_blob(&Value::parse(r#"{"b":1,"a":2}"#).unwrap(), BlobType::Data).await?;
/// let blob = store.get_blob(&id).await?.expect("it was just put");
/// assert_eq!(blob.data.as_text(), r#"{"b":1,"a":2}"#);
/// # Ok::<(), stepflow_store::StoreError>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Store {
    backend: Arc<Backend>,
}

/// The closed set of places to keep facts in.
#[derive(Debug)]
enum Backend {
    Memory(Memory),
}

/// A fact could not be stored or read. The runtime is broken, not the flow.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The data of a blob has no canonical form, hence no id.
    #[error("this data cannot be stored as a blob, because it has no canonical form")]
    Canonical(#[from] CanonicalError),
}

impl Store {
    /// A store that lives and dies with the process.
    pub fn memory() -> Store {
        Store {
            backend: Arc::new(Backend::Memory(Memory::default())),
        }
    }

    /// Stores a blob, durably once this returns, and returns its id.
    ///
    /// Equal data is stored once, in the bytes of its first put.
    ///
    /// # Errors
    /// When the data has no canonical form, or the backend fails.
    pub async fn put_blob(&self, data: &Value, blob_type: BlobType) -> Result<BlobId, StoreError> {
        let id = BlobId::of(data)?;
        match &*self.backend {
            Backend::Memory(memory) => memory.put_blob(id, data, blob_type),
        }
        Ok(id)
    }

    /// Stores a flow under the id that its plan has worked out already, durably once this returns.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn put_flow(&self, id: BlobId, flow: &Value) -> Result<(), StoreError> {
        match &*self.backend {
            Backend::Memory(memory) => memory.put_blob(id, flow, BlobType::Flow),
        }
        Ok(())
    }

    /// Reads a blob back; `None` when there is none with this id.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn get_blob(&self, id: &BlobId) -> Result<Option<Blob>, StoreError> {
        match &*self.backend {
            Backend::Memory(memory) => Ok(memory.get_blob(id)),
        }
    }

    /// Adds entries to the journal of a run: all of them or none, durably once this returns.
    /// Returns the sequence number of the first.
    ///
    /// # Errors
    /// When the backend fails. Nothing may be done on the strength of entries that were not
    /// stored.
    pub async fn append(&self, run_id: &RunId, entries: &[Entry]) -> Result<u64, StoreError> {
        match &*self.backend {
            Backend::Memory(memory) => Ok(memory.append(run_id, entries)),
        }
    }

    /// Lets go of the journal of a run that has ended, for an owner who has its outcome and starts very many. Only what lives
    /// in memory goes: a store that lasts keeps what happened. A run that has not ended stays.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn forget(&self, run_id: &RunId) -> Result<(), StoreError> {
        match &*self.backend {
            Backend::Memory(memory) => memory.forget(run_id),
        }
        Ok(())
    }

    /// Reads the whole journal of a run, in order; empty when there is no such run.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn load(&self, run_id: &RunId) -> Result<Vec<Record>, StoreError> {
        match &*self.backend {
            Backend::Memory(memory) => Ok(memory.load(run_id)),
        }
    }
}
