//! Bad flows and what is said about each: `bad_flows.txt` holds the texts, and every diagnostic expected.
//!
//! A case is `=== name`, the text, `>>>`, and the diagnostics as they are shown, without the file's name. In a text, `␍`
//! stands for a carriage return.
//! `UPDATE_BAD_FLOWS=1 cargo test -p stepflow-flow --test bad_flows` writes them anew, to be read before
//! they are committed.

use std::fmt::Write as _;

use stepflow_flow::diagnostic::Severity;
use stepflow_flow::document::Source;
use stepflow_flow::flow::Flow;
use stepflow_flow::plan;

const CASES: &str = include_str!("bad_flows.txt");

struct Case<'a> {
    name: &'a str,
    text: &'a str,
    expected: &'a str,
}

fn cases() -> Vec<Case<'static>> {
    let (_, first) = CASES.split_once("=== ").expect("there is a first case");
    first.split("\n=== ").map(case).collect()
}

fn case(block: &'static str) -> Case<'static> {
    let (name, rest) = block
        .split_once('\n')
        .expect("a case has a name and a text");
    let (text, expected) = rest.split_once("\n>>>\n").unwrap_or((rest, ""));
    Case {
        name,
        text,
        expected: expected.trim_end(),
    }
}

fn found(case: &Case<'_>) -> String {
    let checked = plan::check(&Source::new("f", case.text.replace('␍', "\r")));
    let has_errors = checked.diagnostics.has_errors();
    assert_eq!(
        checked.plan.is_none(),
        has_errors,
        "{}: a plan, or errors",
        case.name
    );
    let lines = checked.diagnostics.iter().map(|found| {
        assert!(
            found.hint.is_some(),
            "{}: no way forward in {found}",
            case.name
        );
        found.to_string().trim_start_matches("f:").to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_bad_flow_is_answered_with_its_diagnostics() {
    let cases = cases();
    if std::env::var_os("UPDATE_BAD_FLOWS").is_some() {
        return update(&cases);
    }
    for case in &cases {
        assert_eq!(
            found(case),
            case.expected,
            "case {:?}:\n{}",
            case.name,
            case.text
        );
    }
    assert!(cases.len() >= 60, "only {} cases", cases.len());
}

#[test]
fn no_case_repeats_another() {
    let mut names: Vec<&str> = cases().iter().map(|case| case.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}

/// Cutting a text anywhere gives another text, mostly a bad one; none may do worse than be refused.
#[test]
fn no_cut_of_a_bad_flow_panics() {
    for case in cases() {
        for (at, _) in case.text.char_indices() {
            let _ = plan::check(&Source::new("f", &case.text[..at]));
            let _ = plan::check(&Source::new("f", &case.text[at..]));
        }
    }
}

#[test]
fn what_parse_refuses_check_refuses_too() {
    for case in cases() {
        let source = Source::new("f", case.text.replace('␍', "\r"));
        if let Err(diagnostics) = Flow::parse(&source) {
            assert!(
                diagnostics
                    .iter()
                    .any(|found| found.severity == Severity::Error)
            );
            assert!(plan::check(&source).plan.is_none(), "{}", case.name);
        }
    }
}

fn update(cases: &[Case<'_>]) {
    let (head, _) = CASES.split_once("=== ").expect("there is a first case");
    let mut out = head.to_owned();
    for case in cases {
        writeln!(
            out,
            "=== {}\n{}\n>>>\n{}\n",
            case.name,
            case.text,
            found(case)
        )
        .expect("a string takes text");
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bad_flows.txt");
    std::fs::write(path, format!("{}\n", out.trim_end())).expect("the cases can be written");
}
