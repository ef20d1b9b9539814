//! When a failed attempt is made again, and how long to wait before. Owns the budgets that are not
//! a flow's own and adds chance to the waits; must not know time.

use std::time::Duration;

use stepflow_flow::flow::Backoff;

/// The retries that a flow does not ask for: of what was surely not done, or may be done twice
/// (`docs/protocol/lifecycle.md`, "Outcomes and retries").
#[derive(Clone, Debug)]
pub struct Retry {
    /// How often one step is sent again because its request was not sent or its answer was lost
    /// (`retry.transportMaxRetries`).
    pub transport_max_retries: u32,
    /// The waits between those (`retry.backoff`).
    pub transport: Backoff,
    /// How often one step is sent again because its component was busy.
    pub busy_max_retries: u32,
    /// The waits between those; a longer wait asked for by the component is kept.
    pub busy: Backoff,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            transport_max_retries: 3,
            transport: exponential(Duration::from_millis(200), Duration::from_secs(10)),
            busy_max_retries: 120,
            busy: exponential(Duration::from_millis(500), Duration::from_secs(30)),
        }
    }
}

fn exponential(min_delay: Duration, max_delay: Duration) -> Backoff {
    Backoff {
        min_delay,
        max_delay,
        ..Backoff::default()
    }
}

/// How long to wait before an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// The wait that backoff asks for.
    pub backoff: Duration,
    /// Whether chance may shorten that wait, so that steps that failed together do not return
    /// together.
    pub jitter: bool,
    /// The wait that the component asks for; never shortened.
    pub at_least: Duration,
    /// How many retries this one's budget had left, this one included.
    pub left: u32,
}

impl Delay {
    /// The wait before a retry, counted from 1, of a budget of so many.
    pub(crate) fn before(retry: u32, budget: u32, backoff: &Backoff) -> Delay {
        Delay {
            backoff: backoff.delay(retry),
            jitter: backoff.jitter,
            at_least: Duration::ZERO,
            left: budget.saturating_sub(retry) + 1,
        }
    }

    /// The wait itself, given a random number from 0 to 1. Jitter takes up to half of it away.
    pub(crate) fn length(&self, random: f64) -> Duration {
        let share = if self.jitter {
            1.0 - random.clamp(0.0, 1.0) / 2.0
        } else {
            1.0
        };
        self.backoff.mul_f64(share).max(self.at_least)
    }
}
