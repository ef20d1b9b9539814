//! MCP servers as a user of the program meets them.

use std::path::Path;
use std::process::Command;

use axum::Router;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::routing::any;
use stepflow_tests::environment;
use stepflow_tests::program::Folder;
use stepflow_tests::program::Ran;
use stepflow_tests::runtime::failure;
use stepflow_tests::runtime::success;
use stepflow_tests::value;

fn with_raw() -> Folder {
    Folder::default()
        .copy("tests/servers/mcp_raw.py")
        .file(
            "stepflow-config.yml",
            "plugins: {it: {type: mcp, command: python, args: [mcp_raw.py], env: {STEPFLOW_TEST_MARK: \"${STEPFLOW_TEST_MARK}\"}}}",
        )
}

async fn finished(mut command: Command) -> Ran {
    let ran = tokio::task::spawn_blocking(move || Ran::from(command.output().unwrap()));
    ran.await.unwrap()
}

#[tokio::test]
async fn tools_are_listed_and_called() {
    let folder = with_raw();
    let listed = folder.run(&["list-components", "--schemas"]);
    assert_eq!(listed.code, Some(0), "{listed:#?}");
    for words in ["it\n", "  /it/echo ", "input: {\"type\":\"object\""] {
        assert!(listed.stdout.contains(words), "{words:?} in {listed:#?}");
    }
    let ran = folder.run(&["call", "/it/text", "{}"]);
    assert_eq!(success(&ran.outcome()), &value("\"a text\""), "{ran:#?}");
    folder.mark().all_gone().await;
}

#[tokio::test]
async fn a_tool_with_a_blank_in_its_name_is_reached_by_a_route() {
    let folder = with_raw();
    let path = folder.path().join("stepflow-config.yml");
    let config = std::fs::read_to_string(&path).unwrap();
    let routes = "routes: {/plain: [{plugin: it, component: /with a blank}]}";
    std::fs::write(path, format!("{config}\n{routes}\n")).unwrap();
    let ran = folder.run(&["call", "/plain", "{}"]);
    let tool = success(&ran.outcome()).get("tool");
    assert_eq!(tool, Some(value("\"with a blank\"")), "{ran:#?}");
    folder.mark().all_gone().await;
}

#[tokio::test]
async fn progress_and_logs_of_a_tool_are_logged() {
    let folder = with_raw();
    let arguments = ["call", "/it/progress", "{}", "--log-level", "debug"];
    let ran = folder.run(&arguments);
    assert_eq!(success(&ran.outcome()), &value("\"done\""), "{ran:#?}");
    for words in ["a quarter", "0.25", "the server's own words"] {
        assert!(ran.stderr.contains(words), "{words:?} in {ran:#?}");
    }
    folder.mark().all_gone().await;
}

#[tokio::test]
async fn the_example_of_the_pages_runs() {
    let Some(modules) = environment::node_modules() else {
        return;
    };
    let folder = Folder::default();
    let folder = ["flow.yaml", "stepflow-config.yml"]
        .iter()
        .fold(folder, |folder, name| {
            folder.copy(&format!("examples/mcp/{name}"))
        });
    let notes = folder.path().join("notes");
    std::fs::create_dir(&notes).unwrap();
    for note in std::fs::read_dir(environment::example("mcp/notes")).unwrap() {
        let note = note.unwrap();
        std::fs::copy(note.path(), notes.join(note.file_name())).unwrap();
    }
    // What npx finds in the project it does not fetch; that it cannot is made sure of.
    std::os::unix::fs::symlink(modules, folder.path().join("node_modules")).unwrap();
    let folder = folder.file(".npmrc", "offline=true\n");
    let mut command = folder.stepflow(&[
        "run",
        "flow.yaml",
        "--input-json",
        r#"{"note": "shopping.txt"}"#,
    ]);
    let node = environment::node();
    let folders = [
        node.parent().unwrap(),
        Path::new("/usr/bin"),
        Path::new("/bin"),
    ];
    command.env("PATH", std::env::join_paths(folders).unwrap());
    let ran = finished(command).await;
    let expected =
        value(r#"{"notes":"[FILE] shopping.txt\n[FILE] today.txt","text":"bread\nbutter\n"}"#);
    assert_eq!(success(&ran.outcome()), &expected, "{ran:#?}");
    folder.mark().all_gone().await;
}

#[tokio::test]
async fn an_mcp_server_that_wants_a_token_gets_it_or_says_so() {
    async fn guarded(headers: HeaderMap) -> (StatusCode, [(&'static str, &'static str); 1]) {
        let token = headers.get("authorization").and_then(|it| it.to_str().ok());
        let status = match token {
            Some("Bearer let-me-in-please") => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::UNAUTHORIZED,
        };
        (status, [("www-authenticate", "Bearer")])
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/mcp", any(guarded))).await
    });
    let config = format!(
        "plugins: {{it: {{type: mcp, url: '{url}', bearerToken: '${{TOKEN:-}}', connectTimeout: 100ms}}}}"
    );
    let folder = Folder::default().file("stepflow-config.yml", &config);
    for (token, words) in [
        ("wrong-token", "it wants a token"),
        ("let-me-in-please", "answered 501"),
    ] {
        let mut command = folder.stepflow(&["call", "/it/x", "{}"]);
        command.env("TOKEN", token);
        let ran = finished(command).await;
        let error = failure(&ran.outcome()).clone();
        assert_eq!(error.code, -32005, "{error}");
        assert!(error.message.contains(words), "{error}");
        assert!(!ran.stderr.contains(token), "{ran:#?}");
    }
    serving.abort();
}
