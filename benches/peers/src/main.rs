//! Drives the peers in Rust: `rmcp`, the SDK of the Model Context Protocol, over stdio and over streamable HTTP.
//!
//! Reads lines of two numbers, how many calls and how many at once, and answers each with the seconds that they took. Ends with its stdin.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use futures_util::StreamExt;
use futures_util::stream;
use rmcp::Peer;
use rmcp::RoleClient;
use rmcp::ServerHandler;
use rmcp::ServiceExt;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Json;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolRequestParams;
use rmcp::model::ServerCapabilities;
use rmcp::model::ServerConfig;
use rmcp::tool;
use rmcp::tool_handler;
use rmcp::tool_router;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::TokioChildProcess;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::BufReader;

/// What our components get and return too.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
struct Input {
    text: String,
    number: i64,
}

#[derive(Clone, Debug)]
struct Echo {
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Echo {
    fn new() -> Self {
        Echo {
            tool_router: Self::tool_router(),
        }
    }

    #[tool(description = "Returns its input")]
    fn echo(&self, Parameters(input): Parameters<Input>) -> Json<Input> {
        Json(input)
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Echo {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("rmcp-stdio") => drive_stdio().await,
        Some("rmcp-http") => drive_http().await,
        Some("serve-stdio") => {
            let served = Echo::new().serve(rmcp::transport::stdio()).await?;
            served.waiting().await?;
            Ok(())
        }
        Some("serve-http") => serve_http().await,
        _ => anyhow::bail!("the first argument is `rmcp-stdio` or `rmcp-http`"),
    }
}

async fn drive_stdio() -> anyhow::Result<()> {
    let mut server = tokio::process::Command::new(std::env::current_exe()?);
    server.arg("serve-stdio").kill_on_drop(true);
    let client = ().serve(TokioChildProcess::new(server)?).await?;
    drive(client.peer().clone()).await?;
    client.cancel().await?;
    Ok(())
}

async fn drive_http() -> anyhow::Result<()> {
    // A second installation is refused, and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut server = tokio::process::Command::new(std::env::current_exe()?)
        .arg("serve-http")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let said = server.stdout.take().context("stdout is piped")?;
    let url = BufReader::new(said).lines().next_line().await?;
    let mut config = StreamableHttpClientTransportConfig::with_uri(url.context("no URL")?);
    // As many as are measured at once; by itself it would hold back all but 16.
    config.max_concurrent_requests = 64;
    let client = ().serve(StreamableHttpClientTransport::from_config(config)).await?;
    drive(client.peer().clone()).await?;
    client.cancel().await?;
    server.kill().await?;
    Ok(())
}

async fn serve_http() -> anyhow::Result<()> {
    let service: StreamableHttpService<Echo, LocalSessionManager> =
        StreamableHttpService::new(|| Ok(Echo::new()), Default::default(), Default::default());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("http://{}/mcp", listener.local_addr()?);
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        let _ = stream.set_nodelay(true);
    });
    let router = axum::Router::new().nest_service("/mcp", service);
    tokio::spawn(async {
        let mut rest = Vec::new();
        let _ = tokio::io::stdin().read_to_end(&mut rest).await;
        std::process::exit(0);
    });
    Ok(axum::serve(listener, router).await?)
}

/// Measures as often as stdin says.
async fn drive(peer: Peer<RoleClient>) -> anyhow::Result<()> {
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(order) = orders.next_line().await? {
        let (operations, in_flight) = order.split_once(' ').context("two numbers")?;
        let calls = calls(peer.clone(), operations.parse()?, in_flight.parse()?);
        // In a task, as ours are measured.
        println!("{}", tokio::spawn(calls).await??.as_secs_f64());
    }
    Ok(())
}

async fn calls(
    peer: Peer<RoleClient>,
    operations: usize,
    in_flight: usize,
) -> anyhow::Result<Duration> {
    let input = serde_json::json!({"text": "hello", "number": 1});
    let arguments = input.as_object().context("it is an object")?;
    let call = || async {
        let call = CallToolRequestParams::new("echo").with_arguments(arguments.clone());
        let result = peer.call_tool(call).await?;
        anyhow::ensure!(
            result.structured_content.as_ref() == Some(&input),
            "{result:?}"
        );
        Ok(())
    };
    for _ in 0..in_flight {
        call().await?;
    }
    let start = Instant::now();
    let mut calls = stream::iter((0..operations).map(|_| call())).buffer_unordered(in_flight);
    while let Some(result) = calls.next().await {
        result?;
    }
    Ok(start.elapsed())
}
