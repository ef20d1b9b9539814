//! Sessions over HTTP: where they are, that they are apart, and how they end and go on.

use reqwest::Method;
use serde_json::json;
use stepflow_rpc::Id;

use crate::lab::Lab;
use crate::verdict::Stop;
use crate::verdict::Verdict;
use crate::verdict::brief;
use crate::verdict::ensure;
use crate::verdict::same;
use crate::wire::Wire;

const SESSION_EXPIRED: i64 = -32010;
const LIST: &str = r#"{"jsonrpc":"2.0","id":"l","method":"components/list","params":{}}"#;

/// The data of the event that began a session.
fn named(wire: &Wire) -> Result<String, Stop> {
    let events = wire.http()?.events.as_ref();
    let events = events.ok_or_else(|| Stop::skip("there is no session"))?;
    Ok(events.endpoint.clone())
}

pub async fn endpoint(lab: &Lab) -> Verdict {
    let wire = lab.open().await?;
    let http = wire.http()?;
    let same_origin = http.target.origin() == http.base.origin();
    ensure(
        same_origin,
        "the endpoint is somewhere else: a runtime refuses that unless it is told to allow it",
        http.base.origin().ascii_serialization(),
        http.target.to_string(),
    )
}

pub async fn own(lab: &Lab) -> Verdict {
    let (first, second) = (lab.open().await?, lab.open().await?);
    ensure(
        named(&first)? != named(&second)?,
        "two sessions have the same endpoint",
        "an endpoint each",
        named(&first)?,
    )
}

pub async fn isolated(lab: &Lab) -> Verdict {
    let echo = lab.component("echo")?;
    let (mut first, mut second) = (lab.greeted().await?, lab.greeted().await?);
    let id = Id::from("the same");
    for (wire, n) in [(&mut first, 1), (&mut second, 2)] {
        let params = wire.params(&echo, json!({"n": n}));
        let request =
            json!({"jsonrpc": "2.0", "id": id, "method": "components/execute", "params": params});
        wire.send(&request.to_string()).await?;
    }
    for (wire, n) in [(&mut first, 1), (&mut second, 2)] {
        let output = wire.answer_to(&id).await?.output()?;
        same("the answer of a session", &json!({"n": n}), &output)?;
    }
    Ok(())
}

pub async fn callbacks(lab: &Lab) -> Verdict {
    let blob = lab.component("blob")?;
    let (mut first, mut second) = (lab.greeted().await?, lab.greeted().await?);
    first.hold_calls(true);
    second.hold_calls(true);
    let ids = [
        first.start(&blob, json!({"data": "of the first"})).await?,
        second
            .start(&blob, json!({"data": "of the second"}))
            .await?,
    ];
    for (wire, data) in [(&mut first, "of the first"), (&mut second, "of the second")] {
        let call = wire.call().await?;
        same(
            "what a session is asked",
            &json!(data),
            &call.params["data"],
        )?;
        wire.serve(&call).await?;
        wire.hold_calls(false);
    }
    for (wire, id) in [(&mut first, &ids[0]), (&mut second, &ids[1])] {
        wire.answer_to(id).await?.output()?;
    }
    Ok(())
}

/// Posts a request to a session that is not there.
async fn refused(wire: &Wire, url: reqwest::Url) -> Verdict {
    let http = wire.http()?;
    let mut request = http.post(LIST);
    request.url = url;
    let reply = http.exchange(request).await?;
    ensure(
        reply.status == 404 && reply.code() == Some(SESSION_EXPIRED),
        "a request to a session that is not there is not refused as such",
        format!("404 with the error {SESSION_EXPIRED}"),
        reply.seen(),
    )
}

/// The endpoint of another session: the last letters of its secret are others.
fn guessed(url: &reqwest::Url) -> reqwest::Url {
    let text = url.as_str();
    let end = text.find("&instance").unwrap_or(text.len());
    let change = |letter: char| match letter {
        '0' => '1',
        _ => '0',
    };
    let changed: String = text[end.saturating_sub(4)..end]
        .chars()
        .map(change)
        .collect();
    let text = format!(
        "{}{changed}{}",
        &text[..end.saturating_sub(4)],
        &text[end..]
    );
    text.parse().unwrap_or_else(|_| url.clone())
}

pub async fn unknown(lab: &Lab) -> Verdict {
    let wire = lab.greeted().await?;
    let url = guessed(&wire.http()?.target);
    refused(&wire, url).await
}

pub async fn greeted_each(lab: &Lab) -> Verdict {
    let _greeted = lab.greeted().await?;
    let mut fresh = lab.open().await?;
    let answer = fresh.ask("components/list", json!({})).await?;
    answer.refused(-32002)?;
    Ok(())
}

pub async fn ended(lab: &Lab) -> Verdict {
    let wire = lab.greeted().await?;
    let http = wire.http()?;
    let mut request = http.post("");
    request.method = Method::DELETE;
    let reply = http.exchange(request).await?;
    ensure(
        (200..300).contains(&reply.status),
        "DELETE of the endpoint does not end the session",
        "200 to 204",
        reply.seen(),
    )?;
    let url = http.target.clone();
    refused(&wire, url).await
}

pub async fn resumed(lab: &Lab) -> Verdict {
    let wire = lab.greeted().await?;
    let http = wire.http()?;
    let events = http.events.as_ref();
    let Some(id) = events.and_then(|it| it.id.as_deref()) else {
        return Err(Stop::skip("the event `endpoint` has no id to go on from"));
    };
    http.hang_up();
    let (again, _stream) = http.subscribe(Some(id)).await?;
    ensure(
        again.endpoint == named(&wire)?,
        "a stream that is taken up again names another session",
        named(&wire)?,
        again.endpoint.clone(),
    )
}

pub async fn unguessable(lab: &Lab) -> Verdict {
    const LEAST: usize = 16;
    let mut names = Vec::new();
    for _ in 0..3 {
        names.push(named(&lab.open().await?)?);
    }
    let letters_apart = |one: &str, other: &str| {
        let same = one.chars().zip(other.chars()).filter(|(a, b)| a == b);
        one.len() - same.count()
    };
    let least = names
        .windows(2)
        .map(|it| letters_apart(&it[0], &it[1]))
        .min();
    ensure(
        least.is_some_and(|n| n >= LEAST),
        "the names of sessions differ in a few letters only: they can be guessed",
        format!("at least {LEAST} random letters"),
        brief(&names.join("\n")),
    )
}
