//! Clients that go away without a word: what a server keeps of them for a while, and what it keeps of them for good.

use std::time::Duration;
use std::time::Instant;

use stepflow_tests::figure;
use stepflow_tests::http::Server;
use stepflow_tests::process::Mark;
use stepflow_tests::runtime::Program;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap()
}

/// Sends a request on a connection of its own and reads until the answer holds these words; `None` when it says 503.
async fn ask(port: u16, request: &str, words: &str) -> Option<(TcpStream, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let mut chunk = [0; 4096];
    while !answer.contains(words) {
        let n = stream.read(&mut chunk).await.unwrap();
        assert!(n > 0, "only this came: {answer}");
        answer.push_str(&String::from_utf8_lossy(&chunk[..n]));
        if answer.starts_with("HTTP/1.1 503") {
            return None;
        }
    }
    Some((stream, answer))
}

/// Opens a session, greets the server, and goes away without a word; `false` when there is no room for a session.
async fn abandon_a_session(port: u16) -> bool {
    let events = format!(
        "GET /runtime/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n"
    );
    let Some((_stream, answer)) = ask(port, &events, "sessionId=").await else {
        return false;
    };
    let (_, rest) = answer.split_once("\"endpoint\"").unwrap();
    let endpoint = rest.split('"').nth(1).unwrap();
    let body =
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"runtime_protocol_version":1}}"#;
    let greeting = format!(
        "POST {endpoint} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let greeted = ask(port, &greeting, "server_protocol_version").await;
    greeted.is_some()
}

// req: http.abandoned-sessions
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_abandoned_sessions_give_their_memory_back() {
    for program in [Program::Rust, Program::Python] {
        let home = TempDir::new().unwrap();
        let server = Server::start(program, home.path(), &Mark::default()).await;
        let start = Instant::now();
        let mut settled = None;
        for round in 1..=4 {
            for _ in 0..1_000 {
                assert!(abandon_a_session(server.port()).await, "there was no room");
            }
            let kib = resident_kib(server.pid());
            let what = format!("{program:?}: {round} 000 sessions abandoned, {kib} KiB resident");
            figure(&what, start.elapsed(), Duration::from_secs(600));
            if round >= 2 {
                let first = *settled.get_or_insert(kib);
                assert!(
                    kib < first + first / 10,
                    "memory grows from {first} KiB to {kib} KiB"
                );
            }
        }
        server.stop().await;
    }
}
