//! Flows that a step runs: what built-ins and call backs have in common. Owns how such a flow is named, found and started, and
//! what the errors of that are to a flow; a run itself is the engine's.

pub mod arguments;
pub mod collected;
pub mod fan_out;

use stepflow_engine::Class;
use stepflow_engine::Engine;
use stepflow_engine::Failure;
use stepflow_engine::Invocation;
use stepflow_engine::PlanError;
use stepflow_engine::RunError;
use stepflow_engine::StartError;
use stepflow_engine::SubFlow;
use stepflow_engine::SubRun;
use stepflow_flow::blob::BlobId;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::error::FlowError;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;

/// Which flow to run.
#[derive(Clone, Debug)]
pub enum Given {
    /// A stored one.
    Stored(BlobId),
    /// This one.
    Inline(Value),
}

impl Given {
    /// The flow, checked and compiled, with changes to its steps (null for none).
    ///
    /// # Errors
    /// -32008 when there is no such flow, `code` when it cannot be run, -32005 when the store fails.
    pub async fn find(
        &self,
        engine: &Engine,
        overrides: &Value,
        code: ErrorCode,
    ) -> Result<SubFlow, FlowError> {
        let found = match self {
            Given::Stored(flow_id) => engine.stored_flow(*flow_id, overrides).await,
            Given::Inline(flow) => engine.given_flow(flow, overrides).await,
        };
        found.map_err(|error| match &error {
            PlanError::NotFound { .. } => ErrorCode::BLOB_NOT_FOUND.error(error.to_string()),
            PlanError::Store(why) => ErrorCode::UNAVAILABLE.error(format!("{error}: {why}")),
            PlanError::NoId(why) => code.error(format!("{error}: {why}")),
            _ => code.error(error.to_string()),
        })
    }

    /// The flow as a built-in runs it for its step.
    ///
    /// # Errors
    /// As [`Given::find`] with -32003; no other attempt would mend them.
    pub async fn for_step(&self, call: &Invocation) -> Result<SubFlow, Failure> {
        let unchanged = Value::null();
        let found = self.find(&call.engine, &unchanged, ErrorCode::INVALID_INPUT);
        found.await.map(|flow| call.inherit(flow)).map_err(refused)
    }
}

/// A run that was asked for.
#[derive(Debug)]
pub enum Started {
    /// It can begin.
    Run(SubRun),
    /// Its input or its variables do not fit: it has failed before it began.
    Misfit(Outcome),
}

/// Starts a run of a flow for a step.
///
/// # Errors
/// -32005 when runs are nested too deep or too many are alive.
pub fn start(
    call: &Invocation,
    flow: &SubFlow,
    key: &str,
    input: Value,
) -> Result<Started, FlowError> {
    match call.sub_run(flow, key, input) {
        Ok(run) => Ok(Started::Run(run)),
        Err(error) => match &error {
            StartError::Invalid { violations, .. } => {
                let data = serde_json::json!({ "violations": violations });
                let misfit = ErrorCode::INVALID_INPUT.error(error.to_string());
                Ok(Started::Misfit(Outcome::Failed(
                    misfit.with_data(Value::from(data)),
                )))
            }
            _ => Err(ErrorCode::UNAVAILABLE.error(error.to_string())),
        },
    }
}

/// A run that could not go on because the runtime is broken.
pub fn broken(error: &RunError) -> FlowError {
    let cause = std::error::Error::source(error);
    let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
    ErrorCode::INTERNAL.error(format!("{error}{cause}"))
}

/// A failure that another attempt would not mend.
pub fn refused(error: FlowError) -> Failure {
    Failure::new(Class::Refused, error)
}
