//! The handshake: versions, order, and who has to be greeted.

use serde_json::Value;
use serde_json::json;
use stepflow_protocol::PROTOCOL_VERSION;
use stepflow_protocol::lifecycle::InitializeResult;

use crate::lab::Lab;
use crate::lab::Oddity;
use crate::verdict::Stop;
use crate::verdict::Verdict;
use crate::verdict::brief;
use crate::verdict::ensure;
use crate::wire::Wire;

/// What a component request is refused with before the handshake.
const NOT_INITIALIZED: i64 = -32002;

pub async fn initialize(_: &Lab, wire: &mut Wire) -> Verdict {
    let answer = wire.ask("initialize", Wire::hello()).await?;
    let text = answer.text.clone();
    let result = answer.ok()?;
    let version = result
        .get("server_protocol_version")
        .and_then(Value::as_u64);
    ensure(
        version == Some(PROTOCOL_VERSION.into()),
        "the result does not say which version of the protocol the server speaks",
        "\"server_protocol_version\": 1",
        brief(&text),
    )?;
    wire.initialized().await?;
    wire.alive("after the handshake").await
}

pub async fn described(_: &Lab, wire: &mut Wire) -> Verdict {
    let result = wire.ask("initialize", Wire::hello()).await?.ok()?;
    let text = result.to_string();
    let parsed: Result<InitializeResult, _> = serde_json::from_value(result);
    let parsed = parsed.map_err(|error| {
        let reason = format!("what the server says of itself cannot be read: {error}");
        let expected = "server {name, version}, max_message_bytes an integer, capabilities an object of objects";
        Stop::fail(reason, expected, brief(&text))
    })?;
    ensure(
        parsed.server.is_some(),
        "the server does not say its name",
        "\"server\": {\"name\": …, \"version\": …}",
        brief(&text),
    )
}

pub async fn null_fields(_: &Lab, wire: &mut Wire) -> Verdict {
    let mut hello = Wire::hello();
    for key in ["runtime", "max_message_bytes", "capabilities"] {
        hello[key] = Value::Null;
    }
    wire.ask("initialize", hello).await?.ok()?;
    wire.initialized().await?;
    wire.alive("after a handshake with null for optional fields")
        .await
}

pub async fn unknown_fields(_: &Lab, wire: &mut Wire) -> Verdict {
    let mut hello = Wire::hello();
    hello["telepathy"] = json!({"range": 7});
    hello["capabilities"] = json!({"telepathy": {"range": 7}});
    wire.ask("initialize", hello).await?.ok()?;
    wire.initialized().await?;
    wire.alive("after a handshake with unknown fields").await
}

pub async fn version(_: &Lab, wire: &mut Wire) -> Verdict {
    const THEIRS: u32 = 99;
    let mut hello = Wire::hello();
    hello["runtime_protocol_version"] = json!(THEIRS);
    let answer = wire.ask("initialize", hello).await?;
    let error = answer.refused(NOT_INITIALIZED)?;
    let names_both = error.message.contains("99") && error.message.contains('1');
    ensure(
        names_both,
        "the message does not name both versions",
        "a message with 99 and 1",
        error.message.clone(),
    )
}

pub async fn before_initialize(_: &Lab, wire: &mut Wire) -> Verdict {
    let answer = wire.ask("components/list", json!({})).await?;
    answer.refused(NOT_INITIALIZED)?;
    wire.greet().await?;
    wire.alive("after a request that came too early").await
}

pub async fn before_initialized(_: &Lab, wire: &mut Wire) -> Verdict {
    wire.ask("initialize", Wire::hello()).await?.ok()?;
    let answer = wire.ask("components/list", json!({})).await?;
    answer.refused(NOT_INITIALIZED)?;
    wire.initialized().await?;
    wire.alive("after a request that came too early").await
}

pub async fn initialized_silent(_: &Lab, wire: &mut Wire) -> Verdict {
    wire.greet().await?;
    wire.alive("after `initialized`").await?;
    let strays = wire.quiet().await?;
    let said = strays
        .iter()
        .find(|it| it.contains("\"id\"") && it.contains("\"error\""));
    ensure(
        said.is_none(),
        "a notification is answered",
        "nothing",
        said.map(|it| brief(it)).unwrap_or_default(),
    )
}

pub async fn stateless(lab: &Lab, wire: &mut Wire) -> Verdict {
    wire.ask("components/list", json!({})).await?.ok()?;
    if let Ok(echo) = lab.component("echo") {
        let output = wire.run(&echo, json!({"n": 1})).await?.output()?;
        crate::verdict::same("the output", &json!({"n": 1}), &output)?;
    }
    Ok(())
}

pub async fn patient(lab: &Lab) -> Verdict {
    let mut wire = lab.open().await?;
    wire.ask("initialize", Wire::hello()).await?.ok()?;
    wire.quiet().await?;
    drop(wire);
    let early = lab.oddities.of(Oddity::Early);
    ensure(
        early.is_empty(),
        "the server asks before `initialized`",
        "nothing but answers before the handshake is complete",
        early.join("\n"),
    )
}

pub async fn again(lab: &Lab) -> Verdict {
    let first = lab.greeted().await?;
    let mut second = lab.open().await?;
    if lab.way.has_session() {
        let answer = second.ask("components/list", json!({})).await?;
        answer.refused(NOT_INITIALIZED)?;
    }
    second.greet().await?;
    second.alive("on a second connection").await?;
    drop(first);
    Ok(())
}
