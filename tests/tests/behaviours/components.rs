//! What components do, on a connection whose handshake is complete.

use std::collections::HashSet;

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::json;
use stepflow_flow::value::Value;
use stepflow_protocol::component::ExecuteResult;
use stepflow_protocol::component::Info;
use stepflow_protocol::component::InfoParams;
use stepflow_protocol::component::List;
use stepflow_protocol::lifecycle::Empty;
use stepflow_protocol::lifecycle::Ping;
use stepflow_tests::gate::Gate;
use stepflow_tests::value;
use stepflow_tests::wire::Session;
use stepflow_tests::wire::params;

use crate::from;

// req: protocol.echo
pub async fn an_output_comes_back_as_it_is(session: &Session) {
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    for text in [
        "null",
        "true",
        "{}",
        "[]",
        r#""""#,
        r#"{"a":null,"b":[null,{"c":[]}]}"#,
        r#"{"z":1,"a":2,"m":{"y":1,"b":2}}"#,
        r#""näïve 日本語 🎉 \u0000 \" \\ \n \r\n \u2028""#,
        r#"{"key with spaces":1,"":2,"$step":3,"ключ":4}"#,
        r#"{"jsonrpc":"2.0","id":"x","result":1}"#,
        deep.as_str(),
    ] {
        let output = session.output("/echo", value(text)).await;
        assert_eq!(output, value(text), "{text}");
        let keys: Vec<_> = output.keys().map(str::to_owned).collect();
        let given: Vec<_> = value(text).keys().map(str::to_owned).collect();
        assert_eq!(keys, given, "the order of keys");
    }
}

// req: protocol.numbers
pub async fn numbers_keep_their_kind_and_digits(session: &Session) {
    // (what is sent, what Python makes of it: the same number in its own words)
    for (text, python) in [
        ("0", "0"),
        ("-1", "-1"),
        ("9007199254740993", "9007199254740993"),
        ("9223372036854775808", "9223372036854775808"),
        ("18446744073709551615", "18446744073709551615"),
        ("-9223372036854775808", "-9223372036854775808"),
        (
            "1000000000000000000000000000000",
            "1000000000000000000000000000000",
        ),
        ("1.0", "1.0"),
        ("0.1", "0.1"),
        ("1e2", "100.0"),
        ("1e300", "1e300"),
        ("-0", "0"),
        ("-0.0", "-0.0"),
        ("5e-324", "5e-324"),
    ] {
        let output = session.output("/echo", value(text)).await;
        let expected = if session.transport.is_python() {
            python
        } else {
            text
        };
        let same = output.as_text() == expected || output == value(expected);
        assert!(same, "{text} came back as {output}");
    }
}

// req: rpc.no-answer-is-lost
pub async fn each_of_ten_thousand_calls_gets_its_own_answer(session: &Session) {
    let calls = stream::iter(0..10_000).map(async |number| {
        let output = session.output("/echo", value(&number.to_string())).await;
        assert_eq!(output.as_i64(), Some(number));
        number
    });
    let answered: HashSet<i64> = calls.buffer_unordered(256).collect().await;
    assert_eq!(answered.len(), 10_000);
}

// req: protocol.list
pub async fn components_are_listed_with_their_schemas(session: &Session) {
    let list = session.peer().call::<List>(&Empty {}).await.unwrap();
    let names: HashSet<_> = list.components.iter().map(|it| &*it.component).collect();
    for name in [
        "/echo", "/typed", "/blob", "/gate", "/fail", "/skip", "/big",
    ] {
        assert!(names.contains(name), "{name} is not in {names:?}");
    }
    let typed = list.components.iter().find(|it| it.component == "/typed");
    let typed = typed.unwrap();
    assert_eq!(
        typed.description.as_deref(),
        Some("Takes a name and a count")
    );
    for schema in [&typed.input_schema, &typed.output_schema] {
        let schema = schema.as_ref().unwrap();
        let schema = stepflow_flow::schema::Schema::compile(schema).unwrap();
        schema
            .validate(&value(r#"{"name":"a","count":1}"#))
            .unwrap();
        schema.validate(&value(r#"{"name":1}"#)).unwrap_err();
    }
    let component = "/typed".to_owned();
    let info = session.peer().call::<Info>(&InfoParams { component }).await;
    assert_eq!(info.unwrap().info, *typed);
}

// req: protocol.component-names
pub async fn a_component_is_found_with_and_without_slash_and_prefix(session: &Session) {
    let mut names = vec!["/echo", "echo"];
    // Without a session, nobody remembers the prefix of the handshake.
    if !session.transport.is_stateless() {
        names.push("/it/echo");
    }
    for name in names {
        assert_eq!(session.output(name, value("1")).await, value("1"), "{name}");
    }
}

// req: protocol.unknown-component
pub async fn an_unknown_component_is_told_with_those_there_are(session: &Session) {
    let error = session.error("/ecko", value("1")).await;
    assert_eq!(error.code.0, -32001, "{error}");
    let told = format!("{error} {:?}", error.data);
    assert!(told.contains("/ecko") && told.contains("/echo"), "{told}");
    assert_eq!(session.output("/echo", value("1")).await, value("1"));
}

// req: protocol.invalid-input
pub async fn invalid_input_names_the_place(session: &Session) {
    for (input, place) in [
        (json!({"name": "a", "count": -1}), "/count"),
        (json!({"name": "a", "count": "1"}), "/count"),
        (
            json!({"name": "a", "count": 1, "tags": ["x", 7]}),
            "/tags/1",
        ),
        // FIXME: the runtime and Rust name the object that lacks a field (as JSON Schema does), Python the field.
        (
            json!({"name": "a"}),
            if session.transport.is_python() {
                "/count"
            } else {
                ""
            },
        ),
        (json!([]), ""),
    ] {
        let error = session.error("/typed", from(input)).await;
        assert_eq!(error.code.0, -32003, "{error}");
        let data = Value::from(error.data.unwrap());
        assert_eq!(data.get("component"), Some(value(r#""/typed""#)));
        let pointer = data
            .get("violations")
            .unwrap()
            .index(0)
            .unwrap()
            .get("pointer");
        assert_eq!(pointer.unwrap().as_str().as_deref(), Some(place), "{data}");
    }
}

// req: protocol.skip
pub async fn a_component_may_skip_itself(session: &Session) {
    for reason in [Some("no new orders"), None] {
        let input = from(json!({"reason": reason}));
        let result = session.execute("/skip", input).await.unwrap();
        let ExecuteResult::Skipped(skipped) = result else {
            panic!("not skipped: {result:?}");
        };
        assert_eq!(skipped.reason.as_deref(), reason);
    }
}

// req: protocol.own-codes
pub async fn a_code_of_the_components_own_arrives_untouched(session: &Session) {
    let data = json!({"retry_on": "Monday", "n": [1.5, null, 9_007_199_254_740_993_u64]});
    let input = json!({"code": 4242, "message": "closed on Sundays", "data": data});
    let error = session.error("/fail", from(input)).await;
    assert_eq!((error.code.0, &*error.message), (4242, "closed on Sundays"));
    assert_eq!(error.data.map(Value::from), Some(from(data)));
}

// req: protocol.component-failure
pub async fn a_failure_without_a_code_is_a_component_failure(session: &Session) {
    let error = session
        .error("/fail", value(r#"{"message":"out of cheese"}"#))
        .await;
    assert_eq!(error.code.0, -32004, "{error}");
    assert!(error.message.contains("out of cheese"), "{error}");
    if session.transport.is_python() {
        let data = Value::from(error.data.unwrap());
        let kind = data.get("exception_type").unwrap();
        assert!(kind.as_str().unwrap().ends_with(".Failure"), "{kind}");
        let trace = data.get("traceback").unwrap();
        assert!(trace.as_str().unwrap().contains("raise Failure"), "{trace}");
    }
}

// req: rpc.cancel
pub async fn a_dropped_call_is_cancelled_at_the_component(session: &Session) {
    let gate = Gate::open(session.home());
    let visitor = {
        let call = session.execute("/gate", gate.input("a"));
        tokio::select! {
            result = call => panic!("nobody let it through: {result:?}"),
            visitor = gate.next() => visitor,
        }
    };
    assert_eq!(visitor.gone().await, "");
    assert_eq!(session.output("/echo", value("1")).await, value("1"));
}

// req: protocol.blobs
pub async fn equal_blobs_have_equal_ids(session: &Session) {
    let id_of = async |data: &str| {
        let input = Value::object([("data", value(data))]);
        let output = session.output("/blob", input).await;
        assert_eq!(output.get("data"), Some(value(data)), "{data}");
        output
            .get("blob_id")
            .unwrap()
            .as_str()
            .unwrap()
            .into_owned()
    };
    let id = id_of(r#"{"a":1,"b":[1.0,"é"]}"#).await;
    assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
    assert_eq!(id_of(r#"{"b":[1.0,"\u00e9"],"a":1}"#).await, id);
    assert_ne!(id_of(r#"{"b":[1,"\u00e9"],"a":1}"#).await, id);
    // What the standard says of the hash of `null`.
    let null = "sha256:74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b";
    assert_eq!(id_of("null").await, null);
}

// req: protocol.blob-not-found
pub async fn an_unknown_blob_is_told_to_the_component(session: &Session) {
    for id in [format!("sha256:{}", "0".repeat(64)), "no id".to_owned()] {
        let error = session
            .error("/get_blob", from(json!({"blob_id": id})))
            .await;
        assert_eq!(error.code.0, -32008, "{error}");
        assert!(error.message.contains(&id), "{error}");
    }
}

// req: rpc.callbacks-do-not-starve
pub async fn many_components_call_back_at_once(session: &Session) {
    let mut names = vec!["/blob"];
    if session.transport.is_python() {
        names.push("/blob_in_thread");
    }
    for name in names {
        let calls = (0..400).map(async |number| {
            let input = from(json!({"data": {"number": number}}));
            let output = session.output(name, input).await;
            assert_eq!(output.get("data"), Some(from(json!({"number": number}))));
        });
        futures_util::future::join_all(calls).await;
    }
}

// req: protocol.order
pub async fn logs_and_progress_arrive_in_order_before_the_answer(session: &Session) {
    session.output("/tell", value(r#"{"count":100}"#)).await;
    let mut expected = Vec::new();
    for number in 1..=100 {
        expected.push(format!("info: line {number} {{\"number\":{number}}}"));
        expected.push(format!("{}: step {number}", f64::from(number) / 100.0));
    }
    if session.transport.has_one_order() {
        assert_eq!(session.told(), expected);
    } else {
        assert_eq!(session.told_all(expected.len()).await, expected);
    }
}

// req: protocol.attempt
pub async fn a_component_knows_its_attempt_and_key(session: &Session) {
    let mut params = params("/call", Value::null());
    params.attempt = Some(3);
    let result = session.execute_as(params).await.unwrap();
    let ExecuteResult::Output(output) = result else {
        panic!("skipped");
    };
    for (key, expected) in [
        ("attempt", "3"),
        ("key", r#""run/step""#),
        ("run_id", r#""run""#),
        ("step_id", r#""step""#),
        ("flow_id", r#""flow""#),
    ] {
        assert_eq!(output.get(key).unwrap().as_text(), expected, "{key}");
    }
}

// req: stdio.no-size-cliff
pub async fn megabytes_go_both_ways(session: &Session) {
    for bytes in [1, 65_535, 65_536, 65_537, 512 * 1024 + 1, 32 << 20] {
        let input = json!({"bytes": bytes, "padding": "p".repeat(bytes)});
        let output = session.output("/big", from(input)).await;
        assert_eq!(output.get("received").unwrap().as_u64(), Some(bytes as u64));
        assert_eq!(output.get("text").unwrap().as_str().unwrap().len(), bytes);
    }
}

// req: protocol.ping
pub async fn ping_is_answered(session: &Session) {
    session.peer().call::<Ping>(&Empty {}).await.unwrap();
}
