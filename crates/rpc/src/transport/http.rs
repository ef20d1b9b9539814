//! HTTP: each message one POST, and Server-Sent Events for what comes back on its own. Sessions, fallbacks, reconnects and
//! statuses live in here; the layer above sees links like any other.
//!
//! One connector, three outcomes of negotiation:
//!
//! | mode | when | our request | its answer | the server's requests |
//! |---|---|---|---|---|
//! | session | `GET {url}/runtime/events` streams and names an endpoint | POST endpoint | POST body, or an event | events |
//! | streamable | else, where a POST is answered by a stream | POST url | an event of that stream | earlier events of that stream |
//! | plain | else | POST url | POST body | none |

pub mod client;
mod failure;
mod loopback;
pub mod server;

pub use failure::Failure;
pub use failure::Kind;
pub use loopback::is_loopback;
pub use loopback::is_loopback_address;

/// The content type of every message, both ways.
pub const JSON: &str = "application/json; charset=utf-8";
/// What every POST accepts: published servers refuse anything less.
pub const ACCEPT: &str = "application/json, text/event-stream";
/// The type of a stream of events.
pub const EVENT_STREAM: &str = "text/event-stream";
/// Names the process behind a load balancer that a stream came from.
pub const INSTANCE_HEADER: &str = "stepflow-instance-id";
/// Where a server streams its events, below its own path.
pub const EVENTS_PATH: &str = "/runtime/events";

#[cfg(test)]
mod tests;
