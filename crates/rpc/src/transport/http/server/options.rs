//! What a server over HTTP may be told: who may talk to it, how it names itself, how much it keeps and for how long.

use std::fmt;
use std::time::Duration;

use crate::peer::DEFAULT_MAX_MESSAGE_BYTES;

/// How a server behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who may talk to it.
    pub security: Security,
    /// The path that a proxy in front serves it under; with and without it, a path is the same.
    pub root_path: String,
    /// The URL by which this very process can be reached, where a load balancer is in front.
    pub advertise_url: Option<String>,
    /// Names this process in its endpoints, so that a load balancer can route by it.
    pub instance_id: Option<String>,
    /// The longest message taken, in bytes.
    pub max_message_bytes: usize,
    /// How many sessions may be open at once; the next one is told to come back later.
    pub max_sessions: usize,
    /// How many requests may be under way at once; the next one is told to come back later.
    pub max_calls: u32,
    /// How long a session whose stream is gone waits for its client, before its calls are cancelled.
    pub session_grace: Duration,
    /// How long a body may stand still in the middle before its POST is given up.
    pub body_idle: Duration,
    /// How long a session may have nothing to do before it ends.
    pub idle_timeout: Duration,
    /// After how much silence a stream carries a comment, so that no proxy takes it for dead.
    pub keep_alive: Duration,
    /// How many events that were written are kept for a client that lost its stream.
    pub replay_events: usize,
    /// How many bytes of them; the last one is kept whatever its size.
    pub replay_bytes: usize,
    /// How long calls may go on after the server was told to end.
    pub drain_grace: Duration,
    /// What a busy server says when to come back; whole seconds reach the client.
    pub retry_after: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            security: Security::default(),
            root_path: String::new(),
            advertise_url: None,
            instance_id: None,
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            max_sessions: 1024,
            max_calls: 4096,
            session_grace: Duration::from_secs(30),
            body_idle: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(3600),
            keep_alive: Duration::from_secs(15),
            replay_events: 1024,
            replay_bytes: 16 * 1024 * 1024,
            drain_grace: Duration::from_secs(10),
            retry_after: Duration::from_secs(1),
        }
    }
}

impl Options {
    /// The path in front of every other, with a slash at its start and none at its end; empty where there is none.
    pub(super) fn root(&self) -> String {
        match self.root_path.trim_matches('/') {
            "" => String::new(),
            path => format!("/{path}"),
        }
    }
}

/// Who may talk to a server.
#[derive(Clone)]
pub struct Security {
    /// The token that every request must carry.
    pub token: Option<String>,
    /// Names besides the loopback ones by which it may be asked for through loopback, as behind a proxy; `*` is every
    /// name, `*.example.com` are all below one.
    pub allow_hosts: Vec<String>,
    /// Whether a connection counts as one through loopback where it does not say, see
    /// [`LocalAddress`](super::LocalAddress). Such a request is served under loopback names and `allow_hosts` only.
    pub is_loopback: bool,
}

impl Default for Security {
    fn default() -> Self {
        Security {
            token: None,
            allow_hosts: Vec::new(),
            is_loopback: true,
        }
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security")
            .field("has_token", &self.token.is_some())
            .field("allow_hosts", &self.allow_hosts)
            .field("is_loopback", &self.is_loopback)
            .finish()
    }
}
