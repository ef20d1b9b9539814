//! A value as YAML for people: blocks, plain words where they cannot be misread, numbers as they are written.

use stepflow_flow::value::Kind;
use stepflow_flow::value::Value;

/// What lies deeper stays JSON, which YAML is too: nobody reads such indentation, and it would grow without bound.
const DEEPEST: usize = 100;

/// The value as a YAML document, with a line break at its end.
pub fn print(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, 0);
    out.push('\n');
    out
}

/// Writes a value from where the text stands; what follows the first line is indented to the depth.
fn write(out: &mut String, value: &Value, depth: usize) {
    match value.kind() {
        Kind::Object | Kind::List if depth > DEEPEST => out.push_str(value.as_text()),
        Kind::Object if !value.is_empty() => {
            for (place, (key, item)) in value.entries().enumerate() {
                start_line(out, place, depth);
                out.push_str(&scalar(key));
                out.push(':');
                if is_block(item) && depth < DEEPEST {
                    start_line(out, 1, depth + 1);
                } else {
                    out.push(' ');
                }
                write(out, item, depth + 1);
            }
        }
        Kind::List if !value.is_empty() => {
            for (place, item) in value.items().iter().enumerate() {
                start_line(out, place, depth);
                out.push_str("- ");
                write(out, item, depth + 1);
            }
        }
        Kind::String => out.push_str(&scalar(&value.as_str().unwrap_or_default())),
        Kind::Object => out.push_str("{}"),
        Kind::List => out.push_str("[]"),
        Kind::Null | Kind::Bool | Kind::Number => out.push_str(value.as_text()),
    }
}

fn is_block(value: &Value) -> bool {
    matches!(value.kind(), Kind::Object | Kind::List) && !value.is_empty()
}

/// The first item stands where the text stands already.
fn start_line(out: &mut String, place: usize, depth: usize) {
    if place > 0 {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    }
}

/// Plain where YAML reads the same text back, else in quotes as JSON has them, which YAML reads too.
fn scalar(text: &str) -> String {
    let may_start = |letter: char| letter.is_alphabetic() || letter == '_' || letter == '/';
    let may_follow = |letter: char| letter.is_alphanumeric() || " _-./".contains(letter);
    let is_word =
        text.starts_with(may_start) && text.chars().all(may_follow) && !text.ends_with(' ');
    let means_more = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    if is_word && !means_more {
        text.to_owned()
    } else {
        Value::string(text).as_text().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stepflow_flow::diagnostic::Diagnostics;
    use stepflow_flow::document;
    use stepflow_flow::document::Source;

    use super::*;

    fn read_back(text: &str) -> Value {
        let source = Source::new("t", text);
        let mut diagnostics = Diagnostics::new(&source);
        let node = document::read(&source, &mut diagnostics);
        assert!(diagnostics.is_empty(), "{diagnostics}\n{text}");
        node.unwrap().to_value()
    }

    #[test]
    fn it_reads_well() {
        let value =
            Value::parse(r#"{"a":{"b":[1.50,{"c":null}],"e":[]},"no":"yes","t":"two\nlines"}"#)
                .unwrap();
        let expected =
            "a:\n  b:\n    - 1.50\n    - c: null\n  e: []\n\"no\": \"yes\"\nt: \"two\\nlines\"\n";
        assert_eq!(print(&value), expected);
        assert_eq!(read_back(expected), value);
    }

    #[test]
    fn nesting_without_end_is_printed_all_the_same() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let text = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
            let printed = print(&Value::parse(&text).unwrap());
            assert!(printed.len() < 2 * text.len(), "{}", printed.len());
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "\\PC{0,12}".prop_map(Into::into),
            "[ -~\n\t]{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::vec(("\\PC{0,6}", inner), 0..5)
                    .prop_map(|all| all.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(tree in json()) {
            let value = Value::from(tree);
            prop_assert_eq!(read_back(&print(&value)), value);
        }
    }
}
