//! Security: who is refused.

use reqwest::header::AUTHORIZATION;
use reqwest::header::HOST;
use reqwest::header::ORIGIN;
use stepflow_rpc::transport::http::is_loopback;

use crate::lab::Lab;
use crate::verdict::Stop;
use crate::verdict::Verdict;
use crate::verdict::ensure;
use crate::wire::Wire;
use crate::wire::http::Request;

const LIST: &str = r#"{"jsonrpc":"2.0","id":"post","method":"components/list","params":{}}"#;
const FOREIGN: &str = "http://evil.example";

/// Each kind of request there is.
fn requests(wire: &Wire) -> Result<[Request; 2], Stop> {
    let http = wire.http()?;
    Ok([http.post(LIST), http.get_events()])
}

pub async fn origin(_: &Lab, wire: &mut Wire) -> Verdict {
    for request in requests(wire)? {
        let method = request.method.clone();
        let reply = wire.http()?.exchange(request.with(ORIGIN, FOREIGN)).await?;
        ensure(
            reply.status == 403,
            format!("a {method} of a foreign web page is served"),
            "403",
            reply.seen(),
        )?;
    }
    Ok(())
}

pub async fn host(_: &Lab, wire: &mut Wire) -> Verdict {
    let base = &wire.http()?.base;
    if !is_loopback(base) {
        // Whoever listens at `0.0.0.0` listens on loopback too, and may believe to have said so.
        let name = base.host_str().unwrap_or_default();
        return Err(Stop::skip(format!(
            "the server is not reached through loopback: {name} is another address than 127.0.0.1, [::1] or localhost"
        )));
    }
    for request in requests(wire)? {
        let method = request.method.clone();
        let reply = wire
            .http()?
            .exchange(request.with(HOST, "evil.example"))
            .await?;
        ensure(
            reply.status == 403,
            format!("a {method} to a foreign name that points here is served"),
            "403",
            reply.seen(),
        )?;
    }
    Ok(())
}

pub async fn token(lab: &Lab, wire: &mut Wire) -> Verdict {
    if !lab.has_token {
        return Err(Stop::skip("no token was given for the server"));
    }
    for given in ["", "Bearer wrong", "Basic d3Jvbmc6d3Jvbmc="] {
        for request in requests(wire)? {
            let method = request.method.clone();
            let reply = wire
                .http()?
                .exchange(request.with(AUTHORIZATION, given))
                .await?;
            ensure(
                reply.status == 401,
                format!("a {method} without the token is served"),
                "401",
                reply.seen(),
            )?;
        }
    }
    Ok(())
}

pub async fn cors(_: &Lab, wire: &mut Wire) -> Verdict {
    let http = wire.http()?;
    let reply = http.exchange(http.post(LIST).with(ORIGIN, FOREIGN)).await?;
    let allowed = reply.header("access-control-allow-origin");
    ensure(
        !matches!(allowed, "*" | FOREIGN),
        "any web page may read the answers",
        "no Access-Control-Allow-Origin for foreign pages",
        allowed.to_owned(),
    )
}
