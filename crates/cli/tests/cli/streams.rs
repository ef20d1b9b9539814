//! Pipes, colours and quiet.

use std::process::Stdio;

use crate::support::Sandbox;
use crate::support::ended;

#[test]
fn a_reader_that_left_is_no_error() {
    let sandbox = Sandbox::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = sandbox.command(&["call", "noop", "1"]);
    let output = command.stdout(Stdio::from(writer)).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = sandbox.command(&["run", "none.yaml"]);
    let output = command.stderr(Stdio::from(writer)).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn colours_only_where_they_are_wanted() {
    let colours = |variables: &[(&str, &str)]| {
        let sandbox = Sandbox::new();
        sandbox.write("flow.yaml", "step: []");
        let mut command = sandbox.command(&["run", "flow.yaml"]);
        let ended = ended(command.envs(variables.iter().copied()), &sandbox.path(""));
        assert_eq!(ended.code, 2);
        ended.stderr.contains('\x1b')
    };
    assert!(!colours(&[]), "stderr is no terminal");
    assert!(colours(&[("CLICOLOR_FORCE", "1")]));
    assert!(!colours(&[("NO_COLOR", "1")]));
}

/// Its component says something on stderr and fails, twice.
const RETRIED: &str = "\
steps:
  - id: open
    component: /sh/leak
    onError: { action: retry, maxRetries: 1, backoff: { minDelay: 1ms } }
output: { $step: open }
";

#[test]
fn how_much_is_said() {
    let stderr = |args: &[&str]| {
        let sandbox = Sandbox::with_server();
        sandbox.write("flow.yaml", RETRIED);
        let ended = sandbox.run(&[args, &["run", "flow.yaml"]].concat());
        assert_eq!(ended.code, 1);
        ended.stderr
    };
    let normal = stderr(&[]);
    assert!(normal.starts_with("warning: attempt failed"), "{normal}");
    assert!(!normal.contains("sh | said"), "{normal}");
    let verbose = stderr(&["-v"]);
    assert!(verbose.contains("sh | said"), "{verbose}");
    let quiet = stderr(&["-q"]);
    assert!(quiet.starts_with("error: step `open` failed"), "{quiet}");
    assert_eq!(stderr(&["-qq"]), "");
    let off = stderr(&["--log-level", "off"]);
    assert!(off.starts_with("error: step `open` failed"), "{off}");
    let json = stderr(&["-v", "--log-format", "json"]);
    assert!(json.starts_with("{\"timestamp\":"), "{json}");
}

#[test]
fn notes_are_for_those_who_ask() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.yaml",
        "steps: [{ id: a, component: noop, input: 1 }]\noutput: 2\n",
    );
    let on_stderr = |args: &[&str]| sandbox.run(args).stderr;
    assert_eq!(on_stderr(&["run", "flow.yaml"]), "");
    assert!(on_stderr(&["run", "flow.yaml", "-v"]).contains("E0409"));
    assert!(on_stderr(&["validate", "flow.yaml"]).contains("flow.yaml: 1 note"));
}
