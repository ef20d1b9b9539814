//! The page on HTTP shows what really passes between a runtime and a server: each exchange is made here, recorded on the
//! wire, and compared with the page. The server is the one that the page begins with.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

mod client;
mod page;
mod recorder;

use stepflow_flow::blob::BlobId;
use stepflow_rpc::transport::http::client::SessionMode;
use stepflow_tests::environment::Python;
use stepflow_tests::http::Server;
use stepflow_tests::process::Mark;
use stepflow_tests::runtime;
use stepflow_tests::runtime::Setup;
use stepflow_tests::runtime::success;
use stepflow_tests::value;
use tempfile::TempDir;
use tokio::process::Command;

use page::Shown;
use recorder::Note;
use recorder::Recorder;
use recorder::What;

/// The transcripts of the page, by the headings above them.
const HEADINGS: [&str; 6] = [
    "A session, message by message",
    "A call that is answered by a stream",
    "A plain call",
    "A stream that is taken up again",
    "A session that has ended",
    "Requests that are refused",
];

const FLOW: &str = "\
steps:
- { id: keep, component: /it/keep, input: { $input: $ } }
output: { $step: keep }
";

/// The server of the page, and the recorder in front of it.
struct Stage {
    server: Server,
    recorder: Recorder,
    mark: Mark,
    home: TempDir,
}

impl Stage {
    async fn set(arguments: &[&str]) -> Stage {
        let (home, mark) = (TempDir::new().unwrap(), Mark::default());
        std::fs::write(home.path().join("my_server.py"), page_server()).unwrap();
        std::fs::write(home.path().join("token"), "s3cret-t0ken\n").unwrap();
        let small = "from my_server import server\n\nserver.max_message_bytes = 4096\n";
        std::fs::write(home.path().join("small.py"), small).unwrap();
        let mut command = Command::new(Python::Project.interpreter());
        command
            .args(["-m", "stepflow_sdk", "--http", "--port", "0"])
            .args(arguments)
            .current_dir(home.path())
            .env_clear()
            .envs(runtime::variables(home.path(), &mark))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let server = Server::spawn(command).await;
        let recorder = Recorder::start(server.port()).await;
        Stage {
            server,
            recorder,
            mark,
            home,
        }
    }

    /// Runs a flow of one step that stores something in the runtime.
    async fn run_flow(&self, session: SessionMode) {
        let url = self.recorder.url();
        let setup = Setup::default().http_with("it", &url, |http| http.client.session = session);
        let runtime = setup.start();
        let finished = runtime.run(FLOW, value(r#"{"total":3}"#)).await;
        success(&finished.outcome);
        runtime.shut_down().await;
    }

    /// Compares what passed with the page, and ends all.
    async fn end(self, heading: &str, shown: Shown) {
        let transcript = page::transcript(&self.recorder.notes(), shown);
        self.server.stop().await;
        self.mark.all_gone().await;
        self.home.close().unwrap();
        assert!(HEADINGS.contains(&heading), "{heading}");
        page::check(heading, &transcript);
    }
}

/// The component server that the page shows.
fn page_server() -> String {
    let page = std::fs::read_to_string(page::path()).unwrap();
    let block = page.split("```python\n").nth(1).unwrap();
    block.split("```").next().unwrap().to_owned()
}

fn execute(id: u32, component: &str, input: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"components/execute","params":{{"component":"{component}","input":{input}}}}}"#
    )
}

// req: docs.transcripts
#[test]
fn every_transcript_of_the_page_is_one_of_these() {
    assert_eq!(page::headings(), HEADINGS);
}

// req: docs.transcripts
#[tokio::test]
async fn a_session_goes_as_the_page_shows() {
    let stage = Stage::set(&["my_server:server"]).await;
    stage.run_flow(SessionMode::Required).await;
    let shown = Shown {
        headers: &["Accept", "Content-Type"],
        without: &["components/list"],
    };
    stage.end("A session, message by message", shown).await;
}

// req: docs.transcripts
#[tokio::test]
async fn a_streamed_call_goes_as_the_page_shows() {
    let stage = Stage::set(&["my_server:server", "--instance-id", "r1"]).await;
    stage.run_flow(SessionMode::Off).await;
    let shown = Shown {
        headers: &["Accept", "Content-Type", "Stepflow-Instance-Id"],
        without: &["initialize", "initialized", "components/list"],
    };
    stage
        .end("A call that is answered by a stream", shown)
        .await;
}

// req: docs.transcripts
#[tokio::test]
async fn a_plain_call_goes_as_the_page_shows() {
    let stage = Stage::set(&["my_server:server"]).await;
    let to = stage.recorder.address;
    let json = [
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
    ];
    for message in [
        execute(1, "/double", "21"),
        execute(2, "/keep", r#"{"total":3}"#),
    ] {
        let asked = client::ask(to, "POST /", &json, &message).await;
        assert_eq!(asked.status().await, 200);
    }
    let shown = Shown {
        headers: &["Accept", "Content-Type"],
        ..Shown::default()
    };
    stage.end("A plain call", shown).await;
}

// req: docs.transcripts
#[tokio::test]
async fn a_lost_stream_is_taken_up_as_the_page_shows() {
    let stage = Stage::set(&["my_server:server"]).await;
    let recorder = &stage.recorder;
    let to = recorder.address;
    let (events, first) = client::open(to, &[]).await;
    let endpoint = first.endpoint().to_owned();
    for (message, status) in [
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"runtime_protocol_version":1,"protocol_prefix":"it"}}"#,
            200,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"initialized","params":{}}"#,
            202,
        ),
    ] {
        let posted = client::post(to, &endpoint, message).await;
        assert_eq!(posted.status().await, status);
    }
    drop(events);
    // The first exchange of all.
    let is_end = |it: &Note| it.exchange == 0 && matches!(it.what, What::End);
    recorder.until(1, is_end).await;
    let call = execute(2, "/keep", r#"{"total":3}"#);
    let call = client::post(to, &endpoint, &call).await;
    let is_request = |it: &Note| matches!(it.what, What::Request(..));
    recorder.until(4, is_request).await;
    let (mut events, again) = client::open(to, &[("Last-Event-ID", &first.id)]).await;
    assert_eq!(again.endpoint(), endpoint);
    let asked = events.event().await;
    let answer = format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{{"blob_id":"{}"}}}}"#,
        asked.data["id"],
        BlobId::of(&value(r#"{"total":3}"#)).unwrap()
    );
    let answered = client::post(to, &endpoint, &answer).await;
    assert_eq!(answered.status().await, 202);
    assert_eq!(call.status().await, 200);
    let shown = Shown {
        headers: &["Last-Event-ID"],
        without: &["initialize", "initialized"],
    };
    stage.end("A stream that is taken up again", shown).await;
}

// req: docs.transcripts
#[tokio::test]
async fn an_ended_session_is_refused_as_the_page_shows() {
    let stage = Stage::set(&["my_server:server"]).await;
    let to = stage.recorder.address;
    let (_events, first) = client::open(to, &[]).await;
    let deleted = client::ask(to, &format!("DELETE {}", first.endpoint()), &[], "").await;
    assert_eq!(deleted.status().await, 202);
    let call = execute(1, "/double", "21");
    let posted = client::post(to, first.endpoint(), &call).await;
    assert_eq!(posted.status().await, 404);
    stage
        .end("A session that has ended", Shown::default())
        .await;
}

// req: docs.transcripts
#[tokio::test]
async fn requests_are_refused_as_the_page_shows() {
    let arguments = [
        "small:server",
        "--token-file",
        "token",
        "--instance-id",
        "r1",
    ];
    let stage = Stage::set(&arguments).await;
    let to = stage.recorder.address;
    let json = ("Content-Type", "application/json");
    let token = ("Authorization", "Bearer s3cret-t0ken");
    let small = |id| execute(id, "/double", "21");
    let large = execute(2, "/keep", &format!(r#"{{"text":"{}"}}"#, "x".repeat(5000)));
    for (headers, message, status) in [
        (vec![json], small(1), 401),
        (vec![json, token], large, 413),
        (
            vec![json, token, ("Stepflow-Instance-Id", "r2")],
            small(3),
            421,
        ),
    ] {
        let posted = client::ask(to, "POST /", &headers, &message).await;
        assert_eq!(posted.status().await, status);
    }
    let shown = Shown {
        headers: &["Authorization", "Stepflow-Instance-Id", "WWW-Authenticate"],
        ..Shown::default()
    };
    stage.end("Requests that are refused", shown).await;
}
