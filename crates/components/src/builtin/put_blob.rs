//! `put_blob`: stores data under its content id.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use stepflow_flow::blob::BlobId;
use stepflow_flow::value::Value;
use stepflow_protocol::blob::BlobType;

use super::Builtin;
use crate::remote::callbacks;

/// What to store.
#[derive(Deserialize, JsonSchema)]
struct Input {
    /// The data.
    data: Value,
    /// What it is meant for; `data` when missing.
    #[serde(default)]
    blob_type: Option<BlobType>,
}

/// Where to find it again.
#[derive(Serialize, JsonSchema)]
struct Output {
    /// The content id.
    blob_id: BlobId,
}

pub(super) fn builtin() -> Builtin {
    Builtin::new(
        "/put_blob",
        "Stores data and returns its content id",
        |context, input: Input| async move {
            let blob_type = input.blob_type.unwrap_or_default();
            let blob_id =
                callbacks::put_blob(context.invocation.engine.store(), &input.data, blob_type)
                    .await?;
            Ok(Output { blob_id })
        },
    )
}
