//! The life cycle of one connection as its server side sees it: the handshake, what was agreed in it, and the methods.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use stepflow_protocol::PROTOCOL_VERSION;
use stepflow_protocol::component::Execute;
use stepflow_protocol::component::ExecuteParams;
use stepflow_protocol::component::ExecuteResult;
use stepflow_protocol::component::Info;
use stepflow_protocol::component::InfoParams;
use stepflow_protocol::component::InfoResult;
use stepflow_protocol::component::List;
use stepflow_protocol::component::ListResult;
use stepflow_protocol::error::ErrorCode;
use stepflow_protocol::error::rpc_error;
use stepflow_protocol::lifecycle::Capabilities;
use stepflow_protocol::lifecycle::Empty;
use stepflow_protocol::lifecycle::Implementation;
use stepflow_protocol::lifecycle::Initialize;
use stepflow_protocol::lifecycle::InitializeParams;
use stepflow_protocol::lifecycle::InitializeResult;
use stepflow_protocol::lifecycle::Initialized;
use stepflow_protocol::lifecycle::Ping;
use stepflow_rpc::Call;
use stepflow_rpc::Router;
use stepflow_rpc::RpcError;

use crate::Context;
use crate::Server;

/// How far the handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handshake {
    /// `initialize` is to come.
    Awaited,
    /// `initialized` is to come.
    Answered,
    Complete,
    /// Each request says itself what it needs to say.
    NotNeeded,
}

/// What a connection's runtime said of itself.
#[derive(Debug)]
struct Agreement {
    handshake: Handshake,
    capabilities: Capabilities,
    prefix: Option<String>,
}

/// One connection's agreement. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Agreed(Arc<Mutex<Agreement>>);

impl Agreed {
    fn new(handshake: Handshake) -> Self {
        Agreed(Arc::new(Mutex::new(Agreement {
            handshake,
            capabilities: Capabilities::default(),
            prefix: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Agreement> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the runtime takes what has this name.
    pub(crate) fn takes(&self, name: &str) -> bool {
        self.lock().capabilities.has(name)
    }
}

/// What the methods of one connection work with.
#[derive(Clone)]
pub(crate) struct Served {
    server: Arc<Server>,
    agreed: Agreed,
}

impl Served {
    /// A connection that begins with a handshake.
    pub(crate) fn session(server: Arc<Server>) -> Self {
        let agreed = Agreed::new(Handshake::Awaited);
        Served { server, agreed }
    }

    /// A request that stands alone.
    pub(crate) fn single(server: Arc<Server>) -> Self {
        let agreed = Agreed::new(Handshake::NotNeeded);
        Served { server, agreed }
    }

    fn check_initialized(&self) -> Result<(), RpcError> {
        let missing = match self.agreed.lock().handshake {
            Handshake::Complete | Handshake::NotNeeded => return Ok(()),
            Handshake::Awaited => "`initialize`",
            Handshake::Answered => "the notification `initialized`",
        };
        let text = format!("components are served after the handshake: {missing} has not arrived");
        Err(rpc_error(ErrorCode::NOT_INITIALIZED, text))
    }

    fn prefix(&self) -> Option<String> {
        self.agreed.lock().prefix.clone()
    }
}

/// The methods of a component server.
pub(crate) fn router(served: Served) -> Router<Served> {
    Router::new(served)
        .method_at_once::<Initialize, _>(|call, params| initialize(&call, params))
        .notice::<Initialized, _>(|call, Empty {}| {
            let mut agreed = call.state.agreed.lock();
            // Without a greeting before it, this means nothing.
            if agreed.handshake == Handshake::Answered {
                agreed.handshake = Handshake::Complete;
            }
        })
        .method_at_once::<Ping, _>(|_, Empty {}| Ok(Empty {}))
        .method_at_once::<List, _>(|call, Empty {}| {
            call.state.check_initialized()?;
            let components = call.state.server.components();
            Ok(ListResult {
                components: components.cloned().collect(),
            })
        })
        .method_at_once::<Info, _>(|call, InfoParams { component }| {
            call.state.check_initialized()?;
            let prefix = call.state.prefix();
            let component = call.state.server.find(&component, prefix.as_deref())?;
            Ok(InfoResult {
                info: component.info.clone(),
            })
        })
        .method::<Execute, _, _>(execute)
}

/// Agrees with a runtime. One that begins again is agreed with anew, and has to say `initialized` again.
fn initialize(call: &Call<Served>, params: InitializeParams) -> Result<InitializeResult, RpcError> {
    let server = &call.state.server;
    if params.runtime_protocol_version != PROTOCOL_VERSION {
        let text = format!(
            "the runtime speaks protocol version {}, this server ({} {}) speaks {PROTOCOL_VERSION}: update the older of \
             the two",
            params.runtime_protocol_version, server.name, server.version
        );
        let data = serde_json::json!({
            "runtime_protocol_version": params.runtime_protocol_version,
            "server_protocol_version": { "min": PROTOCOL_VERSION, "max": PROTOCOL_VERSION },
        });
        return Err(rpc_error(ErrorCode::NOT_INITIALIZED, text).with_data(&data));
    }
    let capabilities = params.capabilities.unwrap_or_default();
    if capabilities.has("cancel") {
        call.peer.enable_cancel();
    }
    if let Some(limit) = params.max_message_bytes {
        call.peer
            .set_max_outgoing_bytes(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    let mut agreed = call.state.agreed.lock();
    agreed.capabilities = capabilities;
    agreed.prefix = params.protocol_prefix;
    if agreed.handshake != Handshake::NotNeeded {
        agreed.handshake = Handshake::Answered;
    }
    Ok(InitializeResult {
        server_protocol_version: PROTOCOL_VERSION,
        server: Some(Implementation {
            name: server.name.clone(),
            version: Some(server.version.clone()),
        }),
        max_message_bytes: Some(server.max_message_bytes as u64),
        capabilities: Some(Capabilities::all()),
    })
}

async fn execute(call: Call<Served>, mut params: ExecuteParams) -> Result<ExecuteResult, RpcError> {
    call.state.check_initialized()?;
    if let Some(capabilities) = params.capabilities.take() {
        let mut agreed = call.state.agreed.lock();
        if agreed.handshake == Handshake::NotNeeded {
            agreed.capabilities = capabilities;
        }
    }
    let prefix = call.state.prefix();
    let component = call
        .state
        .server
        .find(&params.component, prefix.as_deref())?;
    let agreed = call.state.agreed.clone();
    let context = Context::new(call.peer.clone(), call.id.clone(), agreed, &params);
    (component.run)(context, params.input).await
}
