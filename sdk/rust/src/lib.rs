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
//! #[tokio::main]
//! async fn main() {
//!     // Over stdin and stdout, or with `--http` over HTTP; `--help` tells more.
//!     Server::new("adder").component("/add", "Adds two numbers", add).run().await
//! }
//! ```

mod command;
mod component;
mod connection;
mod context;
mod error;
mod flows;
pub mod http;
mod server;

pub use context::Context;
pub use error::Error;
pub use flows::Flow;
pub use flows::Until;
pub use server::Server;
pub use stepflow_protocol::Outcome;
pub use stepflow_protocol::Value;
pub use stepflow_rpc::CallError;

/// Tells whoever runs the program. Stdout is the protocol's.
#[expect(clippy::print_stderr, reason = "a server program tells where it is")]
fn say(text: &str) {
    eprintln!("stepflow_sdk: {text}");
}
