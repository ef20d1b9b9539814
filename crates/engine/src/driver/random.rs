//! Chance for one run: good enough to spread retries and to name spans, and no more.

use std::hash::{BuildHasher, RandomState};

/// Chance, for jitter and span ids: SplitMix64, seeded differently for each run.
pub(super) struct Random {
    state: u64,
}

impl Random {
    pub(super) fn new() -> Random {
        Random {
            state: RandomState::new().hash_one(0),
        }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to 1.
    pub(super) fn fraction(&mut self) -> f64 {
        self.next() as f64 / u64::MAX as f64
    }
}
