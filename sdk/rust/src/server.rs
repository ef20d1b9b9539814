//! The server: a table of components, and the life cycle of a connection as its server side sees it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use stepflow_protocol::PROTOCOL_VERSION;
use stepflow_protocol::Value;
use stepflow_protocol::component::ComponentInfo;
use stepflow_protocol::component::Execute;
use stepflow_protocol::component::ExecuteParams;
use stepflow_protocol::component::ExecuteResult;
use stepflow_protocol::component::Info;
use stepflow_protocol::component::InfoParams;
use stepflow_protocol::component::InfoResult;
use stepflow_protocol::component::List;
use stepflow_protocol::component::ListResult;
use stepflow_protocol::component::Skipped;
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
use stepflow_protocol::nearest;
use stepflow_rpc::Call;
use stepflow_rpc::CallError;
use stepflow_rpc::Link;
use stepflow_rpc::Router;
use stepflow_rpc::RpcError;
use stepflow_rpc::peer;
use stepflow_rpc::transport::lines;
use stepflow_rpc::transport::stdio;

use crate::Context;

/// How a component ends when it has no result.
#[derive(Debug)]
pub enum Error {
    /// It failed: code -32004 and this message.
    Failed(String),
    /// It failed with a code of its own.
    Rpc(RpcError),
    /// It chose to be skipped.
    Skip(Option<String>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Failed(message) => f.write_str(message),
            Error::Rpc(error) => error.fmt(f),
            Error::Skip(reason) => {
                write!(f, "skipped: {}", reason.as_deref().unwrap_or("no reason"))
            }
        }
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Error::Failed(error.to_string())
    }
}

type Run =
    dyn Fn(Context, Value) -> BoxFuture<'static, Result<ExecuteResult, RpcError>> + Send + Sync;

struct Component {
    info: ComponentInfo,
    run: Box<Run>,
}

/// A table of components and a name.
pub struct Server {
    name: String,
    components: BTreeMap<String, Component>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("name", &self.name)
            .field("components", &self.components.keys())
            .finish()
    }
}

impl Server {
    /// A server without components.
    pub fn new(name: &str) -> Self {
        Server {
            name: name.to_owned(),
            components: BTreeMap::new(),
        }
    }

    /// Adds a component under a path such as `/add`; its schemas come from its types.
    #[must_use]
    pub fn component<I, O, F, Fut>(mut self, path: &str, description: &str, function: F) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Error>> + Send + 'static,
    {
        let path = format!("/{}", path.trim_start_matches('/'));
        let info = ComponentInfo {
            component: path.clone(),
            description: Some(description.to_owned()),
            input_schema: Value::from_serialize(&schemars::schema_for!(I)).ok(),
            output_schema: Value::from_serialize(&schemars::schema_for!(O)).ok(),
        };
        let function = Arc::new(function);
        let component: Arc<str> = path.as_str().into();
        let run = move |context: Context, input: Value| {
            let (function, path) = (Arc::clone(&function), Arc::clone(&component));
            async move {
                let input = read_input(&path, &input)?;
                finish(function(context, input).await)
            }
            .boxed()
        };
        self.components.insert(
            path,
            Component {
                info,
                run: Box::new(run),
            },
        );
        self
    }

    /// Serves the process that started this one, over stdin and stdout, until it closes stdin.
    ///
    /// # Errors
    /// When stdin and stdout cannot be taken over.
    pub async fn run_stdio(self) -> io::Result<()> {
        let link = stdio::link(&lines::Options::default())?;
        Arc::new(self).serve(link).await;
        Ok(())
    }

    /// Serves one link until it ends. Components must not run before the handshake is complete.
    pub async fn serve(self: Arc<Self>, link: Link) {
        let connection = peer::connect(link, router(Served::session(self)));
        connection.closed().await;
    }

    fn find(&self, path: &str, prefix: Option<&str>) -> Result<&Component, RpcError> {
        let path = path.trim_start_matches('/');
        let without_prefix = prefix.and_then(|prefix| path.strip_prefix(prefix)?.strip_prefix('/'));
        let found = [Some(path), without_prefix].into_iter().flatten();
        found
            .map(|path| format!("/{path}"))
            .find_map(|path| self.components.get(&path))
            .ok_or_else(|| {
                let known = self.components.keys().map(String::as_str);
                let path = format!("/{path}");
                let nearest = nearest(&path, known);
                rpc_error(
                    ErrorCode::COMPONENT_NOT_FOUND,
                    format!("there is no component `{path}` here"),
                )
                .with_data(&serde_json::json!({ "component": path, "nearest": nearest.as_slice() }))
            })
    }
}

/// Reads a component's input; a misfit names the place by a JSON pointer.
fn read_input<I: DeserializeOwned>(component: &str, input: &Value) -> Result<I, RpcError> {
    let deserializer = &mut serde_json::Deserializer::from_str(input.as_text());
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        let message = error.into_inner().to_string();
        rpc_error(
            ErrorCode::INVALID_INPUT,
            format!("the input of `{component}` does not fit: {pointer}: {message}"),
        )
        .with_data(&serde_json::json!({
            "component": component,
            "violations": [{ "pointer": pointer, "message": message }],
        }))
    })
}

/// A path as a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

fn finish<O: Serialize>(outcome: Result<O, Error>) -> Result<ExecuteResult, RpcError> {
    match outcome {
        Ok(output) => Value::from_serialize(&output)
            .map(ExecuteResult::Output)
            .map_err(|error| {
                rpc_error(
                    ErrorCode::COMPONENT_FAILED,
                    format!("the output is not JSON: {error}"),
                )
            }),
        Err(Error::Skip(reason)) => Ok(ExecuteResult::Skipped(Skipped { reason })),
        Err(Error::Failed(message)) => Err(rpc_error(ErrorCode::COMPONENT_FAILED, message)),
        Err(Error::Rpc(error)) => Err(error),
    }
}

/// What one connection's runtime said that it accepts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capable {
    agreed: Arc<OnceLock<Agreed>>,
    initialized: Arc<AtomicBool>,
    /// Whether each request says itself what it needs to say.
    stands_alone: bool,
}

impl Capable {
    /// What a request says that no handshake came before.
    fn agree(&self, capabilities: Capabilities) {
        let _ = self.agreed.set(Agreed {
            capabilities,
            prefix: None,
        });
    }
}

#[derive(Debug)]
struct Agreed {
    capabilities: Capabilities,
    prefix: Option<String>,
}

impl Capable {
    fn has(&self, name: &str) -> bool {
        self.agreed
            .get()
            .is_some_and(|agreed| agreed.capabilities.has(name))
    }

    pub(crate) fn progress(&self) -> bool {
        self.has("progress")
    }

    pub(crate) fn log(&self) -> bool {
        self.has("log")
    }
}

#[derive(Clone)]
pub(crate) struct Served {
    server: Arc<Server>,
    capable: Capable,
}

impl Served {
    /// A connection that begins with a handshake.
    pub(crate) fn session(server: Arc<Server>) -> Self {
        Served {
            server,
            capable: Capable::default(),
        }
    }

    /// A request that stands alone: what it needs to say, it says itself.
    pub(crate) fn single(server: Arc<Server>) -> Self {
        let capable = Capable {
            stands_alone: true,
            ..Capable::default()
        };
        Served { server, capable }
    }

    fn check_initialized(&self) -> Result<(), RpcError> {
        if self.capable.stands_alone || self.capable.initialized.load(Ordering::Acquire) {
            return Ok(());
        }
        let text = "the handshake is not complete: `initialize` and `initialized` come first";
        Err(rpc_error(ErrorCode::NOT_INITIALIZED, text))
    }

    fn prefix(&self) -> Option<&str> {
        self.capable.agreed.get()?.prefix.as_deref()
    }
}

pub(crate) fn router(served: Served) -> Router<Served> {
    Router::new(served)
        .method::<Initialize, _, _>(|call, params| async move { initialize(&call, params) })
        // Without a greeting before it, this means nothing.
        .notice::<Initialized, _>(|call, Empty {}| {
            let was_greeted = call.state.capable.agreed.get().is_some();
            call.state
                .capable
                .initialized
                .store(was_greeted, Ordering::Release);
        })
        .method::<Ping, _, _>(|_, Empty {}| async { Ok(Empty {}) })
        .method::<List, _, _>(|call, Empty {}| async move {
            call.state.check_initialized()?;
            let components = call.state.server.components.values();
            Ok(ListResult {
                components: components.map(|component| component.info.clone()).collect(),
            })
        })
        .method::<Info, _, _>(|call, InfoParams { component }| async move {
            call.state.check_initialized()?;
            let component = call.state.server.find(&component, call.state.prefix())?;
            Ok(InfoResult {
                info: component.info.clone(),
            })
        })
        .method::<Execute, _, _>(execute)
}

fn initialize(call: &Call<Served>, params: InitializeParams) -> Result<InitializeResult, RpcError> {
    if params.runtime_protocol_version != PROTOCOL_VERSION {
        let text = format!(
            "the runtime speaks protocol version {}, this server version {PROTOCOL_VERSION}",
            params.runtime_protocol_version
        );
        return Err(rpc_error(ErrorCode::NOT_INITIALIZED, text));
    }
    let capabilities = params.capabilities.unwrap_or_default();
    if capabilities.has("cancel") {
        call.peer.enable_cancel();
    }
    if let Some(limit) = params.max_message_bytes {
        call.peer
            .set_max_outgoing_bytes(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    let agreed = Agreed {
        capabilities,
        prefix: params.protocol_prefix,
    };
    if call.state.capable.agreed.set(agreed).is_err() {
        return Err(rpc_error(
            ErrorCode::INVALID_REQUEST,
            "this connection is already initialized",
        ));
    }
    Ok(InitializeResult {
        server_protocol_version: PROTOCOL_VERSION,
        server: Some(Implementation {
            name: call.state.server.name.clone(),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        }),
        max_message_bytes: Some(peer::DEFAULT_MAX_MESSAGE_BYTES as u64),
        capabilities: Some(Capabilities::all()),
    })
}

async fn execute(call: Call<Served>, mut params: ExecuteParams) -> Result<ExecuteResult, RpcError> {
    call.state.check_initialized()?;
    if let Some(capabilities) = params.capabilities.take() {
        call.state.capable.agree(capabilities);
    }
    let component = call
        .state
        .server
        .find(&params.component, call.state.prefix())?;
    let context = Context::new(
        call.peer.clone(),
        call.id.clone(),
        call.state.capable.clone(),
        &params,
    );
    (component.run)(context, params.input).await
}

impl Error {
    /// The error of a call back, passed on as this component's own.
    pub fn from_call(error: CallError) -> Self {
        match error {
            CallError::Remote(error) => Error::Rpc(error),
            other => Error::Failed(other.to_string()),
        }
    }
}
