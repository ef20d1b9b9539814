//! `map`: runs a flow on each item of a list.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use schemars::JsonSchema;
use serde_json::value::RawValue;
use stepflow_engine::Completion;
use stepflow_engine::Failure;
use stepflow_engine::Invocation;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Kind;
use stepflow_flow::value::Value;

use super::Builtin;
use crate::subflows::arguments::Arguments;
use crate::subflows::arguments::wrong;
use crate::subflows::collected::Collected;
use crate::subflows::collected::Counts;
use crate::subflows::fan_out::Items;
use crate::subflows::fan_out::fan_out;
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
    /// The inputs: one run each.
    items: Vec<Value>,
    /// How many runs may go on at once; at most, and by default, what the configuration says (`limits.map`).
    #[schemars(default, range(min = 1))]
    max_concurrency: Option<u64>,
}

/// How the runs ended.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes what is written as text")]
struct Output {
    /// Their outcomes, in the order of the items.
    results: Vec<Outcome>,
    /// How many have a result.
    successful: u64,
    /// How many failed.
    failed: u64,
    /// How many were skipped.
    skipped: u64,
}

pub(super) fn builtin() -> Builtin {
    Builtin::reading::<Input, Output, _, _>(
        "/map",
        "Runs a flow on each item of a list",
        |context| run(context.invocation),
    )
}

async fn run(call: Invocation) -> Result<Completion, Failure> {
    let arguments = Arguments::read(&call.input, &["items", "max_concurrency"]).map_err(refused)?;
    let given = arguments.flow().map_err(refused)?;
    let items = arguments.required("items").map_err(refused)?;
    if items.kind() != Kind::List {
        let message = format!("must be a list, and this is {}", items.kind());
        return Err(refused(wrong("/items", &message)));
    }
    let limit = call.engine.options().limits.map.max(1);
    let at_once = arguments.count("max_concurrency").map_err(refused)?;
    let at_once = at_once.map_or(limit, |asked| {
        usize::try_from(asked).unwrap_or(limit).min(limit)
    });
    let flow = given.for_step(&call).await?;
    let _lent = call.lend_slot();
    // What an earlier attempt got done stays done.
    let collected: Arc<Mutex<Collected>> = call.kept();
    let missing = Items::of(items).filter(|(place, _)| !lock(&collected).has(*place));
    let on_end = |place, outcome| lock(&collected).add(place, &outcome);
    let all = fan_out(&call, &flow, "", missing, at_once, on_end);
    all.await.map_err(refused)?;
    let mut collected = lock(&collected);
    let counts = collected.counts();
    Ok(Completion::Output(written(collected.take(), counts)))
}

/// The output, made of the text that there is.
fn written(mut results: String, counts: Counts) -> Value {
    let Counts {
        successful,
        failed,
        skipped,
    } = counts;
    results.insert_str(0, r#"{"results":["#);
    results.push_str(&format!(
        r#"],"successful":{successful},"failed":{failed},"skipped":{skipped}}}"#
    ));
    let text = RawValue::from_string(results).expect("outcomes between commas are a list");
    Value::from(text)
}

/// Nothing under this lock can panic half-way.
fn lock(collected: &Mutex<Collected>) -> MutexGuard<'_, Collected> {
    collected.lock().unwrap_or_else(PoisonError::into_inner)
}
