//! When a broken stream of events is opened again, and when no more. Pure: told what time it is.

use std::time::Duration;

use tokio::time::Instant;

/// How long a broken stream of events may take to come back before the session counts as lost.
const RESUME_WITHIN: Duration = Duration::from_secs(30);
/// How long the second try waits, and how long the later ones at most.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// When a broken stream is opened again, and how often: at once, then ever more slowly. A stream that opens and brings nothing
/// is as broken as one that does not open.
#[derive(Debug, Default)]
pub(super) struct Patience {
    tried: Option<Tried>,
}

#[derive(Debug)]
struct Tried {
    last: Instant,
    wait: Duration,
    until: Instant,
}

impl Patience {
    /// How long to wait before the next try and when to give up on it; `None` once that was tried for long enough.
    pub(super) fn next(
        &mut self,
        now: Instant,
        retry: Option<Duration>,
    ) -> Option<(Duration, Instant)> {
        let tried = self
            .tried
            .take_if(|tried| now < tried.last + RESUME_WITHIN)
            .unwrap_or(Tried {
                last: now,
                wait: Duration::ZERO,
                until: now + RESUME_WITHIN,
            });
        let wait = tried.wait.max(retry.unwrap_or_default());
        let last = now + wait;
        let until = tried.until;
        self.tried = Some(Tried {
            last,
            wait: (tried.wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT),
            until,
        });
        (last < until).then_some((wait, until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The waits until patience ends, in milliseconds, with streams that live for this long.
    fn waits(lifetime: Duration, retry: Option<Duration>, most: usize) -> Vec<u128> {
        let mut now = Instant::now();
        let mut patience = Patience::default();
        let mut waits = Vec::new();
        while let Some((wait, _)) = patience.next(now, retry) {
            waits.push(wait.as_millis());
            if waits.len() == most {
                break;
            }
            now += wait + lifetime;
        }
        waits
    }

    #[test]
    fn streams_that_bring_nothing_are_opened_ever_more_slowly_and_not_for_ever() {
        let expected = [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000];
        assert_eq!(waits(Duration::ZERO, None, 100), expected);
        assert!(waits(Duration::from_secs(1), None, 100).len() < expected.len());
    }

    #[test]
    fn streams_that_lived_are_opened_at_once() {
        assert_eq!(waits(Duration::from_secs(60), None, 5), [0; 5]);
    }

    #[test]
    fn the_server_says_how_long_it_wants_to_be_left_alone() {
        let retry = Some(Duration::from_secs(2));
        assert_eq!(
            waits(Duration::ZERO, retry, 8),
            [2000, 2000, 2000, 2000, 2000, 2000, 3200, 5000]
        );
        let for_ever = Some(Duration::from_secs(3600));
        assert_eq!(waits(Duration::ZERO, for_ever, 8), [] as [u128; 0]);
    }
}
