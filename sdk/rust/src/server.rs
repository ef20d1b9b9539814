//! The server: a table of components, and the ways to serve them. What a connection says is not its business.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use stepflow_protocol::component::ComponentInfo;
use stepflow_protocol::error::ErrorCode;
use stepflow_protocol::error::rpc_error;
use stepflow_protocol::nearest;
use stepflow_rpc::Closed;
use stepflow_rpc::Link;
use stepflow_rpc::RpcError;
use stepflow_rpc::peer;
use stepflow_rpc::peer::DEFAULT_MAX_MESSAGE_BYTES;
use stepflow_rpc::transport::lines;
use stepflow_rpc::transport::stdio;

use crate::Context;
use crate::Error;
use crate::component::Component;
use crate::connection::Served;
use crate::connection::router;

/// Enough for those about to answer, and for `printf … | server`; whoever reads is gone, or soon will be.
const FAREWELL: Duration = Duration::from_millis(250);

/// A table of components and a name.
///
/// ```
/// use stepflow_sdk::{Context, Error, Server};
///
/// async fn double(_context: Context, input: i64) -> Result<i64, Error> {
///     input.checked_mul(2).ok_or(Error::new("too large to be doubled"))
/// }
///
/// let server = Server::new("numbers").component("/double", "Doubles a number", double);
/// assert_eq!(server.components().count(), 1);
/// ```
#[derive(Debug)]
#[must_use = "a server serves nothing until it is run"]
pub struct Server {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) max_message_bytes: usize,
    components: BTreeMap<String, Component>,
}

impl Server {
    /// A server without components. Its name is what runtimes call it in their messages.
    pub fn new(name: &str) -> Self {
        Server {
            name: name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            components: BTreeMap::new(),
        }
    }

    /// Sets the version that it tells of itself, such as `env!("CARGO_PKG_VERSION")`; that of the SDK unless it is set.
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// Sets the longest message that it takes, in bytes; 256 MiB unless it is set.
    pub fn max_message_bytes(mut self, limit: usize) -> Self {
        self.max_message_bytes = limit;
        self
    }

    /// Adds a component under a path such as `/add`; its schemas come from its types.
    ///
    /// # Panics
    /// When there is a component under that path already.
    pub fn component<I, O, F, Fut>(mut self, path: &str, description: &str, function: F) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Error>> + Send + 'static,
    {
        let path = format!("/{}", path.trim_start_matches('/'));
        let component = Component::new(&path, description, function);
        let before = self.components.insert(path.clone(), component);
        assert!(before.is_none(), "there are two components `{path}`");
        self
    }

    /// What it serves, ordered by path.
    pub fn components(&self) -> impl Iterator<Item = &ComponentInfo> {
        self.components.values().map(|component| &component.info)
    }

    /// Serves the process that started this one, over stdin and stdout, until it closes stdin. Calls that are about to answer
    /// then have a quarter of a second to do so; what still runs after that is dropped where it awaits.
    ///
    /// # Errors
    /// When stdin and stdout cannot be taken over, or the connection breaks.
    pub async fn run_stdio(self) -> io::Result<()> {
        let options = lines::Options {
            max_message_bytes: self.max_message_bytes,
            ..lines::Options::default()
        };
        let router = router(Served::session(Arc::new(self))).farewell(FAREWELL);
        let connection = peer::connect(stdio::link(&options)?, router);
        match connection.closed().await {
            Closed::ByPeer | Closed::ByUs => Ok(()),
            Closed::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            closed => Err(io::Error::other(closed)),
        }
    }

    /// Serves one link until it ends. Components do not run before the handshake is complete.
    pub async fn serve(self: Arc<Self>, link: Link) {
        let connection = peer::connect(link, router(Served::session(self)));
        connection.closed().await;
    }

    /// The component that a runtime calls by a path: with or without a slash, or under its prefix.
    pub(crate) fn find(&self, path: &str, prefix: Option<&str>) -> Result<&Component, RpcError> {
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
