//! What one client may not see of another, and nobody of a token.

use futures_util::StreamExt;
use futures_util::future::join_all;
use stepflow_flow::value::Value;
use stepflow_rpc::Arrival;
use stepflow_rpc::Link;
use stepflow_rpc::Message;
use stepflow_rpc::transport::http::client;
use stepflow_rpc::transport::http::client::SessionMode;
use stepflow_tests::environment::Python;
use stepflow_tests::http::Server;
use stepflow_tests::process::Mark;
use stepflow_tests::program::Folder;
use stepflow_tests::runtime;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::success;
use stepflow_tests::soon;
use stepflow_tests::value;
use tempfile::TempDir;

async fn open(url: &str, session: SessionMode) -> Link {
    let mut options = client::Options::new(url.parse().unwrap());
    options.session = session;
    let connected = soon("a connection", client::connect(&options)).await;
    connected.unwrap().link
}

fn send(link: &Link, text: &str) {
    let message = Message::decode(text).unwrap_or_else(|error| panic!("{error:?}: {text}"));
    link.outgoing.send(message, None).unwrap();
}

/// The next message, as a value.
async fn receive(link: &mut Link) -> Value {
    match soon("a message", link.incoming.next()).await {
        Some(Arrival::Message(message)) => {
            let mut text = Vec::new();
            message.encode(&mut text);
            value(&String::from_utf8(text).unwrap())
        }
        other => panic!("no message: {other:?}"),
    }
}

/// Greets a server and lets a component call back, in the same words as everybody else, but for one number.
async fn talk(url: &str, session: SessionMode, number: usize) {
    let mut link = open(url, session).await;
    send(
        &link,
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"runtime_protocol_version":1,"protocol_prefix":"it"}}"#,
    );
    assert!(receive(&mut link).await.get("result").is_some());
    send(
        &link,
        r#"{"jsonrpc":"2.0","method":"initialized","params":{}}"#,
    );
    for id in 2..5 {
        send(
            &link,
            &format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"components/execute","params":{{"component":"/blob","input":{{"data":[{number},{id}]}}}}}}"#
            ),
        );
        let mut stored = Value::null();
        loop {
            let message = receive(&mut link).await;
            let (Some(asked), Some(params)) = (message.get("method"), message.get("params")) else {
                let output = message.get("result").unwrap().get("output").unwrap();
                assert_eq!(message.get("id"), Some(value(&id.to_string())));
                assert_eq!(output.get("data"), Some(value(&format!("[{number},{id}]"))));
                assert_eq!(output.get("data"), Some(stored));
                break;
            };
            let result = match &*asked.as_str().unwrap() {
                "blobs/put" => {
                    stored = params.get("data").unwrap();
                    // The same id for everybody.
                    format!(r#"{{"blob_id":"sha256:{}"}}"#, "0".repeat(64))
                }
                "blobs/get" => format!(r#"{{"data":{stored},"blob_type":"data"}}"#),
                other => panic!("{other}"),
            };
            let asked = message.get("id").unwrap();
            send(
                &link,
                &format!(r#"{{"jsonrpc":"2.0","id":{asked},"result":{result}}}"#),
            );
        }
    }
    link.outgoing.close();
}

// req: http.isolation
#[tokio::test]
async fn clients_with_equal_ids_do_not_meet() {
    for program in [Program::Rust, Program::Python] {
        for session in [SessionMode::Required, SessionMode::Off] {
            let (home, mark) = (TempDir::new().unwrap(), Mark::default());
            let server = Server::start(program, home.path(), &mark).await;
            join_all((0..64).map(|number| talk(&server.url, session, number))).await;
            server.stop().await;
            mark.all_gone().await;
        }
    }
}

// req: http.tokens
#[tokio::test]
async fn tokens_are_shown_nowhere() {
    const FLOW: &str = "
        steps:
        - {id: code, component: put_blob, input: {data: {code: 'input.n * 2 + 2'}}}
        - id: run
          component: /it/udf
          input: {blob_id: {$step: code, path: blob_id}, input: {n: 20}}
        output: {$step: run}
        ";
    let folder = Folder::default()
        .file("flow.yaml", FLOW)
        .file("token", "sentinel-token\n");
    let mut command = tokio::process::Command::new(Python::Project.interpreter());
    command
        .args([
            "-m",
            "stepflow_sdk",
            "--http",
            "--port",
            "0",
            "--token-file",
            "token",
        ])
        .current_dir(folder.path())
        .env_clear()
        .envs(runtime::variables(folder.path(), folder.mark()));
    let server = Server::spawn(command).await;
    for (token, url, code) in [
        ("sentinel-token", server.url.as_str(), 0),
        ("sentinel-wrong", server.url.as_str(), 1),
        ("sentinel-token", "http://127.0.0.1:1", 1),
    ] {
        for session in ["auto", "off"] {
            let config = format!(
                "plugins:
  builtin: {{type: builtin}}
  it:
    type: stepflow
    transport: http
    url: '{url}?key=sentinel-query'
    session: {session}
    connectTimeout: 200ms
    bearerToken: {token}
    headers: {{x-api-key: sentinel-header}}
"
            );
            std::fs::write(folder.path().join("stepflow-config.yml"), config).unwrap();
            let ran = folder.run(&[
                "run",
                "flow.yaml",
                "--input-json",
                "null",
                "-vvv",
                "--log-level",
                "trace",
                "--log-file",
                "log",
            ]);
            assert_eq!(ran.code, Some(code), "{ran:#?}");
            if code == 0 {
                assert_eq!(success(&ran.outcome()), &value("42"));
            } else if url == server.url {
                // In our words or, where the server has some, in its own; both name it.
                assert!(ran.stdout.to_lowercase().contains("token"), "{ran:#?}");
            }
            let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
            for said in [&ran.stdout, &ran.stderr, &log, &server.stderr()] {
                let shown = said.lines().find(|line| line.contains("sentinel"));
                assert_eq!(shown, None, "{token} {session}");
            }
        }
    }
    server.stop().await;
    folder.mark().all_gone().await;
}
