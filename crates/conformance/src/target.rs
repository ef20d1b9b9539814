//! What is tested, and the way to talk to it.

use serde::Deserialize;
use serde::Serialize;
use stepflow_rpc::transport::child;
use stepflow_rpc::transport::child::Guard;
use stepflow_rpc::transport::http::client;

/// A way to talk to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// Over the pipes of a process.
    Stdio,
    /// Over HTTP, with a session.
    Session,
    /// Over HTTP without a session, by a client that reads streams.
    Streamable,
    /// Over HTTP without a session, by a client that reads JSON alone.
    Plain,
}

impl Way {
    /// Every way there is.
    pub fn all() -> Vec<Way> {
        vec![Way::Stdio, Way::Session, Way::Streamable, Way::Plain]
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Way::Stdio => "stdio",
            Way::Session => "session",
            Way::Streamable => "streamable",
            Way::Plain => "plain",
        }
    }

    /// Whether the server can ask the runtime for something.
    pub fn has_back_channel(self) -> bool {
        self != Way::Plain
    }

    /// Whether the handshake is remembered from one request to the next.
    pub fn has_session(self) -> bool {
        matches!(self, Way::Stdio | Way::Session)
    }
}

/// The server that is tested.
#[derive(Debug)]
pub enum Target {
    /// One that is started, anew for each connection.
    Stdio {
        /// How.
        command: Box<child::Command>,
        /// Sees that no process outlives this one.
        guard: Option<Guard>,
    },
    /// One that runs.
    Http {
        /// Where, and what is sent with each request.
        options: Box<client::Options>,
        /// The way to talk to it; the one that a runtime would find when not given.
        way: Option<Way>,
    },
}
