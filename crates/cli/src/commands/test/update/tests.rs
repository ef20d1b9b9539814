//! What changes in a text and what stays. Owns the cases; must not know how outcomes come about.

use super::*;

#[track_caller]
fn check(text: &str, place: usize, output: &str, expected: &str) {
    let outputs = IndexMap::from([(place, Value::parse(output).unwrap())]);
    assert_eq!(rewritten(text, &outputs).as_deref(), Some(expected));
}

const BLOCK: &str = "\
# The whole.
test:
  cases:
    - name: one # first
      # what comes out
      output:
        outcome: success # yes
        result:
          total: 3 # three
          items: [1, 2]
      input: null
    - name: two
      input: { a: 1 }

output: 1
";

#[test]
fn as_little_as_possible_is_changed() {
    check(
        BLOCK,
        0,
        r#"{"outcome":"success","result":{"total":4,"items":[1,"no"]}}"#,
        &BLOCK
            .replace("total: 3", "total: 4")
            .replace("[1, 2]", "[1, \"no\"]"),
    );
}

#[test]
fn other_keys_take_the_place_of_the_object_they_are_in() {
    check(
        BLOCK,
        0,
        r#"{"outcome":"success","result":{"sum":4,"items":[]}}"#,
        &BLOCK.replace(
            "total: 3 # three\n          items: [1, 2]",
            "sum: 4\n          items: []",
        ),
    );
    check(
        BLOCK,
        0,
        r#"{"outcome":"failed","error":{"code":-32004,"message":"two\nlines: yes"}}"#,
        &BLOCK.replace(
            "outcome: success # yes\n        result:\n          total: 3 # three\n          items: [1, 2]",
            "outcome: failed\n        error:\n          code: -32004\n          message: \"two\\nlines: yes\"",
        ),
    );
}

#[test]
fn what_is_missing_is_added() {
    check(
        BLOCK,
        1,
        r#"{"outcome":"success","result":{"a":[1]}}"#,
        &BLOCK.replace(
            "input: { a: 1 }\n",
            "input: { a: 1 }\n      output:\n        outcome: success\n        result:\n          a:\n            - 1\n",
        ),
    );
    check(
        "test: {cases: [{name: a, input: {b: 1}}]}\noutput: 1",
        0,
        r#"{"outcome":"skipped"}"#,
        "test: {cases: [{name: a, input: {b: 1}, output: { \"outcome\": \"skipped\" }}]}\noutput: 1",
    );
    check(
        r#"{"test": {"cases": [{"name": "a"}]}, "output": 1}"#,
        0,
        r#"{"outcome":"success","result":[{"x":1},{}]}"#,
        r#"{"test": {"cases": [{"name": "a", "output": { "outcome": "success", "result": [{ "x": 1 }, {}] }}]}, "output": 1}"#,
    );
}

#[test]
fn text_in_any_style_is_replaced() {
    let text = |result: &str| {
        format!(
            "test:\n  cases:\n    - name: a\n      output:\n        outcome: success\n        result:{result}\n      input: 1\noutput: 1\n"
        )
    };
    for old in [
        " |\n          some\n          text",
        " 'some'",
        " some",
        "",
        " \"some\"",
        " null",
        "\n          - 1\n          - 2",
    ] {
        check(
            &text(old),
            0,
            r#"{"outcome":"success","result":5}"#,
            &text(" 5").replace(
                ": 5",
                if old.starts_with("\n") {
                    ":\n          5"
                } else {
                    ": 5"
                },
            ),
        );
    }
}

#[test]
fn what_comes_from_elsewhere_is_left_alone() {
    let text = "x-common: &it { outcome: success, result: 1 }\n\
                test: { cases: [{ name: a, output: *it }, { name: b, output: *it }] }\noutput: 1\n";
    let outputs = IndexMap::from([(
        0,
        Value::parse(r#"{"outcome":"success","result":2}"#).unwrap(),
    )]);
    assert_eq!(rewritten(text, &outputs), None);
}
