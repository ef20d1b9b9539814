//! Values as text: what they keep, what they find, and their ids.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Serialize;
use stepflow_flow::blob::BlobId;
use stepflow_flow::blob::canonical;
use stepflow_flow::error::{ErrorCode, FlowError};
use stepflow_flow::outcome::Outcome;
use stepflow_flow::path::{Path, Segment};
use stepflow_flow::value::{Kind, Value, ValueError};

fn value(text: &str) -> Value {
    Value::parse(text).unwrap()
}

#[test]
fn text_passes_through_as_it_is() {
    let texts = [
        "12345678901234567890123456789",
        "1.50",
        "-0",
        "1E400",
        r#"{"b": 1, "a":2}"#,
        r#""\ud800""#,
        r#""\u00e9""#,
    ];
    for text in texts {
        assert_eq!(value(text).as_text(), text);
        assert_eq!(serde_json::to_string(&value(text)).unwrap(), text);
    }
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(
        value(&deep)
            .index(0)
            .unwrap()
            .index(0)
            .unwrap()
            .as_text()
            .len(),
        19_996
    );
}

#[test]
fn no_text_holds_a_line_break() {
    let pretty = value("{\n  \"a\": [1,\r\n 2],\n  \"b\": \"x\\ny \\\" z\"\n}");
    assert_eq!(pretty.as_text(), r#"{"a":[1,2],"b":"x\ny \" z"}"#);
    let read: Value = serde_json::from_str("[1,\n2]").unwrap();
    assert_eq!(read.as_text(), "[1,2]");
}

#[test]
fn parts_are_found() {
    let whole =
        value(r#" {"a": [1, {"b": "x"}], "n": null, "a b": "\u0041", "twice": 1, "twice": 2} "#);
    assert_eq!(whole.kind(), Kind::Object);
    assert_eq!(whole.len(), 4);
    assert_eq!(whole.keys().collect::<Vec<_>>(), ["a", "n", "a b", "twice"]);
    assert_eq!(
        whole
            .get("a")
            .unwrap()
            .index(-1)
            .unwrap()
            .get("b")
            .unwrap()
            .as_str()
            .unwrap(),
        "x"
    );
    assert_eq!(whole.get("a").unwrap().index(-3), None);
    assert_eq!(whole.get("a").unwrap().index(i64::MIN), None);
    assert_eq!(whole.get("a b").unwrap().as_str().unwrap(), "A");
    assert_eq!(whole.get("twice").unwrap().as_i64(), Some(2));
    assert!(whole.get("n").unwrap().is_null());
    assert_eq!(whole.get("x"), None);
    assert_eq!(value(r#""\ud800""#).as_str(), None);
    assert_eq!(value("18446744073709551615").as_u64(), Some(u64::MAX));
    assert_eq!(value("1.0").as_i64(), None);
}

#[test]
fn equality_is_about_data() {
    let cases = [
        (r#"{"a":1,"b":2}"#, r#"{ "b": 2, "a": 1 }"#, true),
        ("1", "1.0", false),
        ("1.0", "1.00", true),
        ("1e2", "100.0", true),
        ("-0", "0", true),
        (r#""é""#, r#""\u00e9""#, true),
        ("[1,2]", "[2,1]", false),
        ("1e999", "2e999", false),
    ];
    for (one, other, equal) in cases {
        assert_eq!(value(one) == value(other), equal, "{one} {other}");
    }
}

#[test]
fn canonical_forms() {
    let cases = [
        (
            r#" { "b" : 1 , "a" : [ true , null ] } "#,
            r#"{"a":[true,null],"b":1}"#,
        ),
        (
            r#"{"\u00e9":1,"z":2,"😀":3,"":4}"#,
            r#"{"":4,"z":2,"é":1,"😀":3}"#,
        ),
        (r#""\u0041\/\u000a\u001f\u007f""#, "\"A/\\n\\u001f\u{7f}\""),
        (
            "[0, -0, 10, 12345678901234567890123]",
            "[0,0,10,12345678901234567890123]",
        ),
        (
            "[1.0, 1e2, 1.50, -0.0, 0.1, 1E5]",
            "[1.0,100.0,1.5,-0.0,0.1,100000.0]",
        ),
        (
            "[1e15, 1e16, 1e21, 1e-4, 1e-5, 1e-7, 1e-999]",
            "[1000000000000000.0,1e16,1e21,0.0001,1e-5,1e-7,0.0]",
        ),
        (
            "[9007199254740993.0, 1.7976931348623157e308]",
            "[9007199254740992.0,1.7976931348623157e308]",
        ),
        ("{}", "{}"),
        (
            r#"{"b":{"d":1,"c":2},"a":{}}"#,
            r#"{"a":{},"b":{"c":2,"d":1}}"#,
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(canonical(&value(text)).unwrap(), expected, "{text}");
        assert_eq!(canonical(&value(expected)).unwrap(), expected, "{text}");
    }
    let deep = |depth: usize| value(&format!("{}1{}", "[".repeat(depth), "]".repeat(depth)));
    assert!(canonical(&deep(128)).is_ok());
    let refused = [
        (value("1e999"), "out of range"),
        (value(r#"["\ud800"]"#), "surrogate"),
        (value(r#"{"a":1,"b":2,"\u0061":3}"#), "twice"),
        (deep(129), "128 levels"),
        (deep(100_000), "128 levels"),
    ];
    for (value, words) in refused {
        let error = canonical(&value).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn ids_never_change() {
    let id = BlobId::of(&value(r#"{"b": [1, 2.0], "a": "x"}"#)).unwrap();
    assert_eq!(
        id.to_string(),
        "sha256:b4365bdd24475ac4bcb359bc038ff3a5817e2aa9b3130adcbe7f4c652e660fe9"
    );
    let bare = id.to_string().trim_start_matches("sha256:").to_uppercase();
    assert_eq!(bare.parse::<BlobId>().unwrap(), id);
    for text in [
        "",
        "sha256:",
        "sha256:12",
        "md5:00",
        &"é".repeat(32),
        &"g".repeat(64),
    ] {
        assert!(text.parse::<BlobId>().is_err(), "{text}");
    }
    let text = serde_json::to_string(&id).unwrap();
    assert_eq!(serde_json::from_str::<BlobId>(&text).unwrap(), id);
}

#[test]
fn what_json_cannot_carry_is_named() {
    #[derive(Serialize)]
    struct Report {
        rates: Vec<f32>,
        by_name: BTreeMap<String, Option<f64>>,
    }
    let report = |rate: f32, named: f64| Report {
        rates: vec![1.0, rate],
        by_name: [("a b".to_owned(), Some(named))].into(),
    };
    let error = |report: Report| Value::from_serialize(&report).unwrap_err().to_string();
    assert!(error(report(f32::NAN, 0.0)).starts_with("$.rates[1] is NaN"));
    assert!(error(report(0.0, f64::NEG_INFINITY)).starts_with("$.by_name[\"a b\"] is -inf"));
    let fine = Value::from_serialize(&report(0.5, 1.0)).unwrap();
    assert_eq!(
        fine.as_text(),
        r#"{"rates":[1.0,0.5],"by_name":{"a b":1.0}}"#
    );
    assert!(matches!(
        Value::from_serialize(&BTreeMap::from([(vec![1], 1)])),
        Err(ValueError::Syntax(_))
    ));
}

#[test]
fn outcomes_on_the_wire() {
    let failed =
        Outcome::Failed(FlowError::new(ErrorCode::TIMEOUT, "late").with_data(value("[1]")));
    let cases = [
        (
            Outcome::Success(Value::null()),
            r#"{"outcome":"success","result":null}"#,
        ),
        (
            Outcome::Success(value("1.50")),
            r#"{"outcome":"success","result":1.50}"#,
        ),
        (
            Outcome::Skipped { reason: None },
            r#"{"outcome":"skipped"}"#,
        ),
        (
            Outcome::Skipped {
                reason: Some("no".into()),
            },
            r#"{"outcome":"skipped","reason":"no"}"#,
        ),
        (
            failed,
            r#"{"outcome":"failed","error":{"code":-32006,"message":"late","data":[1]}}"#,
        ),
    ];
    for (outcome, text) in cases {
        assert_eq!(serde_json::to_string(&outcome).unwrap(), text);
        assert_eq!(serde_json::from_str::<Outcome>(text).unwrap(), outcome);
    }
    for text in [
        r#"{"outcome":"success"}"#,
        r#"{"outcome":"failed"}"#,
        r#"{"outcome":"done"}"#,
        "{}",
    ] {
        assert!(serde_json::from_str::<Outcome>(text).is_err(), "{text}");
    }
    let schema = schemars::schema_for!(Outcome);
    assert_eq!(
        schema.get("title").and_then(|title| title.as_str()),
        Some("FlowResult")
    );
}

#[test]
fn the_table_of_codes_is_sound() {
    for code in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_number(code.number()), Some(*code));
        assert!(code.name() != "unknown" && !code.default_text().is_empty());
    }
    let mut numbers: Vec<i64> = ErrorCode::ALL.iter().map(|code| code.number()).collect();
    numbers.dedup();
    assert_eq!(numbers.len(), 19);
    assert_eq!(ErrorCode::from_number(4242), None);
}

#[test]
fn paths_that_are_none() {
    let cases = [
        ("", "empty path"),
        ("$.", "missing at the end"),
        ("$.a..b", "`..`"),
        ("$.*", "`*`"),
        ("$[?a]", "`?`"),
        ("$[1", "`]`"),
        ("$[1.5]", "`]`"),
        ("$[--1]", "not a place"),
        ("$[\"a]", "double quotes"),
        ("$['a]", "closing"),
        ("a b", "unexpected"),
        ("$a", "unexpected"),
        ("a.$b", "only at the start"),
        ("[0]", "unexpected"),
        ("$[99999999999999999999]", "not a place"),
        ("$.a ", "unexpected"),
    ];
    for (text, words) in cases {
        let error = Path::parse(text).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

fn segment() -> impl Strategy<Value = Segment> {
    prop_oneof![
        any::<String>().prop_map(|name| Segment::field(&name)),
        "[a-z_][a-z0-9_-]{0,8}".prop_map(|name| Segment::field(&name)),
        any::<i64>().prop_map(Segment::Index),
    ]
}

proptest! {
    #[test]
    fn what_is_printed_is_the_path(segments in proptest::collection::vec(segment(), 0..6)) {
        let path = Path::new(segments);
        let text = path.to_string();
        prop_assert_eq!(Path::parse(&text).unwrap(), path, "{}", text);
    }

    #[test]
    fn a_path_that_is_read_prints_as_one(text in "\\$?[a-z.\\[\\]\"'0-9 -]{0,20}") {
        if let Ok(path) = Path::parse(&text) {
            prop_assert_eq!(Path::parse(&path.to_string()).unwrap(), path);
        }
    }

    #[test]
    fn no_path_panics(text in any::<String>()) {
        let _ = Path::parse(&text);
    }

    #[test]
    fn durations_survive_printing(micros in 0_u64..1_000_000_000_000) {
        use stepflow_flow::duration;
        let duration = std::time::Duration::from_micros(micros);
        let read = duration::parse(&duration::print(duration)).unwrap();
        prop_assert_eq!(read, duration);
    }

    #[test]
    fn no_duration_panics(text in any::<String>()) {
        let _ = stepflow_flow::duration::parse(&text);
    }

    #[test]
    fn no_json_text_panics(text in "[\\[\\]{}\",:0-9a-z\\\\ .eE+-]{0,40}") {
        if let Ok(value) = Value::parse(&text) {
            let again = Value::parse(value.as_text()).unwrap();
            prop_assert_eq!(again.as_text(), value.as_text());
            let _ = (BlobId::of(&value), value.len(), value.as_f64(), value.as_str());
            for (_, part) in value.entries() {
                prop_assert!(Value::parse(part.as_text()).is_ok());
            }
        }
    }
}
