//! How errors look. A change of words shows here.

use insta::assert_snapshot;

use crate::support::Sandbox;

fn stderr(sandbox: &Sandbox, args: &[&str]) -> String {
    let ended = sandbox.run(args);
    assert!(ended.code != 0, "{ended:?}");
    ended.stderr
}

/// Ids and times differ from run to run.
fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(
        r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f-]{17}",
        "[RUN]",
    );
    settings.add_filter(r"after \d+ ms", "after [N] ms");
    settings.add_filter(r"wait_ms=\d+", "wait_ms=[N]");
    settings
}

#[test]
fn a_bad_flow() {
    let sandbox = Sandbox::new();
    let flow = "\
name: bad
steps:
  - id: fetch
    component: put_blobb
    imput: { data: 1 }
  - id: send
    component: /python/send
    input: { $step: fetsh }
output: { $step: send }
";
    sandbox.write("flow.yaml", flow);
    assert_snapshot!(stderr(&sandbox, &["run", "flow.yaml"]), @r#"
    error[E0406]: step "fetch": there is no built-in component "put_blobb"
     --> flow.yaml:4:16
      |
    4 |     component: put_blobb
      |                ^^^^^^^^^
      |
    hint: did you mean "put_blob"?

    error[E0201]: step "fetch": unknown key "imput" in a step
     --> flow.yaml:5:5
      |
    5 |     imput: { data: 1 }
      |     ^^^^^
      |
    hint: did you mean "input"?

    error[E0406]: step "send": no route leads from /python/send to a plugin
     --> flow.yaml:7:16
      |
    7 |     component: /python/send
      |                ^^^^^^^^^^^^
      |
    hint: there is no config beside the flow or in the current folder: write a stepflow-config.yml with the plugin, or name one with --config

    error[E0403]: step "send": there is no step "fetsh"
     --> flow.yaml:8:21
      |
    8 |     input: { $step: fetsh }
      |                     ^^^^^
      |
    hint: did you mean "fetch"?

    error: the flow flow.yaml cannot be run: 4 errors
    "#);
}

#[test]
fn a_bad_config() {
    let sandbox = Sandbox::new();
    let config = "\
plugins:
  python:
    type: stepflow
    comand: python
    env:
      KEY: ${API_KEY}
  tools: { type: mcp }
";
    sandbox.write("stepflow-config.yml", config);
    assert_snapshot!(stderr(&sandbox, &["validate"]), @r#"
    error[E0201]: unknown key "comand" in the plugin "python"
     --> stepflow-config.yml:4:5
      |
    4 |     comand: python
      |     ^^^^^^
      |
    hint: did you mean "command"?

    error[E0204]: plugins.python.env.KEY: the environment variable `API_KEY` is not set
     --> stepflow-config.yml:6:12
      |
    6 |       KEY: ${API_KEY}
      |            ^^^^^^^^^^
      |
    hint: set it, or give a default: ${API_KEY:-…}

    error[E0202]: an MCP server needs `command` or `url`
     --> stepflow-config.yml:7:10
      |
    7 |   tools: { type: mcp }
      |          ^^^^^^^^^^^^^
      |
    hint: give `command` for a server that is started, or `url` for one that runs on its own

    error: stepflow-config.yml: 3 errors
    "#);
}

#[test]
fn a_file_that_is_not_there() {
    assert_snapshot!(stderr(&Sandbox::new(), &["run", "flow.yaml"]), @r#"
    error: the flow flow.yaml cannot be read
      caused by: No such file or directory (os error 2)
    hint: is the path spelled right? it starts at the current folder
    "#);
}

#[test]
fn an_input_that_does_not_fit() {
    let sandbox = Sandbox::with_server();
    let args = ["run", "flow.yaml", "--input-json", r#"{"name": 5}"#];
    assert_snapshot!(stderr(&sandbox, &args), @r#"
    error: the input does not fit the flow's schema
      /name: must be a string
    hint: see `inputSchema` in the flow
    "#);
}

#[test]
fn no_input_where_one_is_needed() {
    let sandbox = Sandbox::with_server();
    assert_snapshot!(stderr(&sandbox, &["run", "flow.yaml"]), @"
    error: the flow needs an input, and none was given
    hint: give it with --input FILE or --input-json JSON, or on stdin; `inputSchema` in the flow says what it is
    ");
}

#[test]
fn a_path_to_no_plugin() {
    let check = |component: &str, hint: &str| {
        let sandbox = Sandbox::with_server();
        let said = stderr(&sandbox, &["call", component, "1"]);
        let problem = format!("error: no route leads from {component} to a plugin\n");
        assert_eq!(said, format!("{problem}hint: {hint}\n"));
    };
    check("/builtn/noop", "did you mean /builtin/noop?");
    let names = "a path begins with the name of a plugin; there are: builtin, sh";
    check("/elsewhere/x", names);
}

#[test]
fn a_component_that_fails() {
    let sandbox = Sandbox::with_server();
    assert_snapshot!(stderr(&sandbox, &["call", "/sh/fail", r#"{"door": 1}"#]), @r#"
    error: `/sh/fail` failed: closed on Sundays
      code: 4242
      component: /sh/fail
      input: {"door": 1}
      traceback:
        | in open()
        | in vault()
      data: {"day":"Sunday"}
    "#);
}

#[test]
fn a_server_that_dies() {
    let sandbox = Sandbox::with_server();
    settings().bind(|| {
        assert_snapshot!(stderr(&sandbox, &["-q", "call", "/sh/die", "1"]), @r#"
        error: `/sh/die` failed: plugin `sh`: the connection ended before the answer came: the process exited with status 7; its last output on stderr:
            | cannot open the vault
          code: -32013 (outcome_unknown)
          component: /sh/die
          input: 1
        hint: look whether it did its work before you run it again
        "#);
    });
}

#[test]
fn a_step_that_was_tried_again() {
    let sandbox = Sandbox::with_server();
    let flow = "\
steps:
  - id: open
    component: /sh/fail
    onError: { action: retry, maxRetries: 2, backoff: { minDelay: 1ms } }
output: { $step: open }
";
    sandbox.write("flow.yaml", flow);
    settings().bind(|| {
        assert_snapshot!(stderr(&sandbox, &["-q", "run", "flow.yaml"]), @r#"
        error: step `open` failed: closed on Sundays
          code: 4242
          component: /sh/fail
          attempts: 3, all with this error
          input: null
          traceback:
            | in open()
            | in vault()
          data: {"day":"Sunday"}
        "#);
    });
}

#[test]
fn a_plugin_that_does_not_start() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "stepflow-config.yml",
        "plugins: { py: { type: stepflow, command: pyhton } }\n",
    );
    assert_snapshot!(stderr(&sandbox, &["-q", "call", "/py/x", "1"]), @r#"
    error: `/py/x` failed: the plugin `py` is not available: the command `pyhton` was not found or is not executable (folder [FOLDER]; PATH searched: /usr/bin:/bin)
      code: -32005 (resource_unavailable)
      component: /py/x
      input: 1
    hint: look at the plugin's `command`, `args` and `cwd` in the config; `stepflow list-components` tries every plugin
    "#);
}

#[test]
fn a_server_that_ends_before_it_begins() {
    let sandbox = Sandbox::new();
    sandbox.write_program(
        "server.sh",
        "#!/bin/sh\necho 'No module named stepflow_sdk' >&2\nexit 1\n",
    );
    sandbox.write(
        "stepflow-config.yml",
        "plugins: { py: { type: stepflow, command: ./server.sh, restart: { maxRestarts: 0 } } }\n",
    );
    assert_snapshot!(stderr(&sandbox, &["-q", "call", "/py/x", "1"]), @r#"
    error: `/py/x` failed: the plugin `py` is not available: the command `./server.sh` (in [FOLDER]) ended before it answered `initialize`; the process exited with status 1; its last output on stderr:
        | No module named stepflow_sdk
      code: -32005 (resource_unavailable)
      component: /py/x
      input: 1
    hint: the module is not installed in the Python that was started: check `command`, or install it there
    "#);
}
