//! A component server that shows each thing a component can do. The page on the Rust SDK is made of pieces of it.

// [types]
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use stepflow_sdk::Context;
use stepflow_sdk::Error;
use stepflow_sdk::Server;
use stepflow_sdk::Value;

#[derive(Deserialize, JsonSchema)]
struct Numbers {
    a: i64,
    b: i64,
}

#[derive(Serialize, JsonSchema)]
struct Sum {
    sum: i64,
}

async fn add(_context: Context, input: Numbers) -> Result<Sum, Error> {
    let sum = input.a.checked_add(input.b);
    sum.map(|sum| Sum { sum })
        .ok_or(Error::new("the sum is too large"))
}
// [types]

// [ends]
async fn parse(_context: Context, text: String) -> Result<i64, Error> {
    match text.trim() {
        "" => Err(Error::skip("there is nothing to parse")),
        "infinity" => Err(Error::with_code(4242, "there is no such number here")),
        // Any `std::error::Error` becomes the step's by `?`.
        text => Ok(text.parse()?),
    }
}
// [ends]

// [calls]
#[derive(Deserialize, JsonSchema)]
struct Pages {
    pages: Vec<String>,
}

/// Stores each page with the runtime and returns what they are called there.
async fn store(context: Context, input: Pages) -> Result<Vec<String>, Error> {
    let mut ids = Vec::new();
    let total = input.pages.len();
    for page in input.pages {
        let id = context.put_blob(Value::from_serialize(&page)?).await?;
        ids.push(id);
        let done = ids.len();
        context
            .progress(done as f64 / total as f64, "storing")
            .await?;
    }
    let details = serde_json::json!({ "pages": total, "attempt": context.attempt() });
    context.log("info", "stored", Some(&details)).await?;
    Ok(ids)
}
// [calls]

// [main]
#[tokio::main]
async fn main() {
    Server::new("example")
        .version(env!("CARGO_PKG_VERSION"))
        .component("/add", "Adds two numbers", add)
        .component("/parse", "Reads a number", parse)
        .component("/store", "Stores pages with the runtime", store)
        .run()
        .await
}
// [main]
