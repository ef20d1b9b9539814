//! `stepflow inspect` over real servers: what it shows of them, where, and what it keeps to itself.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

use std::io::Write;
use std::process::Command;
use std::process::Stdio;

use serde_json::Value;
use serde_json::json;
use stepflow_tests::environment::Python;
use stepflow_tests::http;
use stepflow_tests::program::Folder;
use stepflow_tests::program::Ran;
use stepflow_tests::runtime::Program;

const SECRET: &str = "sesame-open-it";

/// Runs the program off the async threads, which servers of the test may need.
async fn run(mut command: Command) -> Ran {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    Ran::from(output.await.unwrap())
}

/// `stepflow inspect OPTIONS -- the server`.
async fn inspect(folder: &Folder, options: &[&str], server: Program) -> Ran {
    let (path, arguments) = server.command();
    let mut command = folder.stepflow(&["inspect"]);
    command
        .args(options)
        .arg("--")
        .arg(path)
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    run(command).await
}

/// `stepflow inspect --url URL OPTIONS`.
async fn inspect_at(folder: &Folder, url: &str, options: &[&str]) -> Ran {
    let arguments = [&["inspect", "--url", url], options].concat();
    run(folder.stepflow(&arguments)).await
}

fn document(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:#?}"))
}

fn check_has(text: &str, expected: &[&str]) {
    for part in expected {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[tokio::test]
async fn a_server_that_is_started_says_what_it_is_and_offers() {
    for server in [Program::Python, Program::Rust] {
        let folder = Folder::default();
        let ran = inspect(&folder, &[], server).await;
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        let expected = [
            "server     test-server",
            "transport  stdio, process ",
            "protocol   version 1\n",
            "cancel, log, ping, progress\n",
            "messages   up to 268435456 bytes\n",
            "\n/typed\n    Takes a name and a count\n    input:",
            "count:",
        ];
        check_has(&ran.stdout, &expected);
        check_has(
            &ran.stderr,
            &["connected after ", "components/list answered"],
        );
        folder.mark().all_gone().await;
    }
}

#[tokio::test]
async fn json_is_one_document_and_alone_on_stdout() {
    let folder = Folder::default();
    let options = [
        "--json",
        "--transcript",
        "--call",
        "echo",
        "--input",
        "[1.50]",
    ];
    let ran = inspect(&folder, &options, Program::Rust).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(ran.stdout.matches('\n').count(), 1, "{}", ran.stdout);
    check_has(
        &ran.stdout,
        &["{\"outcome\":\"success\",\"result\":[1.50]}"],
    );
    let document = document(&ran);
    assert_eq!(document["connection"]["mode"], json!("stdio"));
    assert_eq!(document["server"]["name"], json!("test-server"));
    assert_eq!(document["connection"]["capabilities"]["cancel"], json!({}));
    assert_eq!(document["call"]["component"], json!("/echo"));
    let components = document["components"].as_array().unwrap();
    let typed = components.iter().find(|it| it["component"] == "/typed");
    assert_eq!(typed.unwrap()["inputSchema"]["type"], json!("object"));
}

#[tokio::test]
async fn a_server_over_http_is_described_by_the_way_it_answers() {
    for server in [Program::Python, Program::Rust] {
        let folder = Folder::default();
        let server = http::Server::start(server, folder.path(), folder.mark()).await;
        for (session, component, mode) in [
            ("auto", "/echo", "session"),
            ("required", "/blob", "session"),
            ("off", "/echo", "plain"),
            ("off", "/blob", "streamable"),
        ] {
            let options = ["--session", session, "--json", "--call", component];
            let options = [&options[..], &["--input", r#"{"data": 1}"#]].concat();
            let ran = inspect_at(&folder, &server.url, &options).await;
            assert_eq!(ran.code, Some(0), "{ran:#?}");
            let document = document(&ran);
            assert_eq!(
                document["connection"]["mode"],
                json!(mode),
                "{session} {component}"
            );
            assert_eq!(document["call"]["outcome"]["outcome"], json!("success"));
        }
        let ran = inspect_at(&folder, &server.url, &[]).await;
        check_has(
            &ran.stdout,
            &["transport  HTTP at http://", ", session\n", "\n/echo\n"],
        );
        server.stop().await;
    }
}

#[tokio::test]
async fn a_server_on_the_published_sdk_is_looked_at_the_same_way() {
    const SERVER: Program = Program::Published("published.py");
    let call = [
        "--json",
        "--call",
        "/blob",
        "--input",
        r#"{"data": "kept"}"#,
    ];
    let folder = Folder::default();
    let over_stdio = inspect(&folder, &call, SERVER).await;
    let server = http::Server::start(SERVER, folder.path(), folder.mark()).await;
    let over_http = inspect_at(&folder, &server.url, &call).await;
    for (ran, mode) in [(over_stdio, "stdio"), (over_http, "streamable")] {
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        let document = document(&ran);
        assert_eq!(document["connection"]["mode"], json!(mode));
        assert_eq!(document["server"], json!(null), "it does not say its name");
        assert_eq!(document["call"]["outcome"]["result"]["data"], json!("kept"));
        check_has(&ran.stderr, &["calls back blobs/put {\"data\":\"kept\""]);
    }
    server.stop().await;
}

#[tokio::test]
async fn what_happens_meanwhile_goes_to_stderr_and_the_outcome_to_stdout() {
    let folder = Folder::default();
    let call = ["--call", "/blob", "--input", r#"{"data": [1, 2]}"#];
    let ran = inspect(&folder, &call, Program::Python).await;
    assert_eq!(
        ran.outcome()
            .result()
            .unwrap()
            .get("data")
            .unwrap()
            .as_text(),
        "[1,2]"
    );
    let expected = [
        "server     test-server",
        "calls back blobs/put {\"data\":[1,2],\"blob_type\":\"data\"}\n",
        "  blobs/put was answered after ",
        "calls back blobs/get {\"blob_id\":\"sha256:",
        "/blob answered after ",
    ];
    check_has(&ran.stderr, &expected);
    assert!(
        !ran.stderr.contains('→'),
        "nobody asked for it: {}",
        ran.stderr
    );

    let call = ["--call", "tell", "--input", r#"{"count": 2}"#];
    let ran = inspect(&folder, &call, Program::Python).await;
    check_has(
        &ran.stderr,
        &[
            "progress 50% step 1\n",
            "progress 100% step 2\n",
            "| line 2",
        ],
    );

    let input = r#"{"stdout": "to stdout\n", "stderr": "to stderr\n"}"#;
    let ran = inspect(
        &folder,
        &["--call", "noise", "--input", input],
        Program::Python,
    )
    .await;
    assert_eq!(ran.stdout, "{\"outcome\":\"success\",\"result\":0}\n");
    check_has(&ran.stderr, &["to stdout", "to stderr"]);
}

#[tokio::test]
async fn the_transcript_has_a_message_a_line_and_long_values_cut() {
    let folder = Folder::default();
    let long = "x".repeat(10_000);
    let input = json!({"data": long}).to_string();
    let folder = folder.file("input.json", &input);
    let call = ["--transcript", "--call", "/blob", "--input", "@input.json"];
    let ran = inspect(&folder, &call, Program::Rust).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let lines: Vec<_> = ran.stderr.lines().collect();
    let messages = |arrow: &str| {
        let lines = lines.iter().filter_map(|line| line.strip_prefix(arrow));
        let messages = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        messages.collect::<Vec<_>>()
    };
    let methods = |messages: &[Value]| {
        let methods = messages
            .iter()
            .map(|it| it["method"].as_str().unwrap_or("answer"));
        methods.map(str::to_owned).collect::<Vec<_>>()
    };
    let (ours, theirs) = (messages("→ "), messages("← "));
    let sent = [
        "initialize",
        "initialized",
        "components/execute",
        "answer",
        "answer",
    ];
    assert_eq!(methods(&ours), sent);
    assert_eq!(
        methods(&theirs),
        ["answer", "blobs/put", "blobs/get", "answer"]
    );
    let data = ours[2]["params"]["input"]["data"].as_str().unwrap();
    assert!(
        data.ends_with("x… (10000 bytes)") && data.len() < 300,
        "{data}"
    );
    assert!(ran.stdout.contains(&long), "the result is whole");
}

/// Sees to it that the secret went to the component and came back, and is nowhere on stderr.
fn check_secret_is_kept(ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert!(
        ran.stdout.contains(SECRET),
        "a result is exempt: {}",
        ran.stdout
    );
    assert!(!ran.stderr.contains(SECRET), "{}", ran.stderr);
    check_has(&ran.stderr, &["→ {", "← {", "\"input\":\"the ***\""]);
}

#[tokio::test]
async fn secrets_of_the_command_line_are_not_shown() {
    let folder = Folder::default().file("token", &format!("{SECRET}\n"));
    let input = json!(format!("the {SECRET}")).to_string();
    let call = ["-vvv", "--transcript", "--call", "/echo", "--input", &input];
    let env = format!("API_KEY={SECRET}");
    let ran = inspect(
        &folder,
        &[&call[..], &["--env", &env]].concat(),
        Program::Python,
    )
    .await;
    check_secret_is_kept(&ran);

    let (python, arguments) = Program::Python.command();
    let mut command = folder.stepflow(&["inspect"]);
    command.args(call).arg("--").arg(python).args(arguments);
    command.args(["--api-token", SECRET]);
    let ran = run(command).await;
    assert!(!ran.stderr.contains(SECRET), "{}", ran.stderr);

    let server = http::Server::start(Program::Python, folder.path(), folder.mark()).await;
    let header = format!("X-Anything={SECRET}");
    let bearer = format!("Authorization=Bearer {SECRET}");
    for options in [
        &["--header", &header][..],
        &["--header", &bearer],
        &["--bearer-token-file", "token"],
    ] {
        let ran = inspect_at(&folder, &server.url, &[&call[..], options].concat()).await;
        check_secret_is_kept(&ran);
    }
    let url = format!("{}?key={SECRET}", server.url);
    let ran = inspect_at(&folder, &url, &call).await;
    assert!(!ran.stderr.contains(SECRET), "{}", ran.stderr);
    server.stop().await;
}

#[tokio::test]
async fn a_component_that_fails_is_1() {
    let folder = Folder::default();
    let fail = [
        "--call",
        "/fail",
        "--input",
        r#"{"message": "closed on Sundays"}"#,
    ];
    let ran = inspect(&folder, &fail, Program::Python).await;
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    check_has(
        &ran.stdout,
        &["\"outcome\":\"failed\"", "closed on Sundays"],
    );
    check_has(
        &ran.stderr,
        &["error: ", "closed on Sundays", "code: -32004", "traceback"],
    );

    let sleep = ["--call", "/sleep", "--input", r#"{"ms": 600000}"#];
    let options = [&sleep[..], &["--timeout", "2s"]].concat();
    let ran = inspect(&folder, &options, Program::Rust).await;
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    check_has(
        &ran.stderr,
        &["the server gave no answer within 2s", "code: -32006"],
    );

    let ran = inspect(
        &folder,
        &["--json", "--call", "/exit", "--input", "{\"code\": 7}"],
        Program::Rust,
    )
    .await;
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert_eq!(
        document(&ran)["call"]["outcome"]["outcome"],
        json!("failed")
    );
    folder.mark().all_gone().await;
}

#[tokio::test]
async fn a_server_that_cannot_be_had_is_1_and_says_why() {
    let folder = Folder::default();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let script = "import sys; sys.exit('cannot open the vault')";
    for (arguments, expected) in [
        (
            &["--", "python", "-c", script][..],
            &["cannot open the vault", "status 1"][..],
        ),
        (
            &["--", "no-such-program"],
            &["`no-such-program` was not found"],
        ),
        (
            &["--url", &nobody, "--timeout", "200ms"],
            &["Connection refused", "hint: is the server running"],
        ),
    ] {
        for json in [&[][..], &["--json"]] {
            let ran = folder.run(&[&["inspect"], json, arguments].concat());
            assert_eq!(ran.code, Some(1), "{ran:#?}");
            assert_eq!(ran.stdout, "", "{arguments:?}");
            check_has(&ran.stderr, expected);
        }
    }
}

#[test]
fn wrong_use_is_2() {
    let folder = Folder::default();
    for arguments in [
        &[][..],
        &["--url", "http://localhost:1", "--", "python"],
        &["--url", "ftp://localhost"],
        &["--url", "http://localhost:1", "--header", "nothing"],
        &[
            "--url",
            "http://localhost:1",
            "--bearer-token-file",
            "missing",
        ],
        &["--url", "http://localhost:1", "--env", "A=b"],
        &["--header", "A=b", "--", "python"],
        &["--input", "1", "--", "python"],
        &["--call", "x", "--input", "{a", "--", "python"],
        &["--env", "NO_SUCH_VARIABLE", "--", "python"],
        &["--timeout", "soon", "--", "python"],
    ] {
        let ran = folder.run(&[&["inspect"], arguments].concat());
        assert_eq!(ran.code, Some(2), "{arguments:?} {ran:#?}");
        assert_eq!(ran.stdout, "", "{arguments:?}");
        assert!(!ran.stderr.is_empty(), "{arguments:?}");
    }
}

/// Runs a command on a terminal of its own and types a line at each prompt. Prints all that the terminal showed.
const AT_A_TERMINAL: &str = r#"
import os, pty, sys

lines = sys.stdin.read().splitlines()
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen = b""


def read():
    global seen
    try:
        chunk = os.read(terminal, 65536)
    except OSError:
        return False  # how the end of a terminal looks
    seen += chunk
    return bool(chunk)


after = 0
for line in lines:
    while (prompt := seen.find(b"\n> ", after)) < 0 and read():
        pass
    after = prompt + 3
    os.write(terminal, line.encode() + b"\n")
while read():
    pass
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

fn at_a_terminal(folder: &Folder, lines: &str) -> Ran {
    let (server, arguments) = Program::Rust.command();
    // Its folder and environment are those of the program as it is run elsewhere.
    let program = folder.stepflow(&["inspect", "--"]);
    let variables = program
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    let mut running = Command::new(Python::Project.interpreter())
        .args(["-c", AT_A_TERMINAL])
        .arg(program.get_program())
        .args(program.get_args())
        .arg(server)
        .args(arguments)
        .current_dir(folder.path())
        .env_clear()
        .envs(variables)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = running.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).unwrap();
    drop(stdin);
    Ran::from(running.wait_with_output().unwrap())
}

#[tokio::test]
async fn on_a_terminal_it_asks_what_to_do() {
    let folder = Folder::default();
    let lines = "\
help
list
schema typed
call /blob {\"data\": \"kept\"}
transcript on
call echo [1, 2]
transcript off
call echo {oops
frobnicate
call nowhere 1
quit
";
    let ran = tokio::task::spawn_blocking(move || (at_a_terminal(&folder, lines), folder));
    let (ran, folder) = ran.await.unwrap();
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let expected = [
        "Type `help`",
        "schema NAME",
        "/echo  Answers with its input",
        "Takes a name and a count",
        "calls back blobs/put",
        "\"kept\"",
        "→ {\"jsonrpc\":\"2.0\"",
        "the input is not JSON",
        "`frobnicate` is not known here",
        "there is no component",
    ];
    check_has(&ran.stdout, &expected);
    assert_eq!(ran.stdout.matches("→ {").count(), 1, "{}", ran.stdout);
    folder.mark().all_gone().await;
}

#[tokio::test]
async fn the_end_of_what_is_typed_is_the_end() {
    let folder = Folder::default();
    // Ctrl-D at the start of a line.
    let ran = tokio::task::spawn_blocking(move || (at_a_terminal(&folder, "\u{4}\n"), folder));
    let (ran, folder) = ran.await.unwrap();
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    folder.mark().all_gone().await;
}
