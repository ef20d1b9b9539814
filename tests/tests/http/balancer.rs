//! Two replicas behind a real nginx, with the configuration that users are given: what belongs to a replica finds it, the work is
//! shared, and the death of one costs attempts and no call.

use std::collections::BTreeMap;
use std::collections::HashMap;

use futures_util::future::join;
use futures_util::future::join_all;
use serde_json::json;
use stepflow_components::options;
use stepflow_rpc::transport::http::client::SessionMode;
use stepflow_tests::balancer::Balancer;
use stepflow_tests::environment::Python;
use stepflow_tests::gate::Gate;
use stepflow_tests::gate::Hello;
use stepflow_tests::gate::Visitor;
use stepflow_tests::http::Server;
use stepflow_tests::program::Folder;
use stepflow_tests::proxy::Faults;
use stepflow_tests::proxy::Proxy;
use stepflow_tests::runtime;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Runtime;
use stepflow_tests::runtime::Setup;
use stepflow_tests::runtime::success;
use stepflow_tests::value;

use crate::from;
use crate::told;

/// Every server, with a session and without.
const WAYS: [(Program, SessionMode); 4] = [
    (Program::Rust, SessionMode::Required),
    (Program::Rust, SessionMode::Off),
    (Program::Python, SessionMode::Required),
    (Program::Python, SessionMode::Off),
];

/// How many connections the runtime has, and how many calls come at once.
const CONNECTIONS: usize = 4;
const CALLS: usize = 40;

/// How often streams are cut: one that comes back to its replica by chance does not do so each time.
const ROUNDS: usize = 8;

/// Two replicas, a balancer in front of them, and a runtime.
struct Pool {
    replicas: [Server; 2],
    balancer: Balancer,
    gate: Gate,
    runtime: Runtime,
}

impl Pool {
    async fn start(program: Program, session: SessionMode) -> Option<Pool> {
        let setup = Setup::default();
        let replicas = tokio::join!(setup.replica(program, "r1"), setup.replica(program, "r2"));
        let replicas = <[Server; 2]>::from(replicas);
        let balancer = Balancer::start([&replicas[0], &replicas[1]]).await?;
        let gate = Gate::open(setup.home());
        let change = |http: &mut options::Http| {
            http.client.session = session;
            http.connections = CONNECTIONS;
        };
        let runtime = setup.http_with("it", &balancer.url, change).start();
        Some(Pool {
            replicas,
            balancer,
            gate,
            runtime,
        })
    }

    async fn end(self) {
        self.runtime.plugins.shut_down().await;
        self.balancer.stop().await;
        for replica in self.replicas {
            replica.stop().await;
        }
        self.runtime.shut_down().await;
    }
}

/// How many components wait in each process.
fn by_process(visitors: &[Visitor]) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for visitor in visitors {
        *counts.entry(visitor.hello.pid).or_default() += 1;
    }
    counts
}

// req: http.balancer
#[tokio::test]
async fn calls_are_shared_by_replicas_and_call_backs_find_the_one_that_asked() {
    for (program, session) in WAYS {
        let Some(pool) = Pool::start(program, session).await else {
            return;
        };
        let calls = (0..CALLS).map(|number| {
            pool.runtime
                .call("/it/gate", pool.gate.input(&number.to_string()))
        });
        let watch = async {
            let visitors = pool.gate.take(CALLS).await;
            let counts = by_process(&visitors);
            told(&format!("{program:?}, {session:?}: {:?}", counts.values()));
            for replica in &pool.replicas {
                assert_eq!(
                    counts.get(&replica.pid()),
                    Some(&(CALLS / 2)),
                    "{program:?} {session:?}: {counts:?}"
                );
            }
            for visitor in visitors {
                visitor.release("go on").await;
            }
        };
        let (outcomes, ()) = join(join_all(calls), watch).await;
        for outcome in &outcomes {
            assert_eq!(success(outcome).get("attempt"), Some(value("1")));
        }
        let calls = (0..CALLS).map(async |number| {
            let input = from(json!({"data": [number, "x".repeat(100_000)]}));
            let outcome = pool
                .runtime
                .call_as("/it/blob", "atMostOnce: true", input.clone())
                .await;
            assert_eq!(
                success(&outcome).get("data"),
                input.get("data"),
                "{program:?} {session:?}"
            );
        });
        join_all(calls).await;
        let log = pool.balancer.log();
        assert!(!log.contains("sessionId"), "the log shows secrets: {log}");
        assert!(log.lines().all(|line| line.contains(" 20")), "{log}");
        pool.end().await;
    }
}

// req: http.balancer-death
#[tokio::test]
async fn the_death_of_a_replica_costs_attempts_and_no_call() {
    for (program, session) in WAYS {
        let Some(pool) = Pool::start(program, session).await else {
            return;
        };
        let Pool {
            replicas: [dying, other],
            balancer,
            gate,
            runtime,
        } = pool;
        let calls =
            (0..CALLS).map(|number| runtime.call("/it/gate", gate.input(&number.to_string())));
        let (dying_pid, other_pid) = (dying.pid(), other.pid());
        let watch = async {
            let (lost, kept): (Vec<_>, Vec<_>) = gate
                .take(CALLS)
                .await
                .into_iter()
                .partition(|it| it.hello.pid == dying_pid);
            dying.kill().await;
            let again = gate.take(lost.len()).await;
            let seen = [&lost, &kept, &again].into_iter().flatten();
            let seen: Vec<Hello> = seen.map(|it| it.hello.clone()).collect();
            for visitor in kept.into_iter().chain(again) {
                assert_eq!(visitor.hello.pid, other_pid);
                visitor.release("go on").await;
            }
            (lost.len(), seen)
        };
        // Others go on all the time, and call back.
        let passing = (0..CALLS).map(async |number| {
            let input = from(json!({"data": [number]}));
            let outcome = runtime.call("/it/blob", input.clone()).await;
            assert_eq!(success(&outcome).get("data"), input.get("data"));
        });
        let ((outcomes, _), (n_lost, seen)) =
            join(join(join_all(calls), join_all(passing)), watch).await;
        let attempts: Vec<_> = outcomes
            .iter()
            .map(|it| success(it).get("attempt").unwrap().as_u64().unwrap())
            .collect();
        told(&format!(
            "{program:?}, {session:?}: {n_lost} calls lost, the highest attempt is {:?}",
            attempts.iter().max()
        ));
        assert_eq!(attempts.iter().filter(|it| **it > 1).count(), n_lost);
        only_new_attempts(&seen);
        runtime.plugins.shut_down().await;
        balancer.stop().await;
        other.stop().await;
        runtime.shut_down().await;
    }
}

/// Each call has one key, whatever its attempt, and each attempt ran once.
fn only_new_attempts(seen: &[Hello]) {
    let mut attempts: HashMap<&str, Vec<u32>> = HashMap::new();
    let mut keys: HashMap<&str, &str> = HashMap::new();
    for hello in seen {
        let key = hello.key.as_deref().unwrap();
        assert_eq!(*keys.entry(&hello.name).or_insert(key), key, "{hello:?}");
        attempts.entry(key).or_default().push(hello.attempt);
    }
    assert_eq!(attempts.len(), CALLS, "each call has a key of its own");
    for (key, attempts) in attempts {
        assert!(
            attempts.is_sorted_by(|one, next| one < next),
            "{key}: {attempts:?}"
        );
    }
}

// req: http.balancer-resume
#[tokio::test]
async fn a_stream_that_is_cut_is_taken_up_at_its_replica() {
    for program in [Program::Rust, Program::Python] {
        let Some(pool) = Pool::start(program, SessionMode::Required).await else {
            return;
        };
        let proxy = Proxy::start(&pool.balancer.url, Faults::default()).await;
        let setup = Setup::default();
        let runtime = setup
            .http_with("it", &proxy.url, |http| {
                http.client.session = SessionMode::Required;
                http.connections = CONNECTIONS;
            })
            .start();
        let calls =
            (0..CALLS).map(|number| runtime.call("/it/gate", pool.gate.input(&number.to_string())));
        let watch = async {
            let visitors = pool.gate.take(CALLS).await;
            for _ in 0..ROUNDS {
                assert_eq!(proxy.cut_streams(), CONNECTIONS);
                // Call backs are asked on the streams: afterwards all are there again.
                let calls = (0..CALLS).map(|number| {
                    let input = from(json!({"data": [number]}));
                    runtime.call_as("/it/blob", "atMostOnce: true", input)
                });
                for outcome in join_all(calls).await {
                    success(&outcome);
                }
            }
            for visitor in visitors {
                visitor.release("go on").await;
            }
        };
        let (outcomes, ()) = join(join_all(calls), watch).await;
        for outcome in &outcomes {
            assert_eq!(
                success(outcome).get("attempt"),
                Some(value("1")),
                "{program:?}"
            );
        }
        runtime.shut_down().await;
        pool.end().await;
    }
}

// req: examples.load-balancer
#[tokio::test]
async fn the_example_runs() {
    let folder = [
        "server.py",
        "stepflow-config.yml",
        "flow.yaml",
        "input.json",
    ]
    .into_iter()
    .fold(Folder::default(), |folder, file| {
        folder.copy(&format!("examples/load-balancer/{file}"))
    });
    let replica = async |name| {
        let mut command = tokio::process::Command::new(Python::Project.interpreter());
        command
            .args([
                "-m",
                "stepflow_sdk",
                "server:server",
                "--http",
                "--port",
                "0",
                "--instance-id",
                name,
            ])
            .current_dir(folder.path())
            .env_clear()
            .envs(runtime::variables(folder.path(), folder.mark()))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        Server::spawn(command).await
    };
    let (first, second) = tokio::join!(replica("r1"), replica("r2"));
    let Some(balancer) = Balancer::start([&first, &second]).await else {
        return;
    };
    let config = folder.path().join("stepflow-config.yml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        text.replace("http://127.0.0.1:8080", &balancer.url),
    )
    .unwrap();
    let ran = folder.run(&["run", "flow.yaml", "--input", "input.json"]);
    let outcome = ran.outcome();
    let output = success(&outcome);
    assert_eq!(output.get("text"), Some(value(r#""FOUR""#)), "{ran:#?}");
    let processes = output.get("processes").unwrap().to_string();
    for replica in [&first, &second] {
        assert!(
            processes.contains(&replica.pid().to_string()),
            "{processes}"
        );
    }
    balancer.stop().await;
    first.stop().await;
    second.stop().await;
    folder.mark().all_gone().await;
}
