//! Ctrl-C and SIGTERM: an orderly end, then an end at once.

use std::io::BufRead;
use std::io::BufReader;
use std::process::Child;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use rustix::process::test_kill_process;

use crate::support::SERVER;
use crate::support::Sandbox;

/// A call that hangs, and the id of the process it hangs in.
fn hanging(sandbox: &Sandbox) -> (Child, Pid, BufReader<std::process::ChildStderr>) {
    let mut child = sandbox
        .command(&["-v", "call", "/sh/hang", "1"])
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    let pid = loop {
        line.clear();
        assert!(
            stderr.read_line(&mut line).unwrap() > 0,
            "the program ended early"
        );
        if let Some((_, pid)) = line.split_once("hanging ") {
            break pid.trim().parse().unwrap();
        }
    };
    (child, Pid::from_raw(pid).unwrap(), stderr)
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
}

#[test]
fn the_first_ends_the_run_and_its_servers() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 143)] {
        let sandbox = Sandbox::with_server();
        let (mut child, server, _stderr) = hanging(&sandbox);
        send(&child, signal);
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(code));
        assert!(test_kill_process(server).is_err(), "the server lives on");
        let mut stdout = String::new();
        std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut stdout).unwrap();
        assert_eq!(stdout, "");
    }
}

#[test]
fn the_second_does_not_wait_for_a_server_that_will_not_end() {
    let sandbox = Sandbox::with_server();
    // Neither the end of stdin nor SIGTERM ends it.
    let stubborn = SERVER.replace(
        "while IFS= read -r line; do",
        "trap '' TERM\nwhile true; do IFS= read -r line || { sleep 1; continue; }",
    );
    sandbox.write_program("server.sh", &stubborn);
    let (mut child, _server, mut stderr) = hanging(&sandbox);
    send(&child, Signal::INT);
    let mut line = String::new();
    while !line.contains("once more") {
        line.clear();
        assert!(
            stderr.read_line(&mut line).unwrap() > 0,
            "the first signal was not told"
        );
    }
    send(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn waiting_for_stdin_can_be_ended() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["call", "noop"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.contains("stdin"), "{line}");
    let _stdin = child.stdin.take();
    send(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn an_input_that_never_comes_can_be_given_up() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", "output: { $input: \"$\" }\n");
    let made = std::process::Command::new("mkfifo")
        .arg(sandbox.path("pipe"))
        .status();
    assert!(made.unwrap().success());
    let mut command = sandbox.command(&["run", "flow.yaml", "--input", "pipe"]);
    let mut child = command.spawn().unwrap();
    // Opening waits for the program to open the other end.
    let writer = std::fs::OpenOptions::new()
        .write(true)
        .open(sandbox.path("pipe"))
        .unwrap();
    send(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(writer);
}

#[test]
fn a_result_that_nobody_reads_can_be_given_up() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", "output: { $input: \"$\" }\n");
    sandbox.write("input.json", &format!("\"{}\"", "x".repeat(1 << 20)));
    let mut command = sandbox.command(&["run", "flow.yaml", "--input", "input.json"]);
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    // With its first byte here, the program is in the middle of writing.
    std::io::Read::read_exact(&mut stdout, &mut [0]).unwrap();
    send(&child, Signal::INT);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut String::new()).unwrap();
    send(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
}
