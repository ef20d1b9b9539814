//! Where inputs and variables come from, and where outcomes go.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::process::Stdio;

use crate::support::Sandbox;

#[track_caller]
fn result(ended: &crate::support::Ended) -> &str {
    let text = ended.stdout.trim_end();
    let result = text.strip_prefix(r#"{"outcome":"success","result":"#);
    result
        .and_then(|it| it.strip_suffix('}'))
        .unwrap_or_else(|| panic!("{ended:?}"))
}

#[test]
fn stdin_is_read_when_no_flag_gives_an_input() {
    let check = |args: &[&str], stdin: &str, expected: &str| {
        let ended = Sandbox::new().run_with_stdin(args, stdin);
        assert_eq!(result(&ended), expected);
        assert_eq!(ended.stderr, "");
    };
    check(&["call", "noop"], r#"{ "a": 1.50 }"#, r#"{"a":1.50}"#);
    check(&["call", "noop"], "", "null");
    check(&["call", "noop"], " \n", "null");
    check(
        &["call", "noop", "--stdin-format", "yaml"],
        "a: [1, no]",
        r#"{"a":[1,"no"]}"#,
    );
    check(&["call", "noop", "--input", "-"], "[1]", "[1]");
    check(&["call", "noop", "1"], "not read", "1");
    check(
        &["call", "noop", "--input-yaml", "a: 1"],
        "not read",
        r#"{"a":1}"#,
    );
}

#[test]
fn stdin_that_is_no_json_is_refused() {
    let ended = Sandbox::new().run_with_stdin(&["call", "noop"], "a: 1");
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(
        ended.stderr.contains("stdin:1:1") && ended.stderr.contains("--stdin-format yaml"),
        "{ended:?}"
    );
}

#[test]
fn a_silent_stdin_is_explained() {
    let sandbox = Sandbox::new();
    let mut child = sandbox
        .command(&["call", "noop"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.contains("reading the input from stdin"), "{line}");
    child.stdin.take().unwrap().write_all(b"7").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"{\"outcome\":\"success\",\"result\":7}\n");
}

#[test]
fn files_are_read_by_their_extension() {
    let sandbox = Sandbox::new();
    sandbox.write("a.json", "{\"n\": 12345678901234567890123}");
    sandbox.write("a.yaml", "n: 0x10");
    sandbox.write("a.txt", "n: ~");
    sandbox.write("bad.json", "n: 1");
    let run = |file: &str| sandbox.run(&["call", "noop", "--input", file]);
    assert_eq!(result(&run("a.json")), r#"{"n":12345678901234567890123}"#);
    assert_eq!(result(&run("a.yaml")), r#"{"n":16}"#);
    assert_eq!(result(&run("a.txt")), r#"{"n":null}"#);
    assert!(run("bad.json").stderr.contains("bad.json:1:2: "));
}

#[test]
fn outcomes_go_to_files_by_their_extension() {
    let sandbox = Sandbox::new();
    for (file, expected) in [
        ("o.yaml", "outcome: success\nresult:\n  a:\n    - 1\n"),
        (
            "o.json",
            "{\n  \"outcome\": \"success\",\n  \"result\": {\n    \"a\": [\n      1\n    ]\n  }\n}\n",
        ),
    ] {
        let ended = sandbox.run(&["call", "noop", r#"{"a":[1]}"#, "--output", file]);
        assert_eq!((ended.code, ended.stdout.as_str()), (0, ""));
        assert_eq!(sandbox.read(file), expected);
    }
}

const VARIABLES: &str = "\
variables:
  type: object
  properties:
    model: { type: string, default: small }
    code: { type: string, env_var: CODE }
    count: { type: integer, env_var: COUNT }
output:
  - { $variable: model }
  - { $variable: code, default: none }
  - { $variable: count, default: 0 }
";

#[test]
fn variables_come_from_flags_and_the_environment() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", VARIABLES);
    sandbox.write("v.yaml", "model: large");
    let check = |args: &[&str], expected: &str| {
        let mut command = sandbox.command(&[&["run", "flow.yaml"], args].concat());
        let command = command.env("CODE", "007").env("COUNT", "42");
        let ended = crate::support::ended(command, &sandbox.path(""));
        assert_eq!(result(&ended), expected, "{ended:?}");
    };
    check(&[], r#"["small","none",0]"#);
    check(&["--variables", "v.yaml"], r#"["large","none",0]"#);
    check(
        &["--variables-json", r#"{"count":1}"#],
        r#"["small","none",1]"#,
    );
    check(&["--variables-yaml", "code: x"], r#"["small","x",0]"#);
    // A string stays one, and what was given is kept.
    check(&["--env-variables"], r#"["small","007",42]"#);
    check(
        &["--env-variables", "--variables-yaml", "count: 1"],
        r#"["small","007",1]"#,
    );
}

#[test]
fn variables_that_do_not_fit_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", VARIABLES);
    let ended = sandbox.run(&["run", "flow.yaml", "--variables-yaml", "count: many"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(
        ended.stderr.contains("the variables do not fit") && ended.stderr.contains("/count"),
        "{ended:?}"
    );
}

#[test]
fn what_is_given_in_the_wrong_way_is_told_the_right_one() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", VARIABLES);
    let check = |args: &[&str], expected: &str| {
        let ended = sandbox.run(args);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{ended:?}");
        assert!(ended.stderr.contains(expected), "{ended:?}");
    };
    let run = |option, value, expected| check(&["run", "flow.yaml", option, value], expected);
    run("--variables-json", "a=1", "there is --variables-yaml");
    run("--overrides-json", "a", "there is --overrides-yaml");
    run("--input-json", "{a: 1}", "there is --input-yaml");
    run(
        "--input",
        r#"{"a": 1}"#,
        "hint: --input-json takes the input",
    );
    run("--variables", "{}", "hint: --variables-json takes");
    run("--input", "gone.json", "is the path spelled right?");
    check(&["call", "noop", "EUR"], r#"a text is written '"so"'"#);
}

#[test]
fn a_variable_that_looks_like_another_is_told() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", VARIABLES);
    let warning = |variables: &str| {
        let ended = sandbox.run(&["run", "flow.yaml", "--variables-yaml", variables]);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.stderr
    };
    let expected = "warning: the flow declares no variable `modle`; did you mean `model`?\n";
    assert_eq!(warning("modle: large"), expected);
    // It is there for another flow.
    assert_eq!(warning("{ modle: large, model: small }"), "");
    assert_eq!(warning("city: Rome"), "");
}
