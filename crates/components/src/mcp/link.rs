//! The library's transport over a link to a child process. The link frames lines, drops noise and knows why it ended; here
//! its messages become the library's and back. What cannot be read fails the call it answers, and nothing else.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use rmcp::RoleClient;
use rmcp::model::ClientJsonRpcMessage;
use rmcp::model::ErrorCode;
use rmcp::model::ErrorData;
use rmcp::model::RequestId;
use rmcp::model::ServerJsonRpcMessage;
use rmcp::transport::Transport;
use stepflow_rpc::Closed;
use stepflow_rpc::Id;
use stepflow_rpc::Link;
use stepflow_rpc::Message;
use stepflow_rpc::RpcError;
use stepflow_rpc::link::Arrival;
use stepflow_rpc::link::Outgoing;
use stepflow_rpc::link::Tap;
use stepflow_rpc::link::Ticket;
use stepflow_rpc::message::Malformed;
use stepflow_rpc::message::Response;
use tracing::debug;

/// What is known of a link besides its messages: which requests are on their way, and why it ended.
pub(super) struct Wire {
    outgoing: Arc<dyn Outgoing>,
    requests: Mutex<HashMap<Id, Ticket>>,
    closed: OnceLock<Closed>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("closed", &self.closed.get())
            .finish_non_exhaustive()
    }
}

impl Wire {
    /// Why the link ended.
    pub(super) fn why_closed(&self) -> Closed {
        self.closed.get().cloned().unwrap_or(Closed::ByUs)
    }

    /// Whether bytes of this request may have reached the server.
    pub(super) fn may_have_left(&self, id: &RequestId) -> bool {
        let ticket = self.requests().get(&id_of(id)).copied();
        ticket.is_some_and(|ticket| self.outgoing.may_have_left(ticket))
    }

    /// Nobody waits for this request's answer any more.
    pub(super) fn forget(&self, id: &RequestId) {
        self.requests().remove(&id_of(id));
    }

    fn hand_over(&self, message: Message) -> Result<(), Closed> {
        let id = match &message {
            Message::Request(request) => Some(request.id.clone()),
            Message::Response(_) | Message::Notification(_) | Message::Unattributed(_) => None,
        };
        // Under the lock, so that nobody asks for a ticket that is about to be written down.
        let mut requests = self.requests();
        let ticket = self.outgoing.send(message, None)?;
        if let Some(id) = id {
            requests.insert(id, ticket);
        }
        Ok(())
    }

    fn is_asked(&self, id: &Id) -> bool {
        self.requests().contains_key(id)
    }

    fn refuse(&self, id: Id, why: String) {
        let error = RpcError::new(stepflow_rpc::ErrorCode::INVALID_REQUEST, why);
        let result = Err(error);
        // Where the link is over, the server waits for nothing either.
        let _ = self
            .outgoing
            .send(Message::Response(Response { id, result }), None);
    }

    fn requests(&self) -> MutexGuard<'_, HashMap<Id, Ticket>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a message was not handed over.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// The link is over.
    #[error("{0}")]
    Closed(Closed),
    /// The library made something that is no message.
    #[error("the message cannot be written: {0}")]
    Encode(String),
}

/// A link as the library wants it.
pub(super) struct LinkTransport {
    wire: Arc<Wire>,
    incoming: BoxStream<'static, Arrival>,
}

impl LinkTransport {
    pub(super) fn new(link: Link, tap: Option<&Arc<dyn Tap>>) -> (Self, Arc<Wire>) {
        let link = match tap {
            Some(tap) => link.tapped(Arc::clone(tap)),
            None => link,
        };
        let wire = Arc::new(Wire {
            outgoing: link.outgoing,
            requests: Mutex::default(),
            closed: OnceLock::new(),
        });
        let transport = LinkTransport {
            wire: Arc::clone(&wire),
            incoming: link.incoming,
        };
        (transport, wire)
    }

    /// What an arrival is to the library; `None` where it is nothing.
    fn read(&self, arrival: Arrival) -> Option<ServerJsonRpcMessage> {
        match arrival {
            Arrival::Message(message) => self.read_message(&message),
            Arrival::Lost { id, lost } => Some(unanswered(id, lost.to_string())),
            Arrival::Failed { id, error } => Some(unanswered(id, error.to_string())),
            Arrival::Malformed(malformed) => self.read_malformed(malformed),
            Arrival::Oversized { id, size, limit } => {
                let why = format!("the request of {size} bytes is over the limit of {limit} bytes");
                self.wire.refuse(id, why);
                None
            }
            Arrival::Ended(_) => None,
        }
    }

    fn read_message(&self, message: &Message) -> Option<ServerJsonRpcMessage> {
        let mut text = Vec::new();
        message.encode(&mut text);
        let error = match serde_json::from_slice(&text) {
            Ok(message) => return Some(message),
            Err(error) => format!("the message is none of the Model Context Protocol: {error}"),
        };
        match message {
            Message::Response(response) => Some(unanswered(response.id.clone(), error)),
            Message::Request(request) => {
                self.wire.refuse(request.id.clone(), error);
                None
            }
            Message::Notification(_) | Message::Unattributed(_) => {
                debug!(error, "a notification ignored");
                None
            }
        }
    }

    fn read_malformed(&self, malformed: Malformed) -> Option<ServerJsonRpcMessage> {
        match malformed {
            Malformed::BadAnswer { id, why } => Some(unanswered(id, why)),
            Malformed::BadRequest { id, why } if self.wire.is_asked(&id) => {
                Some(unanswered(id, why))
            }
            Malformed::BadRequest { id, why } => {
                self.wire.refuse(id, why);
                None
            }
            Malformed::NotJson
            | Malformed::Nameless { .. }
            | Malformed::NotAMessage { .. }
            | Malformed::Unattributed(_) => {
                debug!(?malformed, "what is no message ignored");
                None
            }
        }
    }
}

impl Transport<RoleClient> for LinkTransport {
    type Error = SendError;

    fn send(
        &mut self,
        item: ClientJsonRpcMessage,
    ) -> impl Future<Output = Result<(), SendError>> + Send + 'static {
        let wire = Arc::clone(&self.wire);
        // Handed over at once where nothing is in the way: a request must not be overtaken by the word that it is cancelled.
        let handed_over = encode(&item).and_then(|message| match wire.outgoing.ready() {
            None => wire
                .hand_over(message)
                .map(|()| None)
                .map_err(SendError::Closed),
            Some(_) => Ok(Some(message)),
        });
        async move {
            let Some(message) = handed_over? else {
                return Ok(());
            };
            if let Some(ready) = wire.outgoing.ready() {
                ready.await;
            }
            wire.hand_over(message).map_err(SendError::Closed)
        }
    }

    async fn receive(&mut self) -> Option<ServerJsonRpcMessage> {
        loop {
            let arrival = self.incoming.next().await?;
            if let Arrival::Ended(why) = arrival {
                // The first reason is the reason.
                let _ = self.wire.closed.set(why);
                return None;
            }
            if let Some(message) = self.read(arrival) {
                return Some(message);
            }
        }
    }

    async fn close(&mut self) -> Result<(), SendError> {
        self.wire.outgoing.close();
        Ok(())
    }
}

fn encode(item: &ClientJsonRpcMessage) -> Result<Message, SendError> {
    let text = serde_json::to_string(item).map_err(|error| SendError::Encode(error.to_string()))?;
    Message::decode(&text).map_err(|malformed| SendError::Encode(format!("{malformed:?}")))
}

/// What the caller is told whose answer cannot be had.
fn unanswered(id: Id, why: String) -> ServerJsonRpcMessage {
    let code = stepflow_flow::error::ErrorCode::SERVER.number();
    let code = ErrorCode(i32::try_from(code).expect("the table's codes are small"));
    let id = match id {
        Id::Number(number) => RequestId::Number(number),
        Id::String(text) => RequestId::String(text),
    };
    ServerJsonRpcMessage::error(ErrorData::new(code, why, None), Some(id))
}

/// An id of the library as the link knows it.
pub(super) fn id_of(id: &RequestId) -> Id {
    match id {
        RequestId::Number(number) => Id::Number(*number),
        RequestId::String(text) => Id::String(Arc::clone(text)),
    }
}
