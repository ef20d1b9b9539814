//! How an instance of a component server comes to be: start, link, handshake. Owns the error that explains a start that
//! failed; when to try again is the supervisor's business.

use std::sync::Arc;
use std::time::Duration;

use stepflow_protocol::HandshakeError;
use stepflow_protocol::PROTOCOL_VERSION;
use stepflow_protocol::handshake;
use stepflow_protocol::lifecycle::Capabilities;
use stepflow_protocol::lifecycle::Implementation;
use stepflow_protocol::lifecycle::InitializeParams;
use stepflow_rpc::CallError;
use stepflow_rpc::Closed;
use stepflow_rpc::peer;
use stepflow_rpc::transport::child;
use stepflow_rpc::transport::child::Child;
use stepflow_rpc::transport::child::Command;
use stepflow_rpc::transport::child::Guard;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Shared;
use super::callbacks;
use super::callbacks::Executions;
use super::supervisor::Ready;
use crate::options;

/// Starts child processes.
#[derive(Debug)]
pub(super) struct Stdio {
    command: Command,
    initialize_timeout: Duration,
    shared: Shared,
}

/// Why no connection came about.
#[derive(Debug)]
pub(super) struct ConnectError {
    /// Everything that is known, for people.
    pub(super) reason: String,
    /// Whether trying again would end the same way.
    pub(super) is_permanent: bool,
}

impl Stdio {
    pub(super) fn new(name: Arc<str>, options: &options::Stdio, shared: &Shared) -> Self {
        let command = Command {
            name,
            program: options.command.clone(),
            arguments: options.arguments.clone(),
            environment: options.environment.clone(),
            folder: options.folder.clone(),
            max_message_bytes: options.limits.max_message_bytes,
            shutdown_grace: options.limits.shutdown_grace,
        };
        Stdio {
            command,
            initialize_timeout: options.limits.initialize_timeout,
            shared: shared.clone(),
        }
    }

    /// Starts the server and shakes hands with it; `None` when told to stop meanwhile, with the process gone by then.
    pub(super) async fn connect(
        &self,
        generation: u64,
        stop: &CancellationToken,
    ) -> Option<Result<Ready, ConnectError>> {
        let spawned = child::spawn(&self.command, self.guard().as_ref());
        let (link, child) = match spawned {
            Ok(started) => started,
            Err(error) => {
                return Some(Err(ConnectError {
                    reason: error.to_string(),
                    is_permanent: true,
                }));
            }
        };
        let executions = Executions::default();
        let host = callbacks::Host {
            plugin: Arc::clone(&self.command.name),
            store: self.shared.store.clone(),
            executions: executions.clone(),
        };
        let connection = peer::connect(link, callbacks::router(host));
        let shaking = handshake(connection.peer(), self.initialize_params());
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(self.initialize_timeout, shaking) => shaken,
            () = stop.cancelled() => {
                child.shut_down().await;
                return None;
            }
        };
        Some(match shaken {
            Ok(Ok(session)) => Ok(Ready::new(
                generation, session, connection, child, executions,
            )),
            Ok(Err(error)) => Err(self.handshake_failed(&child, error).await),
            Err(_) => Err(self.silent(&child).await),
        })
    }

    /// The guard process of this runtime, started with its first child.
    fn guard(&self) -> Option<Guard> {
        let start = || {
            Guard::start()
                .inspect_err(|error| warn!(%error, "no guard process: children may outlive a crash of this process"))
                .ok()
        };
        self.shared.guard.get_or_init(start).clone()
    }

    fn initialize_params(&self) -> InitializeParams {
        InitializeParams {
            runtime_protocol_version: PROTOCOL_VERSION,
            protocol_prefix: Some(self.command.name.to_string()),
            runtime: Some(Implementation {
                name: "stepflow".to_owned(),
                version: Some(self.shared.version.to_string()),
            }),
            max_message_bytes: Some(self.command.max_message_bytes as u64),
            capabilities: Some(Capabilities::all()),
        }
    }

    async fn handshake_failed(&self, child: &Child, error: HandshakeError) -> ConnectError {
        let is_permanent = match &error {
            HandshakeError::Version { .. } => true,
            HandshakeError::Call(error) => {
                matches!(error, CallError::Remote(_) | CallError::Decode { .. })
            }
        };
        let exit = child.shut_down().await;
        let what = match &error {
            // The exit is about to be told in full.
            HandshakeError::Call(
                CallError::Unknown(Closed::Exited(_)) | CallError::NotSent(Closed::Exited(_)),
            ) => " ended before it answered `initialize`".to_owned(),
            other => format!(": {other}"),
        };
        ConnectError {
            reason: format!("{}{what}; {exit}{}", self.described(), hint(&exit)),
            is_permanent,
        }
    }

    async fn silent(&self, child: &Child) -> ConnectError {
        let exit = child.shut_down().await;
        let time = stepflow_flow::duration::print(self.initialize_timeout);
        let reason = format!(
            "{} did not answer `initialize` within {time} (`initializeTimeout`) and was ended; {exit}{}\n\
             hint: is it a component server that speaks over stdin and stdout?",
            self.described(),
            hint(&exit)
        );
        ConnectError {
            reason,
            is_permanent: true,
        }
    }

    fn described(&self) -> String {
        let words = std::iter::once(&self.command.program).chain(&self.command.arguments);
        let line = words
            .map(|word| quoted(&word.to_string_lossy()))
            .collect::<Vec<_>>()
            .join(" ");
        format!(
            "the command `{line}` (in {})",
            self.command.folder.display()
        )
    }
}

fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_./=:@%+,".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("{word:?}")
    }
}

fn hint(exit: &child::Exit) -> String {
    let hint = if exit.stderr.contains("ModuleNotFoundError")
        || exit.stderr.contains("No module named")
    {
        "the module is not installed in the Python that was started: check `command`, or install it there"
    } else if exit.noise_lines > 0 {
        "it printed text on stdout, which carries the protocol: print to stderr instead"
    } else if exit.stderr.is_empty() {
        "it said nothing: run the command by hand in that folder to see what it does"
    } else {
        return String::new();
    };
    format!("\nhint: {hint}")
}
