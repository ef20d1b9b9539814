//! Facts in memory. Owns two maps; as durable as the process.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stepflow_flow::blob::BlobId;
use stepflow_flow::value::Value;

use crate::journal::{Entry, Record, Timestamp};
use crate::{Blob, BlobType, RunId};

/// The backend that lives and dies with the process.
#[derive(Default)]
pub(crate) struct Memory {
    blobs: Mutex<HashMap<BlobId, Blob>>,
    journals: Mutex<HashMap<RunId, Vec<Record>>>,
}

impl Memory {
    pub(crate) fn put_blob(&self, id: BlobId, data: &Value, blob_type: BlobType) {
        match lock(&self.blobs).entry(id) {
            Slot::Occupied(mut slot) => {
                let blob = slot.get_mut();
                blob.blob_type = blob.blob_type.merge(blob_type);
            }
            Slot::Vacant(slot) => {
                slot.insert(Blob {
                    data: data.clone(),
                    blob_type,
                });
            }
        }
    }

    pub(crate) fn get_blob(&self, id: &BlobId) -> Option<Blob> {
        lock(&self.blobs).get(id).cloned()
    }

    pub(crate) fn append(&self, run_id: &RunId, entries: &[Entry]) -> u64 {
        let at = Timestamp::now();
        let mut journals = lock(&self.journals);
        let journal = journals.entry(*run_id).or_default();
        let first = journal.len() as u64;
        journal.extend((first..).zip(entries).map(|(sequence, entry)| Record {
            sequence,
            at,
            entry: entry.clone(),
        }));
        first
    }

    pub(crate) fn load(&self, run_id: &RunId) -> Vec<Record> {
        lock(&self.journals)
            .get(run_id)
            .cloned()
            .unwrap_or_default()
    }
}

/// Every change above is complete before its lock is released, so a panic elsewhere leaves nothing
/// half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Memory {
    /// Counts instead of contents: journals may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("n_blobs", &lock(&self.blobs).len())
            .field("n_journals", &lock(&self.journals).len())
            .finish()
    }
}
