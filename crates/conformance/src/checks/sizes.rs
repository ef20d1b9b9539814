//! Sizes: no message is too long because a pipe is short, and limits that were named are kept.

use serde_json::Value;
use serde_json::json;

use crate::lab::Lab;
use crate::verdict::Stop;
use crate::verdict::Verdict;
use crate::verdict::brief;
use crate::verdict::ensure;
use crate::wire::Wire;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A limit above this is not tried: it would take long and prove little.
const LARGEST_TRIED: u64 = 32 << 20;

/// Sends as much and gets it back.
async fn there_and_back(lab: &Lab, wire: &mut Wire, size: usize) -> Verdict {
    let echo = lab.component("echo")?;
    if lab.limit().is_some_and(|limit| limit < size as u64 + 4096) {
        return Err(Stop::skip(format!("the server takes no {size} bytes")));
    }
    let text = "x".repeat(size);
    let answer = wire.run(&echo, json!({"text": text})).await?;
    let seen = brief(&answer.text);
    let output = answer.output()?;
    ensure(
        output["text"].as_str().map(str::len) == Some(size),
        "a long text comes back as another one",
        format!("a text of {size} bytes"),
        seen,
    )
}

pub async fn pipe(lab: &Lab, wire: &mut Wire) -> Verdict {
    for size in [64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 200 * KIB] {
        there_and_back(lab, wire, size).await?;
    }
    Ok(())
}

pub async fn half_megabyte(lab: &Lab, wire: &mut Wire) -> Verdict {
    there_and_back(lab, wire, 512 * KIB + 1).await
}

pub async fn megabytes(lab: &Lab, wire: &mut Wire) -> Verdict {
    there_and_back(lab, wire, 8 * MIB).await
}

pub async fn both_ways(lab: &Lab, wire: &mut Wire) -> Verdict {
    const COUNT: usize = 64;
    let echo = lab.component("echo")?;
    wire.greet().await?;
    wire.pipes()?.set_reading(false);
    let text = "x".repeat(32 * KIB);
    let mut running = Vec::new();
    for n in 0..COUNT {
        // Nothing is read meanwhile: a server that writes where it should read takes no more of these.
        let started = wire.start(&echo, json!({"n": n, "text": text})).await;
        running.push(started.map_err(|_| {
            Stop::fail(
                "the server reads no more while what it writes is not read",
                format!("{COUNT} requests of 32 KiB are taken"),
                format!("{n} are"),
            )
        })?);
    }
    wire.pipes()?.set_reading(true);
    for id in &running {
        wire.answer_to(id).await?.output()?;
    }
    Ok(())
}

pub async fn over_limit(lab: &Lab, wire: &mut Wire) -> Verdict {
    let limit = lab.limit();
    let Some(limit) = limit.filter(|limit| *limit <= LARGEST_TRIED) else {
        return Err(Stop::skip(match limit {
            None => "the server names no limit".to_owned(),
            Some(limit) => format!("the server's limit, {limit} bytes, is too large to be tried"),
        }));
    };
    let echo = lab.component("echo")?;
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let id = wire.start(&echo, json!({"text": "x".repeat(size)})).await?;
    if let Ok(answer) = wire.answer_to(&id).await {
        answer.error("an error: the message is over the server's own limit")?;
    }
    wire.alive("after a message over the limit").await
}

pub async fn runtime_limit(lab: &Lab, wire: &mut Wire) -> Verdict {
    const LIMIT: usize = 16 * KIB;
    let echo = lab.component("echo")?;
    let mut hello = Wire::hello();
    hello["max_message_bytes"] = json!(LIMIT);
    wire.ask("initialize", hello).await?.ok()?;
    wire.initialized().await?;
    let id = wire
        .start(&echo, json!({"text": "x".repeat(2 * LIMIT)}))
        .await?;
    let answer = wire.answer_to(&id).await?;
    ensure(
        answer.text.len() <= LIMIT,
        "an answer is longer than the runtime takes",
        format!("an error instead of more than {LIMIT} bytes"),
        format!("{} bytes: {}", answer.text.len(), brief(&answer.text)),
    )?;
    answer.error("an error that says so")?;
    let output = wire.run(&echo, json!({"n": 1})).await?.output()?;
    ensure(
        output.get("n").and_then(Value::as_u64) == Some(1),
        "the next call does not succeed",
        "{\"n\": 1}",
        output.to_string(),
    )
}
