//! Work without IO, for the benchmarks of time and the counts of instructions alike: the messages that are read, a whole run of
//! the scheduler. Knows nothing of how it is measured.

use stepflow_engine::retry::Retry;
use stepflow_engine::scheduler::Action;
use stepflow_engine::scheduler::Scheduler;
use stepflow_flow::document::Source;
use stepflow_flow::flow::Flow;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::Plan;
use stepflow_flow::value::Value;
use stepflow_store::journal::Entry;
use stepflow_store::journal::RunCreated;

use crate::flows;
use crate::flows::Shape;

/// What travels most, and what is large: names and texts.
pub fn corpus() -> [(&'static str, String); 5] {
    let large = format!(
        r#"{{"jsonrpc":"2.0","id":"01997d5c-7a1e-7000-8000-000000000000","result":{{"output":"{}"}}}}"#,
        "x".repeat(1_000_000)
    );
    [
        (
            "request",
            include_str!("../../fuzz/seeds/message/request.json").to_owned(),
        ),
        (
            "error",
            include_str!("../../fuzz/seeds/message/error.json").to_owned(),
        ),
        (
            "answer",
            r#"{"jsonrpc":"2.0","id":"01997d5c-7a1e-7000-8000-000000000000","result":{"output":{"text":"hello","number":1}}}"#.to_owned(),
        ),
        (
            "progress",
            r#"{"jsonrpc":"2.0","method":"$/progress","params":{"id":7,"fraction":0.5}}"#.to_owned(),
        ),
        ("large answer", large),
    ]
}

/// A flow of so many steps that do nothing.
pub fn flow(shape: Shape, n_steps: usize) -> Flow {
    let text = flows::text("noop", shape, n_steps);
    Flow::parse(&Source::new("bench.yaml", text)).expect("the text is a flow")
}

/// A whole run of instant steps, without components or a journal.
pub fn schedule(plan: &Plan) {
    let created = RunCreated {
        flow_id: plan.flow_id(),
        input: Value::null(),
        variables: Value::null(),
        overrides: Value::null(),
        parent: None,
    };
    let mut scheduler = Scheduler::new(plan.clone(), Retry::default(), &created);
    while let Some(action) = scheduler.next(usize::MAX) {
        if let Action::Execute(attempt) = action {
            let finished = Entry::StepFinished {
                step: attempt.step,
                outcome: Outcome::Success(attempt.input),
            };
            scheduler.apply(&finished).expect("an attempt was made");
        }
    }
    assert!(scheduler.has_ended());
}
