//! The listings of the pages this project began with, as they stand in `tests/seeds`.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

use std::process::Command;

use stepflow_tests::environment;
use stepflow_tests::environment::Python;
use stepflow_tests::http::Server;
use stepflow_tests::program::Folder;
use stepflow_tests::runtime;
use stepflow_tests::runtime::success;
use stepflow_tests::value;

// req: seeds.yaml-stdio
#[tokio::test]
async fn the_plugin_listing_runs() {
    let folder = Folder::default().copy("tests/seeds/stepflow-config.yml");
    let folder = folder.file(
        "flow.yaml",
        "
        steps:
        - {id: a, component: /python/udf, input: {blob_id: {$input: id}, input: {n: 20}}}
        output: {$step: a}
        ",
    );
    let ran = folder.run(&["list-components"]);
    assert!(ran.stdout.contains("/python/udf"), "{ran:#?}");
    let ran = folder.run(&["validate", "flow.yaml"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    // With the built-in components besides, which make the blob that it needs.
    let config = std::fs::read_to_string(folder.path().join("stepflow-config.yml")).unwrap();
    let folder = folder.file(
        "stepflow-config.yml",
        &format!("{config}  builtin: {{ type: builtin }}\n"),
    );
    let folder = folder.file(
        "flow.yaml",
        "
        steps:
        - {id: code, component: put_blob, input: {data: {code: 'input.n * 2 + 2'}}}
        - id: run
          component: /python/udf
          input: {blob_id: {$step: code, path: blob_id}, input: {n: 20}}
        output: {$step: run}
        ",
    );
    let ran = folder.run(&["run", "--flow", "flow.yaml", "--input-json", "null"]);
    assert_eq!(success(&ran.outcome()), &value("42"), "{ran:#?}");
    folder.mark().all_gone().await;
}

// req: seeds.python
#[tokio::test]
async fn the_python_listing_runs_and_can_be_imported() {
    let folder = Folder::default().copy("tests/seeds/my_server.py");
    let folder = folder.file(
        "flow.yaml",
        "
        steps: [{id: a, component: /mine/my_component, input: {text: hello}}]
        output: {$step: a}
        ",
    );
    for arguments in [
        r#"["my_server.py"]"#,
        r#"["-m", "stepflow_sdk", "my_server:server"]"#,
    ] {
        let config = format!(
            "plugins: {{mine: {{type: stepflow, transport: stdio, command: python, args: {arguments}}}}}"
        );
        std::fs::write(folder.path().join("stepflow-config.yml"), config).unwrap();
        let ran = folder.run(&["run", "flow.yaml"]);
        let output = value(r#"{"result":"processed"}"#);
        assert_eq!(success(&ran.outcome()), &output, "{ran:#?}");
    }
    // Its component stays a function.
    let code = "import my_server; print(my_server.my_component(my_server.MyInput('x')).result)";
    let python = Command::new(Python::Project.interpreter())
        .args(["-c", code])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(python.stdout, b"processed\n", "{python:?}");
    folder.mark().all_gone().await;
}

/// Python as the pages call it, in a folder, over HTTP.
async fn over_http(folder: &Folder, arguments: &[&str]) -> Server {
    let mut command = tokio::process::Command::new(Python::Project.interpreter());
    command
        .args(arguments)
        .current_dir(folder.path())
        .env_clear()
        .envs(runtime::variables(folder.path(), folder.mark()));
    Server::spawn(command).await
}

/// The config of the page, with the port that was free in place of the page's.
fn http_config(port: u16) -> String {
    let path = environment::workspace().join("tests/seeds/stepflow-config-http.yml");
    let config = std::fs::read_to_string(path).unwrap();
    assert!(config.contains(r#"url: "http://localhost:8080""#));
    config.replace("8080", &port.to_string())
}

// req: seeds.http
#[tokio::test]
async fn the_http_listings_run() {
    let path = environment::workspace().join("tests/seeds/my_http_server.py");
    let listing = std::fs::read_to_string(path).unwrap();
    assert!(listing.contains(r#"uvicorn.run(app, host="0.0.0.0", port=8080)"#));
    let folder = Folder::default().file("server.py", &listing.replace("8080", "0"));
    let server = over_http(&folder, &["server.py"]).await;
    let folder = folder.file("stepflow-config.yml", &http_config(server.port()));
    let folder = folder.file(
        "flow.yaml",
        "
        steps: [{id: a, component: /remote_python/my_component, input: {text: hello}}]
        output: {$step: a}
        ",
    );
    let ran = folder.run(&["list-components"]);
    assert!(
        ran.stdout.contains("/remote_python/my_component"),
        "{ran:#?}"
    );
    let ran = folder.run(&["run", "flow.yaml"]);
    let output = value(r#"{"result":"processed"}"#);
    assert_eq!(success(&ran.outcome()), &output, "{ran:#?}");
    server.stop().await;
    folder.mark().all_gone().await;
}

// req: seeds.http-command-line
#[tokio::test]
async fn the_http_command_line_runs_and_calls_back() {
    let folder = Folder::default().file(
        "flow.yaml",
        "
        steps:
        - {id: code, component: put_blob, input: {data: {code: 'input.n * 2 + 2'}}}
        - id: run
          component: /remote_python/udf
          input: {blob_id: {$step: code, path: blob_id}, input: {n: 20}}
        output: {$step: run}
        ",
    );
    let server = over_http(&folder, &["-m", "stepflow_sdk", "--http", "--port", "0"]).await;
    let config = http_config(server.port());
    for session in ["auto", "required", "off"] {
        let config = format!("{config}    session: {session}\n  builtin: {{type: builtin}}\n");
        std::fs::write(folder.path().join("stepflow-config.yml"), config).unwrap();
        let ran = folder.run(&["run", "--flow", "flow.yaml", "--input-json", "null"]);
        assert_eq!(success(&ran.outcome()), &value("42"), "{session}: {ran:#?}");
    }
    server.stop().await;
    folder.mark().all_gone().await;
    // The page's other command line takes the same from the project's extra of this name.
    let project = environment::workspace().join("sdk/python/pyproject.toml");
    let project = std::fs::read_to_string(project).unwrap();
    assert!(project.contains("\nhttp = ["), "{project}");
}
