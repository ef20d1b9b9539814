//! What one client may not see of another, and nobody of a token.

use futures_util::StreamExt;
use futures_util::future::join_all;
use stepflow_flow::value::Value;
use stepflow_rpc::Arrival;
use stepflow_rpc::Link;
use stepflow_rpc::Message;
use stepflow_rpc::transport::http::client;
use stepflow_rpc::transport::http::client::SessionMode;
use stepflow_tests::http::Server;
use stepflow_tests::process::Mark;
use stepflow_tests::program::Folder;
use stepflow_tests::program::Ran;
use stepflow_tests::runtime::Program;
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

/// Everything of this kind is a secret.
const SENTINEL: &str = "sentinel";

/// How a runtime presents itself, what that comes to, and what is said of it.
struct Attempt {
    url: String,
    keys: &'static str,
    headers: &'static str,
    code: i32,
    says: &'static str,
}

// req: http.tokens
#[tokio::test]
async fn tokens_are_shown_nowhere() {
    const FLOW: &str = "
        steps: [{id: store, component: /it/blob, input: {data: {$input: $}}}]
        output: {$step: store, path: data}
        ";
    for program in [Program::Rust, Program::Python] {
        let folder = Folder::default()
            .file("flow.yaml", FLOW)
            .file("token", "sentinel-token\n");
        let token = folder.path().join("token");
        let options = ["--token-file", token.to_str().unwrap()];
        let server = Server::start_with(0, program, &options, folder.path(), folder.mark()).await;
        for attempt in attempts(&server) {
            for session in ["auto", "off"] {
                let (ran, log) = attempt.run(&folder, session);
                assert_eq!(ran.code, Some(attempt.code), "{program:?}: {ran:#?}");
                let says = ran.stdout.to_lowercase().contains(attempt.says);
                assert!(says, "{program:?}: {ran:#?}");
                for said in [&ran.stdout, &ran.stderr, &log, &server.stderr()] {
                    let shown = said.lines().find(|line| line.contains(SENTINEL));
                    assert_eq!(shown, None, "{program:?} {} {session}", attempt.keys);
                }
                assert!(
                    log.contains("components/execute"),
                    "nothing was logged: {log}"
                );
            }
        }
        server.stop().await;
        folder.mark().all_gone().await;
    }
}

const RIGHT: &str = "bearerToken: sentinel-token";

fn attempts(server: &Server) -> Vec<Attempt> {
    let with_user = server
        .url
        .replace("//", "//sentinel-user:sentinel-password@");
    let of = |url: &str, keys, headers, code, says| Attempt {
        url: url.to_owned(),
        keys,
        headers,
        code,
        says,
    };
    vec![
        of(&server.url, RIGHT, "", 0, "success"),
        of(&server.url, "bearerToken: sentinel-wrong", "", 1, "token"),
        of(
            &server.url,
            "timeout: 1m",
            ", authorization: Bearer sentinel-token",
            0,
            "success",
        ),
        of(&with_user, "timeout: 1m", "", 1, "token"),
        of(
            &with_user.replace(&server.port().to_string(), "1"),
            RIGHT,
            "",
            1,
            "refused",
        ),
    ]
}

impl Attempt {
    /// Runs the flow and writes down all that there is to be told.
    fn run(&self, folder: &Folder, session: &str) -> (Ran, String) {
        let Attempt {
            url, keys, headers, ..
        } = self;
        let config = format!(
            "plugins:
  it:
    type: stepflow
    transport: http
    url: '{url}?key=sentinel-query'
    session: {session}
    connectTimeout: 200ms
    headers: {{x-api-key: sentinel-header{headers}}}
    {keys}
"
        );
        std::fs::write(folder.path().join("stepflow-config.yml"), config).unwrap();
        let ran = folder.run(&[
            "run",
            "flow.yaml",
            "--input-json",
            "[1]",
            "-vvv",
            "--log-level",
            "trace",
            "--log-file",
            "log",
        ]);
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        (ran, log)
    }
}
