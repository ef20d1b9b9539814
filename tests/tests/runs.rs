//! Runs of the program: what a flow, its config and its files mean while it runs.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

use std::process::Command;
use std::process::Stdio;

use stepflow_tests::gate::Gate;
use stepflow_tests::program::Folder;
use stepflow_tests::program::Ran;
use stepflow_tests::runtime::failure;
use stepflow_tests::runtime::success;
use stepflow_tests::soon;
use stepflow_tests::value;

/// Starts the program; the future is its end.
fn start(mut program: Command) -> impl Future<Output = Ran> {
    program.stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = program.spawn().unwrap();
    let wait = tokio::task::spawn_blocking(move || program.wait_with_output().unwrap());
    async {
        let output = soon("the end of the program", wait).await.unwrap();
        Ran::from(output)
    }
}

// req: cli.pinned-flow
#[tokio::test]
async fn a_run_keeps_to_the_flow_it_started_with() {
    const FLOW: &str = "
    steps:
    - {id: gate, component: /it/gate, input: {path: {$input: path}, name: {$input: name}}}
    - {id: after, component: /it/echo, input: {said: {$step: gate, path: said}, by: the old text}}
    output: {$step: after}
    ";
    let folder = Folder::default();
    let gate = Gate::open(folder.path());
    let folder = folder
        .copy("tests/servers/test_server.py")
        .file(
            "stepflow-config.yml",
            "plugins: {it: {type: stepflow, command: python, args: [test_server.py], inheritEnv: true}}",
        )
        .file("flow.yaml", FLOW);
    let input = gate.input("a").to_string();
    let ran = start(folder.stepflow(&["run", "flow.yaml", "--input-json", &input]));
    let visitor = gate.next().await;
    let folder = folder.file("flow.yaml", &FLOW.replace("old", "new"));
    visitor.release("go").await;
    let expected = r#"{"said": "go", "by": "the old text"}"#;
    assert_eq!(success(&ran.await.outcome()), &value(expected));
    // The next run has the new text.
    let ran = start(folder.stepflow(&["run", "flow.yaml", "--input-json", &input]));
    gate.next().await.release("on").await;
    let expected = r#"{"said": "on", "by": "the new text"}"#;
    assert_eq!(success(&ran.await.outcome()), &value(expected));
    folder.mark().all_gone().await;
}

// req: routes.deny
#[tokio::test]
async fn a_denied_component_has_no_other_name() {
    let config = |deny: &str| {
        format!(
            "
            plugins:
              lab: {{type: stepflow, command: python, args: [-m, stepflow_sdk], inheritEnv: true}}
            routes:
              /builtin/{{*component}}: [{{plugin: builtin}}]
              /lab/{{*component}}: [{{plugin: lab, componentDeny: {deny}}}]
            "
        )
    };
    let folder = Folder::default()
        .file("open.yml", &config("[]"))
        .file("closed.yml", &config("[/udf]"));
    let run = |path: &str, config: &str| {
        let flow = format!(
            "
            steps:
            - {{id: code, component: put_blob, input: {{data: {{code: input + 1}}}}}}
            - {{id: run, component: {path}, input: {{blob_id: {{$step: code, path: blob_id}}, input: 1}}}}
            output: {{$step: run}}
            "
        );
        std::fs::write(folder.path().join("flow.yaml"), flow).unwrap();
        folder.run(&["run", "flow.yaml", "--config", config])
    };
    let call = |path: &str, config: &str| folder.run(&["call", path, "{}", "--config", config]);
    for path in ["/lab/udf", "/lab/lab/udf", "/lab/lab/lab/udf"] {
        let ran = run(path, "open.yml");
        assert_eq!(success(&ran.outcome()), &value("2"), "{path} is a name");
    }
    for path in [
        "/lab/udf",
        "/lab/lab/udf",
        "/lab/lab/lab/udf",
        "/lab//udf",
        "/lab//lab/udf",
        "/lab/lab//udf",
        "/lab/udf/",
    ] {
        for ran in [run(path, "closed.yml"), call(path, "closed.yml")] {
            assert_eq!(ran.code, Some(2), "{path}: {ran:#?}");
            assert!(ran.stdout.is_empty(), "{path}: {ran:#?}");
        }
        let ran = call(path, "closed.yml");
        assert!(ran.stderr.contains(path), "{path} is named: {ran:#?}");
    }
    folder.mark().all_gone().await;
}

// req: builtin.blocked-file
#[tokio::test]
async fn a_file_that_blocks_costs_its_step_and_keeps_nobody_waiting() {
    let folder = Folder::default().file(
        "flow.yaml",
        "
        steps: [{id: load, component: load_file, input: {path: pipe}, timeout: 200ms}]
        output: {$step: load}
        ",
    );
    // Opening it for reading waits for somebody who writes.
    let made = Command::new("mkfifo")
        .arg(folder.path().join("pipe"))
        .status();
    assert!(made.unwrap().success());
    let ran = start(folder.stepflow(&["run", "flow.yaml"])).await;
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert_eq!(failure(&ran.outcome()).code, -32006, "{ran:#?}");
    folder.mark().all_gone().await;
}
