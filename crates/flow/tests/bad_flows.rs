//! Bad flows and what is said about each: `bad_flows.txt` holds the texts, and every diagnostic expected.
//!
//! A case is `=== name`, the text, `>>>`, and the diagnostics as they are shown, without the file's name. In a text, `␍`
//! stands for a carriage return.
//! `UPDATE_BAD_FLOWS=1 cargo test -p stepflow-flow --test bad_flows` writes them anew, to be read before
//! they are committed.

use std::fmt::Write as _;

use stepflow_flow::diagnostic::Code;
use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::diagnostic::Severity;
use stepflow_flow::document;
use stepflow_flow::document::Source;
use stepflow_flow::flow;
use stepflow_flow::flow::Flow;
use stepflow_flow::plan;
use stepflow_flow::schema::Schema;
use stepflow_flow::value::Value;

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

/// What the schema of flows cannot see, by the code of the diagnostic and words of its message, and why.
const UNSEEN: &[(Code, &str, &str)] = &[
    (Code::Syntax, "", DATA),
    (Code::DuplicateKey, "a second time", DATA),
    (Code::Number, "", DATA),
    (Code::Alias, "", DATA),
    (Code::TooDeep, "", DATA),
    (Code::TooLarge, "", DATA),
    (Code::SeveralDocuments, "", DATA),
    (Code::Tag, "", DATA),
    (Code::Key, "", DATA),
    (Code::BadPath, "", GRAMMAR),
    (Code::BadTemplate, "", GRAMMAR),
    (Code::BadComponent, "", GRAMMAR),
    (
        Code::BadSchema,
        "cannot be used",
        "a schema is checked when it is compiled",
    ),
    (Code::DuplicateId, "", WHOLE),
    (Code::UndefinedStep, "", WHOLE),
    (Code::Cycle, "", WHOLE),
    (Code::UndefinedVariable, "", WHOLE),
    (Code::UnknownField, "", WHOLE),
    (Code::SchemaConflict, "", WHOLE),
    (Code::DuplicateKey, "both give this schema", WHOLE),
    (
        Code::BadValue,
        "is longer than `maxDelay`",
        "a schema compares no two values",
    ),
];
const DATA: &str = "this is about the text, before it is data";
const GRAMMAR: &str = "texts with a grammar of their own are strings to a schema";
const WHOLE: &str = "only the whole flow tells";

/// What the schema takes the reader takes, and the other way round.
#[test]
fn the_schema_sees_what_the_reader_sees() {
    let schema = Value::from_serialize(&flow::json_schema()).expect("a schema is JSON");
    let schema = Schema::compile(&schema).expect("it is JSON Schema");
    let mut wrong = Vec::new();
    for case in cases() {
        let source = Source::new("f", case.text.replace('␍', "\r"));
        let checked = plan::check(&source);
        let errors = checked
            .diagnostics
            .iter()
            .filter(|it| it.severity == Severity::Error);
        let errors: Vec<_> = errors.collect();
        let seen: Vec<_> = errors
            .iter()
            .filter(|it| {
                !UNSEEN
                    .iter()
                    .any(|(code, words, _)| it.code == *code && it.message.contains(words))
            })
            .map(ToString::to_string)
            .collect();
        let node = document::read(&source, &mut Diagnostics::new(&source));
        let Some(node) = node else { continue };
        match schema.validate(&node.to_value()) {
            Ok(()) if !seen.is_empty() => wrong.push(format!(
                "{}: the schema takes it, not the reader: {seen:#?}",
                case.name
            )),
            Err(violations) if seen.is_empty() => wrong.push(format!(
                "{}: the reader takes it, not the schema: {violations:#?}",
                case.name
            )),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
