//! Where a component server is, and a peer that reaches it. Knows nothing of what is measured there.

use std::ffi::OsString;
use std::sync::Arc;

use anyhow::Context;
use serde::Deserialize;
use serde::Serialize;
use stepflow_flow::blob::BlobId;
use stepflow_flow::value::Value;
use stepflow_protocol::blob;
use stepflow_protocol::handshake;
use stepflow_protocol::lifecycle::InitializeParams;
use stepflow_rpc::Link;
use stepflow_rpc::Peer;
use stepflow_rpc::Router;
use stepflow_rpc::peer;
use stepflow_rpc::peer::Connection;
use stepflow_rpc::transport::child;
use stepflow_rpc::transport::child::Child;
use stepflow_rpc::transport::http::client;
use stepflow_rpc::transport::http::client::Mode;
use stepflow_rpc::transport::http::client::SessionMode;
use stepflow_rpc::transport::memory;

use crate::child::Other;
use crate::child::Web;
use crate::child::environment;
use crate::serve;

/// A component server that may have to be started first.
#[derive(Clone, Debug)]
pub enum Server {
    /// In this process.
    Memory,
    /// A child of whoever calls it.
    Stdio(Other),
    /// On its own, called over a session.
    Session(Web),
    /// On its own, each call a POST by itself.
    Single(Web),
}

/// A component server that is there, or is started by whoever calls it; travels to a caller in a process of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Place {
    /// In this process.
    Memory,
    /// A child of whoever calls it.
    Stdio {
        /// Its program.
        program: OsString,
        /// Its arguments.
        arguments: Vec<OsString>,
    },
    /// At a URL.
    Http {
        /// Where.
        url: String,
        /// Whether a session is opened.
        session: Session,
    },
}

/// Whether a session is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Session {
    /// One for all calls.
    Required,
    /// Each call is a POST by itself.
    Off,
}

impl Server {
    /// Where it is; starts it where that is ours to do.
    pub async fn place(&self) -> anyhow::Result<Place> {
        let at = async |web: &Web, session| {
            let url = web.url().await?.to_string();
            anyhow::Ok(Place::Http { url, session })
        };
        match self {
            Server::Memory => Ok(Place::Memory),
            Server::Stdio(other) => Ok(Place::Stdio {
                program: other.program.clone(),
                arguments: other.arguments.clone(),
            }),
            Server::Session(web) => at(web, Session::Required).await,
            Server::Single(web) => at(web, Session::Off).await,
        }
    }

    /// Its process, where it runs on its own.
    pub async fn pid(&self) -> anyhow::Result<Option<u32>> {
        match self {
            Server::Memory | Server::Stdio(_) => Ok(None),
            Server::Session(web) | Server::Single(web) => Ok(Some(web.pid().await?)),
        }
    }
}

/// What the client of a place is told.
pub fn client_options(url: &str, session: Session) -> anyhow::Result<client::Options> {
    let mut options = client::Options::new(client::Url::parse(url)?);
    options.session = match session {
        Session::Required => SessionMode::Required,
        Session::Off => SessionMode::Off,
    };
    Ok(options)
}

/// A component server that can be called.
#[derive(Debug)]
pub struct Reached {
    connection: Connection,
    child: Option<Child>,
}

impl Reached {
    /// For calls.
    pub fn peer(&self) -> Peer {
        self.connection.peer()
    }

    /// The process of the server, where it is a child.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::pid)
    }

    /// Ends the connection, and the server with it where it is a child.
    pub async fn close(self) {
        drop(self.connection);
        if let Some(child) = self.child {
            child.shut_down().await;
        }
    }
}

/// Connects to a component server and greets it.
pub async fn reach(place: &Place) -> anyhow::Result<Reached> {
    match place {
        Place::Memory => {
            let (ours, theirs) = memory::pair();
            tokio::spawn(Arc::new(serve::server()).serve(theirs));
            greeted(ours, None).await
        }
        Place::Stdio { program, arguments } => {
            let folder = std::env::current_dir()?;
            let mut command = child::Command::new("bench", program.clone(), folder);
            command.arguments.clone_from(arguments);
            command.environment = environment();
            let (link, child) = child::spawn(&command, None)?;
            greeted(link, Some(child)).await
        }
        Place::Http { url, session } => {
            let connected = client::connect(&client_options(url, *session)?).await?;
            match connected.mode {
                Mode::Session => greeted(connected.link, None).await,
                // Each request stands alone: there is nothing to greet.
                Mode::Direct => Ok(Reached {
                    connection: peer::connect(connected.link, call_backs()?),
                    child: None,
                }),
            }
        }
    }
}

async fn greeted(link: Link, child: Option<Child>) -> anyhow::Result<Reached> {
    let connection = peer::connect(link, call_backs()?);
    let params = InitializeParams {
        runtime_protocol_version: 1,
        protocol_prefix: None,
        runtime: None,
        max_message_bytes: Some(peer::DEFAULT_MAX_MESSAGE_BYTES as u64),
        capabilities: None,
    };
    handshake(connection.peer(), params)
        .await
        .context("the component server refuses the handshake")?;
    Ok(Reached { connection, child })
}

/// Answers to calls back that cost as little as can be: what is stored is forgotten.
fn call_backs() -> anyhow::Result<Router<()>> {
    let blob_id = BlobId::of(&Value::null())?;
    Ok(Router::new(()).method::<blob::Put, _, _>(move |_, _| {
        let answer = blob::PutResult { blob_id };
        async move { Ok(answer) }
    }))
}
