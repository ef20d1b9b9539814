//! What came of the checks. Knows no format: how it is shown is for others.

use std::time::Duration;

use crate::requirements::Requirement;
use crate::requirements::Severity;
use crate::target::Way;
use crate::transcript::Line;
use crate::verdict::Fault;

/// What came of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The requirement is met, as far as could be seen.
    Pass,
    /// It is not.
    Fail {
        /// What came instead.
        fault: Fault,
        /// What was said during the check.
        transcript: Vec<Line>,
    },
    /// It could not be checked.
    Skip {
        /// Why.
        reason: String,
    },
}

/// A requirement and what came of it.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The requirement.
    pub requirement: &'static Requirement,
    /// What came of it.
    pub outcome: Outcome,
    /// How long that took.
    pub took: Duration,
}

/// The whole run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What the server calls itself, if it said so.
    pub server: Option<String>,
    /// How the two sides talked.
    pub way: Way,
    /// In the order of the requirements.
    pub findings: Vec<Finding>,
}

/// How many there are of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Met.
    pub passed: usize,
    /// Not met, and needed.
    pub failed: usize,
    /// Not met, and only recommended.
    pub warned: usize,
    /// Not checked.
    pub skipped: usize,
}

impl Report {
    /// How many there are of each.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for finding in &self.findings {
            let count = match (&finding.outcome, finding.requirement.severity) {
                (Outcome::Pass, _) => &mut counts.passed,
                (Outcome::Skip { .. }, _) => &mut counts.skipped,
                (Outcome::Fail { .. }, Severity::Must) => &mut counts.failed,
                (Outcome::Fail { .. }, Severity::Should) => &mut counts.warned,
            };
            *count += 1;
        }
        counts
    }
}
