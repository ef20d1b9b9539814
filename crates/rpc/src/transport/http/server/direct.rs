//! POSTs without a session. Each request is a link of its own that ends with its answer; it turns into a stream when the
//! component has something to ask or to tell.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use axum::body::Body;
use axum::body::Bytes;
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use tokio::sync::mpsc;

use super::Server;
use super::answer;
use super::answer::Refusal;
use crate::error::Closed;
use crate::link::Arrival;
use crate::link::Link;
use crate::link::Outgoing;
use crate::link::Ticket;
use crate::message::Id;
use crate::message::Message;

/// Which link asked what: answers to call backs come by POSTs of their own.
#[derive(Default)]
pub(super) struct Registry {
    asked: Arc<Mutex<HashMap<Id, mpsc::UnboundedSender<Arrival>>>>,
}

/// Serves one POST without a session.
pub(super) async fn deliver(
    server: &Arc<Server>,
    message: Message,
    streams: bool,
) -> Result<Response, Refusal> {
    match message {
        Message::Request(_) => Ok(request(server, message, streams).await),
        Message::Notification(_) => Ok(answer::accepted()),
        Message::Response(response) => {
            let asker = server
                .direct
                .lock()
                .remove(&response.id)
                .ok_or_else(Refusal::nobody_waits)?;
            asker
                .send(Arrival::Message(Message::Response(response)))
                .map_err(|_| Refusal::nobody_waits())?;
            Ok(answer::accepted())
        }
    }
}

impl Registry {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Id, mpsc::UnboundedSender<Arrival>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn request(server: &Arc<Server>, message: Message, streams: bool) -> Response {
    let (arrivals, incoming) = mpsc::unbounded_channel();
    let (outgoing, mut sent) = mpsc::unbounded_channel();
    let id = match &message {
        Message::Request(request) => request.id.clone(),
        Message::Response(_) | Message::Notification(_) => return answer::accepted(),
    };
    let out = Out {
        id: id.clone(),
        sent: outgoing,
        arrivals: arrivals.clone(),
        asked: Arc::clone(&server.direct.asked),
        mine: Mutex::default(),
    };
    // The end of this request, however it comes, ends the link: a caller that is gone cancels.
    let ended = Ended(arrivals.clone());
    let _ = arrivals.send(Arrival::Message(message));
    let incoming = stream::unfold(incoming, |mut incoming| async {
        let arrival = incoming.recv().await?;
        Some((arrival, incoming))
    });
    server.accept.single(Link {
        outgoing: Arc::new(out),
        incoming: Box::pin(incoming),
        back_channel: streams,
    });
    loop {
        match sent.recv().await {
            Some(message @ Message::Response(_)) => return answer::message(&message),
            // To a caller that takes no stream there is nobody to tell.
            Some(_) if !streams => {}
            Some(first) => return stream_of(server, first, sent, ended),
            None => {
                let error =
                    crate::RpcError::internal("the server ended the request without an answer");
                let response = crate::Response {
                    id,
                    result: Err(error),
                };
                return answer::message(&Message::Response(response));
            }
        }
    }
}

/// From the first message that is no answer on, the answer is a stream.
fn stream_of(
    server: &Arc<Server>,
    first: Message,
    sent: mpsc::UnboundedReceiver<Message>,
    ended: Ended,
) -> Response {
    let rest = stream::unfold(Some((sent, ended)), |state| async {
        let (mut sent, ended) = state?;
        let message = sent.recv().await?;
        let is_answer = matches!(message, Message::Response(_));
        Some((message, (!is_answer).then_some((sent, ended))))
    });
    let messages = stream::once(std::future::ready(first)).chain(rest);
    let events = messages.map(|message| {
        Ok::<_, Infallible>(Bytes::from(format!(
            "data: {}\n\n",
            answer::event_data(&message)
        )))
    });
    answer::event_stream(
        Body::from_stream(events),
        server.options.instance_id.as_deref(),
    )
}

/// Ends the link when the request does.
struct Ended(mpsc::UnboundedSender<Arrival>);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.send(Arrival::Ended(Closed::ByPeer));
    }
}

/// The outgoing half of one request's link.
struct Out {
    id: Id,
    sent: mpsc::UnboundedSender<Message>,
    arrivals: mpsc::UnboundedSender<Arrival>,
    asked: Arc<Mutex<HashMap<Id, mpsc::UnboundedSender<Arrival>>>>,
    mine: Mutex<Vec<Id>>,
}

impl Outgoing for Out {
    fn send(&self, message: Message, _about: Option<&Id>) -> Result<Ticket, Closed> {
        match &message {
            Message::Request(request) => {
                self.mine
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(request.id.clone());
                let asker = self.arrivals.clone();
                self.asked
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(request.id.clone(), asker);
            }
            Message::Response(response) if response.id != self.id => return Ok(Ticket(0)),
            Message::Response(_) | Message::Notification(_) => {}
        }
        self.sent.send(message).map_err(|_| Closed::ByPeer)?;
        Ok(Ticket(0))
    }

    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }

    fn may_have_left(&self, _ticket: Ticket) -> bool {
        true
    }

    fn queued(&self) -> usize {
        0
    }

    fn close(&self) {}
}

impl Drop for Out {
    fn drop(&mut self) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        for id in self
            .mine
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
        {
            asked.remove(&id);
        }
    }
}
