//! Batches: one flow run on many inputs in the background of a run, while the component goes on. Owns what is known of a batch and how
//! long it lives: as long as the run whose step submitted it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use stepflow_engine::Invocation;
use stepflow_engine::SubFlow;
use stepflow_flow::blob::BlobId;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;
use stepflow_protocol::error::rpc_error;
use stepflow_protocol::flow::BatchDetails;
use stepflow_protocol::flow::BatchOutput;
use stepflow_protocol::flow::BatchStatus;
use stepflow_protocol::flow::GetBatchParams;
use stepflow_protocol::flow::GetBatchResult;
use stepflow_protocol::flow::SubmitBatchParams;
use stepflow_protocol::flow::SubmitBatchResult;
use stepflow_rpc::Call;
use stepflow_rpc::RpcError;
use tokio_util::sync::CancellationToken;

use super::Host;
use super::evaluations::find;
use super::executions::Serving;
use crate::subflows::Given;
use crate::subflows::fan_out::fan_out;

/// The batches of one run, by their ids.
#[derive(Debug, Default)]
struct Batches {
    by_id: Mutex<HashMap<String, Arc<Batch>>>,
}

#[derive(Debug)]
struct Batch {
    id: String,
    flow_id: BlobId,
    flow_name: Option<String>,
    created_at: SystemTime,
    state: Mutex<State>,
    all_ended: CancellationToken,
}

#[derive(Debug)]
struct State {
    outcomes: Vec<Option<Outcome>>,
    n_completed: u64,
    n_failed: u64,
    completed_at: Option<SystemTime>,
}

/// Starts a batch, or finds the one that an earlier attempt started.
pub(super) async fn on_submit_batch(
    call: Call<Host>,
    params: SubmitBatchParams,
) -> Result<SubmitBatchResult, RpcError> {
    let executions = &call.state.executions;
    let serving = executions.serving(params.execution.as_ref(), params.observability.as_ref())?;
    let given = Given::Stored(params.flow_id);
    let flow = find(&serving, &given, params.overrides, None).await?;
    let total_runs = params.inputs.len() as u64;
    let key = match params.key {
        Some(key) => format!("key {key}"),
        None => default_key(&serving, &flow, &params.inputs)?,
    };
    let invocation = &serving.invocation;
    let batch_id = invocation.run_id.of_sub_run(&invocation.step_id, &key);
    let batch_id = batch_id.to_string();
    let batches: Arc<Batches> = invocation.outer.kept_by_run();
    let mut by_id = batches.lock();
    if !by_id.contains_key(&batch_id) {
        let batch = Arc::new(Batch::new(&batch_id, &flow, params.inputs.len()));
        by_id.insert(batch_id.clone(), Arc::clone(&batch));
        let limit = invocation.engine.options().limits.map.max(1);
        let asked = params.max_concurrency.filter(|most| *most > 0);
        let at_once = asked.map_or(limit, |most| limit.min(most as usize));
        let run = batch.run(invocation.clone(), flow, key, params.inputs, at_once);
        invocation.outer.in_background(run);
    }
    Ok(SubmitBatchResult {
        batch_id,
        total_runs,
    })
}

fn default_key(serving: &Serving, flow: &SubFlow, inputs: &[Value]) -> Result<String, RpcError> {
    let id = Value::string(&flow.flow_id.to_string());
    let parts = [
        id,
        Value::list(inputs.iter().cloned()),
        flow.overrides.clone(),
    ];
    let what = BlobId::of(&Value::list(parts))
        .map_err(|error| rpc_error(ErrorCode::INVALID_PARAMS, format!("the inputs: {error}")))?;
    let occurrence = serving.occurrence(what);
    Ok(format!("batch {what} {occurrence}"))
}

/// How far a batch is.
pub(super) async fn on_get_batch(
    call: Call<Host>,
    params: GetBatchParams,
) -> Result<GetBatchResult, RpcError> {
    let executions = &call.state.executions;
    let serving = executions.serving(params.execution.as_ref(), params.observability.as_ref())?;
    let batches: Arc<Batches> = serving.invocation.outer.kept_by_run();
    let batch = batches.lock().get(&params.batch_id).cloned();
    let batch = batch.ok_or_else(|| {
        let message = format!("this run has no batch `{}`", params.batch_id);
        rpc_error(ErrorCode::INVALID_PARAMS, message)
    })?;
    if params.wait == Some(true) {
        serving.wait(batch.all_ended.cancelled()).await?;
    }
    Ok(batch.described(params.include_results == Some(true)))
}

impl Batch {
    fn new(id: &str, flow: &SubFlow, n_inputs: usize) -> Self {
        Batch {
            id: id.to_owned(),
            flow_id: flow.flow_id,
            flow_name: flow.plan.name().map(str::to_owned),
            created_at: SystemTime::now(),
            state: Mutex::new(State {
                outcomes: vec![None; n_inputs],
                n_completed: 0,
                n_failed: 0,
                completed_at: None,
            }),
            all_ended: CancellationToken::new(),
        }
    }

    /// Runs the flow on each input.
    async fn run(
        self: Arc<Self>,
        call: Invocation,
        flow: SubFlow,
        key: String,
        inputs: Vec<Value>,
        at_once: usize,
    ) {
        let prefix = format!("{key}/");
        let inputs = (0..).zip(inputs);
        let on_end = |place, outcome| self.lock().end(place, outcome);
        let all = fan_out(&call, &flow, &prefix, inputs, at_once, on_end);
        if let Err(error) = all.await {
            let mut state = self.lock();
            let places = 0..state.outcomes.len();
            let missing = places.filter(|place| state.outcomes[*place].is_none());
            for place in missing.collect::<Vec<_>>() {
                state.end(place as u64, Outcome::Failed(error.clone()));
            }
        }
        self.lock().completed_at = Some(SystemTime::now());
        self.all_ended.cancel();
    }

    fn described(&self, with_results: bool) -> GetBatchResult {
        let state = self.lock();
        let total_runs = state.outcomes.len() as u64;
        let details = BatchDetails {
            batch_id: self.id.clone(),
            flow_id: self.flow_id,
            flow_name: self.flow_name.clone(),
            total_runs,
            // It ends with its run, and who asks belongs to that run.
            status: BatchStatus::Running,
            created_at: rfc3339(self.created_at),
            completed_runs: state.n_completed,
            running_runs: total_runs - state.n_completed - state.n_failed,
            failed_runs: state.n_failed,
            cancelled_runs: 0,
            paused_runs: 0,
            completed_at: state.completed_at.map(rfc3339),
        };
        let outputs = with_results.then(|| (0..).zip(&state.outcomes).map(output).collect());
        GetBatchResult { details, outputs }
    }

    /// Nothing under this lock can panic half-way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end(&mut self, place: u64, outcome: Outcome) {
        match outcome {
            Outcome::Failed(_) => self.n_failed += 1,
            Outcome::Success(_) | Outcome::Skipped { .. } => self.n_completed += 1,
        }
        let slot = usize::try_from(place).ok();
        if let Some(slot) = slot.and_then(|place| self.outcomes.get_mut(place)) {
            *slot = Some(outcome);
        }
    }
}

fn output((batch_input_index, outcome): (u64, &Option<Outcome>)) -> BatchOutput {
    let status = match outcome {
        None => "running",
        Some(Outcome::Failed(_)) => "failed",
        Some(Outcome::Success(_) | Outcome::Skipped { .. }) => "completed",
    };
    BatchOutput {
        batch_input_index,
        status: status.to_owned(),
        result: outcome.clone(),
    }
}

impl Batches {
    /// Nothing under this lock can panic half-way.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Batch>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A time as RFC 3339 has it, in UTC. Days are turned into a date by counting in years that begin in March.
fn rfc3339(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_763_717_402, "2025-11-21T09:30:02Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }
}
