//! Tests of what counts as JSON, with serde_json as the judge.

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

/// Says the same of a text as serde_json, and of every start of it.
fn check(text: &str) {
    check_whole(text);
    for end in 0..text.len().min(200) {
        if text.is_char_boundary(end) {
            check_whole(&text[..end]);
        }
    }
}

fn check_whole(text: &str) {
    let judged = serde_json::from_str::<&RawValue>(text).ok();
    let found = Raw::parse(text).ok();
    assert_eq!(
        found.map(Raw::get),
        judged.map(RawValue::get),
        "{text:.200}"
    );
    let Some(members) = Members::of(text) else {
        return;
    };
    let members: Result<Vec<_>, _> = members.collect();
    assert_eq!(members.is_ok(), judged.is_some(), "{text:.200}");
    for member in members.into_iter().flatten() {
        assert_eq!(Raw::parse(member.value.get()), Ok(member.value));
    }
}

#[test]
fn text_is_json_when_serde_json_says_so() {
    let texts = [
        "",
        " ",
        "null",
        " true\t\r\n",
        "nul",
        "truee",
        "fals e",
        "0",
        "-0",
        "00",
        "-",
        "-a",
        "1.",
        "1.5e+09",
        "1e",
        "1E-",
        "1e999",
        ".5",
        "+1",
        "NaN",
        "Infinity",
        "-Infinity",
        r#""""#,
        r#""a\n\u00e9\ud83d""#,
        r#""\x""#,
        r#""\u12g4""#,
        r#""\u12"#,
        "\"a\nb\"",
        "\"\u{7f}é😀\"",
        "\"\u{0}\"",
        "[]",
        "[ ]",
        "[1,2 , [3]]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "{}",
        "{ }",
        r#"{"a":1,"a":2}"#,
        r#"{"a":{"b":[{},[],{"c":null}]} , "d" : "e"}"#,
        r#"{"a" 1}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{,"a":1}"#,
        r#"{a:1}"#,
        r#"{1:1}"#,
        "[1]]",
        "{}{}",
        "1 2",
        "\u{a0}1",
        "\u{feff}1",
        "// a\n1",
    ];
    texts.iter().for_each(|text| check(text));
}

#[test]
fn strings_may_end_anywhere_in_a_block() {
    for length in 0..3 * BLOCK {
        let plain = "x".repeat(length);
        for special in [r#"""#, r#"\""#, r"\u0041", "\n", r"\", "é"] {
            check_whole(&format!(r#""{plain}{special}""#));
            check_whole(&format!(r#""{plain}{special}{plain}""#));
        }
    }
}

#[test]
fn nesting_has_no_limit_and_closes_as_it_opened() {
    for depth in [1, 63, 64, 65, 127, 128, 129, 300, 100_000] {
        let (mut open, mut close) = (String::new(), String::new());
        for level in 0..depth {
            match level % 3 {
                0 => (open.push_str(r#"{"a":"#), close.push('}')),
                _ => (open.push('['), close.push(']')),
            };
        }
        let close: String = close.chars().rev().collect();
        check_whole(&format!("{open}1{close}"));
        check_whole(&format!("{open}1{}", &close[1..]));
        check_whole(&format!("{open}1{close}{close}"));
        let wrong = close.replacen(['}', ']'], if depth % 2 == 0 { "}" } else { "]" }, 1);
        check_whole(&format!("{open}1{wrong}"));
    }
}

proptest! {
    #[test]
    fn any_text_is_judged_alike(text in ".*") {
        check(&text);
    }

    #[test]
    fn any_text_made_of_pieces_of_json_is_judged_alike(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"a\":", " ", "\n", "1", "-", "0", ".5", "e9", "null", "true", "\\",
            "\\u00e", "\\\"", "é", "\"b\":[]", "{}", "[1]",
        ]), 0..12)
    ) {
        check(&pieces.concat());
    }

    #[test]
    fn json_with_one_byte_changed_is_judged_alike(
        numbers in prop::collection::btree_map("[a-c\"\\\\]{0,3}", any::<Option<f64>>(), 0..4),
        at in any::<prop::sample::Index>(),
        byte in prop::sample::select(b"{}[],:\"\\ 0-.eE+a\n".to_vec()),
    ) {
        let text = serde_json::to_string(&[&numbers]).unwrap();
        check(&text);
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(text) = String::from_utf8(bytes) {
            check(&text);
        }
    }
}
