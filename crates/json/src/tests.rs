//! Tests of sharing: what points into what, and what does not keep what alive.

use super::*;

fn large() -> String {
    "x".repeat(LARGE_BYTES)
}

fn members(text: &str) -> Vec<Member<'_>> {
    Members::of(text).unwrap().map(Result::unwrap).collect()
}

#[test]
fn parts_of_a_large_text_are_not_copies() {
    let whole = Arc::new(format!(r#"{{"a":"{}","b":1}}"#, large()));
    let parts: Vec<_> = members(&whole)
        .iter()
        .map(|member| Json::of_whole(&whole, member.value))
        .collect();
    assert_eq!(parts[0].get().as_ptr(), whole[5..].as_ptr());
    assert_eq!(parts[1].get(), "1");
    assert_eq!(Arc::strong_count(&whole), 3);
}

#[test]
fn a_part_that_would_keep_a_much_larger_text_alive_is_copied() {
    let whole = Arc::new(format!(r#"{{"a":"{}","b":1}}"#, large()));
    let keeps: Vec<_> = members(&whole)
        .iter()
        .map(|member| Json::of_whole(&whole, member.value).released())
        .collect();
    assert_eq!(keeps[1].get(), "1");
    // The large part shares the whole, the small one does not.
    assert_eq!(Arc::strong_count(&whole), 2);
    drop(keeps);
    assert_eq!(Arc::strong_count(&whole), 1);
}

#[test]
fn a_part_of_something_else_is_copied() {
    let json = Json::parse("[1]").unwrap();
    assert_eq!(json.part(Raw::parse("[2]").unwrap()).get(), "[2]");
}

#[test]
fn a_member_is_taken_out_and_put_in() {
    let value = format!("\"{}\"", large());
    let text = format!(r#"{{"x":{{"a":1}},"a" : {value},"b":2}}"#);
    let json = Json::parse(&text).unwrap();
    let (rest, taken) = json.take_member("a").unwrap();
    assert_eq!(rest, r#"{"x":{"a":1},"a" : null,"b":2}"#);
    assert_eq!(taken.get(), value);
    let again = Json::parse(&rest).unwrap().with_member("a", taken).unwrap();
    assert_eq!(again.pieces().concat(), text);
    assert_eq!(again.len(), text.len());
    assert_eq!(again.pieces()[1].as_ptr(), json.get()[19..].as_ptr());
    assert_eq!(again.get(), text);
    for other in [r#"{"b":1}"#, "[]", "{}", r#"{"\u0061":1}"#] {
        let other = Json::parse(other).unwrap();
        assert!(other.take_member("a").is_none(), "{other}");
        assert!(other.with_member("a", json.clone()).is_none(), "{other}");
    }
}

#[test]
fn what_is_no_json_is_refused_in_words() {
    let error = Json::parse("{\"a\":nul}").unwrap_err();
    assert_eq!(error.to_string(), "expected ident at line 1 column 9");
}

#[test]
fn it_is_written_by_serde_as_it_stands() {
    let text = r#"{"a":[1.0,1e999,"é"]}"#;
    let json: Json = serde_json::from_str(text).unwrap();
    assert_eq!(json.get(), text);
    assert_eq!(
        serde_json::to_string(&[&json, &json]).unwrap(),
        format!("[{text},{text}]")
    );
    assert_eq!(Json::of(&json).unwrap().get(), text);
}
