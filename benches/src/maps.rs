//! A flow run on each item of a list, by the built-in `map`, state in memory: how fast, and in how much memory.

use std::fmt::Write;
use std::time::Duration;

use crate::caller;
use crate::caller::Task;
use crate::engine;
use crate::engine::Ready;
use crate::row::Probe;
use crate::row::Row;
use crate::row::Unit;

/// The smaller list.
pub const SOME: &str = "steps: map, a flow on each of 10 000 items";
/// The larger one.
pub const MANY: &str = "steps: map, a flow on each of 1 000 000 items";
/// Its memory.
pub const MEMORY: &str = "memory of the runtime: map, 1 000 000 items";

/// How many items the larger list has.
const N_MANY: usize = 1_000_000;

const FLOW: &str = r#"
steps:
  - id: all
    component: map
    input:
      items: { $input: "$" }
      flow:
        steps: [{ id: one, component: noop, input: { $input: "$" } }]
        output: { $step: one }
output: { $step: all, path: results }
"#;

/// The probes of this module. Each measurement has a process of its own: the larger one leaves a large heap behind.
pub fn probes() -> Vec<Probe> {
    let items_a_second = |name, n_items: usize| {
        let unit = Unit::PerSecond;
        (Row::new(name, unit), move || async move {
            let task = Task::Map { items: n_items };
            let figures = caller::have_done(&task).await?;
            anyhow::Ok(unit.figure(figures.elapsed, n_items))
        })
    };
    let (some, measure_some) = items_a_second(SOME, 10_000);
    let (many, measure_many) = items_a_second(MANY, N_MANY);
    vec![
        Probe::one(some, measure_some),
        Probe::one(many.against(SOME), measure_many),
        Probe::one(Row::new(MEMORY, Unit::Megabytes), || async {
            Ok(caller::have_done(&Task::Map { items: N_MANY })
                .await?
                .memory)
        }),
    ]
}

/// Runs the flow on so many items, in a runtime of its own.
pub async fn run_once(n_items: usize) -> anyhow::Result<Duration> {
    engine::run_second(None, &ready(1)?, &ready(n_items)?).await
}

/// How large the list and what comes of it are as texts, in megabytes.
pub fn texts_megabytes() -> f64 {
    (list(N_MANY).len() + results(N_MANY).len()) as f64 / 1e6
}

fn ready(n_items: usize) -> anyhow::Result<Ready> {
    Ready::new(FLOW.to_owned(), &list(n_items), results(n_items))
}

fn list(n_items: usize) -> String {
    joined(n_items, |text, item| write!(text, "{item}"))
}

fn results(n_items: usize) -> String {
    joined(n_items, |text, item| {
        write!(text, r#"{{"outcome":"success","result":{item}}}"#)
    })
}

fn joined(n_items: usize, put: impl Fn(&mut String, usize) -> std::fmt::Result) -> String {
    let mut text = String::from("[");
    for item in 0..n_items {
        if item > 0 {
            text.push(',');
        }
        put(&mut text, item).expect("a string takes any text");
    }
    text.push(']');
    text
}
