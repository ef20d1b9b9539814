//! The program `stepflow` from outside: what it prints, its exit codes, and that nothing outlives it however it ends.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use rustix::process::Signal;
use stepflow_flow::outcome::Outcome;
use stepflow_tests::environment;
use stepflow_tests::environment::Python;
use stepflow_tests::figure;
use stepflow_tests::gate::Gate;
use stepflow_tests::process;
use stepflow_tests::program::Folder;
use stepflow_tests::runtime::failure;
use stepflow_tests::runtime::success;
use stepflow_tests::soon;
use stepflow_tests::value;

/// Within this time of a signal no process is left.
const PROMISE: Duration = Duration::from_secs(3);

/// A config with the test server in Python as the plugin `it`, behind a command that starts it and waits for it. Its
/// processes inherit the mark of the test.
fn config(words_before: &[&str]) -> String {
    let python = Python::Project.interpreter();
    let server = environment::server_file("test_server.py");
    let command = words_before.iter().map(|word| (*word).to_owned());
    let command = command.chain([python, server].map(|path| path.display().to_string()));
    let words: Vec<_> = command.collect();
    serde_json::json!({"plugins": {
        "builtin": {"type": "builtin"},
        "it": {"type": "stepflow", "command": words[0], "args": words[1..], "inheritEnv": true},
    }})
    .to_string()
}

const GATES: &str = "
steps:
- {id: a, component: /it/gate, input: {path: {$input: path}, name: a}}
- {id: b, component: /it/gate, input: {path: {$input: path}, name: b}}
output: [{$step: a}, {$step: b}]
";

/// Ends the program by a signal while components work, and returns its exit code once no process is left.
async fn end_by(signal: Signal, words_before: &[&str]) -> Option<i32> {
    let folder = Folder::default();
    let gate = Gate::open(folder.path());
    let folder = folder
        .file("stepflow-config.yml", &config(words_before))
        .file("flow.yaml", GATES);
    let input = gate.input("").to_string();
    let mut program = folder
        .stepflow(&["run", "flow.yaml", "--input-json", &input])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let visitors = gate.take(2).await;
    let below = process::descendants(program.id());
    let commands: Vec<_> = below.iter().map(|it| it.command.clone()).collect();
    assert!(
        below.len() >= 3,
        "a guard, a wrapper and a server: {commands:?}"
    );
    process::kill(program.id(), signal);
    let killed = Instant::now();
    let status = tokio::task::spawn_blocking(move || program.wait().unwrap());
    let status = soon("the end of the program", status).await.unwrap();
    for process in below {
        process.gone().await;
    }
    folder.mark().all_gone().await;
    let what = format!("no process left after {signal:?} of the program, {words_before:?}");
    figure(&what, killed.elapsed(), PROMISE);
    drop(visitors);
    status.code()
}

/// Commands that start another and wait for it.
fn wrappers() -> [Vec<String>; 2] {
    let python = Python::Project.interpreter().display().to_string();
    let wrapper = environment::server_file("wrapper.py").display().to_string();
    let shell = ["sh", "-c", "\"$0\" \"$@\"; exit $?"].map(str::to_owned);
    [shell.to_vec(), vec![python, wrapper]]
}

async fn end_by_with_each_wrapper(signal: Signal, code: Option<i32>) {
    for wrapper in wrappers() {
        let words: Vec<_> = wrapper.iter().map(String::as_str).collect();
        assert_eq!(end_by(signal, &words).await, code, "{words:?}");
    }
}

// req: cli.no-orphans
#[tokio::test]
async fn nothing_outlives_a_kill() {
    end_by_with_each_wrapper(Signal::KILL, None).await;
}

// req: cli.no-orphans
#[tokio::test]
async fn nothing_outlives_a_termination() {
    end_by_with_each_wrapper(Signal::TERM, Some(143)).await;
}

// req: cli.no-orphans
#[tokio::test]
async fn nothing_outlives_an_interrupt() {
    end_by_with_each_wrapper(Signal::INT, Some(130)).await;
}

// req: cli.no-orphans
#[tokio::test]
async fn nothing_outlives_a_kill_even_if_it_ignores_signals() {
    let ignoring = [
        "sh",
        "-c",
        "trap '' TERM HUP INT; \"$0\" \"$@\"; sleep 1000",
    ];
    assert_eq!(end_by(Signal::KILL, &ignoring).await, None);
}

const FIVE_STEPS: &str = "
steps:
- {id: one, component: /it/blob, input: {data: {$input: $}}}
- {id: two, component: /it/get_blob, input: {blob_id: {$step: one, path: blob_id}}}
- {id: three, component: /it/noise, input: {stdout: printed, stderr: printed}}
- {id: four, component: /it/blob, input: {data: [{$step: two}, {$step: three}]}}
- {id: five, component: /it/echo, input: {first: {$step: one, path: data}, last: {$step: four, path: data}}}
output: {$step: five}
";

// req: cli.stdout-is-the-result
#[tokio::test]
async fn stdout_is_one_line_of_json_whatever_components_print() {
    let folder = Folder::default();
    let config = config(&["env"]);
    let folder = folder
        .file("stepflow-config.yml", &config)
        .file("flow.yaml", FIVE_STEPS);
    let input = r#"{"n":9007199254740993,"f":1.0,"s":"日本語"}"#;
    let ran = folder.run(&["run", "flow.yaml", "--input-json", input]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let expected = format!(r#"{{"first":{input},"last":[{input},0]}}"#);
    assert_eq!(success(&ran.outcome()).as_text(), expected, "to the letter");
    folder.mark().all_gone().await;
    // The same through a pipe.
    let mut stepflow = folder
        .stepflow(&["run", "flow.yaml", "--input-json", input])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let json_tool = Command::new(Python::Project.interpreter())
        .args(["-m", "json.tool", "--no-ensure-ascii"])
        .stdin(stepflow.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(json_tool.status.success(), "{json_tool:?}");
    let text = String::from_utf8(json_tool.stdout).unwrap();
    assert!(
        text.contains("日本語") && text.contains("9007199254740993"),
        "{text}"
    );
    assert!(stepflow.wait().unwrap().success());
    folder.mark().all_gone().await;
}

// req: cli.exit-codes
#[tokio::test]
async fn exit_codes_tell_what_went_wrong() {
    let folder = Folder::default()
        .file("stepflow-config.yml", &config(&["env"]))
        .file("ok.yaml", "output: {$input: $}")
        .file("skips.yaml", "steps: [{id: a, component: /it/skip, input: {}}]\noutput: {$step: a}")
        .file(
            "fails.yaml",
            "steps: [{id: a, component: /it/fail, input: {code: 4242, message: no}}]\noutput: {$step: a}",
        )
        .file("crashes.yaml", "steps: [{id: a, component: /it/exit, input: {code: 0}, atMostOnce: true}]\noutput: {$step: a}")
        .file("typo.yaml", "steps: [{id: a, component: /it/echo, imput: 1}]\noutput: 1")
        .file("unroutable.yaml", "steps: [{id: a, component: /nowhere/echo}]\noutput: 1")
        .file("schema.yaml", "inputSchema: {type: object, required: [name]}\noutput: 1")
        .file("not-yaml.yaml", "steps: [")
        .file("bad-config.yml", "plugins: {it: {type: stepflow, comand: python}}")
        .file("no-start.yml", "plugins: {it: {type: stepflow, command: no-such-program}}")
        .file("bad.json", "{");
    // (arguments, exit code, whether there is an outcome, what stderr says)
    for (arguments, code, has_outcome, says) in [
        (&["run", "ok.yaml"][..], 0, true, ""),
        (&["run", "skips.yaml"], 0, true, ""),
        (&["run", "fails.yaml"], 1, true, "4242"),
        (&["run", "crashes.yaml"], 1, true, "status 0"),
        (
            &["run", "fails.yaml", "--config", "no-start.yml"],
            1,
            true,
            "no-such-program",
        ),
        (&["run", "typo.yaml"], 2, false, "input"),
        (&["run", "unroutable.yaml"], 2, false, "/nowhere/echo"),
        (
            &["run", "schema.yaml", "--input-json", "{}"],
            2,
            false,
            "name",
        ),
        (&["run", "not-yaml.yaml"], 2, false, "not-yaml.yaml"),
        (&["run", "no-such-flow.yaml"], 2, false, "no-such-flow.yaml"),
        (
            &["run", "ok.yaml", "--config", "bad-config.yml"],
            2,
            false,
            "command",
        ),
        (
            &["run", "ok.yaml", "--config", "no-such.yml"],
            2,
            false,
            "no-such.yml",
        ),
        (
            &["run", "ok.yaml", "--input", "bad.json"],
            2,
            false,
            "bad.json",
        ),
        (
            &["run", "ok.yaml", "--input-json", "{"],
            2,
            false,
            "--input-json",
        ),
        (
            &["run", "ok.yaml", "--no-such-option"],
            2,
            false,
            "--no-such-option",
        ),
        (&["run"], 2, false, "FLOW"),
        (&["validate", "typo.yaml"], 2, false, "imput"),
        (&["validate", "ok.yaml"], 0, false, ""),
        (&["list-components"], 0, true, ""),
    ] {
        let ran = folder.run(arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:#?}");
        assert_eq!(
            !ran.stdout.is_empty(),
            has_outcome,
            "{arguments:?}: {ran:#?}"
        );
        assert!(
            ran.stderr.contains(says),
            "{arguments:?} says {says:?}: {ran:#?}"
        );
        if has_outcome && arguments[0] == "run" {
            ran.outcome();
        }
    }
    let ran = folder.run(&["run", "fails.yaml"]);
    assert_eq!(failure(&ran.outcome()).code, 4242);
    assert!(matches!(
        folder.run(&["run", "skips.yaml"]).outcome(),
        Outcome::Skipped { .. }
    ));
    folder.mark().all_gone().await;
}

// req: cli.environment
#[tokio::test]
async fn a_server_gets_a_small_environment_unless_it_is_given_more() {
    let script = "import os; from stepflow_sdk import StepflowServer
server = StepflowServer(udf=False)
@server.component
def environment(name: str) -> str | None:
    return os.environ.get(name)
server.run()
";
    let folder = Folder::default().file("server.py", script);
    let folder = folder.file(
        "flow.yaml",
        "steps: [{id: a, component: /it/environment, input: {$input: $}}]\noutput: {$step: a}",
    );
    let get = |folder: &Folder, name: &str| {
        let input = format!("\"{name}\"");
        let mut command = folder.stepflow(&["run", "flow.yaml", "--input-json", &input]);
        let output = command.env("MY_SECRET", "sesame").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let outcome: Outcome = serde_json::from_str(&text).unwrap();
        success(&outcome).clone()
    };
    let plugin = "plugins: {it: {type: stepflow, command: python, args: [server.py]";
    let folder = folder.file("stepflow-config.yml", &format!("{plugin}}}}}"));
    assert!(get(&folder, "MY_SECRET").is_null());
    assert!(!get(&folder, "PATH").is_null());
    assert!(!get(&folder, "HOME").is_null());
    let folder = folder.file(
        "stepflow-config.yml",
        &format!("{plugin}, inheritEnv: true}}}}"),
    );
    assert_eq!(get(&folder, "MY_SECRET"), value("\"sesame\""));
    let more = "env: {GIVEN: \"${MY_SECRET}!\", DEFAULT: \"${NO_SUCH:-fallback}\"}";
    let folder = folder.file("stepflow-config.yml", &format!("{plugin}, {more}}}}}"));
    assert_eq!(get(&folder, "GIVEN"), value("\"sesame!\""));
    assert_eq!(get(&folder, "DEFAULT"), value("\"fallback\""));
    folder.mark().all_gone().await;
}

// req: cli.paths
#[tokio::test]
async fn paths_start_at_the_file_that_names_them() {
    let folder = Folder::default();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let server = "from stepflow_sdk import StepflowServer
import os
server = StepflowServer(udf=False)
@server.component
def folder(input: None) -> str:
    return os.getcwd()
server.run()
";
    let config = "plugins: {it: {type: stepflow, command: python, args: [server.py]}}";
    let flow = "steps: [{id: a, component: /it/folder}]\noutput: {$step: a}";
    let folder = folder
        .file("sub/server.py", server)
        .file("sub/flow.yaml", flow);
    let folder = folder.file("sub/stepflow-config.yml", config);
    let ran = folder.run(&["run", "sub/flow.yaml"]);
    let output = success(&ran.outcome()).as_str().unwrap().into_owned();
    assert!(
        output.ends_with("/sub"),
        "the config found beside the flow: {output}"
    );
    let folder = folder.file("flow.yaml", flow);
    let ran = folder.run(&["run", "flow.yaml", "--config", "sub/stepflow-config.yml"]);
    let output = success(&ran.outcome()).as_str().unwrap().into_owned();
    assert!(output.ends_with("/sub"), "the config given: {output}");
}

// req: cli.secrets
#[tokio::test]
async fn a_secret_does_not_reach_stderr_or_the_log() {
    // That it would without being called one is what makes the test one.
    for is_secret in [false, true] {
        let flow = format!(
            "
            variables: {{type: object, properties: {{key: {{type: string, is_secret: {is_secret}}}}}}}
            steps:
            - id: tell
              component: /it/noise
              input: {{stdout: {{$variable: key}}, stderr: {{$variable: key}}}}
            - {{id: fail, component: /it/fail, input: {{message: {{$variable: key}}, code: {{$step: tell}}}}}}
            output: {{$step: fail}}
            "
        );
        let folder = Folder::default().file("flow.yaml", &flow);
        let folder = folder.file("stepflow-config.yml", &config(&["env"]));
        let mut arguments = vec!["run", "flow.yaml", "-vvv", "--log-file", "log"];
        arguments.extend(["--variables-json", r#"{"key": "open-sesame"}"#]);
        let ran = folder.run(&arguments);
        assert_eq!(ran.code, Some(1), "{ran:#?}");
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        for text in [&ran.stderr, &log] {
            assert_eq!(text.contains("open-sesame"), !is_secret, "{text}");
        }
        folder.mark().all_gone().await;
    }
}

// req: cli.broken-pipe
#[tokio::test]
async fn nobody_reading_the_result_is_no_disaster() {
    let folder = Folder::default().file("flow.yaml", "output: {$input: $}");
    let mut program = folder
        .stepflow(&["run", "flow.yaml", "--input-json", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(program.stdout.take());
    let output = program.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
}
