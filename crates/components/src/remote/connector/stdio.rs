//! A component server that is a child process: start it and shake hands.

use std::sync::Arc;

use stepflow_protocol::HandshakeError;
use stepflow_rpc::CallError;
use stepflow_rpc::Closed;
use stepflow_rpc::transport::child::Child;
use tokio_util::sync::CancellationToken;

use super::Greeting;
use super::GreetingError;
use super::is_permanent;
use crate::launch::Launcher;
use crate::options;
use crate::remote::Shared;
use crate::remote::ready::Ready;
use crate::remote::ready::Server;
use crate::supervisor::ConnectError;

/// Starts child processes.
#[derive(Debug)]
pub(in crate::remote) struct Stdio {
    launcher: Launcher,
    greeting: Greeting,
}

impl Stdio {
    pub(in crate::remote) fn new(
        name: &Arc<str>,
        options: &options::Stdio,
        shared: &Shared,
    ) -> Self {
        let greeting = Greeting {
            plugin: Arc::clone(name),
            shared: shared.clone(),
            timeout: options.limits.initialize_timeout,
            max_message_bytes: options.limits.max_message_bytes,
        };
        Stdio {
            launcher: Launcher::new(name, options, &shared.guard),
            greeting,
        }
    }

    /// Starts the server and shakes hands with it; `None` when told to stop meanwhile, with the process gone by then.
    pub(super) async fn connect(
        &self,
        generation: u64,
        stop: &CancellationToken,
    ) -> Option<Result<Ready, ConnectError>> {
        let (link, child) = match self.launcher.start() {
            Ok(started) => started,
            Err(error) => return Some(Err(error)),
        };
        let greeted = tokio::select! {
            greeted = self.greeting.greet(link) => greeted,
            () = stop.cancelled() => {
                child.shut_down().await;
                return None;
            }
        };
        Some(match greeted.session {
            Ok(session) => Ok(Ready::new(
                generation,
                session,
                greeted.connection,
                Server::Child(child),
                greeted.executions,
            )),
            Err(GreetingError::Handshake(error)) => Err(self.handshake_failed(&child, error).await),
            Err(GreetingError::Silence) => {
                let time = self.greeting.timeout_text();
                let kind = "a component server";
                Err(self.launcher.silent(&child, &time, kind).await)
            }
        })
    }

    async fn handshake_failed(&self, child: &Child, error: HandshakeError) -> ConnectError {
        let what = match &error {
            // The exit is about to be told in full.
            HandshakeError::Call(
                CallError::Unknown(Closed::Exited(_)) | CallError::NotSent(Closed::Exited(_)),
            ) => " ended before it answered `initialize`".to_owned(),
            other => format!(": {other}"),
        };
        let is_permanent = is_permanent(&error);
        self.launcher.failed(child, &what, is_permanent).await
    }
}
