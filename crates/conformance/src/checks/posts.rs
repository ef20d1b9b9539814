//! POSTs: statuses, types, and what the answer to one may be.

use reqwest::Method;
use reqwest::header::ACCEPT;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;

use crate::lab::Lab;
use crate::verdict::Stop;
use crate::verdict::Verdict;
use crate::verdict::ensure;
use crate::verdict::same;
use crate::wire::Wire;
use crate::wire::http::Reply;

const LIST: &str = r#"{"jsonrpc":"2.0","id":"post","method":"components/list","params":{}}"#;

async fn post(wire: &Wire, body: &str) -> Result<Reply, Stop> {
    let http = wire.http()?;
    http.exchange(http.post(body)).await
}

fn status(reply: &Reply, expected: u16, what: &str) -> Verdict {
    ensure(
        reply.status == expected,
        format!("{what} has another status"),
        expected.to_string(),
        reply.seen(),
    )
}

/// The error in the body.
fn code(reply: &Reply, expected: i64) -> Verdict {
    ensure(
        reply.code() == Some(expected),
        "the body is not the error that the status is about",
        format!("a JSON-RPC error {expected}"),
        reply.seen(),
    )
}

fn is_stream(reply: &Reply) -> bool {
    reply
        .header("content-type")
        .starts_with("text/event-stream")
}

pub async fn content_type(_: &Lab, wire: &mut Wire) -> Verdict {
    let reply = post(wire, LIST).await?;
    let kind = reply.header("content-type").to_owned();
    let is_right = kind.starts_with("application/json") || is_stream(&reply);
    ensure(
        is_right || reply.status == 202,
        "an answer does not say that it is JSON",
        "Content-Type: application/json; charset=utf-8",
        kind,
    )
}

pub async fn accepted(_: &Lab, wire: &mut Wire) -> Verdict {
    for (body, what) in [
        (
            r#"{"jsonrpc":"2.0","method":"weather/changed","params":{}}"#,
            "a notification",
        ),
        (
            r#"{"jsonrpc":"2.0","id":"nobody asked","result":{}}"#,
            "an answer",
        ),
    ] {
        let reply = post(wire, body).await?;
        status(&reply, 202, what)?;
        let is_empty = reply.text.trim().is_empty();
        ensure(
            is_empty,
            format!("{what} gets a body"),
            "none",
            reply.seen(),
        )?;
    }
    Ok(())
}

pub async fn errors(_: &Lab, wire: &mut Wire) -> Verdict {
    let body = r#"{"jsonrpc":"2.0","id":"post","method":"components/paint","params":{}}"#;
    let reply = post(wire, body).await?;
    if reply.status == 202 || is_stream(&reply) {
        return Ok(());
    }
    status(&reply, 200, "an error of a method")?;
    code(&reply, -32601)
}

pub async fn parse_error(_: &Lab, wire: &mut Wire) -> Verdict {
    let reply = post(wire, "{\"jsonrpc\": \"2.0\", ").await?;
    status(&reply, 400, "a body that is not JSON")?;
    code(&reply, -32700)
}

pub async fn invalid_request(_: &Lab, wire: &mut Wire) -> Verdict {
    for (body, what) in [
        (format!("[{LIST}]"), "a batch"),
        ("{\"a\": 1}".to_owned(), "no message"),
    ] {
        let reply = post(wire, &body).await?;
        status(&reply, 400, what)?;
        code(&reply, -32600)?;
    }
    Ok(())
}

pub async fn media_type(_: &Lab, wire: &mut Wire) -> Verdict {
    let http = wire.http()?;
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let reply = http
            .exchange(http.post(LIST).with(CONTENT_TYPE, kind))
            .await?;
        status(
            &reply,
            415,
            &format!("a POST of {kind}, which any web page may send,"),
        )?;
    }
    Ok(())
}

pub async fn charset(_: &Lab, wire: &mut Wire) -> Verdict {
    let http = wire.http()?;
    for kind in ["application/json", "application/json; charset=UTF-8"] {
        let reply = http
            .exchange(http.post(LIST).with(CONTENT_TYPE, kind))
            .await?;
        let is_taken = matches!(reply.status, 200 | 202);
        ensure(
            is_taken,
            format!("a POST of {kind} is refused"),
            "200",
            reply.seen(),
        )?;
    }
    Ok(())
}

pub async fn method(_: &Lab, wire: &mut Wire) -> Verdict {
    let http = wire.http()?;
    let mut request = http.post(LIST);
    request.method = Method::PUT;
    status(&http.exchange(request).await?, 405, "a PUT")
}

pub async fn slash(lab: &Lab, wire: &mut Wire) -> Verdict {
    let http = wire.http()?;
    let bare = http.base.path().trim_end_matches('/').to_owned();
    if lab.way.has_session() || bare.is_empty() {
        return Err(Stop::skip(
            "the server is at the root, or names its endpoints itself",
        ));
    }
    for path in [bare.clone(), format!("{bare}/")] {
        let mut request = http.post(LIST);
        request.url.set_path(&path);
        let reply = http.exchange(request).await?;
        status(&reply, 200, &format!("a POST to {path}"))?;
    }
    Ok(())
}

pub async fn json_alone(_: &Lab, wire: &mut Wire) -> Verdict {
    let http = wire.http()?;
    let reply = http
        .exchange(http.post(LIST).with(ACCEPT, "application/json"))
        .await?;
    status(&reply, 200, "a request of a client that reads JSON alone")?;
    ensure(
        !is_stream(&reply),
        "a client that reads JSON alone gets a stream",
        "application/json",
        reply.header("content-type").to_owned(),
    )
}

pub async fn side_by_side(lab: &Lab, wire: &mut Wire) -> Verdict {
    let sleep = lab.component("sleep")?;
    let id = wire.start(&sleep, json!({"ms": 1000})).await?;
    wire.alive("while another POST waits for its answer")
        .await?;
    ensure(
        !wire.is_answered(&id),
        "a POST waits until another has its answer",
        "an answer while a component still runs",
        "the answers in the order of the requests",
    )?;
    let output = wire.answer_to(&id).await?.output()?;
    same("the output", &json!({"ms": 1000}), &output)
}

pub async fn refusals(_: &Lab, wire: &mut Wire) -> Verdict {
    let http = wire.http()?;
    let reply = http
        .exchange(http.post(LIST).with(CONTENT_TYPE, "text/plain"))
        .await?;
    ensure(
        reply.code().is_some(),
        "a refusal has no JSON-RPC error in its body",
        "{\"jsonrpc\": \"2.0\", \"id\": …, \"error\": {…}}",
        reply.seen(),
    )
}

pub async fn events_refused(lab: &Lab) -> Verdict {
    let wire = lab.open().await?;
    let http = wire.http()?;
    let reply = http.exchange(http.get_events()).await?;
    let is_offered = reply.status == 200 && is_stream(&reply);
    let is_refused = matches!(reply.status, 404 | 405 | 406 | 501) || reply.status == 200;
    ensure(
        is_offered || is_refused,
        "a server without sessions does not say so",
        "404, 405, 406 or 501 (or a stream of events)",
        reply.seen(),
    )
}

pub async fn stream_headers(lab: &Lab) -> Verdict {
    let wire = lab.open().await?;
    let Some(events) = &wire.http()?.events else {
        return Err(Stop::skip("there is no session"));
    };
    for (name, expected) in [("cache-control", "no-cache"), ("x-accel-buffering", "no")] {
        let value = events.headers.get(name).and_then(|it| it.to_str().ok());
        let value = value.unwrap_or("(none)");
        ensure(
            value.contains(expected),
            "the stream of events does not keep proxies from holding it back",
            format!("{name}: {expected}"),
            format!("{name}: {value}"),
        )?;
    }
    Ok(())
}
