//! What HTTP alone can do to a runtime: servers that are not ours, proxies, lost sessions, and strangers.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

#[cfg(target_os = "linux")]
mod abandoned;
mod balancer;
mod busy;
mod connections;
mod faults;
mod instances;
mod isolation;
mod negotiation;
mod passing;
mod proxies;
mod tls;

use std::time::Instant;

use stepflow_components::options;
use stepflow_flow::value::Value;
use stepflow_tests::http::Server;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Runtime;
use stepflow_tests::runtime::Setup;
use stepflow_tests::value;

/// A server that runs, and a runtime that knows it as `it`.
struct Pair {
    runtime: Runtime,
    server: Server,
}

impl Pair {
    async fn of(program: Program) -> Pair {
        Pair::with(program, |_| {}).await
    }

    async fn with(program: Program, change: impl FnOnce(&mut options::Http)) -> Pair {
        let setup = Setup::default();
        let server = setup.server(program).await;
        let runtime = setup.http_with("it", &server.url, change).start();
        Pair { runtime, server }
    }

    /// The output of a component.
    async fn output(&self, component: &str, input: Value) -> Value {
        let path = format!("/it{component}");
        let outcome = self.runtime.call(&path, input).await;
        stepflow_tests::runtime::success(&outcome).clone()
    }

    /// The error that a component fails with.
    async fn error(&self, component: &str, input: Value) -> stepflow_flow::error::FlowError {
        let path = format!("/it{component}");
        let outcome = self.runtime.call(&path, input).await;
        stepflow_tests::runtime::failure(&outcome).clone()
    }

    async fn end(self) {
        self.runtime.shut_down_with(self.server).await;
    }
}

fn from(tree: serde_json::Value) -> Value {
    value(&tree.to_string())
}

fn took(what: &str, since: Instant) {
    told(&format!("{what}: {:?}", since.elapsed()));
}

#[expect(
    clippy::print_stdout,
    reason = "figures are for whoever reads the output of a test"
)]
fn told(what: &str) {
    println!("{what}");
}
