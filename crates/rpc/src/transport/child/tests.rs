//! Tests against real processes: shell scripts that play a component server, well or badly.

use std::time::Duration;

use super::*;
use crate::CallError;
use crate::Router;
use crate::peer;

crate::method!(Echo, "echo", String => String);

/// Answers every request with its own id and `result`, in pure shell.
const ANSWERING: &str = r#"while read -r line; do
    id=${line#*\"id\":}; id=${id%%,*}
    printf '{"jsonrpc":"2.0","id":%s,"result":"pong"}\n' "$id"
done"#;

fn shell(script: &str) -> Command {
    let mut command = Command::new("test", "sh", "/");
    command.arguments = ["-c", script].map(Into::into).to_vec();
    command.environment = vec![("PATH".into(), "/usr/bin:/bin".into())];
    command.shutdown_grace = Duration::from_millis(300);
    command
}

async fn call(connection: &peer::Connection) -> Result<String, CallError> {
    connection.peer().call::<Echo>(&"ping".to_owned()).await
}

fn is_alive(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}/stat")).exists()
}

#[tokio::test]
async fn a_child_answers_and_ends_when_its_stdin_does() {
    let (link, child) = spawn(&shell(ANSWERING), None).unwrap();
    let connection = peer::connect(link, Router::new(()));
    assert_eq!(call(&connection).await.unwrap(), "pong");
    let exit = child.shut_down().await;
    assert_eq!(exit.status_text(), "exited with status 0");
    assert!(!is_alive(child.pid()));
}

#[tokio::test]
async fn the_ladder_goes_as_far_as_it_must() {
    let cases = [
        ("read -r line; exec sleep 1000", "was killed by signal 15"),
        (
            "trap '' TERM; while :; do sleep 1000; done",
            "was killed by signal 9",
        ),
    ];
    for (script, expected) in cases {
        let (link, child) = spawn(&shell(&format!("echo up >&2; {script}")), None).unwrap();
        let _connection = peer::connect(link, Router::new(()));
        while child.stderr_tail().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(child.shut_down().await.status_text(), expected, "{script}");
    }
}

#[tokio::test]
async fn what_the_child_started_goes_with_it() {
    let (link, child) = spawn(&shell("sleep 1000 & echo $! >&2; wait"), None).unwrap();
    let _connection = peer::connect(link, Router::new(()));
    while child.stderr_tail().is_empty() {
        tokio::task::yield_now().await;
    }
    let grandchild: u32 = child.stderr_tail().parse().unwrap();
    assert!(is_alive(grandchild));
    child.shut_down().await;
    gone(grandchild).await;
}

/// Waits until a process that was told to end has ended: a zombie counts, its parent may be slow.
async fn gone(pid: u32) {
    let is_running = || {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
            !stat
                .rsplit(')')
                .next()
                .is_some_and(|rest| rest.trim().starts_with('Z'))
        })
    };
    while is_running() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn calls_in_flight_hear_of_the_end_with_status_and_stderr() {
    let (link, _child) =
        spawn(&shell("echo 'out of luck' >&2; read -r line; exit 7"), None).unwrap();
    let connection = peer::connect(link, Router::new(()));
    let Err(CallError::Unknown(Closed::Exited(exit))) = call(&connection).await else {
        panic!("an exit")
    };
    assert_eq!(exit.status_text(), "exited with status 7");
    assert_eq!(exit.stderr, "out of luck");
}

#[tokio::test]
async fn an_exit_with_status_zero_is_an_end_too() {
    let (link, _child) = spawn(&shell("read -r line; exit 0"), None).unwrap();
    let connection = peer::connect(link, Router::new(()));
    assert!(matches!(
        call(&connection).await,
        Err(CallError::Unknown(Closed::Exited(_)))
    ));
}

#[tokio::test]
async fn a_grandchild_that_holds_stdout_open_hides_no_exit() {
    let (link, _child) = spawn(&shell("read -r line; sleep 1000 & exit 3"), None).unwrap();
    let connection = peer::connect(link, Router::new(()));
    let Err(CallError::Unknown(Closed::Exited(exit))) = call(&connection).await else {
        panic!("an exit")
    };
    assert_eq!(exit.status_text(), "exited with status 3");
}

#[tokio::test]
async fn ten_megabytes_of_stderr_block_nothing() {
    let script = format!("head -c 10000000 /dev/zero | tr '\\0' 'x' >&2; {ANSWERING}");
    let (link, child) = spawn(&shell(&script), None).unwrap();
    let connection = peer::connect(link, Router::new(()));
    assert_eq!(call(&connection).await.unwrap(), "pong");
    child.shut_down().await;
    assert!(child.stderr_tail().len() <= tail::MAX_LINE_BYTES);
}

#[tokio::test]
async fn noise_is_counted_and_costs_nothing() {
    let script = format!("echo hello; printf '\\377\\n'; {ANSWERING}");
    let (link, child) = spawn(&shell(&script), None).unwrap();
    let connection = peer::connect(link, Router::new(()));
    assert_eq!(call(&connection).await.unwrap(), "pong");
    assert_eq!(child.noise_lines(), 2);
}

#[tokio::test]
async fn a_child_that_closes_its_stdout_but_lives_fails_its_calls_and_is_ended() {
    let (link, child) = spawn(&shell("read -r line; exec 1>&-; exec sleep 1000"), None).unwrap();
    let connection = peer::connect(link, Router::new(()));
    assert!(matches!(
        call(&connection).await,
        Err(CallError::Unknown(Closed::ByPeer))
    ));
    assert_eq!(
        child.exited().await.status_text(),
        "was killed by signal 15"
    );
}

#[tokio::test]
async fn a_child_that_stops_reading_fails_its_calls() {
    let (link, child) = spawn(&shell("exec 0<&-; echo closed >&2; exec sleep 1000"), None).unwrap();
    let connection = peer::connect(link, Router::new(()));
    while child.stderr_tail().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(call(&connection).await.is_err());
}

#[tokio::test]
async fn a_start_that_fails_says_why() {
    let mut command = shell("");
    command.program = "no-such-program".into();
    let error = spawn(&command, None).unwrap_err().to_string();
    assert!(
        error.contains("no-such-program") && error.contains("/usr/bin:/bin"),
        "{error}"
    );
    command.program = "./no-such-file".into();
    let error = spawn(&command, None).unwrap_err().to_string();
    assert!(
        error.contains("./no-such-file") && error.contains("folder /"),
        "{error}"
    );
    command.folder = "/no-such-folder".into();
    let error = spawn(&command, None).unwrap_err().to_string();
    assert!(error.contains("/no-such-folder"), "{error}");
}

#[tokio::test]
async fn the_environment_is_what_was_given_and_nothing_else() {
    let mut command = shell("env >&2");
    command.environment.push(("GIVEN".into(), "yes".into()));
    let (_link, child) = spawn(&command, None).unwrap();
    let exit = child.exited().await;
    assert!(exit.stderr.contains("GIVEN=yes"));
    assert!(!exit.stderr.contains("CARGO"), "{}", exit.stderr);
}

#[tokio::test]
async fn secrets_of_the_environment_are_not_shown() {
    let mut command = shell("");
    command
        .environment
        .push(("TOKEN".into(), "sentinel".into()));
    assert!(!format!("{command:?}").contains("sentinel"));
}

#[tokio::test]
async fn the_guard_ends_the_groups_it_was_told_of_and_not_those_it_was_told_to_forget() {
    let guard = Guard::start().unwrap();
    let sleeper = || {
        let mut command = std::process::Command::new("sleep");
        command.arg("1000").process_group(0).spawn().unwrap()
    };
    use std::os::unix::process::CommandExt;
    let (mut watched, mut forgotten) = (sleeper(), sleeper());
    let group = |child: &std::process::Child| Pid::from_raw(child.id().cast_signed()).unwrap();
    guard.watch(group(&forgotten));
    guard.watch(group(&watched));
    guard.forget(group(&forgotten));
    tokio::task::spawn_blocking(move || drop(guard))
        .await
        .unwrap();
    watched.wait().unwrap();
    assert!(forgotten.try_wait().unwrap().is_none());
    forgotten.kill().unwrap();
    forgotten.wait().unwrap();
}

/// A notification every now and then, for as long as anybody takes it.
const CHATTING: &str = r#"while printf '{"jsonrpc":"2.0","method":"chat"}\n'; do sleep 0.02; done"#;

#[tokio::test]
async fn somebody_who_inherited_stdout_and_talks_on_hides_no_exit() {
    // Outside of the group before the process ends: what is inside goes with it.
    let script =
        r#"read -r line; setsid sh -c ": > left; $CHAT" & while ! [ -e left ]; do :; done; exit 3"#;
    let folder = tempfile::tempdir().unwrap();
    let mut command = shell(script);
    command.folder = folder.path().into();
    command.environment.push(("CHAT".into(), CHATTING.into()));
    let (link, _child) = spawn(&command, None).unwrap();
    let connection = peer::connect(link, Router::new(()));
    let Err(CallError::Unknown(Closed::Exited(exit))) = call(&connection).await else {
        panic!("an exit")
    };
    assert_eq!(exit.status_text(), "exited with status 3");
}

#[tokio::test]
async fn a_child_that_stops_reading_and_talks_on_fails_its_calls() {
    let script = format!("exec 0<&-; echo closed >&2; {CHATTING}");
    let (link, child) = spawn(&shell(&script), None).unwrap();
    let connection = peer::connect(link, Router::new(()));
    while child.stderr_tail().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(call(&connection).await.is_err());
    assert!(matches!(
        connection.closed().await,
        Closed::Io(_) | Closed::Exited(_)
    ));
}
