//! The runtime as the server sees it, as far as components of tests need one: blobs, and `ping`.

use std::collections::HashMap;

use serde_json::Value;
use serde_json::json;
use stepflow_flow::blob::BlobId;

/// A runtime's answers to call backs.
#[derive(Debug, Default)]
pub struct Host {
    blobs: HashMap<String, Value>,
}

impl Host {
    /// The result of a method, or a code and a message.
    pub fn serve(&mut self, method: &str, params: &Value) -> Result<Value, (i64, String)> {
        match method {
            "ping" => Ok(json!({})),
            "blobs/put" => {
                let data = params.get("data").cloned().unwrap_or_default();
                let id = BlobId::of(&data.clone().into());
                let id = id.map_err(|error| (-32602, error.to_string()))?;
                self.blobs.insert(id.to_string(), data);
                Ok(json!({"blob_id": id}))
            }
            "blobs/get" => {
                let id = params.get("blob_id").and_then(Value::as_str);
                let data = id.and_then(|id| self.blobs.get(id));
                match data {
                    Some(data) => Ok(json!({"data": data, "blob_type": "data"})),
                    None => Err((-32008, format!("there is no blob {id:?}"))),
                }
            }
            _ => Err((-32601, format!("there is no method {method} here"))),
        }
    }
}
