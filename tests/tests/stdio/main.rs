//! Component servers as real processes, through plugins and the engine as the program uses them: much at once, much in one
//! piece, deaths at bad moments, bad manners.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

mod death;
mod limits;
mod load;
mod manners;
mod outcomes;

use stepflow_flow::value::Value;
use stepflow_tests::value;

fn from(tree: serde_json::Value) -> Value {
    value(&tree.to_string())
}
