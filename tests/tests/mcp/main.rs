//! MCP servers as plugins: published ones in Python and JavaScript, and one of the tests' own that behaves as badly as it is
//! told to.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

mod ends;
mod lists;
mod program;
mod published;
mod results;

use serde_json::Value as Json;
use stepflow_components::options::Stdio;
use stepflow_flow::error::FlowError;
use stepflow_flow::value::Value;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Runtime;
use stepflow_tests::runtime::Setup;
use stepflow_tests::runtime::failure;
use stepflow_tests::runtime::success;
use stepflow_tests::value;

fn from(tree: Json) -> Value {
    value(&tree.to_string())
}

/// The server of the tests' own, with a habit.
fn raw(habit: &'static [&'static str]) -> Runtime {
    raw_with(habit, |_| {})
}

fn raw_with(habit: &'static [&'static str], change: impl FnOnce(&mut Stdio)) -> Runtime {
    let program = Program::File("mcp_raw.py", habit);
    Setup::default().mcp_with("it", program, change).start()
}

async fn output(runtime: &Runtime, component: &str, input: Json) -> Value {
    success(&runtime.call(component, from(input)).await).clone()
}

async fn error(runtime: &Runtime, component: &str, input: Json) -> FlowError {
    failure(&runtime.call(component, from(input)).await).clone()
}
