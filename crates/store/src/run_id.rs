//! The id of a run. Owns its text form; knows nothing of what a run is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

/// The one id of a run: in the journal, in the API, on the wire and (as its bytes) in traces.
///
/// A UUID version 7, so that ids sort by the time their runs were created.
///
/// ```
/// use stepflow_store::RunId;
///
/// let id = RunId::new();
/// assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

/// A text that is not the id of a run.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a run id (expected a UUID such as 0190b5a2-6c1e-7d3a-9f00-2b1c5d7e8f90)")]
pub struct InvalidRunId {
    text: String,
    #[source]
    source: uuid::Error,
}

impl RunId {
    /// Makes the id of a new run.
    #[expect(
        clippy::new_without_default,
        reason = "two defaults would not be equal"
    )]
    pub fn new() -> RunId {
        RunId(Uuid::now_v7())
    }

    /// The id of the run that a step of this run asks for under a key: always the same, so that whoever asks again finds
    /// the run that there is. It sorts with the run around it.
    pub fn of_sub_run(&self, step_id: &str, key: &str) -> RunId {
        let mut hash = Sha256::new();
        hash.update(self.as_bytes());
        hash.update((step_id.len() as u64).to_be_bytes());
        hash.update(step_id);
        hash.update(key);
        let hash = hash.finalize();
        let mut rest = [0; 10];
        rest.copy_from_slice(&hash[..10]);
        let mut milliseconds = [0; 8];
        milliseconds[2..].copy_from_slice(&self.as_bytes()[..6]);
        let milliseconds = u64::from_be_bytes(milliseconds);
        RunId(Builder::from_unix_timestamp_millis(milliseconds, &rest).into_uuid())
    }

    /// The sixteen bytes of the id; a run that no trace encloses uses them as its trace id.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl FromStr for RunId {
    type Err = InvalidRunId;

    fn from_str(text: &str) -> Result<RunId, InvalidRunId> {
        match Uuid::try_parse(text) {
            Ok(uuid) => Ok(RunId(uuid)),
            Err(source) => Err(InvalidRunId {
                text: text.to_owned(),
                source,
            }),
        }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({})", self.0)
    }
}
