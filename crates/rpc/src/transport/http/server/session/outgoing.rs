//! The outgoing half of a session's link: answers go with the POST that waits for them, all else as events.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::Session;
use crate::error::Closed;
use crate::link::Outgoing;
use crate::link::Ticket;
use crate::message::Id;
use crate::message::Message;

pub(super) struct Out {
    pub(super) session: Arc<Session>,
}

impl Outgoing for Out {
    fn send(&self, message: Message, _about: Option<&Id>) -> Result<Ticket, Closed> {
        let answered = match &message {
            Message::Response(response) => Some(response.id.clone()),
            Message::Request(_) | Message::Notification(_) | Message::Unattributed(_) => None,
        };
        let mut state = self.session.lock();
        if state.is_over() || state.is_closing {
            return Err(Closed::ByPeer);
        }
        let event = match answered {
            Some(id) => state.waiters.answer(&id, message),
            None => Some(message),
        };
        if state.waiters.is_empty() {
            // From here on it is idle.
            state.used = tokio::time::Instant::now();
        }
        drop(state);
        if let Some(message) = event {
            self.session.happen(&message);
        }
        Ok(Ticket(0))
    }

    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        self.session.backlog.ready()
    }

    fn may_have_left(&self, _ticket: Ticket) -> bool {
        true
    }

    fn queued(&self) -> usize {
        self.session.backlog.bytes()
    }

    fn queued_answers(&self) -> usize {
        self.session.lock().events.unwritten_answer_bytes()
    }

    fn close(&self) {
        self.session.close();
    }

    fn abandon(&self) {
        self.session.end("nobody serves it any more");
    }
}
