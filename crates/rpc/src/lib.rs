//! JSON-RPC 2.0 as a symmetric peer: both ends of a connection run the same code and differ only in the
//! router they hold. Knows messages, links and calls; knows nothing of Stepflow, and never looks inside `params`
//! except in the [`Router`], for a method it was given.
//!
//! # Layout
//!
//! - [`message`]: one JSON-RPC message, its decoding and encoding
//! - [`error`]: what goes wrong: [`RpcError`] travels on the wire, [`CallError`] tells the caller what to do
//! - [`link`]: what a transport is: a place to put messages, a stream of arrivals, a reason for its end
//! - [`peer`]: calls, answers, cancellation over one link
//! - [`router`]: typed handlers for the requests and notifications that arrive
//! - [`transport`]: links made of memory, of lines over pipes, of a child process
//!
//! ```
//! use stepflow_rpc::{method, peer, transport::memory, Router};
//!
//! method!(Add, "add", (i64, i64) => i64);
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let (left, right) = memory::pair();
//! let router = Router::new(()).method::<Add, _, _>(|_call, (a, b)| async move { Ok(a + b) });
//! let _server = peer::connect(right, router);
//! let client = peer::connect(left, Router::new(()));
//!
//! assert_eq!(client.peer().call::<Add>(&(1, 2)).await.expect("the server adds"), 3);
//! # }
//! ```

pub mod error;
pub mod link;
pub mod message;
pub mod peer;
pub mod router;
pub mod transport;

pub use error::{CallError, Closed, ErrorCode, RpcError};
pub use link::{Arrival, Link, Outgoing};
pub use message::{Id, Json, Message, Notification, Request, Response};
pub use peer::{Connection, Peer};
pub use router::{Call, Method, Notice, Router};
