//! Projects as users have them: what `stepflow init` writes, and flows whose tests need a server.

use stepflow_tests::environment::Python;
use stepflow_tests::program::Folder;
use stepflow_tests::program::Ran;
use stepflow_tests::soon;

#[tokio::test]
async fn a_project_that_init_wrote_runs() {
    let folder = Folder::default();
    let written = folder.run(&["init", "hello"]);
    assert_eq!(written.code, Some(0), "{written:?}");
    let arguments = [
        "run",
        "hello/flow.yaml",
        "--input-json",
        r#"{"name": "Ada"}"#,
    ];
    let mut command = folder.stepflow(&arguments);
    command.env("PYTHON", Python::Project.interpreter());
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (
            Some(0),
            "{\"outcome\":\"success\",\"result\":{\"text\":\"Hello Ada\"}}\n"
        ),
        "{ran:?}"
    );
    soon("the end of all processes", folder.mark().all_gone()).await;
}

const SERVED: &str = r#"
steps: [{ id: double, component: /py/double, input: { $input: n } }]
output: { $step: double }
test:
  config: { plugins: { py: { type: stepflow, url: "{py.url}" } } }
  servers:
    py:
      command: python
      args: [-m, stepflow_sdk, "my_server:server", --http, --port, "{port}"]
      env: { STEPFLOW_TEST: MARK }
      healthCheck: { path: /health, retryDelayMs: 20 }
      startupTimeoutMs: 100000
  cases:
    - { name: right, input: { n: 4 }, output: { outcome: success, result: 8 } }
    - { name: wrong, input: { n: 4 }, output: { outcome: success, result: 9 } }
"#;

const SERVER: &str = "
from stepflow_sdk import StepflowServer

server = StepflowServer()


@server.component
def double(n: int) -> int:
    return 2 * n
";

#[tokio::test]
async fn tests_of_a_flow_run_against_a_server_over_http() {
    let folder = Folder::default();
    let mark = format!("\"{}\"", folder.mark().value());
    let flow = SERVED.replace("STEPFLOW_TEST", stepflow_tests::process::VARIABLE);
    let flow = flow.replace("MARK", &mark);
    let folder = folder.file("flow.yaml", &flow).file("my_server.py", SERVER);
    let ran = folder.run(&["test", "flow.yaml", "--format", "json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let cases = &report["flows"][0]["cases"];
    assert_eq!(cases[0]["verdict"], "passed", "{report:#}");
    assert_eq!(
        cases[1]["differences"][0], "/result: expected 9, got 8",
        "{report:#}"
    );
    soon("the end of all processes", folder.mark().all_gone()).await;
}
