//! What an MCP server may tell us and ask of us while it works. It may tell its log, how far it is, and that its tools have
//! changed; it may ask nothing: no capability is declared, and whoever asks all the same is told so.

use std::future::Future;
use std::sync::Arc;

use rmcp::RoleClient;
use rmcp::Service;
use rmcp::model::ClientCapabilities;
use rmcp::model::ClientConfig;
use rmcp::model::ClientJsonRpcMessage;
use rmcp::model::ClientResult;
use rmcp::model::ErrorCode;
use rmcp::model::ErrorData;
use rmcp::model::Implementation;
use rmcp::model::ProgressNotificationParam;
use rmcp::model::ProtocolVersion;
use rmcp::model::ServerJsonRpcMessage;
use rmcp::model::ServerNotification;
use rmcp::model::ServerRequest;
use rmcp::service::NotificationContext;
use rmcp::service::RequestContext;
use rmcp::transport::Transport;
use stepflow_flow::value::Value;
use tracing::debug;

use super::catalogue::Catalogue;
use super::link::id_of;
use crate::remote::callbacks;
use crate::remote::callbacks::Executions;

/// The runtime as one server sees it.
#[derive(Clone, Debug)]
pub(super) struct Handler {
    pub(super) plugin: Arc<str>,
    pub(super) version: Arc<str>,
}

impl Service<RoleClient> for Handler {
    fn get_info(&self) -> ClientConfig {
        let us = Implementation::new("stepflow", &*self.version);
        ClientConfig::new(ClientCapabilities::default(), us)
            .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }

    async fn handle_request(
        &self,
        request: ServerRequest,
        _context: RequestContext<RoleClient>,
    ) -> Result<ClientResult, ErrorData> {
        if matches!(request, ServerRequest::PingRequest(_)) {
            return Ok(ClientResult::empty(()));
        }
        debug!(plugin = %self.plugin, "a request that is not supported refused");
        let message = "this client declared no capabilities: it answers `ping` and nothing else";
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, message, None))
    }

    /// Nothing is left to be done here: [`InOrder`] has told the [`Listener`].
    async fn handle_notification(
        &self,
        _notification: ServerNotification,
        _context: NotificationContext<RoleClient>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }
}

/// Hears what a server tells.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) plugin: Arc<str>,
    pub(super) catalogue: Arc<Catalogue>,
    /// The calls under way, by the token of their progress.
    pub(super) executions: Executions,
}

/// A transport whose notifications are heard before whatever comes after them: the library would hand each to a task of its
/// own, and an answer could overtake what was said before it.
pub(super) struct InOrder<T> {
    pub(super) transport: T,
    pub(super) listener: Listener,
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for InOrder<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        item: ClientJsonRpcMessage,
    ) -> impl Future<Output = Result<(), T::Error>> + Send + 'static {
        self.transport.send(item)
    }

    async fn receive(&mut self) -> Option<ServerJsonRpcMessage> {
        let message = self.transport.receive().await?;
        if let ServerJsonRpcMessage::Notification(told) = &message {
            self.listener.hear(&told.notification);
        }
        Some(message)
    }

    async fn close(&mut self) -> Result<(), T::Error> {
        self.transport.close().await
    }
}

impl Listener {
    fn hear(&self, notification: &ServerNotification) {
        match notification {
            ServerNotification::ProgressNotification(progress) => {
                self.on_progress(&progress.params);
            }
            #[expect(deprecated, reason = "servers of the present versions use it")]
            ServerNotification::LoggingMessageNotification(log) => {
                self.on_log(&log.params.level, &log.params.data);
            }
            ServerNotification::ToolListChangedNotification(_) => {
                debug!(plugin = %self.plugin, "the server's tools have changed");
                self.catalogue.has_changed();
            }
            // What it says of resources and prompts is about things that no step uses.
            _ => {}
        }
    }

    fn on_progress(&self, progress: &ProgressNotificationParam) {
        let token = id_of(&progress.progress_token.0);
        let Some(execution) = self.executions.find(Some(&token)) else {
            debug!(plugin = %self.plugin, "progress of a call that is not under way ignored");
            return;
        };
        // Without a total, how far it is says nothing of how far it has to go.
        let total = progress.total.filter(|total| *total > 0.0);
        let fraction = total.map(|total| progress.progress / total);
        let message = progress.message.as_deref().unwrap_or_default();
        callbacks::tell_progress(&self.plugin, &execution, fraction, message);
    }

    #[expect(
        deprecated,
        reason = "later versions of the protocol drop it; servers of the present ones use it"
    )]
    fn on_log(&self, level: &rmcp::model::LoggingLevel, data: &serde_json::Value) {
        use rmcp::model::LoggingLevel;
        let level = match level {
            LoggingLevel::Debug => "debug",
            LoggingLevel::Info | LoggingLevel::Notice => "info",
            LoggingLevel::Warning => "warning",
            LoggingLevel::Error
            | LoggingLevel::Critical
            | LoggingLevel::Alert
            | LoggingLevel::Emergency => "error",
        };
        // A text is the message; anything else is shown as it is.
        let message = match data {
            serde_json::Value::String(text) => text.clone(),
            other => Value::from(other).as_text().to_owned(),
        };
        callbacks::tell_log(&self.plugin, None, level, &message, "");
    }
}
