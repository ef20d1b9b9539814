//! Servers that are child processes: how one is started, under the guard of this runtime, and the words for a start that
//! failed. Must not know which protocol the server speaks.

use std::sync::Arc;
use std::sync::OnceLock;

use stepflow_rpc::Link;
use stepflow_rpc::transport::child;
use stepflow_rpc::transport::child::Child;
use stepflow_rpc::transport::child::Command;
use stepflow_rpc::transport::child::Exit;
use stepflow_rpc::transport::child::Guard;
use tracing::warn;

use crate::options::Stdio;
use crate::supervisor::ConnectError;

/// The guard process of a runtime, started with its first child.
pub type SharedGuard = Arc<OnceLock<Option<Guard>>>;

/// Starts the processes of one plugin.
#[derive(Debug)]
pub(crate) struct Launcher {
    command: Command,
    guard: SharedGuard,
}

impl Launcher {
    pub(crate) fn new(name: &Arc<str>, options: &Stdio, guard: &SharedGuard) -> Self {
        let command = Command {
            name: Arc::clone(name),
            program: options.command.clone(),
            arguments: options.arguments.clone(),
            environment: options.environment.clone(),
            folder: options.folder.clone(),
            max_message_bytes: options.limits.max_message_bytes,
            shutdown_grace: options.limits.shutdown_grace,
        };
        Launcher {
            command,
            guard: Arc::clone(guard),
        }
    }

    /// Starts the process.
    pub(crate) fn start(&self) -> Result<(Link, Child), ConnectError> {
        let start = || {
            Guard::start()
                .inspect_err(|error| warn!(%error, "no guard process: children may outlive a crash of this process"))
                .ok()
        };
        child::spawn(&self.command, self.guard.get_or_init(start).as_ref())
            .map_err(|error| ConnectError::permanent(error.to_string()))
    }

    /// Ends a process whose handshake failed; `what` continues a sentence about its command.
    pub(crate) async fn failed(
        &self,
        child: &Child,
        what: &str,
        is_permanent: bool,
    ) -> ConnectError {
        let exit = child.shut_down().await;
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

    /// Ends a process that did not shake hands; `kind` says what it was taken for.
    pub(crate) async fn silent(&self, child: &Child, time: &str, kind: &str) -> ConnectError {
        let exit = child.shut_down().await;
        let reason = format!(
            "{} did not answer `initialize` within {time} (`initializeTimeout`) and was ended; {exit}{}\n\
             hint: is it {kind} that speaks over stdin and stdout?",
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

fn hint(exit: &Exit) -> String {
    let hint = if exit.stderr.contains("ModuleNotFoundError")
        || exit.stderr.contains("No module named")
    {
        "the module is not installed in the Python that was started: check `command`, or install it there"
    } else if exit.noise_lines > 0 {
        "it printed text on stdout, which carries the protocol: print to stderr instead"
    } else if exit.stderr.is_empty() && exit.status.is_some_and(|status| status.success()) {
        "it ended without serving: does the script end with `server.run()`?"
    } else if exit.stderr.is_empty() {
        "it said nothing: run the command by hand in that folder to see what it does"
    } else {
        return String::new();
    };
    format!("\nhint: {hint}")
}
