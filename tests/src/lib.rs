//! What the tests of the whole system share: servers to talk to, ways to reach them, a runtime around them, and the proof
//! that nothing of it is left. Owns fixtures; what is asserted stands in `tests/tests`.
//!
//! # Layout
//!
//! - [`balancer`]: a real nginx in front of two servers
//! - [`environment`]: where the programs are that tests start
//! - [`front`]: the Rust server over HTTP in this process, with layers of a test in front of it
//! - [`gate`]: a meeting point of a test and a component, whatever process that runs in
//! - [`http`]: component servers that run on their own and are reached over HTTP
//! - [`pipes`]: a server byte by byte over stdin and stdout
//! - [`process`]: processes that a test started, directly or not, and their end
//! - [`program`]: the program `stepflow` as a user runs it
//! - [`proxy`]: a TCP proxy that cuts, delays and holds back
//! - [`runtime`]: plugins and an engine around them
//! - [`server`]: the components of the test server in Rust; `servers/test_server.py` has the same in Python
//! - [`tls`]: an authority of the test's own, and a TLS front in front of a server
//! - [`wire`]: a connection to a test server, over each transport

#![expect(
    clippy::unwrap_used,
    reason = "a fixture that cannot be had is reported by its panic"
)]

pub mod balancer;
pub mod environment;
pub mod front;
pub mod gate;
pub mod http;
pub mod pipes;
pub mod process;
pub mod program;
pub mod proxy;
pub mod runtime;
pub mod server;
pub mod tls;
pub mod wire;

use std::time::Duration;

use stepflow_flow::value::Value;

/// Far longer than anything takes: a test that waits this long hangs.
pub const HANG: Duration = Duration::from_secs(120);

/// Awaits something that comes soon, and fails with its name when it does not.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(HANG, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: nothing within {HANG:?}"),
    }
}

/// A value from its JSON text.
pub fn value(text: &str) -> Value {
    Value::parse(text).unwrap_or_else(|error| panic!("{error}: {text:.200}"))
}

/// Prints how long something took beside what is promised. Fails only at ten times that: a machine may be busy.
///
/// # Panics
/// When it took that long.
#[expect(
    clippy::print_stdout,
    reason = "figures are for whoever reads the output of a test"
)]
pub fn figure(what: &str, took: Duration, promised: Duration) {
    println!("{what}: {took:?} (promised: {promised:?})");
    assert!(took < 10 * promised, "{what}: {took:?}");
}
