//! YAML and JSON text, and the data it means. A case is a text and its data as JSON, or `E…` and the place
//! of the error.

use proptest::prelude::*;
use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::document::{self, Node, Source};
use stepflow_flow::path::Path;
use stepflow_flow::{plan, value::Value};

fn read(text: &str) -> (Option<Node>, Diagnostics) {
    let source = Source::new("d", text);
    let mut diagnostics = Diagnostics::new(&source);
    let node = document::read(&source, &mut diagnostics);
    (node, diagnostics)
}

fn found(text: &str) -> String {
    let (node, diagnostics) = read(text);
    match (diagnostics.iter().next(), node) {
        (None, Some(node)) => node.to_value().as_text().to_owned(),
        (Some(first), _) => format!(
            "{} {}:{}",
            first.code, first.location.line, first.location.column
        ),
        (None, None) => panic!("no tree, and no reason"),
    }
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(&found(text), expected, "{text}");
    }
}

#[test]
fn plain_scalars_follow_yaml_1_2() {
    check(&[
        (
            "[no, on, off, yes, y, n, No]",
            r#"["no","on","off","yes","y","n","No"]"#,
        ),
        (
            "[true, True, FALSE, null, ~, Null]",
            "[true,true,false,null,null,null]",
        ),
        ("[tRue, NuLL, nan, inf]", r#"["tRue","NuLL","nan","inf"]"#),
        ("a:", r#"{"a":null}"#),
        (
            "[12:30:45, 2026-11-21, 1_000, 0b11, 1e, e1, '.']",
            r#"["12:30:45","2026-11-21","1_000","0b11","1e","e1","."]"#,
        ),
        ("['1', \"true\", '']", r#"["1","true",""]"#),
        (
            "{no: 1, 1: 2, true: 3, null: 4, 1.50: 5}",
            r#"{"no":1,"1":2,"true":3,"null":4,"1.50":5}"#,
        ),
    ]);
}

#[test]
fn numbers_keep_their_digits() {
    check(&[
        (
            "[0, -1, 9007199254740993, 18446744073709551616]",
            "[0,-1,9007199254740993,18446744073709551616]",
        ),
        (
            "123456789012345678901234567890123456789012345",
            "123456789012345678901234567890123456789012345",
        ),
        (
            "[1.0, 1.50, -0.0, 1e3, 1E-7, 2.5e+10]",
            "[1.0,1.50,-0.0,1e3,1e-7,2.5e+10]",
        ),
        (
            "0.1000000000000000055511151231257827",
            "0.1000000000000000055511151231257827",
        ),
        (
            "[+1, 007, -01.5, .5, 5., +.5e1]",
            "[1,7,-1.5,0.5,5.0,0.5e1]",
        ),
        (
            "[0x1F, 0o17, 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF]",
            "[31,15,340282366920938463463374607431768211455]",
        ),
        ("a: .nan", "E0103 1:4"),
        ("a:\n  - -.inf", "E0103 2:5"),
        ("1e400", "E0103 1:1"),
        ("0x100000000000000000000000000000000", "E0103 1:1"),
        (
            "[!!float 1, !!str 1, !!int '2', !!null '', ! 3]",
            r#"[1.0,"1",2,null,"3"]"#,
        ),
    ]);
}

#[test]
fn strings_of_every_kind() {
    check(&[
        (
            "a: |\n  one\n  two\nb: >-\n  one\n  two\n",
            r#"{"a":"one\ntwo\n","b":"one two"}"#,
        ),
        (r#""\u00e9\ud83d\ude00\/\t""#, "\"é😀/\\t\""),
        (r#"{"a": "\ud800"}"#, "E0101 1:7"),
        ("'it''s'", "\"it's\""),
        ("{{ name }}", "E0109 1:2"),
        ("\u{feff}a: 1", r#"{"a":1}"#),
        ("a: 1\r\nb: 2\r\n", r#"{"a":1,"b":2}"#),
        ("", "null"),
        ("# only a comment\n", "null"),
        ("--- 1\n...\n", "1"),
        ("1\n---\n2", "E0107 2:1"),
        ("a: \0", "E0101 1:4"),
    ]);
}

#[test]
fn json_reads_as_json() {
    let deep = format!("{}1{}", "[".repeat(128), "]".repeat(128));
    let long_key = format!(r#"{{"{}":1}}"#, "k".repeat(5000));
    let same = [
        r#"{"a":[1,2.0,{"b":null}],"c":"\"\\\n"}"#,
        r##"{"":1,"a b":2,"<<":3,"*x":4,"&y":5,"!z":6,"#":7,"a: b":8}"##,
        r#"["- a","a: b","{}","[x","%y","@z","`w","null","1","~"]"#,
        &deep,
        &long_key,
    ];
    for text in same {
        assert_eq!(found(text), text);
    }
    check(&[
        ("{\"a\"\t:\t1,\n\t\"b\":\n\t\t2}", r#"{"a":1,"b":2}"#),
        (r#"{"a":1,"a":2}"#, "E0102 1:8"),
        (r#"{"a":1,"\u0061":2}"#, "E0102 1:8"),
    ]);
}

#[test]
fn anchors_and_merge_keys() {
    check(&[
        (
            "a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3, r: 4}",
            r#"{"a":{"p":1,"q":2},"b":{"q":3,"r":4,"p":1}}"#,
        ),
        (
            "[&a {k: 1}, &b {k: 2, l: 2}, {<<: [*a, *b]}]",
            r#"[{"k":1},{"k":2,"l":2},{"k":1,"l":2}]"#,
        ),
        ("a: &k key\nb: {*k : 1}", r#"{"a":"key","b":{"key":1}}"#),
        (
            "a: &x 1\nb: *x\nc: &x 2\nd: *x",
            r#"{"a":1,"b":1,"c":2,"d":2}"#,
        ),
        ("{<<: [1]}", "E0104 1:2"),
        ("a: *gone", "E0104 1:4"),
        ("&a [*a]", "E0104 1:5"),
        ("{<<: {a: 1}, <<: {b: 2}}", r#"{"a":1,"b":2}"#),
        ("{'<<': 1}", r#"{"<<":1}"#),
    ]);
}

#[test]
fn a_billion_laughs_are_refused() {
    let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{}, ", level - 1).repeat(10);
        text.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            alias.trim_end_matches(", ")
        ));
    }
    assert!(found(&text).starts_with("E0106 "), "{}", found(&text));
    let long = "x".repeat(1 << 20);
    let text = format!("a: &a {long}\nb: [{}]", "*a, ".repeat(2000));
    assert!(found(&text).starts_with("E0106 "));
}

#[test]
fn nesting_is_limited_however_it_is_written() {
    assert_eq!(
        found(&format!("{}{}", "[".repeat(129), "]".repeat(129))),
        "E0105 1:129"
    );
    for text in [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        "? ".repeat(100_000),
    ] {
        assert!(found(&text).starts_with("E0105 1:"), "{}", found(&text));
    }
    let block: String = (0..200)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    assert_eq!(found(&block), "E0105 129:129");
    let aliases = format!(
        "a: &a {}1{}\nb: {}*a{}",
        "[".repeat(100),
        "]".repeat(100),
        "[".repeat(100),
        "]".repeat(100)
    );
    assert_eq!(found(&aliases), "E0105 2:104");
}

#[test]
fn every_problem_of_a_text_is_found() {
    let (_, diagnostics) = read("a: .nan\nb: *x\nc: {d: 1, d: 2}\ne: !foo 1\n");
    let codes: Vec<_> = diagnostics.iter().map(|found| found.code.name()).collect();
    assert_eq!(codes, ["E0103", "E0104", "E0102", "E0108"]);
}

#[test]
fn every_node_knows_its_place() {
    let text = "a: [1, \"two\", {b: c}]\nd:\n  - x: é\n    y: |\n      z\n";
    let (node, _) = read(text);
    let node = node.unwrap();
    let span = |path: &str| {
        let mut at = &node;
        for segment in Path::parse(path).unwrap().segments() {
            at = match segment {
                stepflow_flow::path::Segment::Field(name) => {
                    at.as_object().unwrap().get(name).unwrap()
                }
                stepflow_flow::path::Segment::Index(place) => {
                    &at.as_list().unwrap()[*place as usize]
                }
            };
        }
        &text[at.span.start()..at.span.end()]
    };
    assert_eq!(span("$.a"), "[1, \"two\", {b: c}]");
    assert_eq!(span("$.a[1]"), "\"two\"");
    assert_eq!(span("$.a[2].b"), "c");
    assert_eq!(span("$.d[0].x"), "é");
    assert!(span("$.d[0]").starts_with("x: é\n    y: |"));
}

#[test]
fn strings_can_be_replaced() {
    let (node, _) = read("a:\n- ${PORT}\n- plain\nb: {c: '${PORT}'}");
    let mut node = node.unwrap();
    let mut seen = Vec::new();
    node.map_strings(&mut |scalar| {
        seen.push(format!("{} {:?}", Path::new(scalar.path), scalar.style));
        (**scalar.text == *"${PORT}").then(|| Node::plain("8080", scalar.span))
    });
    assert_eq!(
        node.to_value().as_text(),
        r#"{"a":[8080,"plain"],"b":{"c":8080}}"#
    );
    assert_eq!(seen, ["$.a[0] Plain", "$.a[1] Plain", "$.b.c Quoted"]);
}

/// Text that is nearly YAML: pieces that mean something, in any order.
fn nearly_yaml() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("a: "),
        Just("- "),
        Just("\n"),
        Just("\n  "),
        Just("\n    "),
        Just("\t"),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just(", "),
        Just("&a "),
        Just("*a"),
        Just("<<: "),
        Just("!!int "),
        Just("! "),
        Just("|\n"),
        Just(">-\n"),
        Just("\""),
        Just("'"),
        Just("# c"),
        Just("---\n"),
        Just("...\n"),
        Just("? "),
        Just(": "),
        Just("%YAML 1.2\n"),
        Just("\\"),
        Just("\u{feff}"),
        Just("\0"),
        Just("é"),
        Just("😀"),
        Just("1"),
        Just(".nan"),
        Just("$step: "),
        Just("steps: "),
        Just("output: "),
        Just("\r\n"),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>()
            .prop_filter("JSON has no others", |x| x.is_finite())
            .prop_map(serde_json::Value::from),
        any::<String>().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            proptest::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = plan::check(&Source::new("d", text));
    }

    #[test]
    fn no_nearly_yaml_panics(text in nearly_yaml()) {
        let checked = plan::check(&Source::new("d", text));
        for found in &checked.diagnostics {
            prop_assert!(found.hint.is_some(), "{}", found);
        }
    }

    #[test]
    fn json_text_means_itself(tree in json()) {
        let text = serde_json::to_string_pretty(&tree).unwrap();
        let (node, diagnostics) = read(&text);
        prop_assert!(diagnostics.is_empty(), "{}: {}", text, diagnostics);
        prop_assert_eq!(node.unwrap().to_value(), Value::from(tree));
    }
}
