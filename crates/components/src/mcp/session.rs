//! One life of an MCP server: requests and their answers, and what its tools were when it was asked last.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::ServiceError;
use rmcp::model::CallToolRequest;
use rmcp::model::CallToolRequestParams;
use rmcp::model::CallToolResult;
use rmcp::model::ClientRequest;
use rmcp::model::JsonObject;
use rmcp::model::ListToolsRequest;
use rmcp::model::ListToolsResult;
use rmcp::model::PaginatedRequestParams;
use rmcp::model::ServerResult;
use rmcp::service::Peer;
use rmcp::service::PeerRequestOptions;
use rmcp::service::RequestHandle;
use stepflow_engine::Failure;
use stepflow_protocol::component::ComponentInfo;
use stepflow_rpc::CallError;
use stepflow_rpc::Closed;
use stepflow_rpc::transport::child::Child;
use stepflow_rpc::transport::child::Exit;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use tracing::warn;

use super::catalogue;
use super::catalogue::Catalogue;
use super::catalogue::Tools;
use super::failure;
use super::link::Wire;
use super::link::id_of;
use crate::remote::callbacks::Execution;
use crate::remote::callbacks::Executions;
use crate::remote::failure::of_call;
use crate::supervisor::Life;

/// A list that goes on for more pages than this has no end.
const MOST_PAGES: usize = 1000;

/// A server that shook hands.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) plugin: Arc<str>,
    pub(super) generation: u64,
    pub(super) peer: Peer<RoleClient>,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) executions: Executions,
    pub(super) server: Server,
    /// Ends the library's task.
    pub(super) stop: CancellationToken,
    /// That task has ended.
    pub(super) ended: CancellationToken,
    /// Why the session cannot be used any more, where its end does not say so itself.
    pub(super) lost: OnceLock<Closed>,
}

/// What stands behind a session.
#[derive(Debug)]
pub(super) enum Server {
    /// A process of ours, and the link to it.
    Child { child: Child, wire: Arc<Wire> },
    /// Something that runs elsewhere.
    Elsewhere,
}

impl Session {
    /// Runs a tool.
    pub(super) async fn call_tool(
        &self,
        tool: &str,
        arguments: JsonObject,
        execution: Execution,
    ) -> Result<CallToolResult, Failure> {
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        match self.request(request, Some(execution)).await? {
            ServerResult::CallToolResult(result) => Ok(result),
            ServerResult::InputRequiredResult(_) => {
                let what = "asks for input from a person, which a step cannot give";
                Err(failure::of_result(&self.plugin, tool, what))
            }
            ServerResult::CreateTaskResult(_) => {
                let what = "answered with a task to be asked for later, which was not asked for";
                Err(failure::of_result(&self.plugin, tool, what))
            }
            _ => {
                let what = "answered with something that is no result of a tool";
                Err(failure::of_result(&self.plugin, tool, what))
            }
        }
    }

    /// The tools as the server listed them last; done without when it does not say in time.
    pub(super) async fn tools(&self, time: Duration) -> Option<Arc<Tools>> {
        let plugin = &*self.plugin;
        let ask = async || match tokio::time::timeout(time, self.list_tools()).await {
            Ok(Ok(list)) => Some(Arc::new(Tools::compile(plugin, &list))),
            Ok(Err(failure)) => {
                let error = failure.error.message;
                warn!(
                    plugin,
                    error, "the server does not list its tools; inputs are not checked"
                );
                None
            }
            Err(_) => {
                warn!(
                    plugin,
                    "the server does not list its tools in time; inputs are not checked"
                );
                None
            }
        };
        self.catalogue.tools(ask).await
    }

    /// Asks for the tools, page by page.
    pub(super) async fn list_tools(&self) -> Result<Vec<ComponentInfo>, Failure> {
        let about = self.peer.peer_info();
        if about.is_some_and(|about| about.capabilities.tools.is_none()) {
            debug!(plugin = %self.plugin, "the server declares no tools");
            return Ok(Vec::new());
        }
        let mut all = Vec::new();
        let mut cursor = None;
        let mut seen = HashSet::new();
        loop {
            let page = self.list_page(cursor).await?;
            all.extend(page.tools.iter().map(catalogue::component));
            let Some(next) = page.next_cursor else {
                return Ok(all);
            };
            if !seen.insert(next.clone()) || seen.len() > MOST_PAGES {
                return Err(failure::of_endless_list(&self.plugin, &next, seen.len()));
            }
            cursor = Some(next);
        }
    }

    async fn list_page(&self, cursor: Option<String>) -> Result<ListToolsResult, Failure> {
        let request = match cursor {
            None => ListToolsRequest::default(),
            cursor => {
                ListToolsRequest::with_param(PaginatedRequestParams::default().with_cursor(cursor))
            }
        };
        match self
            .request(ClientRequest::ListToolsRequest(request), None)
            .await?
        {
            ServerResult::ListToolsResult(page) => Ok(page),
            _ => Err(failure::of_list(&self.plugin)),
        }
    }

    /// Sends a request and waits for its answer. Dropped meanwhile, it tells the server that nobody waits any more.
    async fn request(
        &self,
        request: ClientRequest,
        execution: Option<Execution>,
    ) -> Result<ServerResult, Failure> {
        let sending = self
            .peer
            .send_cancellable_request(request, PeerRequestOptions::no_options());
        let Ok(handle) = sending.await else {
            return Err(of_call(&self.plugin, CallError::NotSent(self.why_over())));
        };
        let token = id_of(&handle.progress_token.0);
        let _listed = execution.map(|execution| self.executions.list(&token, execution));
        let mut call = Call {
            session: self,
            handle: Some(handle),
        };
        call.answer().await.map_err(|error| {
            if failure::means_session_is_gone(&error) {
                self.lose("the server does not know it any more");
            }
            match error {
                ServiceError::TransportClosed => of_call(&self.plugin, call.lost()),
                error => failure::of_service(&self.plugin, error),
            }
        })
    }

    /// Gives the session up, so that a new one is made.
    fn lose(&self, why: &str) {
        let _ = self.lost.set(Closed::SessionLost { why: why.into() });
        self.stop.cancel();
    }

    fn why_over(&self) -> Closed {
        if let Some(lost) = self.lost.get() {
            return lost.clone();
        }
        match &self.server {
            Server::Child { wire, .. } => wire.why_closed(),
            Server::Elsewhere => Closed::ByPeer,
        }
    }
}

/// A request under way.
struct Call<'a> {
    session: &'a Session,
    /// Gone when the answer has come.
    handle: Option<RequestHandle<RoleClient>>,
}

impl Call<'_> {
    async fn answer(&mut self) -> Result<ServerResult, ServiceError> {
        let handle = self.handle.as_mut().expect("an answer is waited for once");
        let answer = (&mut handle.rx).await;
        let answer = answer.unwrap_or(Err(ServiceError::TransportClosed));
        if !matches!(answer, Err(ServiceError::TransportClosed)) {
            self.forget();
        }
        answer
    }

    /// What became of a request whose answer will not come.
    fn lost(&mut self) -> CallError {
        let closed = self.session.why_over();
        let may_have_left = match (&self.session.server, &self.handle) {
            (Server::Child { wire, .. }, Some(handle)) => wire.may_have_left(&handle.id),
            _ => true,
        };
        self.forget();
        match may_have_left {
            true => CallError::Unknown(closed),
            false => CallError::NotSent(closed),
        }
    }

    fn forget(&mut self) -> Option<RequestHandle<RoleClient>> {
        let handle = self.handle.take()?;
        if let Server::Child { wire, .. } = &self.session.server {
            wire.forget(&handle.id);
        }
        Some(handle)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let Some(handle) = self.forget() else {
            return;
        };
        // Outside of the async runtime everything is over anyway.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(handle.cancel(Some("nobody waits for the answer any more".to_owned())));
        }
    }
}

impl Life for Session {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn is_over(&self) -> bool {
        self.stop.is_cancelled() || self.ended.is_cancelled() || self.peer.is_transport_closed()
    }

    async fn over(&self) -> Closed {
        self.ended.cancelled().await;
        self.why_over()
    }

    async fn shut_down(&self, grace: Duration) -> Option<Arc<Exit>> {
        let exit = match &self.server {
            // The child's own way down begins with the end of its stdin.
            Server::Child { child, .. } => Some(child.shut_down().await),
            Server::Elsewhere => None,
        };
        self.stop.cancel();
        // A server that does not let go in time has lost us anyway.
        let _ = tokio::time::timeout(grace, self.ended.cancelled()).await;
        exit
    }

    fn described(&self) -> String {
        match &self.server {
            Server::Child { child, .. } => format!("process {}", child.pid()),
            Server::Elsewhere => "session".to_owned(),
        }
    }
}
