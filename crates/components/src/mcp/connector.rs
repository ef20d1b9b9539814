//! How an instance of an MCP server comes to be: start it or reach it, and shake hands.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::model::ProtocolVersion;
use rmcp::service::ClientInitializeError;
use rmcp::service::Peer;
use rmcp::service::serve_client_with_ct;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::Transport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use stepflow_rpc::Closed;
use stepflow_rpc::transport::child::Child;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::catalogue::Catalogue;
use super::failure;
use super::handler::Handler;
use super::handler::InOrder;
use super::handler::Listener;
use super::http;
use super::link::LinkTransport;
use super::link::Wire;
use super::session::Server;
use super::session::Session;
use crate::launch::Launcher;
use crate::options;
use crate::remote::Shared;
use crate::remote::callbacks::Executions;
use crate::supervisor::Connect;
use crate::supervisor::ConnectError;

/// How long the second handshake over HTTP waits, and how long the later ones at most.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Makes connections to one server.
#[derive(Debug)]
pub(super) struct Connector {
    plugin: Arc<str>,
    shared: Shared,
    timeout: Duration,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Process(Box<Launcher>),
    Url(Box<options::Http>),
}

/// A server that has shaken hands.
struct Greeted {
    peer: Peer<RoleClient>,
    catalogue: Arc<Catalogue>,
    executions: Executions,
    stop: CancellationToken,
    ended: CancellationToken,
}

/// Why nobody shook hands.
enum GreetingError {
    Silence,
    /// The server speaks versions of the protocol that we do not.
    Version(ProtocolVersion),
    Failed(Box<ClientInitializeError>),
}

impl Connector {
    pub(super) fn new(name: &Arc<str>, options: &options::Mcp, shared: &Shared) -> Self {
        let (timeout, place) = match options {
            options::Mcp::Stdio(stdio) => {
                let launcher = Launcher::new(name, stdio, &shared.guard);
                let timeout = stdio.limits.initialize_timeout;
                (timeout, Place::Process(Box::new(launcher)))
            }
            options::Mcp::Http(http) => (http.limits.initialize_timeout, Place::Url(http.clone())),
        };
        Connector {
            plugin: Arc::clone(name),
            shared: shared.clone(),
            timeout,
            place,
        }
    }

    /// Shakes hands over a transport, and has the library run on it.
    async fn greet<T>(&self, transport: T) -> Result<Greeted, GreetingError>
    where
        T: Transport<RoleClient> + 'static,
    {
        let catalogue = Arc::<Catalogue>::default();
        let executions = Executions::default();
        let handler = Handler {
            plugin: Arc::clone(&self.plugin),
            version: Arc::clone(&self.shared.version),
        };
        let transport = InOrder {
            transport,
            listener: Listener {
                plugin: Arc::clone(&self.plugin),
                catalogue: Arc::clone(&catalogue),
                executions: executions.clone(),
            },
        };
        let stop = CancellationToken::new();
        let serving = serve_client_with_ct(handler, transport, stop.clone());
        let running = match tokio::time::timeout(self.timeout, serving).await {
            Ok(running) => running.map_err(|error| GreetingError::Failed(Box::new(error)))?,
            Err(_) => return Err(GreetingError::Silence),
        };
        let peer = running.peer().clone();
        let version = peer.peer_info().map(|it| it.protocol_version.clone());
        if let Some(version) = version.filter(|version| !is_spoken(version)) {
            // Letting go of the service ends it.
            return Err(GreetingError::Version(version));
        }
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        tokio::spawn(async move {
            let _end = end;
            // However it ended: the transport knows why.
            let _ = running.waiting().await;
        });
        Ok(Greeted {
            peer,
            catalogue,
            executions,
            stop,
            ended,
        })
    }

    fn session(&self, generation: u64, greeted: Greeted, server: Server) -> Session {
        Session {
            plugin: Arc::clone(&self.plugin),
            generation,
            peer: greeted.peer,
            catalogue: greeted.catalogue,
            executions: greeted.executions,
            server,
            stop: greeted.stop,
            ended: greeted.ended,
            lost: OnceLock::new(),
        }
    }

    async fn start(
        &self,
        launcher: &Launcher,
        generation: u64,
        stop: &CancellationToken,
    ) -> Option<Result<Session, ConnectError>> {
        let (link, child) = match launcher.start() {
            Ok(started) => started,
            Err(error) => return Some(Err(error)),
        };
        let (transport, wire) = LinkTransport::new(link, self.shared.tap.as_ref());
        let greeted = tokio::select! {
            greeted = self.greet(transport) => greeted,
            () = stop.cancelled() => {
                child.shut_down().await;
                return None;
            }
        };
        Some(match greeted {
            Ok(greeted) => Ok(self.session(generation, greeted, Server::Child { child, wire })),
            Err(error) => Err(self.start_failed(launcher, &child, &wire, &error).await),
        })
    }

    async fn start_failed(
        &self,
        launcher: &Launcher,
        child: &Child,
        wire: &Wire,
        error: &GreetingError,
    ) -> ConnectError {
        match error {
            GreetingError::Silence => {
                let time = self.timeout_text();
                launcher.silent(child, &time, "an MCP server").await
            }
            GreetingError::Version(version) => {
                let what = format!(": {}", wrong_version(version));
                launcher.failed(child, &what, true).await
            }
            // The exit is about to be told in full.
            GreetingError::Failed(_) if matches!(wire.why_closed(), Closed::Exited(_)) => {
                let what = " ended before it answered `initialize`";
                launcher.failed(child, what, false).await
            }
            GreetingError::Failed(error) => {
                let (what, is_permanent) = failure::of_handshake(error);
                launcher
                    .failed(child, &format!(": {what}"), is_permanent)
                    .await
            }
        }
    }

    /// Connects and shakes hands, for as long as the configuration says that a server may take to be there.
    async fn reach(
        &self,
        options: &options::Http,
        generation: u64,
    ) -> Result<Session, ConnectError> {
        let client = http::client(&options.client)?;
        let deadline = Instant::now() + options.client.connect_timeout;
        let mut wait = FIRST_WAIT;
        loop {
            let transport =
                StreamableHttpClientTransport::with_client(client.clone(), transport(options));
            let error = match self.greet(transport).await {
                Ok(greeted) => return Ok(self.session(generation, greeted, Server::Elsewhere)),
                Err(error) => self.reach_failed(options, &error),
            };
            if error.is_permanent || Instant::now() + wait >= deadline {
                return Err(ConnectError::permanent(error.reason));
            }
            info!(plugin = %self.plugin, "trying again: {}", error.reason);
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn reach_failed(&self, options: &options::Http, error: &GreetingError) -> ConnectError {
        let (what, is_permanent) = match error {
            GreetingError::Silence => {
                let time = self.timeout_text();
                let what =
                    format!("it did not answer `initialize` within {time} (`initializeTimeout`)");
                (what, true)
            }
            GreetingError::Version(version) => (wrong_version(version), true),
            GreetingError::Failed(error) => failure::of_handshake(error),
        };
        let mut url = options.client.url.clone();
        // The query may hold a key.
        url.set_query(None);
        let _ = url.set_password(None);
        let _ = url.set_username("");
        ConnectError {
            reason: format!("the MCP server at {url}: {what}"),
            is_permanent,
        }
    }

    fn timeout_text(&self) -> String {
        stepflow_flow::duration::print(self.timeout)
    }
}

impl Connect for Connector {
    type Life = Session;

    fn starts_processes(&self) -> bool {
        matches!(self.place, Place::Process(_))
    }

    async fn connect(
        &self,
        generation: u64,
        stop: &CancellationToken,
    ) -> Option<Result<Session, ConnectError>> {
        match &self.place {
            Place::Process(launcher) => self.start(launcher, generation, stop).await,
            Place::Url(options) => tokio::select! {
                connected = self.reach(options, generation) => Some(connected),
                () = stop.cancelled() => None,
            },
        }
    }
}

fn is_spoken(version: &ProtocolVersion) -> bool {
    version.has_initialize() && ProtocolVersion::KNOWN_VERSIONS.contains(version)
}

fn wrong_version(theirs: &ProtocolVersion) -> String {
    let ours: Vec<&str> = ProtocolVersion::KNOWN_VERSIONS
        .iter()
        .filter(|version| version.has_initialize())
        .map(ProtocolVersion::as_str)
        .collect();
    format!(
        "the server wants version {theirs} of the Model Context Protocol, and this runtime speaks {}",
        ours.join(", ")
    )
}

fn transport(options: &options::Http) -> StreamableHttpClientTransportConfig {
    let headers: HashMap<_, _> = options
        .client
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let most = options.limits.max_message_bytes;
    let mut config = StreamableHttpClientTransportConfig::with_uri(options.client.url.as_str())
        .custom_headers(headers)
        // How many calls run at once is for `maxInFlight` to say.
        .max_concurrent_requests(usize::MAX)
        // A session that was lost is made again by the supervisor, so that every session has its own handshake in the log,
        // and so that a call that may have run is not taken for one that has not.
        .reinit_on_expired_session(false);
    config.max_sse_event_size = most;
    config
}
