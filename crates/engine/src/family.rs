//! The runs inside one top-level run, taken together. Owns how many of them are alive and what happens when they would be too
//! many; what any one of them does is not known here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stepflow_flow::error::FlowError;

use crate::run::Control;

/// All runs inside one top-level run, at whatever depth.
#[derive(Debug)]
pub(crate) struct Family {
    n_alive: AtomicUsize,
    /// The top-level run.
    top: Arc<Control>,
}

/// One of the runs, alive until this is dropped.
#[derive(Debug)]
pub(crate) struct Member {
    family: Arc<Family>,
}

impl Family {
    /// The runs inside this one, of which there are none yet.
    pub(crate) fn of(top: Arc<Control>) -> Arc<Family> {
        Arc::new(Family {
            n_alive: AtomicUsize::new(0),
            top,
        })
    }

    /// One more run, unless there are so many already.
    pub(crate) fn join(self: &Arc<Family>, most: usize) -> Option<Member> {
        let n_before = self.n_alive.fetch_add(1, Ordering::AcqRel);
        let member = Member {
            family: Arc::clone(self),
        };
        (n_before < most).then_some(member)
    }

    /// Whether there is room for a run that can as well begin later. The other half is for runs without which none of those that
    /// are alive would come to its end.
    pub(crate) fn has_room(&self, most: usize) -> bool {
        self.n_alive.load(Ordering::Acquire) < most / 2
    }

    /// Ends the top-level run, and with it all others. A step that failed instead would only make room for the next: what
    /// became too many would go on to do so.
    pub(crate) fn end(&self, error: FlowError) {
        self.top.end(error);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.family.n_alive.fetch_sub(1, Ordering::AcqRel);
    }
}
