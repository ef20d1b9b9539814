//! One flow on many inputs: the order, what one bad input does to the others, and going on after an interruption.

use std::fmt::Write as _;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;

use crate::support::Ended;
use crate::support::Sandbox;
use crate::support::ended;

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
    for (line, start) in [
        (0, r#"{"index":0,"outcome":"success","result":[300,"a"],"#),
        (1, r#"{"index":1,"outcome":"success","result":[0,"b"],"#),
    ] {
        assert!(lines[line].starts_with(start), "{}", lines[line]);
    }
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
        "input 2 (line 4) failed: ",
        "input 3 (line 5) failed: step `name`: in the input there is no $.name",
        "; -32009 (expression_failed)\n",
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
        ended
            .stderr
            .contains("inputs.jsonl:2:2: not JSON: key must be a string\n"),
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

/// The outcomes of a batch that nothing stops.
fn expected(sandbox: &Sandbox) -> String {
    let ended = sandbox.run(&[&RUN[..], &["--max-concurrency", "100"]].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.stdout
}

#[test]
fn a_batch_that_was_stopped_goes_on() {
    let sandbox = sandbox(&many());
    let expected = expected(&sandbox);
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
        first.ends_with('\n') && n_first < 100 && expected.starts_with(&first),
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
    assert_eq!(sandbox.read("outcomes.jsonl"), expected);
    let again = sandbox.run(&[&RUN[..], &to_file[..]].concat());
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(
        sandbox.read("outcomes.jsonl"),
        expected,
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

fn resume(sandbox: &Sandbox) -> Ended {
    sandbox.run(&[&RUN[..], &["--output", "outcomes.jsonl", "--resume"]].concat())
}

#[test]
fn a_line_that_was_cut_off_anywhere_is_run_again() {
    let sandbox = sandbox("{\"ms\": 0, \"name\": \"a\"}\n{\"ms\": 0, \"name\": \"é€\"}\n");
    assert_eq!(resume(&sandbox).code, 0);
    let whole = std::fs::read(sandbox.path("outcomes.jsonl")).unwrap();
    let n_first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let in_a_letter = whole.iter().position(|byte| *byte == 0xe2).unwrap() + 1;
    for length in [0, 1, n_first - 1, n_first, in_a_letter, whole.len() - 1] {
        std::fs::write(sandbox.path("outcomes.jsonl"), &whole[..length]).unwrap();
        let ended = resume(&sandbox);
        assert_eq!(ended.code, 0, "{length} {ended:?}");
        let again = std::fs::read(sandbox.path("outcomes.jsonl")).unwrap();
        assert_eq!(again, whole, "{length}");
    }
}

#[test]
fn a_batch_goes_on_with_the_same_flow_and_the_same_inputs_only() {
    const INPUTS: &str = "{\"ms\": 0, \"name\": 1}\n\n{\"ms\": 0, \"name\": 2}\n";
    let sandbox = sandbox(INPUTS);
    assert_eq!(resume(&sandbox).code, 0);
    let recorded = sandbox.read("outcomes.jsonl");
    let check = |words: &str| {
        let ended = resume(&sandbox);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{ended:?}");
        for part in [
            words,
            "nothing was changed",
            "leave out --resume",
            "--output",
        ] {
            assert!(ended.stderr.contains(part), "{part}: {ended:?}");
        }
        assert_eq!(sandbox.read("outcomes.jsonl"), recorded, "{words}");
    };
    sandbox.write("inputs.jsonl", &INPUTS.replace('2', "3"));
    check("outcomes.jsonl:2: this is the outcome of another input than that at inputs.jsonl:3");
    sandbox.write("inputs.jsonl", INPUTS);
    sandbox.write("flow.yaml", &FLOW.replace("[{ $step", "[1, { $step"));
    check("outcomes.jsonl:1: this is the outcome of another flow");
    // What means the same is the same, and there may be more.
    let same = FLOW.replace("{ $step: name }", "{$step: name} # the same");
    sandbox.write("flow.yaml", &same);
    let more = "{\"ms\":0,  \"name\":1}\r\n{\"ms\": 0, \"name\": 2}\n{\"ms\": 0, \"name\": 3}";
    sandbox.write("inputs.jsonl", more);
    let ended = resume(&sandbox);
    assert!(ended.stderr.contains("going on after 2 of 3"), "{ended:?}");
    assert!(sandbox.read("outcomes.jsonl").starts_with(&recorded));
    sandbox.write("inputs.jsonl", "{\"ms\": 0, \"name\": 1}\n");
    let ended = resume(&sandbox);
    let words = "outcomes.jsonl:2: this is the outcome of one input more than there are";
    assert!(ended.code == 2 && ended.stderr.contains(words), "{ended:?}");
}

#[test]
fn lines_may_begin_and_end_as_editors_make_them() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", "output: { $input: $ }\n");
    sandbox.write("inputs.jsonl", "\u{feff}1\r\n\r\n \t\n\"é\"\n3");
    let ended = sandbox.run(&RUN);
    assert_eq!(ended.code, 0, "{ended:?}");
    let lines = ended.stdout.lines();
    let results: Vec<_> = lines.map(|line| line.split(',').nth(2).unwrap()).collect();
    let expected = [r#""result":1"#, r#""result":"é""#, r#""result":3"#];
    assert_eq!(results, expected);
    for (inputs, words) in [
        (&b"1\n\"\xe9\"\n"[..], "inputs.jsonl:2: not UTF-8"),
        (b"\xff\xfe1\0\n\0", "inputs.jsonl:1: not UTF-8"),
        (b"1\n\n{\"a\": 1} 2\n", "inputs.jsonl:3:10: not JSON"),
        (b"1\n\xef\xbb\xbf2\n", "inputs.jsonl:2:1: not JSON"),
        (b"1\n  {\n", "inputs.jsonl:2:3: not JSON"),
    ] {
        std::fs::write(sandbox.path("inputs.jsonl"), inputs).unwrap();
        let ended = sandbox.run(&RUN);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{ended:?}");
        assert!(ended.stderr.contains(words), "{words}: {ended:?}");
    }
}

#[test]
fn outcomes_are_lines_of_json_and_not_yaml() {
    let sandbox = sandbox("{\"ms\": 0, \"name\": 1}\n");
    let ended = sandbox.run(&[&RUN[..], &["--output", "outcomes.yaml"]].concat());
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("name it outcomes.jsonl"), "{ended:?}");
    assert!(!sandbox.path("outcomes.yaml").exists());
    // A device holds nothing that could be cut off or gone on with.
    for (rest, code) in [(&[][..], 0), (&["--resume"][..], 2)] {
        let ended = sandbox.run(&[&RUN[..], &["--output", "/dev/null"], rest].concat());
        assert_eq!(ended.code, code, "{ended:?}");
    }
}

#[test]
fn what_is_refused_leaves_the_outcomes_of_before_alone() {
    let sandbox = sandbox("{\"ms\": 0, \"name\": 1}\n");
    sandbox.write("input.json", "{\"ms\": 0, \"name\": 1}\n");
    let batch = [&RUN[..], &["--output", "outcomes"]].concat();
    let one = [
        "run",
        "flow.yaml",
        "--input",
        "input.json",
        "--output",
        "outcomes",
    ];
    let check = |command: &[&str], name: &str, text: &str| {
        assert_eq!(sandbox.run(command).code, 0, "{command:?}");
        let before = sandbox.read("outcomes");
        let kept = std::fs::read_to_string(sandbox.path(name)).ok();
        sandbox.write(name, text);
        let ended = sandbox.run(command);
        assert_eq!(ended.code, 2, "{command:?} {name}: {ended:?}");
        assert_eq!(sandbox.read("outcomes"), before, "{command:?} {name}");
        match kept {
            Some(kept) => sandbox.write(name, &kept),
            None => std::fs::remove_file(sandbox.path(name)).unwrap(),
        }
    };
    check(&batch, "inputs.jsonl", "{\"ms\": 0}\n{");
    check(&one, "input.json", "{\"ms\": \"x\"}");
    for command in [&batch[..], &one] {
        check(command, "flow.yaml", "output: { $step: none }\n");
        for config in [
            "plugins: { it: { type: none } }\n",
            "routes: { \"/a{b\": [{ plugin: builtin }] }\n",
        ] {
            check(command, "stepflow-config.yml", config);
        }
    }
}

#[test]
fn inputs_are_never_written_over_whatever_name_they_have() {
    let sandbox = sandbox("{\"ms\": 0}\n");
    std::fs::hard_link(sandbox.path("inputs.jsonl"), sandbox.path("hard.jsonl")).unwrap();
    std::os::unix::fs::symlink("inputs.jsonl", sandbox.path("soft.jsonl")).unwrap();
    for name in ["inputs.jsonl", "hard.jsonl", "soft.jsonl"] {
        let ended = sandbox.run(&[&RUN[..], &["--output", name]].concat());
        assert_eq!(ended.code, 2, "{name}: {ended:?}");
        assert_eq!(sandbox.read("inputs.jsonl"), "{\"ms\": 0}\n", "{name}");
    }
}

#[test]
fn one_batch_at_a_time_writes_to_a_file() {
    let sandbox = sandbox("{\"ms\": 0, \"name\": 1}\n");
    let to_file = [&RUN[..], &["--output", "outcomes.jsonl"]].concat();
    assert_eq!(sandbox.run(&to_file).code, 0);
    let before = sandbox.read("outcomes.jsonl");
    // As a batch has it that goes on.
    let held = std::fs::File::open(sandbox.path("outcomes.jsonl")).unwrap();
    held.lock().unwrap();
    for resume in [&[][..], &["--resume"]] {
        let ended = sandbox.run(&[&to_file[..], resume].concat());
        assert_eq!(ended.code, 2, "{ended:?}");
        let words = "another batch is writing to outcomes.jsonl";
        assert!(ended.stderr.contains(words), "{ended:?}");
        assert_eq!(sandbox.read("outcomes.jsonl"), before);
    }
    drop(held);
    assert_eq!(sandbox.run(&to_file).code, 0);
}

#[test]
fn outcomes_that_cannot_be_written_say_what_was_run() {
    let sandbox = sandbox("{\"ms\": 0}\n");
    for (place, words) in [
        ("no/folder.jsonl", "no input was run"),
        ("/dev/full", "--resume goes on after them"),
    ] {
        let ended = sandbox.run(&[&RUN[..], &["--output", place]].concat());
        assert_eq!(ended.code, 3, "{ended:?}");
        assert!(ended.stderr.contains(words), "{ended:?}");
    }
}

/// Answers a request that it does not look at.
fn answer(mut stream: TcpStream) {
    let text = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(text).unwrap();
}

#[test]
fn one_that_is_slow_holds_up_no_other() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/{{{{ $input }}}}");
    let flow = format!(
        "steps: [{{ id: ask, component: http_request, input: {{ url: {{ $template: \"{url}\" }} }} }}]\noutput: null\n"
    );
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", &flow);
    let inputs: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    sandbox.write("inputs.jsonl", &inputs.join("\n"));
    let mut command = sandbox.command(&[&RUN[..], &["--max-concurrency", "2"]].concat());
    let child = command.spawn().unwrap();
    // The first is answered when the last has come.
    let mut first = None;
    loop {
        let (stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        if line.contains("/0 ") {
            first = Some(stream);
            continue;
        }
        answer(stream);
        if line.contains("/199 ") {
            break;
        }
    }
    answer(first.unwrap());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    for (index, line) in stdout.lines().enumerate() {
        assert!(line.starts_with(&format!("{{\"index\":{index},")), "{line}");
    }
    assert_eq!(stdout.lines().count(), 200);
}

#[test]
fn what_has_ended_is_forgotten() {
    // Each run has ten kilobytes in its journal, which would come to 200 MB.
    let large = "x".repeat(10_000);
    let flow = format!(
        "steps: [{{ id: large, component: noop, input: {{ $template: \"{large} {{{{ $input }}}}\" }} }}]\noutput: {{ $input: $ }}\n"
    );
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", &flow);
    sandbox.write("inputs.jsonl", &"1\n".repeat(20_000));
    let ended = ended(
        &mut sandbox.within_memory(200_000, &RUN),
        &sandbox.path("."),
    );
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(ended.stdout.lines().count(), 20_000);
}
