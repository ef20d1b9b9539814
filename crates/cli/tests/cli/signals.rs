//! Ctrl-C and SIGTERM: an orderly end, then an end at once.

use std::io::BufRead;
use std::io::BufReader;
use std::process::Child;

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::Signal;
use rustix::process::kill_process;
use rustix::process::pidfd_open;
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
    let server = server_in(&mut stderr);
    (child, server, stderr)
}

/// Reads up to where the server names its process.
fn server_in(stderr: &mut impl BufRead) -> Pid {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(
            stderr.read_line(&mut line).unwrap() > 0,
            "the program ended early"
        );
        if let Some((_, pid)) = line.split_once("hanging ") {
            return Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        }
    }
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
fn the_second_ends_a_program_whose_threads_are_all_stuck() {
    let sandbox = Sandbox::with_server();
    // Floods stderr, and ends by nothing but SIGKILL.
    let flooding = SERVER.replace(
        "echo \"hanging $$\" >&2",
        "trap '' TERM PIPE; while true; do echo \"hanging $$\" >&2; done",
    );
    sandbox.write_program("server.sh", &flooding);
    let (stderr, writer) = std::io::pipe().unwrap();
    let mut command = sandbox.command(&["-v", "call", "/sh/hang", "1"]);
    command.env("TOKIO_WORKER_THREADS", "1");
    let mut child = command.stderr(writer.try_clone().unwrap()).spawn().unwrap();
    let server = server_in(&mut BufReader::new(&stderr));
    let server = pidfd_open(server, PidfdFlags::empty()).unwrap();
    // Nobody reads any more: once the pipe is full, the only worker is stuck in the write of a log line.
    let at_once = Timespec::default();
    while poll(&mut [PollFd::new(&writer, PollFlags::OUT)], Some(&at_once)).unwrap() > 0 {
        std::thread::yield_now();
    }
    // Two that come together may be taken for one.
    let status = loop {
        send(&child, Signal::INT);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::yield_now();
    };
    assert_eq!(status.code(), Some(130));
    // Readable when the process has ended.
    poll(&mut [PollFd::new(&server, PollFlags::IN)], None).unwrap();
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
