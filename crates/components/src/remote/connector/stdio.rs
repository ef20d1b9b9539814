//! A server that is a child process. Owns the error that explains a start that failed.

use std::sync::Arc;

use stepflow_protocol::HandshakeError;
use stepflow_rpc::CallError;
use stepflow_rpc::Closed;
use stepflow_rpc::transport::child;
use stepflow_rpc::transport::child::Child;
use stepflow_rpc::transport::child::Command;
use stepflow_rpc::transport::child::Guard;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::ConnectError;
use super::Greeting;
use super::GreetingError;
use super::is_permanent;
use crate::options;
use crate::remote::Shared;
use crate::remote::supervisor::Ready;
use crate::remote::supervisor::Server;

/// Starts child processes.
#[derive(Debug)]
pub(in crate::remote) struct Stdio {
    command: Command,
    greeting: Greeting,
}

impl Stdio {
    pub(in crate::remote) fn new(
        name: &Arc<str>,
        options: &options::Stdio,
        shared: &Shared,
    ) -> Self {
        let limits = &options.limits;
        let command = Command {
            name: Arc::clone(name),
            program: options.command.clone(),
            arguments: options.arguments.clone(),
            environment: options.environment.clone(),
            folder: options.folder.clone(),
            max_message_bytes: limits.max_message_bytes,
            shutdown_grace: limits.shutdown_grace,
        };
        let greeting = Greeting {
            plugin: Arc::clone(name),
            shared: shared.clone(),
            timeout: limits.initialize_timeout,
            max_message_bytes: limits.max_message_bytes,
        };
        Stdio { command, greeting }
    }

    /// Starts the server and shakes hands with it; `None` when told to stop meanwhile, with the process gone by then.
    pub(super) async fn connect(
        &self,
        generation: u64,
        stop: &CancellationToken,
    ) -> Option<Result<Ready, ConnectError>> {
        let (link, child) = match child::spawn(&self.command, self.guard().as_ref()) {
            Ok(started) => started,
            Err(error) => return Some(Err(ConnectError::permanent(error.to_string()))),
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
            Err(GreetingError::Silence) => Err(self.silent(&child).await),
        })
    }

    /// The guard process of this runtime, started with its first child.
    fn guard(&self) -> Option<Guard> {
        let start = || {
            Guard::start()
                .inspect_err(|error| warn!(%error, "no guard process: children may outlive a crash of this process"))
                .ok()
        };
        self.greeting.shared.guard.get_or_init(start).clone()
    }

    async fn handshake_failed(&self, child: &Child, error: HandshakeError) -> ConnectError {
        let is_permanent = is_permanent(&error);
        let exit = child.shut_down().await;
        let what = match &error {
            // The exit is about to be told in full.
            HandshakeError::Call(
                CallError::Unknown(Closed::Exited(_)) | CallError::NotSent(Closed::Exited(_)),
            ) => " ended before it answered `initialize`".to_owned(),
            other => format!(": {other}"),
        };
        // A server that answered does speak the protocol: what it said is the reason.
        let hint = if is_permanent {
            String::new()
        } else {
            hint(&exit)
        };
        ConnectError {
            reason: format!("{}{what}; {exit}{hint}", self.described()),
            is_permanent,
        }
    }

    async fn silent(&self, child: &Child) -> ConnectError {
        let exit = child.shut_down().await;
        let time = self.greeting.timeout_text();
        let reason = format!(
            "{} did not answer `initialize` within {time} (`initializeTimeout`) and was ended; {exit}{}\n\
             hint: is it a component server that speaks over stdin and stdout?",
            self.described(),
            hint(&exit)
        );
        ConnectError::permanent(reason)
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
