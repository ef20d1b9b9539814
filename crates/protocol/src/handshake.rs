//! The runtime's side of the handshake: `initialize`, compare versions, `initialized`. Nothing else makes a [`Session`], so
//! whoever holds one talks to a server that was initialised on this very connection.

use stepflow_rpc::CallError;
use stepflow_rpc::Peer;

use crate::PROTOCOL_VERSION;
use crate::lifecycle::Capabilities;
use crate::lifecycle::Empty;
use crate::lifecycle::Implementation;
use crate::lifecycle::Initialize;
use crate::lifecycle::InitializeParams;
use crate::lifecycle::Initialized;

/// A connection whose handshake is complete.
#[derive(Clone, Debug)]
pub struct Session {
    peer: Peer,
    server: Option<Implementation>,
    capabilities: Capabilities,
    max_message_bytes: Option<u64>,
}

impl Session {
    /// The server.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What the server calls itself, if it said so.
    pub fn server(&self) -> Option<&Implementation> {
        self.server.as_ref()
    }

    /// What the server accepts.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The longest message that the server takes, in bytes, if it said so.
    pub fn max_message_bytes(&self) -> Option<u64> {
        self.max_message_bytes
    }
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// `initialize` or `initialized` failed.
    #[error("the handshake failed: {0}")]
    Call(#[from] CallError),
    /// The two sides speak different versions.
    #[error(
        "the server speaks protocol version {theirs}, this runtime version {PROTOCOL_VERSION}; \
         use a server that speaks version {PROTOCOL_VERSION}"
    )]
    Version {
        /// The server's version.
        theirs: u32,
    },
}

/// Initialises a fresh connection.
///
/// # Errors
/// [`HandshakeError`]; the connection is of no use then.
pub async fn handshake(peer: Peer, params: InitializeParams) -> Result<Session, HandshakeError> {
    let result = peer.call::<Initialize>(&params).await?;
    if result.server_protocol_version != PROTOCOL_VERSION {
        return Err(HandshakeError::Version {
            theirs: result.server_protocol_version,
        });
    }
    let capabilities = result.capabilities.unwrap_or_default();
    if capabilities.has("cancel") {
        peer.enable_cancel();
    }
    if let Some(limit) = result.max_message_bytes {
        peer.set_max_outgoing_bytes(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    peer.notify::<Initialized>(&Empty {}).await?;
    Ok(Session {
        peer,
        server: result.server,
        capabilities,
        max_message_bytes: result.max_message_bytes,
    })
}
