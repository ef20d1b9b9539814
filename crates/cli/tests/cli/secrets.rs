//! Secrets reach stdout as part of what a flow returns, and nothing else: no error, no log.

use crate::support::SERVER;
use crate::support::Sandbox;

const SECRET: &str = "sesame-open-it";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write_program("server.sh", SERVER);
    sandbox.write(
        "stepflow-config.yml",
        "plugins:\n  sh: { type: stepflow, command: ./server.sh, env: { KEY: '${TOKEN}' } }\n",
    );
    sandbox
}

#[test]
fn values_from_the_config_are_scrubbed_at_every_level() {
    for level in [
        &["-q"][..],
        &[],
        &["-v"],
        &["-vvv"],
        &["-vvv", "--log-format", "json"],
    ] {
        let sandbox = sandbox();
        let args = [level, &["--log-file", "log.txt", "call", "/sh/leak", "1"]].concat();
        let mut command = sandbox.command(&args);
        let ended = crate::support::ended(command.env("TOKEN", SECRET), &sandbox.path(""));
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(
            ended.stdout.contains("the key *** is refused") && !ended.stdout.contains(SECRET),
            "an error is not what a flow returns: {ended:?}"
        );
        assert!(!ended.stderr.contains(SECRET), "{level:?} {}", ended.stderr);
        assert!(
            ended.stderr.contains("the key *** is refused"),
            "{level:?} {}",
            ended.stderr
        );
        let log = sandbox.read("log.txt");
        assert!(!log.contains(SECRET) && log.contains("said ***"), "{log}");
    }
}

#[test]
fn secret_variables_are_scrubbed() {
    let sandbox = sandbox();
    sandbox.write(
        "flow.yaml",
        "variables: { type: object, properties: { key: { type: string, is_secret: true, env_var: VAULT } } }\n\
         steps: [{ id: a, component: /sh/fail, input: { $variable: key } }]\n\
         output: { $step: a }\n",
    );
    for args in [
        &["--env-variables"][..],
        &["--variables-yaml", "key: sesame-open-it"],
    ] {
        let args = [&["-vvv", "run", "flow.yaml"], args].concat();
        let mut command = sandbox.command(&args);
        let command = command.env("TOKEN", "another-secret").env("VAULT", SECRET);
        let ended = crate::support::ended(command, &sandbox.path(""));
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.stderr.contains("input: \"***\""), "{}", ended.stderr);
        assert!(!ended.stderr.contains(SECRET), "{}", ended.stderr);
    }
}

#[test]
fn input_that_breaks_its_schema_does_not_tell_a_secret() {
    let sandbox = sandbox();
    sandbox.write(
        "flow.yaml",
        "variables: { type: object, properties: { key: { type: string, maxLength: 3, is_secret: true } } }\noutput: 1\n",
    );
    let mut command = sandbox.command(&[
        "run",
        "flow.yaml",
        "--variables-yaml",
        "key: sesame-open-it",
    ]);
    let ended = crate::support::ended(command.env("TOKEN", "another-secret"), &sandbox.path(""));
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(!ended.stderr.contains(SECRET), "{}", ended.stderr);
}

/// A flow in which a secret goes everywhere it can: a failing component, a template, a condition, a mock, a mistake.
const SPREAD: &str = "\
name: spread
inputSchema: { type: object }
variables:
  type: object
  properties:
    key: { type: string, is_secret: true, env_var: VAULT }
    spare: { type: string, is_secret: true, default: sesame-in-the-file }
    deep: { type: object, properties: { pin: { type: string, is_secret: true } }, default: { pin: sesame-deep-inside } }
steps:
  - { id: greet, component: noop, input: { $template: \"{{ $variable.key }} {{ $variable.spare }} {{ $variable.deep }}\" } }
  - { id: leak, component: /sh/leak, input: { key: { $variable: key }, text: { $step: greet } }, onError: { action: retry, maxRetries: 1, backoff: { minDelay: 1ms } } }
output: { $step: leak }
test:
  cases:
    - { name: told, input: {}, variables: { key: sesame-open-it }, output: { outcome: success, result: nothing } }
    - { name: mocked, input: {}, variables: { key: sesame-open-it }, mocks: { leak: { outcome: success, result: sesame-open-it } }, output: { outcome: success, result: 1 } }
    - { name: refused, input: 5, variables: { key: sesame-open-it } }
";

#[test]
fn no_command_tells_a_secret() {
    let sandbox = sandbox();
    sandbox.write("flow.yaml", SPREAD);
    sandbox.write(
        "bad.yaml",
        &SPREAD.replace("name: spread", "nmae: sesame-in-the-file"),
    );
    sandbox.write("inputs.jsonl", "{}\n5\n");
    sandbox.write("variables.yaml", "key: sesame-open-it\n");
    let override_ = "leak: { $type: merge_patch, value: { skip_if: { $variable: keyy } } }";
    let run = ["run", "flow.yaml", "--input-json", "{}"];
    let commands: Vec<Vec<&str>> = vec![
        [&run[..], &["--env-variables"]].concat(),
        [&run[..], &["--variables", "variables.yaml"]].concat(),
        [&run[..], &["--variables-yaml", "key: [sesame-open-it]"]].concat(),
        [&run[..], &["--env-variables", "--watch"]].concat(),
        [
            &run[..],
            &["--env-variables", "--overrides-yaml", override_],
        ]
        .concat(),
        vec!["run", "flow.yaml", "--input-json", "5", "--env-variables"],
        vec![
            "run",
            "flow.yaml",
            "--inputs",
            "inputs.jsonl",
            "--env-variables",
        ],
        [
            &run[..2],
            &[
                "--inputs",
                "inputs.jsonl",
                "--env-variables",
                "--output",
                "o.jsonl",
            ],
        ]
        .concat(),
        vec!["run", "bad.yaml", "--env-variables"],
        vec!["test", "flow.yaml"],
        vec!["test", "flow.yaml", "--diff"],
        vec!["test", "flow.yaml", "--format", "json"],
        vec!["test", "flow.yaml", "--format", "junit"],
        vec!["validate", "flow.yaml"],
        vec!["validate", "bad.yaml"],
        vec!["validate", "bad.yaml", "--format", "json"],
        vec!["validate", "bad.yaml", "--format", "sarif"],
        vec!["infer", "flow.yaml"],
        vec!["infer", "flow.yaml", "--start", "--format", "json"],
        vec!["infer", "bad.yaml"],
        vec!["visualize", "flow.yaml"],
        vec!["visualize", "flow.yaml", "--format", "dot"],
        vec!["visualize", "flow.yaml", "--format", "svg"],
        vec!["list-components", "--schemas"],
        vec!["call", "/sh/leak", "1"],
    ];
    for command in commands {
        for level in [
            &[][..],
            &["-vvv", "--log-format", "json", "--log-file", "log.txt"],
        ] {
            let args = [level, &command[..]].concat();
            let mut program = sandbox.command(&args);
            let program = program.env("TOKEN", SECRET).env("VAULT", SECRET);
            let ended = crate::support::ended(program, &sandbox.path(""));
            let log = std::fs::read_to_string(sandbox.path("log.txt")).unwrap_or_default();
            let outcomes = std::fs::read_to_string(sandbox.path("o.jsonl")).unwrap_or_default();
            let said = [ended.stdout, ended.stderr, log, outcomes].concat();
            assert!(!said.is_empty(), "{args:?}");
            for secret in [SECRET, "sesame-in-the-file", "sesame-deep-inside"] {
                assert!(!said.contains(secret), "{args:?}:\n{said}");
            }
        }
    }
}

/// Tests whose outcomes, but for the last two, hold what came from the environment.
const TELLING: &str = "\
variables: { type: object, properties: { key: { type: string, is_secret: true, env_var: VAULT } } }
steps:
  - { id: leak, component: /sh/leak, input: { $variable: key } }
output: { $step: leak }
test:
  cases:
    - { name: nothing is expected }
    - name: another message
      output: { outcome: failed, error: { code: -32004, message: refused } }
    - name: another outcome
      output: { outcome: success, result: 1 }
    - name: another code
      output: { outcome: failed, error: { code: 7 } }
    - name: another result
      mocks: { leak: { outcome: success, result: 2 } }
      output: { outcome: success, result: 1 }
";

#[test]
fn what_is_updated_tells_no_secret() {
    let sandbox = sandbox();
    sandbox.write("flow.yaml", TELLING);
    let mut command = sandbox.command(&["test", "flow.yaml", "--update"]);
    let command = command.env("TOKEN", SECRET).env("VAULT", SECRET);
    let ended = crate::support::ended(command, &sandbox.path(""));
    assert_eq!(ended.code, 1, "{ended:?}");
    let refused = "its outcome is not written, because it tells a secret";
    assert_eq!(ended.stdout.matches(refused).count(), 3, "{ended:?}");
    let expected = TELLING.replace("code: 7", "code: 1").replace(
        "result: 2 } }\n      output: { outcome: success, result: 1 }",
        "result: 2 } }\n      output: { outcome: success, result: 2 }",
    );
    assert_eq!(sandbox.read("flow.yaml"), expected);
}

#[test]
fn what_a_flow_returns_is_its_authors_business() {
    let sandbox = sandbox();
    sandbox.write("flow.yaml", "variables: { type: object, properties: { key: { is_secret: true } } }\noutput: { $variable: key }\n");
    let mut command = sandbox.command(&[
        "run",
        "flow.yaml",
        "--variables-yaml",
        "key: sesame-open-it",
    ]);
    let ended = crate::support::ended(command.env("TOKEN", "another-secret"), &sandbox.path(""));
    assert!(ended.stdout.contains(SECRET), "{ended:?}");
}
