//! The outcomes of many runs in the order of their inputs. Owns them as text that grows: a million outcomes cost little more than
//! what they say.

use std::collections::VecDeque;

use stepflow_flow::outcome::Outcome;

/// Outcomes as they come, in the order in which they are wanted.
#[derive(Debug, Default)]
pub struct Collected {
    /// The outcomes before the first that is missing, separated by commas.
    text: String,
    /// Those after it, from the first missing on.
    ahead: VecDeque<Option<Box<str>>>,
    n_in_text: u64,
    counts: Counts,
}

/// How many runs ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// With a result.
    pub successful: u64,
    /// With an error.
    pub failed: u64,
    /// By being skipped.
    pub skipped: u64,
}

impl Collected {
    /// Whether the outcome of this place is there.
    pub fn has(&self, place: u64) -> bool {
        match place.checked_sub(self.n_in_text) {
            None => true,
            Some(ahead) => usize::try_from(ahead)
                .is_ok_and(|ahead| self.ahead.get(ahead).is_some_and(Option::is_some)),
        }
    }

    /// Takes in the outcome of a place that has none.
    pub fn add(&mut self, place: u64, outcome: &Outcome) {
        match outcome {
            Outcome::Success(_) => self.counts.successful += 1,
            Outcome::Failed(_) => self.counts.failed += 1,
            Outcome::Skipped { .. } => self.counts.skipped += 1,
        }
        let text = serde_json::to_string(outcome).expect("an outcome is JSON");
        let ahead = place.saturating_sub(self.n_in_text);
        let ahead = usize::try_from(ahead).expect("outcomes that are there fit into memory");
        if ahead == 0 {
            self.write(&text);
            self.ahead.pop_front();
            while let Some(Some(text)) = self.ahead.front_mut().map(Option::take) {
                self.write(&text);
                self.ahead.pop_front();
            }
            return;
        }
        if self.ahead.len() <= ahead {
            self.ahead.resize(ahead + 1, None);
        }
        self.ahead[ahead] = Some(text.into());
    }

    fn write(&mut self, text: &str) {
        if self.n_in_text > 0 {
            self.text.push(',');
        }
        self.text.push_str(text);
        self.n_in_text += 1;
    }

    /// How many ended how so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// All outcomes as the text of a list without its brackets, once none is missing; nothing is left behind.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }
}

#[cfg(test)]
mod tests {
    use stepflow_flow::value::Value;

    use super::*;

    #[test]
    fn whatever_the_order_of_ends_the_order_is_kept() {
        let orders = [
            [0, 1, 2, 3, 4],
            [4, 3, 2, 1, 0],
            [1, 0, 4, 2, 3],
            [2, 4, 0, 3, 1],
        ];
        for order in orders {
            let mut collected = Collected::default();
            for place in order {
                assert!(!collected.has(place), "{order:?} {place}");
                let number = Value::parse(&place.to_string()).unwrap();
                collected.add(place, &Outcome::Success(number));
                assert!(collected.has(place), "{order:?} {place}");
            }
            let expected: Vec<_> = (0..5)
                .map(|place| format!(r#"{{"outcome":"success","result":{place}}}"#))
                .collect();
            assert_eq!(collected.take(), expected.join(","), "{order:?}");
            assert!(!collected.has(5));
        }
    }

    #[test]
    fn ends_are_counted_by_kind() {
        let mut collected = Collected::default();
        let failed = stepflow_flow::error::ErrorCode::TIMEOUT.error("late");
        collected.add(1, &Outcome::Failed(failed));
        collected.add(0, &Outcome::Skipped { reason: None });
        collected.add(2, &Outcome::Success(Value::null()));
        let counts = Counts {
            successful: 1,
            failed: 1,
            skipped: 1,
        };
        assert_eq!(collected.counts(), counts);
    }
}
