//! How an instance of a component server comes to be: reach it, shake hands. One file a transport; what they share is here.

mod http;
mod stdio;

use std::sync::Arc;
use std::time::Duration;

use stepflow_protocol::HandshakeError;
use stepflow_protocol::PROTOCOL_VERSION;
use stepflow_protocol::Session;
use stepflow_protocol::handshake;
use stepflow_protocol::lifecycle::Capabilities;
use stepflow_protocol::lifecycle::Implementation;
use stepflow_protocol::lifecycle::InitializeParams;
use stepflow_rpc::CallError;
use stepflow_rpc::Link;
use stepflow_rpc::peer;
use stepflow_rpc::peer::Connection;
use stepflow_rpc::transport::http::Kind;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::callbacks;
use super::callbacks::Executions;
use super::ready::Ready;
use crate::supervisor::Connect;
use crate::supervisor::ConnectError;
pub(super) use http::Http;
pub(super) use stdio::Stdio;

/// Makes connections to one server.
#[derive(Debug)]
pub(super) enum Connector {
    Stdio(Box<Stdio>),
    Http(Box<Http>),
}

impl Connect for Connector {
    type Life = Ready;

    fn starts_processes(&self) -> bool {
        matches!(self, Connector::Stdio(_))
    }

    async fn connect(
        &self,
        generation: u64,
        stop: &CancellationToken,
    ) -> Option<Result<Ready, ConnectError>> {
        match self {
            Connector::Stdio(stdio) => stdio.connect(generation, stop).await,
            Connector::Http(http) => tokio::select! {
                connected = http.connect(generation) => Some(connected),
                () = stop.cancelled() => None,
            },
        }
    }

    async fn better_than(&self, ready: &Ready, generation: u64) -> Ready {
        match self {
            Connector::Stdio(_) => std::future::pending().await,
            Connector::Http(http) => http.better_than(ready, generation).await,
        }
    }
}

/// What is the same for every connection of a plugin.
#[derive(Debug)]
struct Greeting {
    plugin: Arc<str>,
    shared: Shared,
    timeout: Duration,
    max_message_bytes: usize,
}

/// A connection whose handshake is under way or done.
struct Greeted {
    connection: Connection,
    executions: Executions,
    session: Result<Session, GreetingError>,
}

enum GreetingError {
    Handshake(HandshakeError),
    Silence,
}

impl Greeting {
    /// Runs a peer on a link and shakes hands.
    async fn greet(&self, link: Link) -> Greeted {
        let executions = Executions::default();
        let host = callbacks::Host {
            plugin: Arc::clone(&self.plugin),
            store: self.shared.store.clone(),
            executions: executions.clone(),
        };
        let link = match &self.shared.tap {
            Some(tap) => link.tapped(Arc::clone(tap)),
            None => link,
        };
        let connection = peer::connect(link, callbacks::router(host));
        let shaking = handshake(connection.peer(), self.initialize_params());
        let session = match tokio::time::timeout(self.timeout, shaking).await {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(error)) => Err(GreetingError::Handshake(error)),
            Err(_) => Err(GreetingError::Silence),
        };
        Greeted {
            connection,
            executions,
            session,
        }
    }

    fn initialize_params(&self) -> InitializeParams {
        InitializeParams {
            runtime_protocol_version: PROTOCOL_VERSION,
            protocol_prefix: Some(self.plugin.to_string()),
            runtime: Some(Implementation {
                name: "stepflow".to_owned(),
                version: Some(self.shared.version.to_string()),
            }),
            max_message_bytes: Some(self.max_message_bytes as u64),
            capabilities: Some(Capabilities::all()),
        }
    }

    fn timeout_text(&self) -> String {
        stepflow_flow::duration::print(self.timeout)
    }
}

/// Whether a handshake that failed would fail again.
fn is_permanent(error: &HandshakeError) -> bool {
    match error {
        HandshakeError::Version { .. } => true,
        HandshakeError::Call(error) => {
            matches!(error, CallError::Remote(_) | CallError::Decode { .. })
                || matches!(error, CallError::Http(failure) if failure.kind == Kind::Refused)
        }
    }
}
