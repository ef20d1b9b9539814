//! The report for people.

use std::fmt::Write;

use super::Report;
use super::reasons;
use crate::commands::test::case::RanCase;
use crate::commands::test::case::Verdict;
use crate::commands::test::compare;
use crate::commands::test::shown;
use crate::commands::test::suite::Ran;

/// One flow and its tests.
pub fn suite(ran: &Ran, with_diff: bool) -> String {
    if ran.cases.is_empty() && ran.problem.is_none() {
        return String::new();
    }
    let mut text = format!("{}\n", shown(&ran.path));
    for case in &ran.cases {
        let word = match case.verdict {
            Verdict::Passed => "ok     ",
            Verdict::Failed => "FAILED ",
            Verdict::Updated => "updated",
        };
        let _ = writeln!(
            text,
            "  {word} {} ({} ms)",
            case.name,
            case.took.as_millis()
        );
        if case.verdict == Verdict::Failed {
            let why = match with_diff {
                true => diff(case),
                false => reasons(case).join("\n"),
            };
            write_indented(&mut text, &why);
        }
    }
    if let Some(problem) = &ran.problem {
        text.push_str("  FAILED  the flow cannot be tested\n");
        write_indented(&mut text, problem);
    }
    text
}

fn diff(case: &RanCase) -> String {
    let Some(expected) = case.expected.as_ref().filter(|_| case.timed_out.is_none()) else {
        return reasons(case).join("\n");
    };
    let actual = compare::actual_value(&case.outcome, Some(expected));
    let diff = compare::diff(&compare::expected_value(expected), &actual);
    diff + case.not_updated.unwrap_or_default()
}

fn write_indented(text: &mut String, lines: &str) {
    for line in lines.trim_end().lines() {
        let _ = writeln!(text, "          {line}");
    }
}

/// The last lines.
pub fn summary(report: &Report) -> String {
    let mut counts = vec![format!("{} passed", report.count(&Verdict::Passed))];
    let mut add = |count: usize, one: &str, many: &str| match count {
        0 => {}
        1 => counts.push(format!("1 {one}")),
        _ => counts.push(format!("{count} {many}")),
    };
    add(report.count(&Verdict::Failed), "failed", "failed");
    add(report.count(&Verdict::Updated), "updated", "updated");
    let untestable = ("flow could not be tested", "flows could not be tested");
    add(report.n_broken(), untestable.0, untestable.1);
    let without = report.suites.iter();
    let without = without.filter(|suite| suite.known.is_empty() && suite.problem.is_none());
    add(without.count(), "flow has no tests", "flows have no tests");
    add(report.n_skipped, "file is no flow", "files are no flows");
    let flows = report.suites.len();
    let s = if flows == 1 { "" } else { "s" };
    format!("{flows} flow{s}: {}\n", counts.join(", "))
}
