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
    assert!(
        normal.starts_with("warning: step `open`, attempt 1 of 2 failed: "),
        "{normal}"
    );
    assert!(!normal.contains("run_id"), "{normal}");
    assert!(!normal.contains("sh | said"), "{normal}");
    let verbose = stderr(&["-v"]);
    assert!(verbose.contains("sh | said"), "{verbose}");
    assert!(verbose.contains(" run_id="), "{verbose}");
    let quiet = stderr(&["-q"]);
    assert!(quiet.starts_with("error: step `open` failed"), "{quiet}");
    assert_eq!(stderr(&["-qq"]), "");
    let off = stderr(&["--log-level", "off"]);
    assert!(off.starts_with("error: step `open` failed"), "{off}");
    let json = stderr(&["-v", "--log-format", "json"]);
    assert!(json.starts_with("{\"timestamp\":"), "{json}");
}

#[test]
fn a_failure_that_on_error_takes_is_told() {
    let stderr = |on_error: &str| {
        let sandbox = Sandbox::with_server();
        let step = format!("{{ id: open, component: /sh/fail, onError: {on_error} }}");
        let flow = format!("steps: [{step}]\noutput: {{ $step: open }}\n");
        sandbox.write("flow.yaml", &flow);
        let ended = sandbox.run(&["run", "flow.yaml"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.stderr
    };
    assert_eq!(
        stderr("{ action: skip }"),
        "warning: step `open` failed and is skipped, as its `onError` says: closed on Sundays\n"
    );
    assert_eq!(
        stderr("{ action: useDefault, defaultValue: 1 }"),
        "warning: step `open` failed and has its default, as its `onError` says: closed on Sundays\n"
    );
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

#[test]
fn every_step_is_told_to_those_who_watch() {
    let sandbox = Sandbox::with_server();
    sandbox.write(
        "flow.yaml",
        "steps:\n\
         - { id: a, component: noop }\n\
         - { id: b, component: /sh/fail, input: { $step: a }, onError: { action: retry, maxRetries: 1, backoff: { minDelay: 1ms }, then: { action: skip } } }\n\
         output: [{ $step: a }, { $step: b, onSkip: { action: useDefault } }]\n",
    );
    let ended = sandbox.run(&["run", "flow.yaml", "--watch"]);
    assert_eq!(
        ended.stdout, "{\"outcome\":\"success\",\"result\":[null,null]}\n",
        "{ended:?}"
    );
    let lines: Vec<_> = ended
        .stderr
        .lines()
        .filter(|line| line.starts_with("step `"))
        .collect();
    let words = |line: &str| line.split(" after ").next().unwrap_or_default().to_owned();
    assert_eq!(
        lines.iter().map(|line| words(line)).collect::<Vec<_>>(),
        [
            "step `a`: running",
            "step `a`: done",
            "step `b`: running",
            "step `b`: running, attempt 2",
            "step `b`: skipped",
        ],
        "{ended:?}"
    );
    assert!(lines[4].ends_with(", attempt 2"), "{lines:?}");
}
