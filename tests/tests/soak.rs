//! Everything at once for a long time, under random kills: `SOAK_SECONDS=600 cargo test --package stepflow-tests --test
//! soak -- --ignored --nocapture`. What comes out must be the right answer or an honest failure, and nothing may grow.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::future::join;
use futures_util::future::join_all;
use futures_util::stream;
use rustix::process::Signal;
use serde_json::json;
use stepflow_flow::outcome::Outcome;
use stepflow_tests::figure;
use stepflow_tests::process;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Runtime;
use stepflow_tests::runtime::Setup;
use stepflow_tests::value;
use stepflow_tests::wire::Session;
use stepflow_tests::wire::Transport;

/// How many callers there are at once.
const CALLERS: u64 = 32;

#[derive(Debug, Default)]
struct Counts {
    succeeded: AtomicU64,
    failed: AtomicU64,
    killed: AtomicU64,
}

/// Numbers that look random and are the same in each run with the same seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

fn seconds() -> u64 {
    let text = std::env::var("SOAK_SECONDS").unwrap_or_else(|_| "600".to_owned());
    text.parse().expect("SOAK_SECONDS is a number of seconds")
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap()
}

// req: soak.random-kills
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes ten minutes"]
async fn answers_are_right_and_nothing_grows_under_random_kills() {
    let (start, length) = (Instant::now(), Duration::from_secs(seconds()));
    let mut chance = Chance(42);
    let mut settled = None;
    let mut round = 0;
    while start.elapsed() < length {
        // A store in memory keeps everything, so each round has a new runtime.
        round += 1;
        let counts = play(&mut chance, (length / 20).min(Duration::from_secs(30))).await;
        let (files, kib) = (process::open_files(), resident_kib(std::process::id()));
        let what = format!(
            "round {round}: {counts:?}; then {} MiB, {files} files",
            kib / 1024
        );
        figure(&what, start.elapsed(), length);
        let left = process::descendants(std::process::id());
        assert!(left.is_empty(), "{left:?}");
        // What is made once, and the allocator's reserves, are there after some rounds.
        if round >= 5 {
            let (n_files, first) = *settled.get_or_insert((files, kib));
            assert_eq!(files, n_files, "open files");
            assert!(
                kib < 2 * first,
                "memory grows from {first} KiB to {kib} KiB"
            );
        }
    }
}

/// One runtime, many callers, and a killer, for a while.
async fn play(chance: &mut Chance, length: Duration) -> Counts {
    let mut setup = Setup::default();
    for (name, program) in [("rust", Program::Rust), ("python", Program::Python)] {
        setup = setup.plugin_with(name, program, |it| {
            it.instances = 2;
            it.restart.max_restarts = u32::MAX - 1;
            it.restart.max_restarts_at_start = u32::MAX - 1;
        });
    }
    let runtime = setup.start();
    let (counts, is_over) = (Counts::default(), AtomicBool::new(false));
    let seeds: Vec<_> = (0..CALLERS).map(|_| chance.next(u64::MAX)).collect();
    let callers = seeds
        .into_iter()
        .map(|seed| call_on(&runtime, Chance(seed | 1), &counts, &is_over));
    join(
        join_all(callers),
        kill(&runtime, chance, length, &counts, &is_over),
    )
    .await;
    runtime.shut_down().await;
    counts
}

async fn call_on(runtime: &Runtime, mut chance: Chance, counts: &Counts, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let plugin = ["rust", "python"][chance.next(2) as usize];
        let number = chance.next(u64::MAX);
        let size = [10, 1_000, 100_000, 2_000_000][chance.next(4) as usize] as usize;
        let (component, input) = match chance.next(4) {
            0 => (
                "blob",
                json!({"data": {"number": number, "text": "x".repeat(size)}}),
            ),
            1 => ("echo", json!({"number": number})),
            2 => ("tell", json!({"count": number % 50})),
            _ => ("big", json!({"bytes": size, "padding": "p".repeat(size)})),
        };
        let outcome = runtime
            .call_as(
                &format!("/{plugin}/{component}"),
                "timeout: 60s",
                value(&input.to_string()),
            )
            .await;
        match &outcome {
            Outcome::Success(output) => {
                let is_right = match component {
                    "blob" => output.get("data") == value(&input.to_string()).get("data"),
                    "echo" => *output == value(&input.to_string()),
                    "tell" => output.as_u64() == Some(number % 50),
                    _ => output.get("received").and_then(|it| it.as_u64()) == Some(size as u64),
                };
                assert!(is_right, "{component}: {input:.100} gave {output:.200}");
                counts.succeeded.fetch_add(1, Ordering::Relaxed);
            }
            // Lost more often than it is sent again.
            Outcome::Failed(error) => {
                assert!([-32013, -32005].contains(&error.code), "{error}");
                counts.failed.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Skipped { .. } => panic!("{outcome:?}"),
        }
    }
}

/// Kills a server now and then.
async fn kill(
    runtime: &Runtime,
    chance: &mut Chance,
    length: Duration,
    counts: &Counts,
    is_over: &AtomicBool,
) {
    let start = Instant::now();
    while start.elapsed() < length {
        // The rhythm of the kills, not a wait for anything.
        tokio::time::sleep(Duration::from_millis(50 + chance.next(1_000))).await;
        let servers = runtime.mark().processes();
        if !servers.is_empty() && chance.next(3) > 0 {
            let victim = servers[chance.next(servers.len() as u64) as usize].pid;
            let signal = [Signal::KILL, Signal::TERM][chance.next(2) as usize];
            process::try_kill(victim, signal);
            counts.killed.fetch_add(1, Ordering::Relaxed);
        }
    }
    is_over.store(true, Ordering::Relaxed);
}

/// Calls so often, many at once.
async fn call_often(session: &Session, n: usize) {
    let input = value(r#"{"text":"hello","number":1}"#);
    let calls = stream::iter(0..n).map(|_| session.execute("/echo", input.clone()));
    let mut calls = std::pin::pin!(calls.buffer_unordered(64));
    while let Some(answer) = calls.next().await {
        answer.unwrap();
    }
}

// req: soak.million-calls
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn a_million_calls_leave_no_memory_behind() {
    let many = |transport| match transport {
        Transport::PythonOverSession | Transport::PythonOverStreams => 200_000,
        _ => 1_000_000,
    };
    for transport in [
        Transport::RustOverStdio,
        Transport::PythonOverStdio,
        Transport::RustOverSession,
        Transport::PythonOverSession,
        Transport::RustOverStreams,
    ] {
        let start = Instant::now();
        let session = transport.open().await.connect().await;
        let resident = || {
            let children = process::descendants(std::process::id());
            let children = children.iter().map(|it| resident_kib(it.pid));
            (resident_kib(std::process::id()), children.sum::<u64>())
        };
        call_often(&session, 10_000).await;
        let before = resident();
        let n = many(transport);
        call_often(&session, n - 10_000).await;
        let after = resident();
        let what = format!(
            "{transport:?}: resident after 10 000 calls {} KiB here, {} KiB there; after {n} calls {} KiB and {} KiB",
            before.0, before.1, after.0, after.1
        );
        figure(&what, start.elapsed(), Duration::from_secs(1800));
        let most = |kib: u64| kib + kib / 10 + 4096;
        assert!(
            after.0 <= most(before.0) && after.1 <= most(before.1),
            "{what}"
        );
        session.end().await;
    }
}
