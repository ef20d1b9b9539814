//! The entries of a run's journal. Owns what is recorded and in which form; decides nothing.
//!
//! A journal is the only truth about a run: the scheduler's state is what its entries add up to, a
//! user interface reads the same entries as events, and recovery reads them again. Steps are named
//! by their index in the plan, which is safe because a run pins its flow by content id.
//!
//! The order in a journal:
//!
//! ```text
//! RunCreated
//!   StepStarted ─▶ (StepFailed ─▶ StepStarted)* ─▶ StepFailed? ─▶ StepFinished     per step
//!   RunResumed                                       whenever a runtime takes the run up again
//! RunFinished
//! ```

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use stepflow_flow::blob::BlobId;
use stepflow_flow::error::FlowError;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::StepIdx;
use stepflow_flow::value::Value;

use crate::RunId;

/// One fact about a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The run exists. Always the first entry.
    RunCreated(Box<RunCreated>),
    /// A runtime took the run up again; what was in flight before has an unknown outcome.
    RunResumed,
    /// An attempt of a step was handed to its component, or is about to be.
    StepStarted {
        /// The step.
        #[serde(with = "place")]
        step: StepIdx,
        /// Counts from 1 and only ever rises, whatever the reason of the new attempt.
        attempt: u32,
    },
    /// An attempt failed, or the step could not be attempted at all.
    ///
    /// Another attempt or the end of the step follows; the entry keeps the error where `onError`
    /// turns it into a skip or a value.
    StepFailed {
        /// The step.
        #[serde(with = "place")]
        step: StepIdx,
        /// The attempt that failed; 0 when there was none (its input could not be computed).
        attempt: u32,
        /// How it failed, which decides what happens next.
        class: Class,
        /// What the component, or whoever failed on its behalf, said.
        error: FlowError,
    },
    /// A step ended. Written once per step.
    StepFinished {
        /// The step.
        #[serde(with = "place")]
        step: StepIdx,
        /// What expressions will see, or the failure that ends the run.
        outcome: Outcome,
    },
    /// The run ended. Always the last entry.
    RunFinished {
        /// The result of the flow.
        outcome: Outcome,
        /// The step whose failure nobody handled, when that is why the run failed.
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            with = "place::optional"
        )]
        failed_step: Option<StepIdx>,
    },
}

/// What a run was asked to do.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct RunCreated {
    /// The content id of the flow as it was given, before overrides.
    pub flow_id: BlobId,
    /// The input of the flow.
    pub input: Value,
    /// The variables that were given, without defaults; an object, or null.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub variables: Value,
    /// The overrides that were applied to the flow, or null.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub overrides: Value,
    /// The step that asked for this run, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
}

impl fmt::Debug for RunCreated {
    /// Leaves out the input and the variables, which may be large or secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunCreated")
            .field("flow_id", &self.flow_id)
            .field("parent", &self.parent)
            .finish_non_exhaustive()
    }
}

/// The step on whose behalf a run runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The run of that step.
    pub run_id: RunId,
    /// The id of that step.
    pub step_id: String,
    /// What tells the runs of one step apart: the item of a map, the key of a call back.
    pub key: String,
    /// How many runs enclose this one; 1 for a run that a top-level run asked for.
    pub depth: u32,
}

/// How an attempt failed, which decides whether it is made again (`docs/protocol/lifecycle.md`,
/// "Outcomes and retries").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The component surely never saw the request; it is sent again.
    NotSent,
    /// The component refused before starting because it has enough to do; it is asked again, with
    /// patience.
    Busy {
        /// How long it asked to be left alone.
        #[serde(
            rename = "retry_after_ms",
            default,
            skip_serializing_if = "Option::is_none",
            with = "milliseconds"
        )]
        retry_after: Option<Duration>,
    },
    /// The request was sent and its answer is lost: the component may have done its work. It is
    /// sent again with the same idempotency key, unless the step forbids it.
    Unknown,
    /// The answer did not come in time. Only `onError: retry` tries again.
    TimedOut,
    /// The component answered with an error. Only `onError: retry` tries again.
    Component,
    /// The request is wrong in itself (an expression, a schema, a size, a permission), so a second
    /// one would fail too. Never tried again.
    Refused,
    /// Somebody cancelled the attempt. Never tried again, and `onError` does not apply.
    Cancelled,
}

/// An entry in its place in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Counts the entries of one run from 0, without gaps.
    pub sequence: u64,
    /// When the store took it.
    pub at: Timestamp,
    /// The entry.
    pub entry: Entry,
}

/// A time of day as the store's clock had it, in whole milliseconds since 1970 (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The time now.
    pub(crate) fn now() -> Timestamp {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(timestamp.0)
    }
}

/// A duration as a number of milliseconds, which is what every reader of a journal expects.
mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let milliseconds = duration.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX));
        milliseconds.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

/// A step as its place in the plan.
mod place {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use stepflow_flow::plan::StepIdx;

    pub fn serialize<S: Serializer>(step: &StepIdx, serializer: S) -> Result<S::Ok, S::Error> {
        step.place().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StepIdx, D::Error> {
        Ok(StepIdx::new(u32::deserialize(deserializer)? as usize))
    }

    pub mod optional {
        use super::{Deserialize, Deserializer, Serialize, Serializer, StepIdx};

        pub fn serialize<S: Serializer>(
            step: &Option<StepIdx>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            step.map(StepIdx::place).serialize(serializer)
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<StepIdx>, D::Error> {
            let place = Option::<u32>::deserialize(deserializer)?;
            Ok(place.map(|place| StepIdx::new(place as usize)))
        }
    }
}
