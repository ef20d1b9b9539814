//! The requests that were handed over and not posted yet. Owns that what their callers are told of them stays true.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::link::Ticket;

/// What was not posted.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tickets: HashSet<Ticket>,
    is_final: bool,
}

impl Unsent {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists a request that waits for its turn, or for its server.
    pub(super) fn add(&self, ticket: Ticket) {
        self.lock().tickets.insert(ticket);
    }

    pub(super) fn contains(&self, ticket: Ticket) -> bool {
        self.lock().tickets.contains(&ticket)
    }

    /// Takes a request off the list because it is about to be posted; `false` where it must not be any more.
    pub(super) fn take(&self, ticket: Ticket) -> bool {
        let mut state = self.lock();
        if !state.is_final {
            state.tickets.remove(&ticket);
        }
        !state.is_final
    }

    /// What is listed now is never posted: its callers are about to be told so.
    pub(super) fn finish(&self) {
        self.lock().is_final = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_to_be_unsent_is_never_posted() {
        let unsent = Unsent::default();
        unsent.add(Ticket(1));
        unsent.add(Ticket(2));
        assert!(unsent.take(Ticket(1)));
        unsent.finish();
        // A try that failed before a connection was there.
        unsent.add(Ticket(1));
        for ticket in [Ticket(1), Ticket(2)] {
            assert!(!unsent.take(ticket), "{ticket:?}");
            assert!(unsent.contains(ticket), "{ticket:?}");
        }
    }
}
