//! Which end has which exit code, and that stdout has a result or nothing.

use crate::support::Sandbox;

#[track_caller]
fn check(args: &[&str], code: i32, stdout: &str, on_stderr: &str) {
    let sandbox = Sandbox::with_server();
    sandbox.write("bad.yaml", "steps: [{ id: a, component: noop, imput: 1 }]");
    sandbox.write(
        "skip.yaml",
        "steps: [{ id: a, component: /sh/skip }]\noutput: { $step: a }",
    );
    sandbox.write("input.json", r#"{"name": "Ada"}"#);
    sandbox.write("list.json", "[1]");
    sandbox.write("bad-config.yml", "plugin: {}");
    let ended = sandbox.run(args);
    assert_eq!(ended.code, code, "{ended:?}");
    assert_eq!(ended.stdout.trim_end(), stdout, "{ended:?}");
    assert!(ended.stderr.contains(on_stderr), "{ended:?}");
    assert!(on_stderr.is_empty() == ended.stderr.is_empty(), "{ended:?}");
}

const ADA: &str = r#"{"outcome":"success","result":{"hello":"Ada"}}"#;

#[test]
fn success_is_0() {
    check(&["run", "flow.yaml", "--input", "input.json"], 0, ADA, "");
    check(
        &["run", "--flow", "flow.yaml", "--input-yaml", "name: Ada"],
        0,
        ADA,
        "",
    );
    check(
        &["call", "noop", "[1, 2]"],
        0,
        r#"{"outcome":"success","result":[1,2]}"#,
        "",
    );
    check(
        &["call", "/sh/echo"],
        0,
        r#"{"outcome":"success","result":"echo"}"#,
        "",
    );
    check(
        &["validate", "flow.yaml"],
        0,
        "",
        "stepflow-config.yml and flow.yaml: no problems",
    );
    check(&["validate"], 0, "", "stepflow-config.yml: no problems");
}

#[test]
fn a_skipped_flow_is_a_success() {
    let sandbox = Sandbox::with_server();
    sandbox.write(
        "skip.yaml",
        "steps: [{ id: a, component: /sh/skip }]\noutput: { $step: a }",
    );
    let ended = sandbox.run(&["run", "skip.yaml"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.stdout.starts_with(r#"{"outcome":"skipped""#),
        "{ended:?}"
    );
}

#[test]
fn a_failed_flow_is_1() {
    let failed = r#"{"outcome":"failed","error":{"code":4242,"message":"closed on Sundays","data":{"day":"Sunday","traceback":"in open()\nin vault()"}}}"#;
    check(&["call", "/sh/fail", "1"], 1, failed, "closed on Sundays");
    let sandbox = Sandbox::new();
    sandbox.write(
        "stepflow-config.yml",
        "plugins: { p: { type: stepflow, command: no-such } }",
    );
    let ended = sandbox.run(&["call", "/p/x", "1"]);
    assert_eq!(
        ended.code, 1,
        "a plugin that does not start is a failed step: {ended:?}"
    );
    assert!(ended.stdout.contains("-32005"), "{ended:?}");
}

#[test]
fn what_cannot_be_done_is_2() {
    let flow = ["run", "flow.yaml"];
    let with = |rest: &[&'static str]| [flow.as_slice(), rest].concat();
    check(&[], 2, "", "Usage");
    check(&["fly"], 2, "", "fly");
    check(&["run"], 2, "", "--flow");
    check(&["run", "a", "--flow", "b"], 2, "", "cannot be used");
    check(&["run", "none.yaml"], 2, "", "none.yaml cannot be read");
    check(&["run", "."], 2, "", "name a file");
    check(&["run", "bad.yaml"], 2, "", "unknown key \"imput\"");
    check(&["validate", "bad.yaml"], 2, "", "unknown key \"imput\"");
    check(
        &["validate", "--config", "bad-config.yml"],
        2,
        "",
        "unknown key \"plugin\"",
    );
    check(
        &with(&["--config", "bad-config.yml"]),
        2,
        "",
        "unknown key \"plugin\"",
    );
    check(
        &with(&["--config", "none.yml"]),
        2,
        "",
        "none.yml cannot be read",
    );
    check(
        &with(&["--input", "none.json"]),
        2,
        "",
        "none.json cannot be read",
    );
    check(&with(&["--input-json", "{"]), 2, "", "--input-json:1:1");
    check(
        &with(&["--input-yaml", "{"]),
        2,
        "",
        "--input-yaml is not YAML",
    );
    check(
        &with(&["--input", "input.json", "--input-json", "1"]),
        2,
        "",
        "cannot be used with",
    );
    check(
        &with(&["--input", "list.json"]),
        2,
        "",
        "the input does not fit",
    );
    check(&with(&["--input-json", r#"{"name": 5}"#]), 2, "", "/name");
    check(
        &with(&["--input", "input.json", "--variables-json", "[]"]),
        2,
        "",
        "variables come as an object",
    );
    check(&with(&["--log-level", "loud"]), 2, "", "--log-level");
    check(
        &["call", "/nowhere/x", "1"],
        2,
        "",
        "no route leads from /nowhere/x",
    );
    check(
        &["call", "nope", "1"],
        2,
        "",
        "no built-in component \"nope\"",
    );
    check(&["call", "noop", "{"], 2, "", "the input:1:1");
    check(&["list-components", "--format", "xml"], 2, "", "xml");
}

#[test]
fn a_result_that_cannot_be_written_is_3() {
    let sandbox = Sandbox::new();
    let ended = sandbox.run(&["call", "noop", "1", "--output", "no/folder.json"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (3, ""), "{ended:?}");
    let words = "the result cannot be written to no/folder.json";
    assert!(ended.stderr.contains(words), "{ended:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_stdout_that_is_full_is_3() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["call", "noop", "1"]);
    let output = command.stdout(full.unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn a_broken_plugin_does_not_hide_the_others() {
    let sandbox = Sandbox::with_server();
    sandbox.write(
        "stepflow-config.yml",
        "plugins:\n  bad: { type: stepflow, command: no-such }\n  sh: { type: stepflow, command: ./server.sh }\n",
    );
    let ended = sandbox.run(&["list-components"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let listed = "bad\n  broken\nsh\n  /sh/echo  Says it back\nbuiltin\n";
    assert!(ended.stdout.starts_with(listed), "{ended:?}");
    assert!(
        ended.stderr.contains("`no-such` was not found"),
        "{ended:?}"
    );
}

#[test]
fn help_and_version_are_everywhere() {
    for verb in ["run", "validate", "list-components", "call"] {
        let sandbox = Sandbox::new();
        let help = sandbox.run(&[verb, "--help"]);
        assert_eq!(help.code, 0);
        assert!(help.stdout.contains("Examples:\n  stepflow "), "{help:?}");
        assert_eq!(sandbox.run(&[verb, "--version"]).stdout, "stepflow 0.1.0\n");
    }
}
