//! `get_blob`: fetches data by its content id.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use stepflow_flow::value::Value;

use super::Builtin;
use crate::remote::callbacks;

/// What to fetch.
#[derive(Deserialize, JsonSchema)]
struct Input {
    /// The content id.
    blob_id: String,
}

/// What was stored.
#[derive(Serialize, JsonSchema)]
struct Output {
    /// The data.
    data: Value,
}

pub(super) fn builtin() -> Builtin {
    Builtin::new(
        "/get_blob",
        "Returns the data that a content id names",
        |context, input: Input| async move {
            let blob =
                callbacks::get_blob(context.invocation.engine.store(), &input.blob_id).await?;
            Ok(Output { data: blob.data })
        },
    )
}
