//! What HTTP costs at best: one POST of 200 bytes after the other on a connection that is kept, and many at once.

use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use futures_util::StreamExt;
use futures_util::stream;
use reqwest::Client;
use stepflow_rpc::transport::http::client::Url;

use crate::child::Other;
use crate::child::Web;
use crate::effort::Effort;
use crate::effort::Pace;
use crate::floors::line;
use crate::row::Probe;
use crate::row::Row;
use crate::row::Unit;
use crate::serve;
use crate::serve::Mode;
use crate::table::note;

/// A Rust client and a Rust server, the libraries that ours are made of.
pub const AXUM: &str = "floor: reqwest to axum, round trip";
/// The same with many POSTs at once.
pub const AXUM_64: &str = "floor: reqwest to axum, 64 in flight";
/// A Rust client and the least that a Python web application can do under uvicorn alone.
pub const ASGI: &str = "floor: reqwest to bare ASGI, round trip";
/// The same with many POSTs at once.
pub const ASGI_32: &str = "floor: reqwest to bare ASGI, 32 in flight";
/// The harder one: the same application with the parser and the loop that the SDK brings along.
pub const ASGI_FAST: &str = "floor: reqwest to bare ASGI on httptools and uvloop, round trip";
/// The same with many POSTs at once.
pub const ASGI_FAST_32: &str = "floor: reqwest to bare ASGI on httptools and uvloop, 32 in flight";

/// The probes of this module.
pub fn probes(python: &Path, effort: Effort) -> anyhow::Result<Vec<Probe>> {
    let axum = Web::new(Other::ours(Mode::Http)?);
    let echo = Other::python(python, serve::PYTHON_ECHO);
    let asgi = Web::new(echo.clone().argument("h11").argument("asyncio"));
    let asgi_fast = Web::new(echo.argument("httptools").argument("uvloop"));
    let client = client()?;
    let probe = |name, server: &Web, pace, in_flight| {
        let unit = Unit::of(in_flight);
        let operations = effort.operations(pace, in_flight);
        let (client, server) = (client.clone(), server.clone());
        Probe::one(Row::new(name, unit), move || {
            let (client, server) = (client.clone(), server.clone());
            async move {
                let url = server.url().await?;
                let posts = tokio::spawn(posts(client, url, operations, in_flight));
                Ok(unit.figure(posts.await??, operations))
            }
        })
    };
    Ok(vec![
        probe(AXUM, &axum, Pace::Http, 1),
        probe(AXUM_64, &axum, Pace::Http, 64),
        probe(ASGI, &asgi, Pace::Slow, 1),
        probe(ASGI_32, &asgi, Pace::Slow, 32),
        probe(ASGI_FAST, &asgi_fast, Pace::Slow, 1),
        probe(ASGI_FAST_32, &asgi_fast, Pace::Slow, 32),
    ])
}

/// A client as ours is made.
fn client() -> anyhow::Result<Client> {
    // A second installation is refused, and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().tcp_nodelay(true).no_proxy().build();
    client.context("the client cannot be made")
}

async fn posts(
    client: Client,
    url: Url,
    operations: usize,
    in_flight: usize,
) -> anyhow::Result<Duration> {
    let body = line();
    let post = || async {
        let post = client
            .post(url.clone())
            .header("content-type", "application/json; charset=utf-8")
            .body(body.clone());
        let answer = post.send().await?.error_for_status()?.bytes().await?;
        anyhow::ensure!(answer == body, "the echo is another text");
        Ok(())
    };
    for _ in 0..in_flight {
        post().await?;
    }
    let start = Instant::now();
    let mut posts = stream::iter((0..operations).map(|_| post())).buffer_unordered(in_flight);
    while let Some(result) = posts.next().await {
        result?;
    }
    Ok(start.elapsed())
}

/// Returns the body of every POST, at a free port, and says where.
pub async fn serve() -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    note(&format!("serving on http://{}", listener.local_addr()?));
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        // Answers are small and awaited: they must not wait for more to send.
        let _ = stream.set_nodelay(true);
    });
    let echo = async |body: axum::body::Bytes| body;
    let router = axum::Router::new().route("/", axum::routing::post(echo));
    Ok(axum::serve(listener, router).await?)
}
