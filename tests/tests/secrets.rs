//! Secrets are in no output, whoever tells them and over whatever transport: here are servers that quote all they were
//! told, in every notation and cut anywhere. What a flow returns is exempt, so no flow here returns a secret.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

use std::collections::HashSet;

use axum::Router;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::any;
use serde_json::Value;
use serde_json::json;
use stepflow_tests::program::Folder;
use stepflow_tests::program::Ran;
use stepflow_tests::soon;

/// Looks the same in every notation.
const PLAIN: &str = "sesame-plain-8f3a";

/// Every character that some notation escapes.
const ODD: &str = "p\"w<tail-8f3b>&/\\'é x";

/// Several lines, each of which is enough to open the door.
const LINES: &str = "MIIabcdef8f3c0123\n\n  QWERTYzxcv8f3d==\n";

/// As odd as a header can be.
const HEADER: &str = "h\"d<head-8f3e>&/ x";

/// Longer than anything that is shown.
fn long() -> String {
    (0..250)
        .map(|n| format!("{:04}-long,", n * 7 % 9973))
        .collect()
}

/// The environment of every run.
fn environment() -> [(&'static str, String); 5] {
    [
        ("PLAIN", PLAIN.to_owned()),
        ("ODD", ODD.to_owned()),
        ("LINES", LINES.to_owned()),
        ("HEADER", HEADER.to_owned()),
        ("LONG", long()),
    ]
}

/// All that could be of use to who sees it: so many letters in a row that look the same in every notation.
struct Useful(HashSet<Vec<u8>>);

impl Useful {
    const LENGTH: usize = 8;

    fn new() -> Useful {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        let mut parts = HashSet::new();
        for (_, secret) in environment() {
            for run in secret.split(|letter| !is_plain(letter)) {
                parts.extend(run.as_bytes().windows(Self::LENGTH).map(<[u8]>::to_vec));
            }
        }
        Useful(parts)
    }

    /// Where a text tells a part of a secret, with what stands around it.
    fn find(&self, text: &str) -> Option<String> {
        let mut windows = text.as_bytes().windows(Self::LENGTH);
        let at = windows.position(|window| self.0.contains(window))?;
        let start = text.floor_char_boundary(at.saturating_sub(200));
        let end = text.ceil_char_boundary((at + 200).min(text.len()));
        Some(text[start..end].to_owned())
    }
}

/// A server over HTTP that answers with all it was told: a component server at `/stepflow`, an MCP server at `/mcp`, and
/// one that lets nobody in anywhere else.
async fn leak(uri: Uri, headers: HeaderMap, body: String) -> Response {
    let told = format!("{uri} {headers:?} {body} ").repeat(3);
    let message: Value = serde_json::from_str(&body).unwrap_or_default();
    let answer = |name: &str, content: Value| {
        let text = json!({"jsonrpc": "2.0", "id": message["id"], name: content}).to_string();
        ([(CONTENT_TYPE, "application/json")], text).into_response()
    };
    let error = json!({"code": -32000, "message": told, "data": {"told": told}});
    let is_session = matches!(uri.path(), "/mcp" | "/stepflow");
    let tool = message["params"]["name"].as_str();
    match (uri.path(), message["method"].as_str()) {
        ("/away", _) => (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, "/echo")]).into_response(),
        ("/stepflow/runtime/events", _) => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        ("/stepflow", Some("initialize")) => {
            answer("result", json!({"server_protocol_version": 1}))
        }
        ("/stepflow", Some("components/list")) => {
            let components = json!([{"component": "/fail", "description": told}]);
            answer("result", json!({"components": components}))
        }
        ("/stepflow", Some("components/execute")) => answer("error", error),
        ("/mcp", Some("initialize")) => {
            let version = &message["params"]["protocolVersion"];
            let info = json!({"name": told, "version": "1"});
            let result = json!({"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info});
            answer("result", result)
        }
        ("/mcp", Some("tools/list")) => {
            let tool = |name| json!({"name": name, "description": told, "inputSchema": {"type": "object"}});
            answer(
                "result",
                json!({"tools": [tool("fail"), tool("result"), tool("refuse")]}),
            )
        }
        ("/mcp", Some("tools/call")) if tool == Some("fail") => answer("error", error),
        ("/mcp", Some("tools/call")) if tool == Some("result") => {
            let content = json!([{"type": "text", "text": told}]);
            answer("result", json!({"isError": true, "content": content}))
        }
        (_, Some(_)) if is_session && message["id"].is_null() => {
            StatusCode::ACCEPTED.into_response()
        }
        _ => (StatusCode::UNAUTHORIZED, told).into_response(),
    }
}

/// Starts the server above; its address.
async fn serve() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().fallback(any(leak));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    origin
}

/// A config with one plugin, `it`.
fn config(plugin: &str) -> String {
    format!(
        "plugins: {{ builtin: {{ type: builtin }}, it: {{ {plugin} }} }}\nretry: {{ transportMaxRetries: 1 }}\n"
    )
}

/// A plugin that starts `leaky.py` and gives it all there is.
fn started(kind: &str) -> String {
    format!(
        "type: {kind}, command: python, args: [leaky.py], restart: {{ maxRestarts: 0 }}, env: {{ \
         STEPFLOW_TEST_MARK: \"${{STEPFLOW_TEST_MARK}}\", \
         KEY_A: \"${{PLAIN}}\", KEY_B: \"${{ODD}}\", KEY_C: \"${{LINES}}\", KEY_D: \"${{LONG}}\" }}"
    )
}

/// A plugin that is reached over HTTP.
fn reached(kind: &str, url: &str) -> String {
    format!(
        "type: {kind}, url: \"{url}?key=${{PLAIN}}\", bearerToken: \"${{PLAIN}}\", headers: {{ X-Key: \"${{HEADER}}\" }}"
    )
}

/// All variables, as the input of a step.
const ALL: &str = "{ told: { $step: told }, plain: { $variable: plain }, odd: { $variable: odd }, \
                   long: { $variable: long }, deep: { $variable: deep } }";

/// A flow of one step that is told secrets, and does not return them.
fn flow(component: &str, input: &str) -> String {
    format!(
        "\
variables:
  type: object
  properties:
    plain: {{ type: string, is_secret: true, env_var: PLAIN }}
    odd: {{ type: string, is_secret: true, env_var: ODD }}
    long: {{ type: string, is_secret: true, env_var: LONG }}
    header: {{ type: string, is_secret: true, env_var: HEADER }}
    deep: {{ type: object, properties: {{ list: {{ type: array, items: {{ properties: {{ token: {{ is_secret: true }} }} }} }} }} }}
steps:
  - {{ id: told, component: noop, input: {{ $template: \"{{{{ $variable.plain }}}} {{{{ $variable.odd }}}} {{{{ $variable.deep }}}}\" }} }}
  - {{ id: leak, component: {component}, input: {input} }}
output: {{ done: {{ $if: {{ $step: leak }}, then: 1 }} }}
"
    )
}

/// Runs a step as loudly as can be, and looks at all that the program said.
async fn check(config: &str, component: &str, input: &str, outcome: &str) {
    let folder = Folder::default()
        .copy("tests/servers/leaky.py")
        .file("stepflow-config.yml", config)
        .file("flow.yaml", &flow(component, input));
    let variables = json!({"deep": {"list": [{"token": LINES}, {"token": PLAIN}]}}).to_string();
    let useful = Useful::new();
    for format in ["text", "json"] {
        let mut command = folder.stepflow(&["-vvv", "--log-format", format, "--log-file", format]);
        command
            .args(["run", "flow.yaml", "--env-variables"])
            .args(["--input-json", "{}", "--variables-json", &variables])
            .envs(environment());
        let run = tokio::task::spawn_blocking(move || Ran::from(command.output().unwrap()));
        let ran = soon("the end of the program", run).await.unwrap();
        assert!(ran.stdout.contains(outcome), "{component}: {ran:#?}");
        let log = std::fs::read_to_string(folder.path().join(format)).unwrap();
        for (what, text) in [
            ("stdout", &ran.stdout),
            ("stderr", &ran.stderr),
            ("log", &log),
        ] {
            if let Some(found) = useful.find(text) {
                panic!("{component}: a part of a secret is in the {what} ({format}):\n{found}");
            }
        }
        // Who was told nothing proves nothing.
        let is_hidden = [&ran.stdout, &ran.stderr, &log]
            .iter()
            .any(|text| text.contains("***"));
        assert!(
            is_hidden,
            "{component}: there was nothing to hide: {ran:#?}"
        );
    }
    folder.mark().all_gone().await;
}

#[tokio::test]
async fn a_component_server_over_stdio_cannot_make_a_secret_known() {
    let config = config(&started("stepflow"));
    check(&config, "/it/fail", ALL, "-32000").await;
    check(&config, "/it/quiet", ALL, "success").await;
    check(&config, "/it/end", ALL, "failed").await;
}

#[tokio::test]
async fn a_component_server_over_http_cannot_make_a_secret_known() {
    let origin = serve().await;
    for (path, outcome) in [("/stepflow", "-32000"), ("/refuses", "failed")] {
        let config = config(&reached("stepflow", &format!("{origin}{path}")));
        check(&config, "/it/fail", ALL, outcome).await;
    }
}

#[tokio::test]
async fn an_mcp_server_over_stdio_cannot_make_a_secret_known() {
    let config = config(&started("mcp"));
    check(&config, "/it/fail", ALL, "-32000").await;
    check(&config, "/it/result", ALL, "failed").await;
    check(&config, "/it/end", ALL, "failed").await;
}

#[tokio::test]
async fn an_mcp_server_over_http_cannot_make_a_secret_known() {
    let config = config(&reached("mcp", &format!("{}/mcp", serve().await)));
    for tool in ["/it/fail", "/it/result", "/it/refuse"] {
        check(&config, tool, ALL, "failed").await;
    }
}

#[tokio::test]
async fn a_web_server_cannot_make_a_secret_known_even_after_a_redirect() {
    let origin = serve().await;
    let config = "plugins: { builtin: { type: builtin } }\n";
    for path in ["/echo", "/away"] {
        let request = format!(
            "{{ url: \"{origin}{path}\", method: POST, fail_on_status: true, json: {ALL}, \
             headers: {{ Authorization: {{ $variable: header }}, X-Plain: {{ $variable: plain }} }} }}"
        );
        check(config, "http_request", &request, "401").await;
    }
}

#[tokio::test]
async fn a_model_cannot_make_a_secret_known() {
    let request = format!(
        "{{ base_url: \"{}/v1\", api_key: {{ $variable: plain }}, model: small, \
         messages: [{{ role: user, content: {{ $variable: odd }} }}] }}",
        serve().await
    );
    check(
        "plugins: { builtin: { type: builtin } }\n",
        "openai",
        &request,
        "401",
    )
    .await;
}
