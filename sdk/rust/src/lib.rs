//! A component server in Rust: typed async functions, served over stdin and stdout or over HTTP.
//!
//! Owns the server's side of the life cycle and the context that a component gets. Knows how messages look and travel only
//! through the crates `protocol` and `rpc`.
//!
//! ```no_run
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//! use stepflow_sdk::{Context, Error, Server};
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Numbers { a: i64, b: i64 }
//!
//! #[derive(Serialize, JsonSchema)]
//! struct Sum { sum: i64 }
//!
//! async fn add(_context: Context, input: Numbers) -> Result<Sum, Error> {
//!     Ok(Sum { sum: input.a + input.b })
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> std::io::Result<()> {
//!     Server::new("adder").component("/add", "Adds two numbers", add).run_stdio().await
//! }
//! ```

mod context;
pub mod http;
mod server;

pub use context::Context;
pub use server::Error;
pub use server::Server;
pub use stepflow_protocol::Value;
