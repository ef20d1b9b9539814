//! Tests of reading and writing single messages.

use proptest::prelude::*;

use super::*;

fn kind(text: &str) -> String {
    match Message::decode(text) {
        Ok(Message::Request(it)) => format!("request {:?} {} {}", it.id, it.method, it.params),
        Ok(Message::Notification(it)) => format!("notification {} {}", it.method, it.params),
        Ok(Message::Response(it)) => match it.result {
            Ok(result) => format!("result {:?} {result}", it.id),
            Err(error) => format!("error {:?} {}", it.id, error.code.0),
        },
        Err(Malformed::NotJson) => "not json".into(),
        Err(Malformed::BadRequest { id, .. }) => format!("bad request {id:?}"),
        Err(Malformed::BadAnswer { id, .. }) => format!("bad answer {id:?}"),
        Ok(Message::Unattributed(_)) => unreachable!("it is read as malformed"),
        Err(Malformed::Nameless { .. }) => "nameless".into(),
        Err(Malformed::NotAMessage { .. }) => "not a message".into(),
        Err(Malformed::Unattributed(error)) => format!("unattributed {}", error.code.0),
    }
}

#[test]
fn a_message_is_what_its_shape_says() {
    let cases = [
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{}}"#,
            "request Number(1) m {}",
        ),
        (
            r#"{"jsonrpc":"2.0","id":"1","method":"m"}"#,
            r#"request String("1") m {}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":"1","method":"m","params":null}"#,
            r#"request String("1") m {}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#,
            "notification m {}",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"m","params":[1]}"#,
            "notification m [1]",
        ),
        (
            r#"{"jsonrpc":"2.0","id":-7,"result":null}"#,
            "result Number(-7) null",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":1e999}"#,
            "result Number(1) 1e999",
        ),
        (r#"{"id":1,"result":{}}"#, "result Number(1) {}"),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":2,"error":null}"#,
            "result Number(1) 2",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":4242,"message":"x"}}"#,
            "error Number(1) 4242",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"error":"text"}"#,
            "bad answer Number(1)",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1,"message":""}}"#,
            "bad answer Number(1)",
        ),
        (r#"{"jsonrpc":"2.0","id":1}"#, "bad request Number(1)"),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
            "bad request Number(1)",
        ),
        (
            r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#,
            "bad request Number(1)",
        ),
        (r#"{"id":1,"method":"m"}"#, "bad request Number(1)"),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":3}"#,
            "bad request Number(1)",
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"m","method":"m"}"#,
            "not a message",
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":""}}"#,
            "unattributed -32700",
        ),
        (
            r#"{"jsonrpc":"2.0","\u0069d":1,"method":"m"}"#,
            "request Number(1) m {}",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"\u0069d":1,"method":"m"}"#,
            "bad request Number(1)",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"params":null,"params":null,"method":"m"}"#,
            "bad request Number(1)",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"m","\ud800":1}"#,
            "not json",
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"m"}}"#, "not json"),
        (r#"{"level":"info"}"#, "not a message"),
        (
            r#"[{"jsonrpc":"2.0","id":1,"method":"m"}]"#,
            "not a message",
        ),
        ("3", "not a message"),
        ("", "not json"),
        ("{", "not json"),
        ("hello", "not json"),
        (r#"{"jsonrpc":"2.0","id":1,"#, "not json"),
    ];
    for (text, expected) in cases {
        assert_eq!(kind(text), expected, "{text}");
    }
}

#[test]
fn an_id_has_a_length_that_can_be_echoed() {
    let with = |length: usize| {
        kind(&format!(
            r#"{{"jsonrpc":"2.0","id":"{}","method":5}}"#,
            "x".repeat(length)
        ))
    };
    assert!(with(1000).starts_with("bad request"));
    assert_eq!(with(2000), "nameless");
}

#[test]
fn an_id_that_is_none_leaves_its_request_without_a_name() {
    for id in [
        "1.5",
        "1.0",
        "-0",
        "1e3",
        "99999999999999999999",
        "true",
        "[1]",
        "{}",
    ] {
        let with = |rest: &str| kind(&format!(r#"{{"id":{id},{rest}}}"#));
        assert_eq!(with(r#""jsonrpc":"2.0","method":"m""#), "nameless", "{id}");
        assert_eq!(with(r#""jsonrpc":"2.0","result":1"#), "not a message");
        // A line of somebody's log.
        assert_eq!(with(r#""method":"GET""#), "not a message");
    }
}

#[test]
fn a_key_that_is_there_twice_makes_a_message_invalid() {
    let long = "x".repeat(2000);
    for (members, expected) in [
        (
            r#""id":1,"method":"m","method":"m""#,
            "bad request Number(1)",
        ),
        (
            r#""method":"m","params":{},"params":{},"id":"a""#,
            r#"bad request String("a")"#,
        ),
        (r#""id":1,"params":{},"params":{}"#, "bad request Number(1)"),
        (r#""id":1,"result":1,"result":2"#, "bad answer Number(1)"),
        (
            r#""id":1,"result":1,"jsonrpc":"2.0""#,
            "bad answer Number(1)",
        ),
        // The id says the same both times, or nobody knows which is meant.
        (
            r#""id":"a","method":"m","id":"\u0061""#,
            r#"bad request String("a")"#,
        ),
        (r#""id":1,"id":2,"method":"m""#, "nameless"),
        (r#""id":1,"id":"1","method":"m""#, "nameless"),
        (r#""id":1,"id":null,"method":"m""#, "nameless"),
        (r#""id":1,"id":2,"id":1,"method":"m""#, "nameless"),
        (r#""id":1,"id":2,"result":1"#, "not a message"),
        (r#""method":"m","method":"m""#, "not a message"),
        (r#""id":1.0,"method":"m","method":"m""#, "nameless"),
        (
            &format!(r#""id":"{long}","method":"m","method":"m""#),
            "nameless",
        ),
        (r#""id":1,"id":2,"method":"m","#, "not json"),
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0",{members}}}"#);
        assert_eq!(kind(&text), expected, "{text}");
    }
}

#[test]
fn an_error_about_nothing_in_particular_has_no_id() {
    let mut text = Vec::new();
    Message::Unattributed(RpcError::new(crate::ErrorCode(-32600), "what?")).encode(&mut text);
    let text = String::from_utf8(text).unwrap();
    assert_eq!(
        text,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"what?"}}"#
    );
    assert_eq!(kind(&text), "unattributed -32600");
}

#[test]
fn unknown_fields_and_any_order_are_taken() {
    assert_eq!(
        kind(r#" {"x":[{"id":9}],"params":{"a":1},"method":"m","id":1,"jsonrpc":"2.0"} "#),
        r#"request Number(1) m {"a":1}"#
    );
}

#[test]
fn nesting_that_no_tree_could_hold_passes_through() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{deep}}}"#);
    let Ok(Message::Response(response)) = Message::decode(&text) else {
        panic!("a response")
    };
    assert_eq!(response.result.unwrap().get(), deep);
}

#[test]
fn a_large_text_is_shared_with_what_is_in_it() {
    let params = format!("[\"{}\"]", "x".repeat(100_000));
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{params}}}"#);
    let text = Arc::new(text);
    let Ok(Message::Request(request)) = Message::decode_shared(&text) else {
        panic!("a request")
    };
    assert_eq!(request.params.get(), params);
    assert_eq!(request.params.get().as_ptr(), text[46..].as_ptr());
    assert_eq!(Arc::strong_count(&text), 2);
}

fn any_id() -> impl Strategy<Value = Id> {
    prop_oneof![
        any::<i64>().prop_map(Id::Number),
        ".*".prop_map(|text| Id::String(text.into()))
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(id in any_id(), method in ".*", text in ".*") {
        let params = Json::of(&[&text]).unwrap();
        let message = Message::Request(Request { id: id.clone(), method: method.clone().into(), params });
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        let decoded = Message::decode(std::str::from_utf8(&bytes).unwrap());
        let Ok(Message::Request(decoded)) = decoded else { panic!("a request") };
        prop_assert_eq!(decoded.id, id);
        prop_assert_eq!(decoded.method, method);
        prop_assert_eq!(serde_json::from_str::<Vec<String>>(decoded.params.get()).unwrap(), vec![text]);
    }

    #[test]
    fn no_text_makes_the_decoder_panic(text in ".*") {
        let _ = Message::decode(&text);
        let _ = salvage(text.as_bytes(), text.as_bytes());
    }

    #[test]
    fn no_json_like_text_makes_the_decoder_panic(text in r#"[\[\]{}",:0-9a-z\\ ]{0,64}"#) {
        let _ = Message::decode(&format!("{{\"id\":{text}"));
        let _ = salvage(text.as_bytes(), text.as_bytes());
    }
}
