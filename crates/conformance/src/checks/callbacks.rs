//! Calls back to the runtime: that they come, what they say, and what becomes of their answers.

use std::collections::HashSet;

use serde_json::Value;
use serde_json::json;

use crate::lab::Lab;
use crate::verdict::Verdict;
use crate::verdict::brief;
use crate::verdict::ensure;
use crate::verdict::same;
use crate::wire::Called;
use crate::wire::Wire;

pub async fn blob(lab: &Lab, wire: &mut Wire) -> Verdict {
    let blob = lab.component("blob")?;
    let data = json!({"user": "Ada", "rows": [1, null]});
    let output = wire.run(&blob, json!({"data": data})).await?.output()?;
    same(
        "the data that was stored and fetched",
        &data,
        &output["data"],
    )?;
    let id = output["blob_id"].as_str().unwrap_or_default();
    ensure(
        id.starts_with("sha256:"),
        "the blob's id is not the one that the runtime gave",
        "sha256:…",
        brief(&output.to_string()),
    )
}

/// Runs the component, and hands each call back to be looked at.
async fn each_call(
    lab: &Lab,
    wire: &mut Wire,
    mut look: impl FnMut(&Called, &Value) -> Verdict,
) -> Verdict {
    let blob = lab.component("blob")?;
    wire.hold_calls(true);
    let id = wire.start(&blob, json!({"data": 1})).await?;
    let execution = json!(id);
    for _ in 0..2 {
        let call = wire.call().await?;
        look(&call, &execution)?;
        wire.serve(&call).await?;
    }
    wire.answer_to(&id).await?.output()?;
    Ok(())
}

pub async fn params(lab: &Lab, wire: &mut Wire) -> Verdict {
    let mut expected = [("blobs/put", "data"), ("blobs/get", "blob_id")].into_iter();
    each_call(lab, wire, |call, _| {
        let (method, field) = expected.next().unwrap_or_default();
        let seen = format!("{} {}", call.request.method, call.params);
        let is_right = call.request.method == method && call.params.get(field).is_some();
        let wanted = format!("{method} with {field}");
        ensure(is_right, "a call back is another one", wanted, brief(&seen))
    })
    .await
}

pub async fn execution(lab: &Lab, wire: &mut Wire) -> Verdict {
    each_call(lab, wire, |call, execution| {
        let seen = call.params.get("execution").cloned().unwrap_or_default();
        ensure(
            seen == *execution,
            "a call back does not name the request that it serves",
            format!("\"execution\": {execution}"),
            brief(&call.params.to_string()),
        )
    })
    .await
}

pub async fn observability(lab: &Lab, wire: &mut Wire) -> Verdict {
    each_call(lab, wire, |call, _| {
        let trace = call.params.pointer("/observability/trace_id");
        ensure(
            trace.and_then(Value::as_str) == Some("0af7651916cd43dd8448eb211c80319c"),
            "a call back does not pass the observability on",
            "\"observability\": {\"trace_id\": \"0af7…\", …}",
            brief(&call.params.to_string()),
        )
    })
    .await
}

pub async fn ids(lab: &Lab, wire: &mut Wire) -> Verdict {
    const COUNT: usize = 5;
    let blob = lab.component("blob")?;
    wire.hold_calls(true);
    let mut running = Vec::new();
    for n in 0..COUNT {
        running.push(wire.start(&blob, json!({"data": {"n": n}})).await?);
    }
    let mut calls = Vec::new();
    for _ in 0..COUNT {
        calls.push(wire.call().await?);
    }
    let ids: HashSet<_> = calls.iter().map(|it| it.request.id.clone()).collect();
    let shown: Vec<_> = calls
        .iter()
        .map(|it| json!(it.request.id).to_string())
        .collect();
    ensure(
        ids.len() == COUNT,
        "two call backs in progress have the same id",
        "an id each",
        shown.join(", "),
    )?;
    // The other way round: each answer must find its own.
    for call in calls.iter().rev() {
        wire.serve(call).await?;
    }
    wire.hold_calls(false);
    for (n, id) in running.iter().enumerate() {
        let output = loop {
            if let Some(call) = wire.calls.pop() {
                wire.serve(&call).await?;
            } else {
                break wire.answer_to(id).await?.output()?;
            }
        };
        same("the data", &json!({"n": n}), &output["data"])?;
    }
    Ok(())
}

pub async fn concurrent(lab: &Lab, wire: &mut Wire) -> Verdict {
    let (blob, echo) = (lab.component("blob")?, lab.component("echo")?);
    wire.hold_calls(true);
    let id = wire.start(&blob, json!({"data": 1})).await?;
    let call = wire.call().await?;
    wire.run(&echo, json!({"n": 1})).await?.output()?;
    wire.alive("while a call back waits for its answer").await?;
    wire.hold_calls(false);
    wire.serve(&call).await?;
    wire.answer_to(&id).await?.output()?;
    Ok(())
}

pub async fn refused(lab: &Lab, wire: &mut Wire) -> Verdict {
    let blob = lab.component("blob")?;
    wire.hold_calls(true);
    let id = wire.start(&blob, json!({"data": 1})).await?;
    let call = wire.call().await?;
    let error = (-32005, "the store is full".to_owned());
    wire.answer(&call, Err(error)).await?;
    wire.hold_calls(false);
    let answer = wire.answer_to(&id).await?;
    answer.error("an error: the call back was refused")?;
    wire.alive("after a call back was refused").await
}

pub async fn answered_twice(lab: &Lab, wire: &mut Wire) -> Verdict {
    let blob = lab.component("blob")?;
    wire.hold_calls(true);
    let id = wire.start(&blob, json!({"data": 1})).await?;
    let call = wire.call().await?;
    wire.serve(&call).await?;
    wire.hold_calls(false);
    wire.serve(&call).await?;
    wire.answer_to(&id).await?.output()?;
    wire.serve(&call).await?;
    wire.alive("after a second answer to a call back").await
}

pub async fn no_back_channel(lab: &Lab, wire: &mut Wire) -> Verdict {
    let blob = lab.component("blob")?;
    let answer = wire.run(&blob, json!({"data": 1})).await?;
    answer.error("an error: there is nobody to ask")?;
    Ok(())
}
