//! The messages that are POSTed to a session, and the requests among them that wait for their answer.

use std::collections::HashMap;
use std::sync::Arc;

use axum::response::Response;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::oneshot;

use super::Session;
use crate::error::ErrorCode;
use crate::error::Lost;
use crate::error::RpcError;
use crate::link::Arrival;
use crate::message::Id;
use crate::message::Message;
use crate::message::Request;
use crate::transport::http::server::Server;
use crate::transport::http::server::answer;
use crate::transport::http::server::answer::Refusal;

/// A request that was not answered yet.
struct Waiter {
    /// Its POST; `None` where the client left, and the answer will be an event.
    post: Option<oneshot::Sender<Message>>,
    /// Tells it from a later one of the same id.
    number: u64,
    _permit: OwnedSemaphorePermit,
}

/// The requests of one session that were not answered yet.
#[derive(Default)]
pub(super) struct Waiters {
    by_id: HashMap<Id, Waiter>,
    last: u64,
}

impl Waiters {
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        let waiters = self.by_id.values();
        waiters.filter(|waiter| waiter.post.is_none()).count()
    }

    /// Notes a request, unless another one of that id is being answered.
    fn register(
        &mut self,
        id: &Id,
        permit: OwnedSemaphorePermit,
    ) -> Result<(u64, oneshot::Receiver<Message>), Refusal> {
        if self.by_id.contains_key(id) {
            return Err(Refusal::duplicate(id.clone()));
        }
        let (post, answer) = oneshot::channel();
        self.last += 1;
        let waiter = Waiter {
            post: Some(post),
            number: self.last,
            _permit: permit,
        };
        self.by_id.insert(id.clone(), waiter);
        Ok((self.last, answer))
    }

    /// Gives an answer to the POST that waits for it, or back where none does.
    pub(super) fn answer(&mut self, id: &Id, message: Message) -> Option<Message> {
        match self.by_id.remove(id).and_then(|waiter| waiter.post) {
            None => Some(message),
            Some(post) => post.send(message).err(),
        }
    }

    /// The POST is gone. Its request goes on, where it reached the peer.
    fn leave(&mut self, id: &Id, number: u64, has_arrived: bool) {
        match self.by_id.get_mut(id) {
            Some(waiter) if waiter.number == number && has_arrived => waiter.post = None,
            Some(waiter) if waiter.number == number => {
                self.by_id.remove(id);
            }
            _ => {}
        }
    }

    /// Tells everybody that nothing will come any more. Their requests may have run, so this is no lost session.
    pub(super) fn end(&mut self, why: &str) {
        for (id, waiter) in self.by_id.drain() {
            let error = RpcError::new(ErrorCode::CANCELLED, format!("the session ended: {why}"));
            let result = Err(error);
            if let Some(post) = waiter.post {
                let _ = post.send(Message::Response(crate::Response { id, result }));
            }
        }
    }
}

/// Hands a POSTed message to its session; a request waits for its answer.
pub(in crate::transport::http::server) async fn deliver(
    server: &Server,
    session: &Arc<Session>,
    message: Message,
) -> Result<Response, Refusal> {
    match message {
        Message::Request(request) => ask(server, session, request).await,
        message @ (Message::Response(_) | Message::Notification(_) | Message::Unattributed(_)) => {
            session.arrive(Arrival::Message(message)).await?;
            Ok(answer::accepted())
        }
    }
}

/// Fails the call back that a broken answer was meant for; its sender is told by a status.
pub(in crate::transport::http::server) async fn lose(session: &Session, id: Id, why: String) {
    let lost = Lost::Malformed { why };
    // A session that ended meanwhile has failed all its calls already.
    let _ = session.arrive(Arrival::Lost { id, lost }).await;
}

async fn ask(
    server: &Server,
    session: &Arc<Session>,
    request: Request,
) -> Result<Response, Refusal> {
    let id = request.id.clone();
    let permit = server.calls.admit().map_err(|it| it.to(Some(id.clone())))?;
    let (number, answer) = {
        let mut state = session.lock();
        if state.is_over() {
            return Err(Refusal::no_session().to(Some(id)));
        }
        state.waiters.register(&id, permit)?
    };
    let mut waiting = Waiting {
        session,
        id,
        number,
        has_arrived: false,
        answer,
    };
    session
        .arrive(Arrival::Message(Message::Request(request)))
        .await
        .map_err(|it| it.to(Some(waiting.id.clone())))?;
    waiting.has_arrived = true;
    match (&mut waiting.answer).await {
        Ok(message) => Ok(answer::message(&message)),
        Err(_ended) => Err(Refusal::no_session().to(Some(waiting.id.clone()))),
    }
}

/// A POST that waits; when its client goes away, the answer travels as an event instead.
struct Waiting<'a> {
    session: &'a Arc<Session>,
    id: Id,
    number: u64,
    has_arrived: bool,
    answer: oneshot::Receiver<Message>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.session
            .lock()
            .waiters
            .leave(&self.id, self.number, self.has_arrived);
        // It may have come in the very moment in which the client left.
        self.answer.close();
        if let Ok(message) = self.answer.try_recv() {
            self.session.happen(&message);
        }
    }
}
