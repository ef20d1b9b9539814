//! `sleep`: waits, then ends.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use super::Builtin;

/// How long to wait.
#[derive(Deserialize, JsonSchema)]
struct Input {
    /// In milliseconds.
    duration_ms: u64,
}

/// How long it waited.
#[derive(Serialize, JsonSchema)]
struct Output {
    /// In milliseconds.
    duration_ms: u64,
}

pub(super) fn builtin() -> Builtin {
    Builtin::new(
        "/sleep",
        "Waits for a number of milliseconds",
        |_context, input: Input| async move {
            tokio::time::sleep(Duration::from_millis(input.duration_ms)).await;
            Ok(Output {
                duration_ms: input.duration_ms,
            })
        },
    )
}
