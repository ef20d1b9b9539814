//! What is told of tests. Owns the counts and the forms of the report.

pub mod junit;
pub mod pretty;

use stepflow_flow::flow::Expected;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;

use super::case::RanCase;
use super::case::Verdict;
use super::compare;
use super::shown;
use super::suite::Ran;
use crate::output;

/// Everything that was run.
#[derive(Debug)]
pub struct Report {
    /// Flow by flow.
    pub suites: Vec<Ran>,
    /// How many files are no flows.
    pub n_skipped: usize,
}

impl Report {
    /// Nothing was run yet.
    pub fn new(n_skipped: usize) -> Report {
        Report {
            suites: Vec::new(),
            n_skipped,
        }
    }

    /// Whether a test failed or could not be run.
    pub fn has_failures(&self) -> bool {
        self.suites.iter().any(|suite| suite.problem.is_some()) || self.count(&Verdict::Failed) > 0
    }

    /// How many tests there are of this kind.
    pub fn count(&self, verdict: &Verdict) -> usize {
        let cases = self.suites.iter().flat_map(|suite| &suite.cases);
        cases.filter(|case| case.verdict == *verdict).count()
    }

    /// How many flows could not be tested at all.
    pub fn n_broken(&self) -> usize {
        let broken = self.suites.iter().filter(|suite| suite.problem.is_some());
        broken.count()
    }
}

/// Why a test failed, on a few lines.
fn reasons(case: &RanCase) -> Vec<String> {
    if let Some(timed_out) = &case.timed_out {
        return vec![timed_out.clone()];
    }
    let step = case.failed_step.as_ref();
    let step = step.map(|step| format!("the step `{step}` failed"));
    let differences = match (&case.expected, &case.outcome) {
        (Some(Expected::Failed { .. }), Outcome::Failed(_))
        | (Some(_), Outcome::Success(_) | Outcome::Skipped { .. }) => {
            let actual = compare::actual_value(&case.outcome, case.expected.as_ref());
            let expected = case.expected.as_ref().map(compare::expected_value);
            compare::differences(&expected.unwrap_or_default(), &actual)
        }
        (_, Outcome::Failed(error)) => {
            vec![format!(
                "no failure was expected: {} (code {})",
                error.message, error.code
            )]
        }
        (None, Outcome::Success(_) | Outcome::Skipped { .. }) => Vec::new(),
    };
    let not_updated = case.not_updated.map(str::to_owned);
    let reasons = differences.into_iter().chain(step);
    reasons.chain(not_updated).collect()
}

/// The report as one JSON object.
pub fn json(report: &Report) -> String {
    let number = |number: usize| Value::from(serde_json::Value::from(number));
    let suites = report.suites.iter().map(|suite| {
        let problem = suite.problem.as_ref();
        let problem = problem.map(|problem| ("problem", Value::string(problem)));
        let cases = Value::list(suite.cases.iter().map(json_case));
        let entries = [
            ("flow", Value::string(&shown(&suite.path))),
            ("cases", cases),
        ];
        Value::object(entries.into_iter().chain(problem))
    });
    output::json(&Value::object([
        ("passed", number(report.count(&Verdict::Passed))),
        ("failed", number(report.count(&Verdict::Failed))),
        ("updated", number(report.count(&Verdict::Updated))),
        ("broken", number(report.n_broken())),
        ("skippedFiles", number(report.n_skipped)),
        ("flows", Value::list(suites)),
    ]))
}

fn json_case(case: &RanCase) -> Value {
    let verdict = match case.verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::Updated => "updated",
    };
    let took = u64::try_from(case.took.as_millis()).unwrap_or(u64::MAX);
    let mut entries = vec![
        ("name", Value::string(&case.name)),
        ("verdict", Value::string(verdict)),
        ("milliseconds", Value::from(serde_json::Value::from(took))),
        (
            "actual",
            Value::from_serialize(&case.outcome).unwrap_or_default(),
        ),
    ];
    let expected = case.expected.as_ref();
    entries.extend(expected.map(|it| ("expected", compare::expected_value(it))));
    if case.verdict == Verdict::Failed {
        let reasons = reasons(case);
        let reasons = reasons.iter().map(|reason| Value::string(reason));
        entries.push(("differences", Value::list(reasons)));
    }
    Value::object(entries)
}
