//! Components: what is listed, how one is run, and what becomes of one that fails.

use std::collections::BTreeSet;

use serde_json::Value;
use serde_json::json;
use stepflow_protocol::component::ComponentInfo;

use crate::lab::Lab;
use crate::lab::PREFIX;
use crate::verdict::Stop;
use crate::verdict::Verdict;
use crate::verdict::brief;
use crate::verdict::ensure;
use crate::verdict::same;
use crate::wire::Answer;
use crate::wire::Wire;

const COMPONENT_NOT_FOUND: i64 = -32001;
const INVALID_PARAMS: i64 = -32602;
const INVALID_INPUT: i64 = -32003;
const COMPONENT_FAILED: i64 = -32004;

/// Longer than any test waits, so that what ends earlier did not wait for it.
const LONG: u64 = 1000;

fn read(info: &Value) -> Result<ComponentInfo, Stop> {
    let parsed: Result<ComponentInfo, _> = serde_json::from_value(info.clone());
    let parsed = parsed.map_err(|error| {
        let reason = format!("a component's description cannot be read: {error}");
        let expected = "{component, description?, input_schema?, output_schema?}";
        Stop::fail(reason, expected, brief(&info.to_string()))
    })?;
    ensure(
        parsed.component.starts_with('/'),
        "a component's path has no leading slash",
        "\"component\": \"/…\"",
        brief(&info.to_string()),
    )?;
    for schema in [&parsed.input_schema, &parsed.output_schema]
        .into_iter()
        .flatten()
    {
        let text = schema.as_text();
        let is_schema = text.starts_with('{') || matches!(text, "true" | "false" | "null");
        ensure(is_schema, "a schema is none", "an object", brief(text))?;
    }
    Ok(parsed)
}

async fn listed(wire: &mut Wire) -> Result<Vec<Value>, Stop> {
    let answer = wire.ask("components/list", json!({})).await?;
    let text = answer.text.clone();
    match answer.ok()?.get_mut("components").map(Value::take) {
        Some(Value::Array(components)) => Ok(components),
        _ => Err(Stop::fail(
            "the list is none",
            "{\"components\": […]}",
            brief(&text),
        )),
    }
}

pub async fn list(_: &Lab, wire: &mut Wire) -> Verdict {
    let mut seen = BTreeSet::new();
    for info in listed(wire).await? {
        let path = read(&info)?.component;
        let is_new = seen.insert(path.clone());
        ensure(is_new, "a component is listed twice", "each once", path)?;
    }
    Ok(())
}

pub async fn info(_: &Lab, wire: &mut Wire) -> Verdict {
    for listed in listed(wire).await?.into_iter().take(20) {
        let component = read(&listed)?.component;
        let answer = wire
            .ask("components/info", json!({"component": component}))
            .await?;
        let text = answer.text.clone();
        let Some(info) = answer.ok()?.get_mut("info").map(Value::take) else {
            return Err(Stop::fail(
                "there is no info",
                "{\"info\": {…}}",
                brief(&text),
            ));
        };
        read(&info)?;
        same(&format!("the info of {component}"), &listed, &info)?;
    }
    Ok(())
}

pub async fn info_unknown(_: &Lab, wire: &mut Wire) -> Verdict {
    let params = json!({"component": "/conformance/nowhere"});
    let answer = wire.ask("components/info", params).await?;
    answer.refused(COMPONENT_NOT_FOUND)?;
    Ok(())
}

pub async fn echo(lab: &Lab, wire: &mut Wire) -> Verdict {
    let echo = lab.component("echo")?;
    let input = json!({"text": "x", "list": [1, true, null, {"a": []}], "empty": {}});
    let output = wire.run(&echo, input.clone()).await?.output()?;
    same("the output", &input, &output)
}

pub async fn null_value(lab: &Lab, wire: &mut Wire) -> Verdict {
    let echo = lab.component("echo")?;
    let answer = wire.run(&echo, json!({"nothing": null})).await?;
    same("the output", &json!({"nothing": null}), &answer.output()?)?;
    let answer = wire.run(&echo, Value::Null).await?;
    same("the output", &Value::Null, &answer.output()?)
}

pub async fn numbers(lab: &Lab, wire: &mut Wire) -> Verdict {
    let echo = lab.component("echo")?;
    let numbers = "[0,-1,1.0,0.1,9007199254740993,-9223372036854775808,18446744073709551615]";
    let id = wire.id();
    let params = wire.params(&echo, json!("THE NUMBERS"));
    let request =
        json!({"jsonrpc": "2.0", "id": id, "method": "components/execute", "params": params});
    let text = request
        .to_string()
        .replace("\"THE NUMBERS\"", &format!("{{\"n\":{numbers}}}"));
    wire.send(&text).await?;
    let answer = wire.answer_to(&id).await?;
    let squeezed: String = answer
        .text
        .chars()
        .filter(|it| !it.is_whitespace())
        .collect();
    ensure(
        squeezed.contains(numbers),
        "a number has changed its kind or its digits",
        numbers,
        brief(&answer.text),
    )
}

pub async fn names(lab: &Lab, wire: &mut Wire) -> Verdict {
    let echo = lab.component("echo")?;
    let bare = echo.trim_start_matches('/');
    // Without a session nobody was told the prefix.
    let prefixed = lab.way.has_session().then(|| format!("/{PREFIX}/{bare}"));
    for name in std::iter::once(bare.to_owned()).chain(prefixed) {
        let output = wire.run(&name, json!({"as": name})).await?.output()?;
        same("the output", &json!({"as": name}), &output)?;
    }
    Ok(())
}

pub async fn unknown_component(_: &Lab, wire: &mut Wire) -> Verdict {
    let answer = wire.run("/conformance/nowhere", json!({})).await?;
    answer.refused(COMPONENT_NOT_FOUND)?;
    wire.alive("after an unknown component").await
}

pub async fn minimal(lab: &Lab, wire: &mut Wire) -> Verdict {
    let echo = lab.component("echo")?;
    let params = json!({"component": echo, "input": {"n": 1}});
    let output = wire.ask("components/execute", params).await?.output()?;
    same("the output", &json!({"n": 1}), &output)
}

pub async fn optional_fields(lab: &Lab, wire: &mut Wire) -> Verdict {
    let echo = lab.component("echo")?;
    let mut params = wire.params(&echo, json!({"n": 1}));
    params["deadline_ms"] = json!(60_000);
    params["capabilities"] = json!({});
    params["weather"] = json!({"sun": true});
    let output = wire.ask("components/execute", params).await?.output()?;
    same("the output", &json!({"n": 1}), &output)?;
    let mut params = wire.params(&echo, json!({"n": 2}));
    for key in ["idempotency_key", "deadline_ms", "capabilities"] {
        params[key] = Value::Null;
    }
    let output = wire.ask("components/execute", params).await?.output()?;
    same("the output", &json!({"n": 2}), &output)
}

/// An error that says that the params are wrong; a server that took them for a component's failure did not look.
async fn params_refused(wire: &mut Wire, params: Value, after: &str) -> Verdict {
    let answer = wire.ask("components/execute", params).await?;
    answer.refused(INVALID_PARAMS)?;
    wire.alive(after).await
}

pub async fn missing_component(_: &Lab, wire: &mut Wire) -> Verdict {
    let mut params = wire.params("", json!({}));
    if let Some(params) = params.as_object_mut() {
        params.remove("component");
    }
    params_refused(wire, params, "after params without `component`").await
}

pub async fn invalid_params(_: &Lab, wire: &mut Wire) -> Verdict {
    let mut params = wire.params("", json!({}));
    params["component"] = json!(7);
    params_refused(wire, params, "after a `component` that is a number").await
}

pub async fn invalid_input(lab: &Lab, wire: &mut Wire) -> Verdict {
    let sleep = lab.component("sleep")?;
    let mut components = lab.facts()?.components.iter();
    let has_schema = components.any(|it| it.component == sleep && it.input_schema.is_some());
    if !has_schema {
        let reason = format!("the server lists no schema for the input of {sleep}");
        return Err(Stop::skip(reason));
    }
    let answer = wire.run(&sleep, json!({"ms": "a while"})).await?;
    answer.refused(INVALID_INPUT)?;
    Ok(())
}

async fn failed(lab: &Lab, wire: &mut Wire, input: Value) -> Result<Answer, Stop> {
    let fail = lab.component("fail")?;
    wire.run(&fail, input).await
}

pub async fn failure(lab: &Lab, wire: &mut Wire) -> Verdict {
    let answer = failed(lab, wire, json!({"message": "out of cheese"})).await?;
    let error = answer.error("an error")?;
    ensure(
        error.message.contains("out of cheese"),
        "the message does not say what happened",
        "a message with `out of cheese`",
        error.message.clone(),
    )?;
    wire.alive("after a component failed").await
}

pub async fn failure_code(lab: &Lab, wire: &mut Wire) -> Verdict {
    let answer = failed(lab, wire, json!({"message": "out of cheese"})).await?;
    answer.refused(COMPONENT_FAILED)?;
    Ok(())
}

pub async fn own_codes(lab: &Lab, wire: &mut Wire) -> Verdict {
    let input = json!({"message": "out of cheese", "code": 4242, "data": {"shelf": [7]}});
    let answer = failed(lab, wire, input).await?;
    let error = answer.refused(4242)?;
    let data = error.data.as_ref().map_or("null", |it| it.get());
    let data: Value = serde_json::from_str(data).unwrap_or_default();
    same(
        "the message",
        &json!("out of cheese"),
        &json!(error.message),
    )?;
    same("the data", &json!({"shelf": [7]}), &data)
}

pub async fn concurrent(lab: &Lab, wire: &mut Wire) -> Verdict {
    overtaken(lab, wire, 1).await
}

pub async fn many(lab: &Lab, wire: &mut Wire) -> Verdict {
    overtaken(lab, wire, 8).await
}

/// Starts components that take their time, and looks whether a later request waits for them.
async fn overtaken(lab: &Lab, wire: &mut Wire, count: usize) -> Verdict {
    let (sleep, echo) = (lab.component("sleep")?, lab.component("echo")?);
    let mut sleeping = Vec::new();
    for _ in 0..count {
        sleeping.push(wire.start(&sleep, json!({"ms": LONG})).await?);
    }
    wire.run(&echo, json!({"n": 1})).await?.output()?;
    wire.alive("while components run").await?;
    let waited = sleeping.iter().any(|id| wire.is_answered(id));
    ensure(
        !waited,
        "a request waits until components that run have ended",
        format!("an answer while {count} components still run"),
        "the answers in the order of the requests",
    )?;
    for id in &sleeping {
        let output = wire.answer_to(id).await?.output()?;
        same("the output", &json!({"ms": LONG}), &output)?;
    }
    Ok(())
}
