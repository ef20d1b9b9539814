//! One flow on many inputs: the order, what one bad input does to the others, and going on after an interruption.

use std::fmt::Write;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;

use crate::support::Sandbox;

/// Waits as long as its input says, then returns it.
const FLOW: &str = "\
inputSchema: { type: object, properties: { ms: { type: integer } }, required: [ms] }
steps:
  - { id: nap, component: sleep, input: { duration_ms: { $input: ms } } }
  - { id: name, component: noop, input: [{ $step: nap, path: duration_ms }, { $input: name }] }
output: { $step: name }
";

fn sandbox(inputs: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", FLOW);
    sandbox.write("inputs.jsonl", inputs);
    sandbox
}

const RUN: [&str; 4] = ["run", "flow.yaml", "--inputs", "inputs.jsonl"];

#[test]
fn outcomes_come_in_the_order_of_the_inputs() {
    let inputs = "{\"ms\": 300, \"name\": \"a\"}\n\n{\"ms\": 0, \"name\": \"b\"}\n{\"ms\": \"x\"}\n{\"ms\": 0}";
    let ended = sandbox(inputs).run(&RUN);
    assert_eq!(ended.code, 1, "{ended:?}");
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{ended:?}");
    assert_eq!(
        lines[0],
        r#"{"index":0,"outcome":"success","result":[300,"a"]}"#
    );
    assert_eq!(
        lines[1],
        r#"{"index":1,"outcome":"success","result":[0,"b"]}"#
    );
    assert!(
        lines[2].starts_with(r#"{"index":2,"outcome":"failed","error":{"code":-32003,"#),
        "{}",
        lines[2]
    );
    assert!(
        lines[3].starts_with(r#"{"index":3,"outcome":"failed","error":{"code":-32009,"#),
        "{}",
        lines[3]
    );
    for words in [
        "input 2 failed: ",
        "input 3 failed: ",
        "4 of 4 inputs done: 2 succeeded, 0 skipped, 2 failed",
    ] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
}

#[test]
fn what_cannot_be_read_is_found_before_anything_runs() {
    let ended = sandbox("{\"ms\": 0}\n{ms: 1}\n").run(&RUN);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{ended:?}");
    assert!(
        ended.stderr.contains("inputs.jsonl:2: not JSON"),
        "{ended:?}"
    );
    let check = |args: &[&str]| {
        let ended = sandbox("1").run(&[&RUN[..], args].concat());
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (2, ""),
            "{args:?} {ended:?}"
        );
    };
    check(&["--input-json", "1"]);
    check(&["--resume"]);
    check(&["--max-concurrency", "0"]);
}

fn many() -> String {
    let mut inputs = String::new();
    for number in 0..100 {
        writeln!(inputs, "{{\"ms\": 40, \"name\": {number}}}").unwrap();
    }
    inputs
}

fn expected() -> String {
    let mut outcomes = String::new();
    for number in 0..100 {
        writeln!(
            outcomes,
            "{{\"index\":{number},\"outcome\":\"success\",\"result\":[40,{number}]}}"
        )
        .unwrap();
    }
    outcomes
}

#[test]
fn a_batch_that_was_stopped_goes_on() {
    let sandbox = sandbox(&many());
    let to_file = ["--output", "outcomes.jsonl", "--resume"];
    let slowly = [&RUN[..], &to_file[..], &["--max-concurrency", "2"][..]].concat();
    let child = sandbox.command(&slowly).spawn().unwrap();
    let path = sandbox.path("outcomes.jsonl");
    while std::fs::metadata(&path).map_or(0, |it| it.len()) == 0 {
        std::thread::yield_now();
    }
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains(" are left, the same command goes on with them"),
        "{stderr}"
    );
    let first = sandbox.read("outcomes.jsonl");
    let n_first = first.lines().count();
    assert!(
        first.ends_with('\n') && n_first < 100 && expected().starts_with(&first),
        "{first}"
    );
    // As if it had been killed in the middle of a line.
    sandbox.write(
        "outcomes.jsonl",
        &format!("{first}{{\"index\":{n_first},\"outc"),
    );
    let ended = sandbox.run(&[&RUN[..], &to_file[..], &["--max-concurrency", "50"][..]].concat());
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains(&format!("going on after {n_first} of 100")),
        "{ended:?}"
    );
    assert_eq!(sandbox.read("outcomes.jsonl"), expected());
    let again = sandbox.run(&[&RUN[..], &to_file[..]].concat());
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(
        sandbox.read("outcomes.jsonl"),
        expected(),
        "nothing is left to do"
    );
}

#[test]
fn a_file_of_something_else_is_not_gone_on_with() {
    let sandbox = sandbox("{\"ms\": 0}");
    sandbox.write("outcomes.jsonl", "my diary\n");
    let ended = sandbox.run(&[&RUN[..], &["--output", "outcomes.jsonl", "--resume"]].concat());
    assert_eq!(ended.code, 2, "{ended:?}");
    assert_eq!(sandbox.read("outcomes.jsonl"), "my diary\n");
}
