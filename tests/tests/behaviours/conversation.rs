//! What is said, word by word: the handshake, ids, errors of the protocol, cancelling.

use stepflow_tests::gate::Gate;
use stepflow_tests::value;
use stepflow_tests::wire::Raw;

// req: protocol.handshake
pub async fn components_wait_for_the_handshake(raw: &mut Raw) {
    let refused = async |raw: &mut Raw, method: &str, params: &str| {
        let message =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        raw.send(&message);
        let code = raw.answer("1").await.get("error").unwrap().get("code");
        assert_eq!(code.unwrap().as_i64(), Some(-32002), "{method}");
    };
    let refused_all = async |raw: &mut Raw| {
        refused(raw, "components/list", "{}").await;
        refused(raw, "components/info", r#"{"component":"/echo"}"#).await;
        refused(
            raw,
            "components/execute",
            r#"{"component":"/echo","input":1}"#,
        )
        .await;
    };
    refused_all(raw).await;
    // Without a greeting before it, this means nothing.
    raw.send(r#"{"jsonrpc":"2.0","method":"initialized","params":{}}"#);
    refused_all(raw).await;
    raw.send(r#"{"jsonrpc":"2.0","id":2,"method":"ping","params":{}}"#);
    raw.answer("2").await;
    raw.send(
        r#"{"jsonrpc":"2.0","id":3,"method":"initialize","params":{"runtime_protocol_version":1,"protocol_prefix":"it"}}"#,
    );
    let greeting = raw.answer("3").await.get("result").unwrap();
    let version = greeting.get("server_protocol_version").unwrap();
    assert_eq!(version.as_i64(), Some(1), "{greeting}");
    refused_all(raw).await;
    raw.send(r#"{"jsonrpc":"2.0","method":"initialized","params":{}}"#);
    raw.send(
        r#"{"jsonrpc":"2.0","id":4,"method":"components/execute","params":{"component":"/echo","input":1}}"#,
    );
    let answer = raw.answer("4").await;
    assert_eq!(answer.get("result"), Some(value(r#"{"output":1}"#)));
}

// req: protocol.version
pub async fn another_version_is_refused_with_both_versions(raw: &mut Raw) {
    for version in [0, 2, 99] {
        raw.send(&format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"runtime_protocol_version":{version},"protocol_prefix":"it"}}}}"#
        ));
        let error = raw.answer("1").await.get("error").unwrap();
        assert_eq!(error.get("code").unwrap().as_i64(), Some(-32002), "{error}");
        let message = error.get("message").unwrap();
        let message = message.as_str().unwrap();
        let theirs = format!("version {version}");
        assert!(
            message.contains(&theirs) && message.contains('1'),
            "{message}"
        );
    }
}

// req: rpc.typed-ids
pub async fn an_id_keeps_its_type(raw: &mut Raw) {
    raw.greet().await;
    let gate = Gate::open(raw.home());
    for (id, name) in [("1", "number"), (r#""1""#, "string")] {
        let input = gate.input(name);
        raw.send(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"components/execute","params":{{"component":"/gate","input":{input}}}}}"#
        ));
    }
    let mut visitors = gate.take(2).await;
    visitors.sort_by_key(|visitor| visitor.hello.name.clone());
    let words = ["for the number", "for the string"];
    for ((visitor, word), id) in visitors.into_iter().zip(words).zip(["1", r#""1""#]) {
        visitor.release(word).await;
        let answer = raw.answer(id).await;
        let said = answer
            .get("result")
            .unwrap()
            .get("output")
            .unwrap()
            .get("said");
        assert_eq!(said.unwrap().as_str().as_deref(), Some(word));
    }
    for id in ["-1", "9223372036854775807", r#""""#, r#""ключ\n""#] {
        raw.send(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"ping","params":{{}}}}"#
        ));
        let id = value(id);
        let answer = value(&raw.receive().await);
        assert_eq!(answer.get("id"), Some(id));
    }
}

// req: rpc.unknown-method
pub async fn an_unknown_method_costs_that_message_only(raw: &mut Raw) {
    raw.greet().await;
    raw.send(r#"{"jsonrpc":"2.0","id":1,"method":"components/paint","params":{}}"#);
    let error = raw.answer("1").await.get("error").unwrap();
    assert_eq!(error.get("code").unwrap().as_i64(), Some(-32601), "{error}");
    assert!(error.to_string().contains("components/paint"), "{error}");
    raw.send(r#"{"jsonrpc":"2.0","id":2,"method":"components/execute","params":{"component":7,"input":1}}"#);
    let error = raw.answer("2").await.get("error").unwrap();
    assert_eq!(error.get("code").unwrap().as_i64(), Some(-32602), "{error}");
    assert!(error.to_string().contains("component"), "{error}");
    raw.send(r#"{"jsonrpc":"2.0","id":3,"method":"ping","params":{}}"#);
    raw.answer("3").await;
}

// req: rpc.unknown-notification
pub async fn an_unknown_notification_is_ignored(raw: &mut Raw) {
    raw.greet().await;
    raw.send(r#"{"jsonrpc":"2.0","method":"weather/changed","params":{"to":"rain"}}"#);
    raw.send(r#"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":"nobody"}}"#);
    raw.send(r#"{"jsonrpc":"2.0","id":"never asked","result":1}"#);
    raw.send(r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"unknown":1},"also":"unknown"}"#);
    // Whatever was said before would have been answered before.
    raw.answer("1").await;
}

// req: protocol.optional-fields
pub async fn only_component_and_input_are_required(raw: &mut Raw) {
    raw.greet().await;
    raw.send(
        r#"{"jsonrpc":"2.0","id":1,"method":"components/execute","params":{"component":"/echo","input":null}}"#,
    );
    let answer = raw.answer("1").await;
    assert_eq!(answer.get("result"), Some(value(r#"{"output":null}"#)));
    raw.send(
        r#"{"jsonrpc":"2.0","id":2,"method":"components/execute","params":{"component":"/call","input":{},
            "attempt":null,"step_id":null,"run_id":null,"flow_id":null,"observability":null,
            "idempotency_key":null,"deadline_ms":null,"capabilities":null,"unknown":[1]}}"#,
    );
    let output = raw
        .answer("2")
        .await
        .get("result")
        .unwrap()
        .get("output")
        .unwrap();
    assert_eq!(output.get("attempt").unwrap().as_i64(), Some(1));
    assert!(output.get("key").unwrap().is_null());
}

// req: rpc.cancelled-is-answered
pub async fn a_cancelled_request_is_answered(raw: &mut Raw) {
    raw.greet().await;
    let gate = Gate::open(raw.home());
    raw.send(&format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"components/execute","params":{{"component":"/gate","input":{}}}}}"#,
        gate.input("a")
    ));
    let visitor = gate.next().await;
    raw.send(r#"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1,"reason":"changed my mind"}}"#);
    let error = raw.answer("1").await.get("error").unwrap();
    assert_eq!(error.get("code").unwrap().as_i64(), Some(-32012), "{error}");
    assert!(error.to_string().contains("changed my mind"), "{error}");
    visitor.gone().await;
}

// req: rpc.late-cancel
pub async fn cancelling_what_is_done_changes_nothing(raw: &mut Raw) {
    raw.greet().await;
    raw.send(
        r#"{"jsonrpc":"2.0","id":1,"method":"components/execute","params":{"component":"/echo","input":1}}"#,
    );
    raw.answer("1").await;
    raw.send(r#"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}"#);
    raw.send(r#"{"jsonrpc":"2.0","id":2,"method":"ping","params":{}}"#);
    raw.answer("2").await;
}
