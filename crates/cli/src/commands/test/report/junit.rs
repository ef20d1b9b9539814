//! The report as CI systems read it: a `testsuite` for each flow.

use std::fmt::Write;
use std::time::Duration;

use super::Report;
use super::reasons;
use crate::commands::test::case::Verdict;
use crate::commands::test::shown;
use crate::commands::test::suite::Ran;
use crate::xml_text;

/// The whole document.
pub fn print(report: &Report) -> String {
    let failed = report.count(&Verdict::Failed);
    let broken = report.n_broken();
    let all = report
        .suites
        .iter()
        .map(|suite| suite.cases.len())
        .sum::<usize>()
        + broken;
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        text,
        "<testsuites name=\"stepflow\" tests=\"{all}\" failures=\"{failed}\" errors=\"{broken}\">"
    );
    for suite in &report.suites {
        write_suite(&mut text, suite);
    }
    text.push_str("</testsuites>\n");
    text
}

fn write_suite(text: &mut String, suite: &Ran) {
    let name = escaped(&shown(&suite.path));
    let failures = suite.cases.iter();
    let failures = failures
        .filter(|case| case.verdict == Verdict::Failed)
        .count();
    let errors = usize::from(suite.problem.is_some());
    let tests = suite.cases.len() + errors;
    let took: Duration = suite.cases.iter().map(|case| case.took).sum();
    let _ = writeln!(
        text,
        "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{:.3}\">",
        took.as_secs_f64()
    );
    for case in &suite.cases {
        let _ = write!(
            text,
            "    <testcase classname=\"{name}\" name=\"{}\" time=\"{:.3}\"",
            escaped(&case.name),
            case.took.as_secs_f64()
        );
        if case.verdict == Verdict::Failed {
            let reasons = reasons(case);
            let first = reasons.first().map_or("", String::as_str);
            let _ = writeln!(
                text,
                ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                escaped(first),
                escaped(&reasons.join("\n"))
            );
        } else {
            text.push_str("/>\n");
        }
    }
    if let Some(problem) = &suite.problem {
        let first = problem.lines().next().unwrap_or_default();
        let _ = writeln!(
            text,
            "    <testcase classname=\"{name}\" name=\"the flow can be tested\" time=\"0.000\">\n      \
             <error message=\"{}\">{}</error>\n    </testcase>",
            escaped(first),
            escaped(problem)
        );
    }
    text.push_str("  </testsuite>\n");
}

/// Text inside an element or an attribute. A carriage return would be read as a line break, if it were written as it is.
fn escaped(text: &str) -> String {
    let lines: Vec<String> = text
        .split('\r')
        .map(|line| xml_text::escaped(line, char::REPLACEMENT_CHARACTER))
        .collect();
    lines.join("&#13;")
}
