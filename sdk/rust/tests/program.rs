//! The example server as a process: its arguments, what it says, and its end.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

use std::path::PathBuf;
use std::process::ExitStatus;
use std::process::Output;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use rustix::process::Signal;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::io::Lines;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::process::ChildStderr;
use tokio::process::Command;

const HANDSHAKE: &str = concat!(
    r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"runtime_protocol_version":1,"protocol_prefix":"it"}}"#,
    "\n",
    r#"{"jsonrpc":"2.0","method":"initialized","params":{}}"#,
    "\n",
);
const ADD: &str = r#"{"jsonrpc":"2.0","id":2,"method":"components/execute","params":{"component":"/add","input":{"a":1,"b":2}}}"#;

/// The example, which a test of this package finds built next to it.
fn example() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let target = this.parent().and_then(std::path::Path::parent).unwrap();
    target.join("examples/server")
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(example());
    command
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Waits for what will come, unless something is wrong.
async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
    waited.unwrap_or_else(|_| panic!("still waiting for {what}"))
}

async fn run(mut command: Command, input: &str) -> Output {
    let mut child = command.spawn().unwrap();
    // One that refused its arguments does not read.
    let _ = child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .await;
    soon("the end of the program", child.wait_with_output())
        .await
        .unwrap()
}

/// A server over HTTP that said where it is.
struct Server {
    child: Child,
    stderr: Lines<BufReader<ChildStderr>>,
    said: String,
    address: String,
}

impl Server {
    async fn start(arguments: &[&str]) -> Server {
        let arguments = [&["--http", "--port", "0"], arguments].concat();
        let mut child = command(&arguments).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        loop {
            let line = soon("its address", stderr.next_line()).await.unwrap();
            let line = line.unwrap_or_else(|| panic!("it ended: {said}"));
            said += &line;
            if let Some((_, url)) = line.split_once(" over HTTP at http://") {
                let address = url.split_whitespace().next().unwrap().to_owned();
                return Server {
                    child,
                    stderr,
                    said,
                    address,
                };
            }
        }
    }

    async fn post(&self, path: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n{headers}\r\n{body}",
            self.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon("an answer", stream.read_to_string(&mut answer))
            .await
            .unwrap();
        answer
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        rustix::process::kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    async fn ended(mut self) -> (ExitStatus, String) {
        while let Some(line) = soon("its stderr", self.stderr.next_line()).await.unwrap() {
            self.said += &line;
        }
        let status = soon("its end", self.child.wait()).await.unwrap();
        (status, self.said)
    }
}

#[tokio::test]
async fn it_serves_over_stdin_and_stdout_and_answers_what_came_before_the_end() {
    for _ in 0..5 {
        let output = run(command(&[]), &format!("{HANDSHAKE}{ADD}\n")).await;
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].contains(r#""server_protocol_version":1"#));
        assert!(lines[1].contains(r#"{"sum":3}"#), "{text}");
    }
}

#[tokio::test]
async fn one_that_waits_for_its_runtime_ends_with_stdin() {
    let store = r#"{"jsonrpc":"2.0","id":2,"method":"components/execute","params":{"component":"/store","input":{"pages":["x"]}}}"#;
    let output = run(command(&[]), &format!("{HANDSHAKE}{store}\n")).await;
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("blobs/put"), "{text}");
}

#[tokio::test]
async fn a_second_greeting_begins_again() {
    let output = run(command(&[]), &format!("{HANDSHAKE}{HANDSHAKE}{ADD}\n")).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(r#"{"sum":3}"#), "{text}");
    let greeting = HANDSHAKE.lines().next().unwrap();
    let output = run(command(&[]), &format!("{HANDSHAKE}{greeting}\n{ADD}\n")).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("-32002"), "{text}");
}

#[tokio::test]
async fn wrong_arguments_are_told_on_stderr() {
    let missing = ["--http", "--token-file", "no such file"];
    let cases: [(&[&str], &str); 4] = [
        (&["--nonsense"], "unexpected argument '--nonsense'"),
        (&["--port", "1"], "--port is for HTTP: add --http"),
        (&missing, "cannot read the token file no such file"),
        (
            &["--http", "--host", "203.0.113.1"],
            "cannot listen on 203.0.113.1",
        ),
    ];
    for (arguments, expected) in cases {
        let output = run(command(arguments), "").await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(expected), "{arguments:?}: {text}");
        assert!(output.stdout.is_empty());
    }
    let mut empty = command(&["--http"]);
    empty.env("STEPFLOW_TOKEN", " ");
    let output = run(empty, "").await;
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("STEPFLOW_TOKEN: the token is empty"),
        "{text}"
    );
}

#[tokio::test]
async fn help_and_version_go_to_stdout() {
    for (argument, expected) in [
        ("--help", "Exit codes:"),
        ("--version", env!("CARGO_PKG_VERSION")),
    ] {
        let output = run(command(&[argument]), "").await;
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn over_http_it_says_where_it_is_and_ends_when_told() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::start(&[]).await;
        assert!(
            server
                .said
                .starts_with("stepflow_sdk: serving 3 components over HTTP at http://127.0.0.1:"),
            "{}",
            server.said
        );
        let answer = server.post("/", "", ADD).await;
        assert!(answer.contains(r#"{"sum":3}"#), "{answer}");
        server.signal(signal);
        let (status, said) = server.ended().await;
        assert!(status.success(), "{status:?} {said}");
        assert!(said.contains("ending; calls that run may finish"), "{said}");
    }
}

#[tokio::test]
async fn a_token_comes_from_a_file_or_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "sentinel\n").unwrap();
    let server = Server::start(&["--token-file", file.to_str().unwrap()]).await;
    let answer = server.post("/", "", ADD).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let bearer = "Authorization: Bearer sentinel\r\n";
    let answer = server.post("/", bearer, ADD).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(!server.said.contains("WARNING"), "{}", server.said);
}

#[tokio::test]
async fn whoever_opens_it_to_everyone_is_warned() {
    let server = Server::start(&["--host", "0.0.0.0"]).await;
    assert!(server.said.contains("WARNING"), "{}", server.said);
    assert!(server.said.contains("--token-file"), "{}", server.said);
    // Through loopback it is as careful as any other.
    let port = server.address.rsplit(':').next().unwrap();
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}"))
        .await
        .unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: evil.test\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{ADD}",
        ADD.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[tokio::test]
async fn a_second_signal_cancels_what_runs() {
    let server = Server::start(&[]).await;
    let store = r#"{"jsonrpc":"2.0","id":2,"method":"components/execute","params":{"component":"/store","input":{"pages":["x"]}}}"#;
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         Content-Length: {}\r\n\r\n{store}",
        server.address,
        store.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut next = async || {
        soon("its stream", lines.next_line())
            .await
            .unwrap()
            .unwrap()
    };
    while !next().await.contains("blobs/put") {}
    server.signal(Signal::TERM);
    // Both are noted by then, however close together they come: the first was acted on.
    let mut server = server;
    let said = soon("its word", server.stderr.next_line()).await.unwrap();
    assert!(said.unwrap().contains("a second signal cancels them"));
    server.signal(Signal::TERM);
    while !next().await.contains("-32012") {}
    let (status, _) = server.ended().await;
    assert!(status.success(), "{status:?}");
}
