//! Facts in memory, as durable as the process. Owns what is kept and for how long: blobs for good; the journals of top-level runs
//! until their owner forgets them; the journal of a run that a step asked for as long as that run could be taken up again, which is until it ends or the
//! run around it does. A map over a million items so leaves no million journals.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};
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
    journals: Mutex<Journals>,
}

#[derive(Default)]
struct Journals {
    by_run: HashMap<RunId, Vec<Record>>,
    /// The runs that have not ended, by the run around them.
    open_within: HashMap<RunId, HashSet<RunId>>,
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
        if let Some(Entry::RunCreated(created)) = entries.first()
            && let Some(parent) = &created.parent
        {
            let open = journals.open_within.entry(parent.run_id).or_default();
            open.insert(*run_id);
        }
        let journal = journals.by_run.entry(*run_id).or_default();
        let first = journal.len() as u64;
        journal.extend((first..).zip(entries).map(|(sequence, entry)| Record {
            sequence,
            at,
            entry: entry.clone(),
        }));
        if let Some(Entry::RunFinished { .. }) = entries.last() {
            journals.on_finished(run_id);
        }
        first
    }

    pub(crate) fn forget(&self, run_id: &RunId) {
        let mut journals = lock(&self.journals);
        let journal = journals.by_run.get(run_id);
        let last = journal.and_then(|journal| journal.last());
        if last.is_some_and(|last| matches!(last.entry, Entry::RunFinished { .. })) {
            journals.by_run.remove(run_id);
        }
    }

    pub(crate) fn load(&self, run_id: &RunId) -> Vec<Record> {
        lock(&self.journals)
            .by_run
            .get(run_id)
            .cloned()
            .unwrap_or_default()
    }
}

impl Journals {
    /// Lets go of what nobody can take up again.
    fn on_finished(&mut self, run_id: &RunId) {
        let mut ended: Vec<RunId> = self
            .open_within
            .remove(run_id)
            .into_iter()
            .flatten()
            .collect();
        if let Some(parent) = self.parent_of(run_id) {
            if let Some(open) = self.open_within.get_mut(&parent) {
                open.remove(run_id);
            }
            self.by_run.remove(run_id);
        }
        while let Some(run_id) = ended.pop() {
            self.by_run.remove(&run_id);
            ended.extend(self.open_within.remove(&run_id).into_iter().flatten());
        }
    }

    /// The run whose step asked for this one.
    fn parent_of(&self, run_id: &RunId) -> Option<RunId> {
        match &self.by_run.get(run_id)?.first()?.entry {
            Entry::RunCreated(created) => Some(created.parent.as_ref()?.run_id),
            _ => None,
        }
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
            .field("n_journals", &lock(&self.journals).by_run.len())
            .finish()
    }
}
