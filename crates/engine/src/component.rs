//! The port to components. Owns what the engine says to a component and what it may hear back;
//! must not know how a component is reached (a process, the network, a function in this program).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use stepflow_flow::blob::BlobId;
use stepflow_flow::error::FlowError;
use stepflow_flow::value::Value;
use stepflow_store::RunId;
pub use stepflow_store::journal::Class;
use stepflow_store::journal::Parent;

use crate::Engine;
use crate::clock::Clock;
use crate::outer::Outer;

/// Runs components. Implemented by the components crate; scripted in tests.
pub trait Components: Send + Sync + 'static {
    /// Makes one attempt of one step.
    ///
    /// The future is polled first on the loop of its run, so that work that is done at once costs
    /// no task switch; it must not block. Dropping it cancels the call: by the time the drop
    /// returns, no answer can arrive any more, and the component has been or will be told.
    fn execute(&self, invocation: Invocation) -> BoxFuture<'static, Result<Completion, Failure>>;

    /// Whether a call whose outcome is unknown may be made again (`retryUnknown` of a plugin).
    fn resends_unknown(&self, _component: &str) -> bool {
        true
    }
}

/// One attempt of one step: all that its component is told, and what call backs need.
#[derive(Clone)]
pub struct Invocation {
    /// The normalised path of the component, such as `/python/udf`.
    pub component: Arc<str>,
    /// The input of the step, already evaluated and checked.
    pub input: Value,
    /// The run.
    pub run_id: RunId,
    /// The content id of the run's flow.
    pub flow_id: BlobId,
    /// The id of the step in its flow.
    pub step_id: Arc<str>,
    /// Counts the attempts of this step from 1; never repeats, whatever the reason of a new one.
    pub attempt: u32,
    /// The time this attempt may take, counted from the moment it is sent (see [`Invocation::clock`]).
    /// The engine enforces it; a component is told so that it need not work in vain.
    pub deadline: Option<Duration>,
    /// Stops the deadline while the attempt waits for something else than its component.
    pub clock: Clock,
    /// Where this attempt stands in a trace.
    pub trace: Trace,
    /// How many runs enclose the run.
    pub depth: u32,
    /// The run around the step.
    pub outer: Outer,
    /// The engine that runs the step: call backs store blobs and start runs with it. Holding it no
    /// longer than the call keeps engine and components from owning each other.
    pub engine: Engine,
}

impl Invocation {
    /// Names this step's work, the same in every attempt and after a recovery, so that a component
    /// can see that it did it before. Items of a map differ by their runs.
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}", self.run_id, self.step_id)
    }

    /// Describes this step as the parent of a run it asks for. The key tells the runs of one step
    /// apart (an item, the key of a call back).
    pub fn as_parent(&self, key: impl Into<String>) -> Parent {
        Parent {
            run_id: self.run_id,
            step_id: self.step_id.as_ref().to_owned(),
            key: key.into(),
            depth: self.depth + 1,
        }
    }
}

impl fmt::Debug for Invocation {
    /// Leaves out the input, which may be large or secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("component", &self.component)
            .field("run_id", &self.run_id)
            .field("step_id", &self.step_id)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// How a component ended when it did not fail.
#[derive(Clone, Debug, PartialEq)]
pub enum Completion {
    /// It has a result.
    Output(Value),
    /// It chose to be skipped.
    Skipped {
        /// Its reason, for people.
        reason: Option<String>,
    },
}

/// How an attempt failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Decides whether the attempt is made again.
    pub class: Class,
    /// What people and the flow's result will see, untouched.
    pub error: FlowError,
}

impl Failure {
    /// A failure of this class with this error.
    pub fn new(class: Class, error: FlowError) -> Failure {
        Failure { class, error }
    }
}

/// What a component says went wrong is an error of the component, unless it says more.
impl From<FlowError> for Failure {
    fn from(error: FlowError) -> Failure {
        Failure::new(Class::Component, error)
    }
}

/// A position in a trace, in the terms of W3C Trace Context.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trace {
    /// Names the trace: one for a top-level run and everything it causes.
    pub trace_id: [u8; 16],
    /// Names this attempt in the trace.
    pub span_id: [u8; 8],
}

impl Trace {
    /// The trace id as 32 lower-case hexadecimal digits.
    pub fn trace_id_hex(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.trace_id))
    }

    /// The span id as 16 lower-case hexadecimal digits.
    pub fn span_id_hex(&self) -> String {
        format!("{:016x}", u64::from_be_bytes(self.span_id))
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({}-{})", self.trace_id_hex(), self.span_id_hex())
    }
}
