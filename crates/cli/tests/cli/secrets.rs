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
