//! A connection to a test server, over each transport. Owns the runtime's side of it: a router that answers call backs
//! and writes down, in order, what it is told.

use std::sync::Arc;

use futures_util::StreamExt;
use stepflow_components::remote::callbacks;
use stepflow_flow::value::Value;
use stepflow_protocol::Observability;
use stepflow_protocol::blob;
use stepflow_protocol::component::Execute;
use stepflow_protocol::component::ExecuteParams;
use stepflow_protocol::component::ExecuteResult;
use stepflow_protocol::error::to_rpc;
use stepflow_protocol::handshake;
use stepflow_protocol::lifecycle::Capabilities;
use stepflow_protocol::lifecycle::InitializeParams;
use stepflow_protocol::notice::Log;
use stepflow_protocol::notice::Progress;
use stepflow_rpc::Arrival;
use stepflow_rpc::CallError;
use stepflow_rpc::Connection;
use stepflow_rpc::Link;
use stepflow_rpc::Message;
use stepflow_rpc::Peer;
use stepflow_rpc::Router;
use stepflow_rpc::RpcError;
use stepflow_rpc::peer;
use stepflow_rpc::transport::child;
use stepflow_rpc::transport::child::Child;
use stepflow_rpc::transport::http::client;
use stepflow_rpc::transport::http::client::SessionMode;
use stepflow_rpc::transport::memory;
use stepflow_store::Store;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::front;
use crate::front::Front;
use crate::http;
use crate::process::Mark;
use crate::proxy::Faults;
use crate::proxy::Proxy;
use crate::proxy::Rewrite;
use crate::runtime;
use crate::runtime::Program;
use crate::server;
use crate::soon;

/// What a proxy does to requests that lets no stream through: nobody seems to want one.
const NO_STREAMS: Rewrite = Rewrite {
    from: "text/event-stream",
    to: "text/no-streaming",
    most: usize::MAX,
};

/// Every way to reach a test server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The Rust server in this process.
    Memory,
    /// The Rust server as a child.
    RustOverStdio,
    /// The Python server as a child.
    PythonOverStdio,
    /// The Rust server over HTTP with a session.
    RustOverSession,
    /// The Python server over HTTP with a session.
    PythonOverSession,
    /// The Rust server over HTTP without a session; what it asks and tells comes with its answer.
    RustOverStreams,
    /// The Python server over HTTP without a session; what it asks and tells comes with its answer.
    PythonOverStreams,
    /// The Rust server over HTTP, which may answer and nothing else.
    RustOverPosts,
    /// The Python server over HTTP, which may answer and nothing else.
    PythonOverPosts,
}

impl Transport {
    /// Whether the server is in Python, where `-0` is the integer `0` and `1e2` the float `100.0`.
    pub fn is_python(self) -> bool {
        matches!(
            self,
            Transport::PythonOverStdio
                | Transport::PythonOverSession
                | Transport::PythonOverStreams
                | Transport::PythonOverPosts
        )
    }

    /// Whether all that a server sends travels one way, in one order. Over a session an answer may overtake events.
    pub fn has_one_order(self) -> bool {
        !matches!(
            self,
            Transport::RustOverSession | Transport::PythonOverSession
        )
    }

    /// Whether each request must say all there is to know.
    pub fn is_stateless(self) -> bool {
        matches!(
            self,
            Transport::RustOverStreams
                | Transport::PythonOverStreams
                | Transport::RustOverPosts
                | Transport::PythonOverPosts
        )
    }

    /// Starts a server and opens a link to it.
    pub async fn open(self) -> Wire {
        let home = TempDir::new().unwrap();
        let mark = Mark::default();
        let (link, server) = match self {
            Transport::Memory => {
                let (near, far) = memory::pair();
                let serving = tokio::spawn(Arc::new(server::server()).serve(far));
                (near, Running::Task(serving))
            }
            Transport::RustOverStdio => start(Program::Rust, &home, &mark),
            Transport::PythonOverStdio => start(Program::Python, &home, &mark),
            Transport::RustOverSession => {
                reach(Program::Rust, SessionMode::Required, &home, &mark).await
            }
            Transport::PythonOverSession => {
                reach(Program::Python, SessionMode::Required, &home, &mark).await
            }
            Transport::RustOverStreams => {
                reach(Program::Rust, SessionMode::Off, &home, &mark).await
            }
            Transport::PythonOverStreams => {
                reach(Program::Python, SessionMode::Off, &home, &mark).await
            }
            Transport::RustOverPosts => {
                let front = Front::start(front::without_streams()).await;
                let connected = connect(&front.url, SessionMode::Auto).await;
                assert_eq!(connected.mode, client::Mode::Direct);
                (connected.link, Running::Front(front))
            }
            Transport::PythonOverPosts => {
                let server = http::Server::start(Program::Python, home.path(), &mark).await;
                let proxy = Proxy::start(&server.url, Faults::default()).await;
                proxy.rewrite(NO_STREAMS);
                let connected = connect(&proxy.url, SessionMode::Auto).await;
                assert_eq!(connected.mode, client::Mode::Direct);
                (connected.link, Running::Behind(proxy, server))
            }
        };
        Wire {
            transport: self,
            link,
            server,
            home,
            mark,
        }
    }
}

fn start(program: Program, home: &TempDir, mark: &Mark) -> (Link, Running) {
    let (path, arguments) = program.command();
    let mut command = child::Command::new("it", path, home.path());
    command.arguments = arguments;
    command.environment = runtime::variables(home.path(), mark);
    let (link, child) = child::spawn(&command, None).unwrap();
    (link, Running::Child(child))
}

/// Starts a server on its own and connects to it.
async fn reach(
    program: Program,
    session: SessionMode,
    home: &TempDir,
    mark: &Mark,
) -> (Link, Running) {
    let server = http::Server::start(program, home.path(), mark).await;
    let connected = connect(&server.url, session).await;
    (connected.link, Running::Server(server))
}

async fn connect(url: &str, session: SessionMode) -> client::Connected {
    let mut options = client::Options::new(url.parse().unwrap());
    options.session = session;
    soon("a connection", client::connect(&options))
        .await
        .unwrap()
}

enum Running {
    Task(JoinHandle<()>),
    Child(Child),
    Server(http::Server),
    Front(Front),
    Behind(Proxy, http::Server),
}

/// An open link, before anything was said.
pub struct Wire {
    transport: Transport,
    link: Link,
    server: Running,
    home: TempDir,
    mark: Mark,
}

/// A link on which a test says every word itself.
pub struct Raw {
    link: Link,
    end: End,
}

/// A connection whose handshake is complete.
pub struct Session {
    /// How the server is reached.
    pub transport: Transport,
    connection: Connection,
    host: Host,
    end: End,
}

/// What is left to end.
struct End {
    server: Running,
    home: TempDir,
    mark: Mark,
}

/// The runtime as the server sees it.
#[derive(Clone)]
struct Host {
    store: Store,
    told: Arc<watch::Sender<Vec<String>>>,
}

impl Wire {
    /// Says nothing of its own accord.
    pub fn raw(self) -> Raw {
        let (link, end) = self.split();
        Raw { link, end }
    }

    /// Completes the handshake.
    pub async fn connect(self) -> Session {
        let transport = self.transport;
        let (link, end) = self.split();
        let host = Host {
            store: Store::memory(),
            told: Arc::default(),
        };
        let connection = peer::connect(link, router(host.clone()));
        let params = InitializeParams {
            runtime_protocol_version: 1,
            protocol_prefix: Some("it".to_owned()),
            runtime: None,
            max_message_bytes: None,
            capabilities: Some(Capabilities::all()),
        };
        let shaking = handshake(connection.peer(), params);
        soon("the handshake", shaking).await.unwrap();
        Session {
            transport,
            connection,
            host,
            end,
        }
    }

    fn split(self) -> (Link, End) {
        let end = End {
            server: self.server,
            home: self.home,
            mark: self.mark,
        };
        (self.link, end)
    }
}

fn router(host: Host) -> Router<Host> {
    Router::new(host)
        .method::<blob::Put, _, _>(|call, params| async move {
            let blob_type = params.blob_type.unwrap_or_default();
            let put = callbacks::put_blob(&call.state.store, &params.data, blob_type);
            let blob_id = put.await.map_err(to_rpc)?;
            Ok(blob::PutResult { blob_id })
        })
        .method::<blob::Get, _, _>(|call, params| async move {
            let blob = callbacks::get_blob(&call.state.store, &params.blob_id).await;
            Ok(blob::GetResult {
                data: blob.map_err(to_rpc)?.data,
                blob_type: blob::BlobType::Data,
            })
        })
        .notice::<Log, _>(|call, log| {
            let data = log.data.map(|data| data.to_string()).unwrap_or_default();
            call.state
                .hear(format!("{}: {} {data}", log.level, log.message));
        })
        .notice::<Progress, _>(|call, progress| {
            let fraction = progress.fraction.unwrap_or_default();
            let message = progress.message.unwrap_or_default();
            call.state.hear(format!("{fraction}: {message}"));
        })
}

impl Host {
    fn hear(&self, what: String) {
        self.told.send_modify(|told| told.push(what));
    }
}

impl Session {
    /// The server.
    pub fn peer(&self) -> Peer {
        self.connection.peer()
    }

    /// The folder that is the home of the server's process.
    pub fn home(&self) -> &std::path::Path {
        self.end.home.path()
    }

    /// What the server told so far, in order.
    pub fn told(&self) -> Vec<String> {
        self.host.told.borrow().clone()
    }

    /// The same once it is this much.
    pub async fn told_all(&self, count: usize) -> Vec<String> {
        let mut told = self.host.told.subscribe();
        let all = told.wait_for(|told| told.len() >= count);
        let all = soon("what the server tells", all).await.unwrap();
        all.clone()
    }

    /// Calls a component.
    pub async fn execute(&self, component: &str, input: Value) -> Result<ExecuteResult, CallError> {
        self.execute_as(params(component, input)).await
    }

    /// Calls a component with params of one's own.
    pub async fn execute_as(&self, mut params: ExecuteParams) -> Result<ExecuteResult, CallError> {
        params.capabilities = self.transport.is_stateless().then(Capabilities::all);
        let peer = self.peer();
        soon("an answer", peer.call::<Execute>(&params)).await
    }

    /// The output of a component.
    pub async fn output(&self, component: &str, input: Value) -> Value {
        match self.execute(component, input).await {
            Ok(ExecuteResult::Output(output)) => output,
            other => panic!("{component} has no output: {other:?}"),
        }
    }

    /// The error of a component.
    pub async fn error(&self, component: &str, input: Value) -> RpcError {
        match self.execute(component, input).await {
            Err(CallError::Remote(error)) => error,
            other => panic!("{component} did not fail: {other:?}"),
        }
    }

    /// Ends the connection and proves that no process is left.
    pub async fn end(self) {
        self.connection.peer().close();
        self.end.wait().await;
    }
}

/// The params of an execute request as the runtime sends them.
pub fn params(component: &str, input: Value) -> ExecuteParams {
    ExecuteParams {
        component: component.into(),
        input,
        attempt: Some(1),
        step_id: Some("step".into()),
        run_id: Some("run".into()),
        flow_id: Some("flow".into()),
        observability: Some(Observability::default()),
        idempotency_key: Some("run/step".to_owned()),
        deadline_ms: None,
        capabilities: None,
    }
}

impl Raw {
    /// The folder that is the home of the server's process.
    pub fn home(&self) -> &std::path::Path {
        self.end.home.path()
    }

    /// Sends a message given as text.
    pub fn send(&self, text: &str) {
        let message = Message::decode(text).unwrap_or_else(|error| panic!("{error:?}: {text}"));
        self.link.outgoing.send(message, None).unwrap();
    }

    /// The next message, as text.
    pub async fn receive(&mut self) -> String {
        match soon("a message", self.link.incoming.next()).await {
            Some(Arrival::Message(message)) => {
                let mut text = Vec::new();
                message.encode(&mut text);
                String::from_utf8(text).unwrap()
            }
            other => panic!("no message: {other:?}"),
        }
    }

    /// The next message, which must be an answer to this id (as JSON), as a value.
    pub async fn answer(&mut self, id: &str) -> Value {
        let answer = crate::value(&self.receive().await);
        let found = answer.get("id").map(|id| id.as_text().to_owned());
        assert_eq!(found.as_deref(), Some(id), "{answer:?}");
        answer
    }

    /// Greets the server as a runtime does.
    pub async fn greet(&mut self) {
        self.send(
            r#"{"jsonrpc":"2.0","id":"hello","method":"initialize","params":{"runtime_protocol_version":1,"protocol_prefix":"it"}}"#,
        );
        self.answer(r#""hello""#).await;
        self.send(r#"{"jsonrpc":"2.0","method":"initialized","params":{}}"#);
    }

    /// Ends the connection and proves that no process is left.
    pub async fn end(self) {
        self.link.outgoing.close();
        self.end.wait().await;
    }
}

impl End {
    async fn wait(self) {
        match self.server {
            Running::Task(task) => soon("the server's end", task).await.unwrap(),
            Running::Child(child) => {
                soon("the server's end", child.shut_down()).await;
            }
            Running::Server(server) => {
                server.stop().await;
            }
            Running::Front(front) => front.stop().await,
            Running::Behind(proxy, server) => {
                drop(proxy);
                server.stop().await;
            }
        }
        self.mark.all_gone().await;
    }
}
