//! `eval`: runs a flow.

use schemars::JsonSchema;
use serde::Serialize;
use stepflow_engine::Completion;
use stepflow_engine::Failure;
use stepflow_engine::Invocation;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;

use super::Builtin;
use super::output;
use crate::subflows;
use crate::subflows::Started;
use crate::subflows::arguments::Arguments;
use crate::subflows::refused;

/// Which flow to run, and on what.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes what is read key by key")]
struct Input {
    /// The flow itself, taken literally. Either this or `flow_id`; `workflow` is its older name.
    #[schemars(default)]
    flow: Option<Value>,
    /// The content id of a stored flow.
    #[schemars(default)]
    flow_id: Option<String>,
    /// The flow's input.
    input: Value,
}

/// How the run ended.
#[derive(Serialize, JsonSchema)]
struct Output {
    /// Its outcome.
    result: Outcome,
    /// Its id.
    run_id: String,
}

pub(super) fn builtin() -> Builtin {
    Builtin::reading::<Input, Output, _, _>(
        "/eval",
        "Runs a flow and tells how it ended",
        |context| run(context.invocation),
    )
}

async fn run(call: Invocation) -> Result<Completion, Failure> {
    let arguments = Arguments::read(&call.input, &["input"]).map_err(refused)?;
    let given = arguments.flow().map_err(refused)?;
    let input = arguments.required("input").map_err(refused)?;
    let flow = given.for_step(&call).await?;
    let _lent = call.lend_slot();
    let (result, run_id) = match subflows::start(&call, &flow, "eval", input).map_err(refused)? {
        Started::Misfit(outcome) => (outcome, call.run_id.of_sub_run(&call.step_id, "eval")),
        Started::Run(run) => {
            let ended = run.await.map_err(|error| subflows::broken(&error))?;
            (ended.outcome, ended.run_id)
        }
    };
    let run_id = run_id.to_string();
    output(&Output { result, run_id })
}
