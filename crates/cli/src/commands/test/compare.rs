//! Expected and actual outcomes side by side. Owns where they differ, in words and line by line.

use std::collections::BTreeSet;

use similar::TextDiff;
use stepflow_flow::error::FlowError;
use stepflow_flow::flow::Expected;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Kind;
use stepflow_flow::value::Value;

use crate::json_text;

/// How many differences are told.
const MOST: usize = 5;

/// How much of a value is shown.
const SHOWN: usize = 120;

/// The expectation as data.
pub fn expected_value(expected: &Expected) -> Value {
    match expected {
        Expected::Success(result) => success(result),
        Expected::Skipped { reason } => skipped(reason.as_deref()),
        Expected::Failed {
            code,
            message,
            data,
        } => {
            let code = code.map(|code| ("code", number(code)));
            let message = message.as_ref().map(|it| ("message", Value::string(it)));
            let data = data.as_ref().map(|data| ("data", data.clone()));
            let given: Vec<_> = code.into_iter().chain(message).chain(data).collect();
            let error = (!given.is_empty()).then(|| ("error", Value::object(given)));
            Value::object(
                [("outcome", Value::string("failed"))]
                    .into_iter()
                    .chain(error),
            )
        }
    }
}

/// The outcome as data, as far as an expectation looks at it: of a failure, what it names. Where it names nothing, or
/// expected something else, the code and the message; data may hold what differs from run to run.
pub fn actual_value(outcome: &Outcome, expected: Option<&Expected>) -> Value {
    match outcome {
        Outcome::Success(result) => success(result),
        Outcome::Skipped { reason } => skipped(reason.as_deref()),
        Outcome::Failed(error) => {
            let whole = FlowError {
                data: None,
                ..error.clone()
            };
            let named = match expected {
                Some(Expected::Failed {
                    code,
                    message,
                    data,
                }) => (code.is_some(), message.is_some(), data.is_some()),
                _ => (true, true, false),
            };
            let (code, message, data) = named;
            expected_value(&Expected::Failed {
                code: code.then_some(whole.code),
                message: message.then(|| whole.message.into()),
                data: error.data.clone().filter(|_| data),
            })
        }
    }
}

fn success(result: &Value) -> Value {
    Value::object([
        ("outcome", Value::string("success")),
        ("result", result.clone()),
    ])
}

fn skipped(reason: Option<&str>) -> Value {
    let reason = reason.map(|reason| ("reason", Value::string(reason)));
    Value::object(
        [("outcome", Value::string("skipped"))]
            .into_iter()
            .chain(reason),
    )
}

fn number(number: i64) -> Value {
    Value::from(serde_json::Value::from(number))
}

/// The first places where two values differ, each on a line.
pub fn differences(expected: &Value, actual: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(expected, actual, "", &mut found);
    let more = found.len().saturating_sub(MOST);
    found.truncate(MOST);
    if more > 0 {
        found.push(format!("… and {more} more; --diff shows all"));
    }
    found
}

fn compare(expected: &Value, actual: &Value, pointer: &str, found: &mut Vec<String>) {
    if expected == actual {
        return;
    }
    match (expected.kind(), actual.kind()) {
        (Kind::Object, Kind::Object) => {
            let keys: BTreeSet<&str> = expected.keys().chain(actual.keys()).collect();
            for key in keys {
                let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                match (expected.get(key), actual.get(key)) {
                    (Some(expected), Some(actual)) => compare(&expected, &actual, &pointer, found),
                    (Some(expected), None) => {
                        found.push(format!(
                            "{pointer}: expected {}, and there is nothing",
                            shown(&expected)
                        ));
                    }
                    (None, actual) => {
                        let actual = actual.unwrap_or_default();
                        found.push(format!("{pointer}: {} was not expected", shown(&actual)));
                    }
                }
            }
        }
        (Kind::List, Kind::List) if expected.len() == actual.len() => {
            let pairs = expected.items().iter().zip(actual.items());
            for (place, (expected, actual)) in pairs.enumerate() {
                compare(expected, actual, &format!("{pointer}/{place}"), found);
            }
        }
        _ => found.push(format!(
            "{pointer}: expected {}, got {}",
            shown(expected),
            shown(actual)
        )),
    }
}

fn shown(value: &Value) -> String {
    let text = value.as_text();
    if text.len() <= SHOWN {
        return json_text::compact(text);
    }
    format!("{}…", &text[..text.floor_char_boundary(SHOWN)])
}

/// Both in full: `-` is expected, `+` is what there was.
pub fn diff(expected: &Value, actual: &Value) -> String {
    let expected = json_text::indented(expected.as_text()) + "\n";
    let actual = json_text::indented(actual.as_text()) + "\n";
    let diff = TextDiff::from_lines(&expected, &actual);
    let mut text = String::new();
    for change in diff.iter_all_changes() {
        text.push_str(&format!("{}{}", change.tag(), change.value()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named_by_their_place() {
        let check = |expected: &str, actual: &str, told: &[&str]| {
            let found = differences(
                &Value::parse(expected).unwrap(),
                &Value::parse(actual).unwrap(),
            );
            assert_eq!(found, told);
        };
        check(r#"{"a": [1, 2]}"#, r#"{"a":[1,2]}"#, &[]);
        check(
            r#"{"a": [1, 2]}"#,
            r#"{"a":[1,3]}"#,
            &["/a/1: expected 2, got 3"],
        );
        check(
            r#"{"a": [1]}"#,
            r#"{"a":[1,3]}"#,
            &["/a: expected [1], got [1,3]"],
        );
        check(
            r#"{"a/b": 1, "c": 2}"#,
            r#"{"c": 2, "d": null}"#,
            &[
                "/a~1b: expected 1, and there is nothing",
                "/d: null was not expected",
            ],
        );
        check(
            "[1,2,3,4,5,6,7]",
            "[0,0,0,0,0,0,0]",
            &[
                "/0: expected 1, got 0",
                "/1: expected 2, got 0",
                "/2: expected 3, got 0",
                "/3: expected 4, got 0",
                "/4: expected 5, got 0",
                "… and 2 more; --diff shows all",
            ],
        );
    }
}
