//! The envelope: ids, unknown things, wrong shapes, and what must not be answered.

use serde_json::json;
use stepflow_rpc::Id;

use crate::lab::Lab;
use crate::lab::Oddity;
use crate::verdict::Stop;
use crate::verdict::Verdict;
use crate::verdict::brief;
use crate::verdict::ensure;
use crate::verdict::same;
use crate::wire::Wire;

const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_REQUEST: i64 = -32600;

pub async fn ids(_: &Lab, wire: &mut Wire) -> Verdict {
    let strings = [
        "a",
        "",
        "0198f2a0-7d1e-7b3c-9c55-2f1d3a4b5c6d",
        "ключ \"n\"\n",
    ];
    let numbers = [0, -1, 7, i64::from(u32::MAX), 9_007_199_254_740_991];
    let ids = strings.map(Id::from).into_iter();
    for id in ids.chain(numbers.map(Id::from)) {
        let request =
            json!({"jsonrpc": "2.0", "id": id, "method": "components/list", "params": {}});
        wire.send(&request.to_string()).await?;
        wire.answer_to(&id).await?.ok()?;
        wire.release(&id);
    }
    Ok(())
}

pub async fn typed_ids(lab: &Lab, wire: &mut Wire) -> Verdict {
    let echo = lab.component("echo")?;
    let (number, string) = (Id::from(1), Id::from("1"));
    for id in [&number, &string] {
        let params = wire.params(&echo, json!({"of": id}));
        let request =
            json!({"jsonrpc": "2.0", "id": id, "method": "components/execute", "params": params});
        wire.send(&request.to_string()).await?;
    }
    for id in [&number, &string] {
        let output = wire.answer_to(id).await?.output()?;
        same("the output", &json!({"of": id}), &output)?;
        wire.release(id);
    }
    Ok(())
}

pub async fn unknown_method(_: &Lab, wire: &mut Wire) -> Verdict {
    let answer = wire.ask("components/paint", json!({})).await?;
    answer.refused(METHOD_NOT_FOUND)?;
    wire.alive("after an unknown method").await
}

/// Sends something that must not be answered, and looks whether it was.
async fn unanswered(wire: &mut Wire, text: &str, what: &str) -> Verdict {
    wire.send(text).await?;
    wire.alive(&format!("after {what}")).await?;
    let strays = wire.quiet().await?;
    let answer = strays.first();
    ensure(
        answer.is_none(),
        format!("{what} is answered"),
        "nothing",
        answer.map(|it| brief(it)).unwrap_or_default(),
    )
}

pub async fn unknown_notification(_: &Lab, wire: &mut Wire) -> Verdict {
    let text = r#"{"jsonrpc":"2.0","method":"weather/changed","params":{"to":"rain"}}"#;
    unanswered(wire, text, "an unknown notification").await
}

pub async fn unknown_fields(_: &Lab, wire: &mut Wire) -> Verdict {
    let id = wire.id();
    let request = json!({
        "jsonrpc": "2.0", "id": id, "method": "components/list",
        "params": {"colour": "blue"}, "priority": 7,
    });
    wire.send(&request.to_string()).await?;
    wire.answer_to(&id).await?.ok()?;
    Ok(())
}

pub async fn missing_params(_: &Lab, wire: &mut Wire) -> Verdict {
    let id = wire.id();
    let request = json!({"jsonrpc": "2.0", "id": id, "method": "components/list"});
    wire.send(&request.to_string()).await?;
    wire.answer_to(&id).await?.ok()?;
    Ok(())
}

pub async fn invalid_request(_: &Lab, wire: &mut Wire) -> Verdict {
    let wrong = [
        json!({"jsonrpc": "2.0", "method": 7, "params": {}}),
        json!({"jsonrpc": "2.0", "params": {}}),
    ];
    for mut request in wrong {
        let id = wire.id();
        request["id"] = json!(id);
        wire.send(&request.to_string()).await?;
        wire.answer_to(&id).await?.refused(INVALID_REQUEST)?;
    }
    wire.alive("after a request of a wrong shape").await
}

pub async fn batch(_: &Lab, wire: &mut Wire) -> Verdict {
    let batch = r#"[{"jsonrpc":"2.0","id":"in a batch","method":"components/list","params":{}}]"#;
    wire.send(batch).await?;
    wire.alive("after a batch").await?;
    let strays = wire.quiet().await?;
    let served = strays.iter().find(|it| it.contains("\"result\""));
    ensure(
        served.is_none(),
        "a batch is served",
        "nothing, or the error -32600",
        served.map(|it| brief(it)).unwrap_or_default(),
    )
}

pub async fn unknown_answer(_: &Lab, wire: &mut Wire) -> Verdict {
    let answer = r#"{"jsonrpc":"2.0","id":"nobody asked","result":{}}"#;
    unanswered(wire, answer, "an answer that nobody waits for").await?;
    let error = r#"{"jsonrpc":"2.0","id":77,"error":{"code":-32000,"message":"too late"}}"#;
    unanswered(wire, error, "an answer that nobody waits for").await
}

pub async fn null_id(_: &Lab, wire: &mut Wire) -> Verdict {
    let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"not JSON"}}"#;
    unanswered(wire, error, "an error with `id: null`").await
}

pub async fn duplicate_keys(_: &Lab, wire: &mut Wire) -> Verdict {
    let id = wire.id();
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":{},"method":"components/list","method":"components/list","params":{{}}}}"#,
        json!(id)
    );
    wire.expect(id.clone());
    wire.send(&text).await?;
    wire.alive("after a request with a key given twice").await
}

pub async fn unicode(lab: &Lab, wire: &mut Wire) -> Verdict {
    let echo = lab.component("echo")?;
    let id = wire.id();
    let (head, tail) = (json!(id), json!(echo));
    // Escaped as an encoder that writes ASCII alone would do it.
    let text = r#"\u00e9\u65e5\ud83d\ude00\u0000\u001f\u007f\u2028/\/"#;
    let request = format!(
        r#"{{"jsonrpc":"2.0","id":{head},"method":"components/execute","params":{{"component":{tail},"input":{{"text":"{text}","é":"日😀"}},"attempt":1,"step_id":"s","run_id":"r","flow_id":"f","observability":{{}}}}}}"#
    );
    wire.send(&request).await?;
    let output = wire.answer_to(&id).await?.output()?;
    let expected = json!({"text": "é日😀\u{0}\u{1f}\u{7f}\u{2028}//", "é": "日😀"});
    same("the text", &expected, &output)
}

pub async fn nesting(lab: &Lab, wire: &mut Wire) -> Verdict {
    const DEPTH: usize = 100;
    let echo = lab.component("echo")?;
    let mut input = json!({});
    for _ in 0..DEPTH {
        input = json!({"in": input});
    }
    let output = wire.run(&echo, input.clone()).await?.output()?;
    same("the output", &input, &output)
}

pub async fn ping(lab: &Lab, wire: &mut Wire) -> Verdict {
    lab.accepts("ping")?;
    let result = wire.ask("ping", json!({})).await?.ok()?;
    ensure(
        result.is_object(),
        "the answer to `ping` is no object",
        "{}",
        result.to_string(),
    )
}

pub async fn one_answer(lab: &Lab) -> Verdict {
    let mut wire = lab.greeted().await?;
    for _ in 0..5 {
        wire.ask("components/list", json!({})).await?.ok()?;
        let unknown = wire.run("/conformance/nowhere", json!({})).await?;
        unknown.error("an error")?;
    }
    wire.quiet().await?;
    let mut odd = lab.oddities.of(Oddity::SecondAnswer);
    odd.extend(lab.oddities.of(Oddity::StrayAnswer));
    ensure(
        odd.is_empty(),
        "a request is answered more than once, or something is answered that was no request (during the whole run)",
        "one answer to each request",
        odd.join("\n"),
    )
}

pub async fn envelope(lab: &Lab) -> Verdict {
    let wrong = lab.oddities.of(Oddity::BadEnvelope);
    ensure(
        wrong.is_empty(),
        "a message is none of JSON-RPC 2.0 (during the whole run)",
        "\"jsonrpc\": \"2.0\", and in an answer exactly one of result and error",
        wrong.join("\n"),
    )
}

pub async fn unwanted(lab: &Lab) -> Verdict {
    let mut wire = lab.greeted().await?;
    for name in ["echo", "blob", "sleep"] {
        let Ok(path) = lab.component(name) else {
            continue;
        };
        let input = json!({"data": 1, "ms": 10});
        match wire.run(&path, input).await {
            Ok(_) | Err(Stop::Skip(_)) => {}
            Err(fault) => return Err(fault),
        }
    }
    wire.quiet().await?;
    let unwanted = lab.oddities.of(Oddity::Unwanted);
    ensure(
        unwanted.is_empty(),
        "the server sends what the runtime did not say it takes (during the whole run)",
        "no `ping`, `$/progress` or `$/log` to a runtime without these capabilities",
        unwanted.join("\n"),
    )
}
