//! One life of a component server: the session that its handshake made, and what stands behind it.

use std::sync::Arc;
use std::time::Duration;

use stepflow_protocol::Session;
use stepflow_protocol::component::List;
use stepflow_protocol::lifecycle::Empty;
use stepflow_rpc::Closed;
use stepflow_rpc::peer::Connection;
use stepflow_rpc::transport::child::Child;
use stepflow_rpc::transport::child::Exit;
use stepflow_rpc::transport::http::client::Late;
use stepflow_rpc::transport::http::client::Streams;
use tokio::sync::OnceCell;
use tracing::warn;

use super::callbacks::Executions;
use crate::schemas::Schemas;
use crate::supervisor::Life;

/// A server that was started and initialised.
#[derive(Debug)]
pub(super) struct Ready {
    generation: u64,
    pub(super) session: Session,
    pub(super) executions: Executions,
    schemas: OnceCell<Option<Schemas>>,
    connection: Connection,
    server: Server,
}

/// What stands behind a connection.
#[derive(Debug)]
pub(super) enum Server {
    /// A process of ours.
    Child(Child),
    /// Something that runs elsewhere and remembers us.
    Session,
    /// Something that runs elsewhere and must be told everything each time; a session may yet come.
    Stateless(Box<Stateless>),
}

/// What there is to know of a server that remembers nothing.
#[derive(Debug)]
pub(super) struct Stateless {
    /// The session that may yet come.
    pub(super) late: tokio::sync::Mutex<Option<Late>>,
    /// Whether it answers by streams.
    pub(super) streams: Streams,
}

impl Ready {
    pub(super) fn new(
        generation: u64,
        session: Session,
        connection: Connection,
        server: Server,
        executions: Executions,
    ) -> Self {
        Ready {
            generation,
            session,
            executions,
            schemas: OnceCell::new(),
            connection,
            server,
        }
    }

    /// Whether every request must say all there is to know: any process of the server may get it.
    pub(super) fn is_stateless(&self) -> bool {
        matches!(self.server, Server::Stateless(_))
    }

    /// What stands behind the connection.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// What the server says of its components; asked once a generation, and done without when it does not say in time.
    pub(super) async fn schemas(&self, plugin: &str, time: Duration) -> Option<&Schemas> {
        if let Some(schemas) = self.schemas.get() {
            return schemas.as_ref();
        }
        let ask = async || {
            let list = self.session.peer().call::<List>(&Empty {});
            match tokio::time::timeout(time, list).await {
                Ok(Ok(list)) => Some(Schemas::compile(plugin, &list.components)),
                Ok(Err(error)) => {
                    warn!(plugin, %error, "the server does not list its components; inputs are not checked");
                    None
                }
                Err(_) => {
                    warn!(
                        plugin,
                        "the server does not list its components in time; inputs are not checked"
                    );
                    None
                }
            }
        };
        self.schemas.get_or_init(ask).await.as_ref()
    }
}

impl Life for Ready {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn is_over(&self) -> bool {
        self.session.peer().is_closed()
    }

    async fn over(&self) -> Closed {
        self.connection.closed().await
    }

    async fn shut_down(&self, grace: Duration) -> Option<Arc<Exit>> {
        match &self.server {
            Server::Child(child) => Some(child.shut_down().await),
            Server::Session | Server::Stateless(_) => {
                self.session.peer().close();
                // A server that does not let go in time has lost us anyway.
                let _ = tokio::time::timeout(grace, self.connection.closed()).await;
                None
            }
        }
    }

    fn described(&self) -> String {
        match &self.server {
            Server::Child(child) => format!("process {}", child.pid()),
            Server::Session => "session".to_owned(),
            Server::Stateless(_) => "no session".to_owned(),
        }
    }
}
