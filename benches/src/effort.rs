//! How much is measured. Rows that are compared with each other do the same number of operations.

use crate::row::Unit;

/// How many rounds of how many operations.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Every row is measured once a round, and one with a floor several times beside it.
    pub rounds: usize,
    /// What the numbers of operations are divided by.
    share: usize,
}

/// How fast what is measured is, roughly: it decides how many operations make a measurement.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Memory and pipes: microseconds.
    Pipes,
    /// HTTP between Rust programs: a tenth of a millisecond.
    Http,
    /// HTTP with Python at one end, and the slower peers: a millisecond.
    Slow,
}

impl Effort {
    /// A minute's check.
    pub const QUICK: Effort = Effort {
        rounds: 3,
        share: 20,
    };
    /// What figures are taken with.
    pub const FULL: Effort = Effort {
        rounds: 5,
        share: 4,
    };

    /// How many operations a measurement has.
    pub fn operations(self, pace: Pace, in_flight: usize) -> usize {
        let full = match (pace, Unit::of(in_flight)) {
            (Pace::Pipes, Unit::Microseconds) => 20_000,
            (Pace::Pipes, _) => 200_000,
            (Pace::Http, Unit::Microseconds) => 5_000,
            (Pace::Http, _) => 20_000,
            (Pace::Slow, Unit::Microseconds) => 1_000,
            (Pace::Slow, _) => 4_000,
        };
        full / self.share
    }

    /// What the most work of a curve is divided by.
    pub fn scale_share(self) -> usize {
        if self.rounds == Effort::QUICK.rounds {
            100
        } else {
            1
        }
    }

    /// How often a run of so many steps is repeated.
    pub fn repeats(self, pace: Pace, steps: usize) -> usize {
        (self.operations(pace, 1) / steps).max(1)
    }
}
