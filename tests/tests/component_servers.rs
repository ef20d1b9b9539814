//! The example servers that have no SDK, byte by byte: they keep to the protocol, as the page that explains them says.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

use std::path::Path;

use serde_json::Value as Json;
use serde_json::json;
use stepflow_tests::environment;
use stepflow_tests::http;
use stepflow_tests::pipes::Server;
use stepflow_tests::program::Folder;
use stepflow_tests::program::Ran;
use stepflow_tests::runtime;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::success;
use stepflow_tests::value;

const PROGRAMS: [Program; 2] = [Program::ExampleInPython, Program::ExampleInNode];

/// Sends a message as a line.
async fn send(server: &mut Server, message: Json) {
    server.write(format!("{message}\n").as_bytes()).await;
}

/// Reads a message.
async fn read(server: &mut Server) -> Json {
    server.read().await.to_tree().unwrap()
}

fn execute(id: impl Into<Json>, component: &str, input: Json) -> Json {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": "components/execute",
        "params": {"component": component, "input": input, "observability": {"run_id": "r"}}})
}

fn sleep(id: impl Into<Json>, milliseconds: u64) -> Json {
    execute(id, "/conformance/sleep", json!({"ms": milliseconds}))
}

fn cancel(id: impl Into<Json>) -> Json {
    json!({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": id.into()}})
}

const AN_HOUR: u64 = 3_600_000;

/// Whether all that is expected of an answer is there; an error needs no more than its code, and data that is named.
fn check(answer: &Json, expected: &Json, what: &str) {
    for (key, expected) in expected.as_object().unwrap() {
        let found = match (key.as_str(), expected.as_i64()) {
            ("code", Some(_)) => &answer["error"]["code"],
            _ => &answer[key],
        };
        assert_eq!(found, expected, "{what}: {answer}");
    }
    assert_eq!(answer["jsonrpc"], json!("2.0"), "{what}: {answer}");
    let is_error = answer.get("error").is_some();
    assert_ne!(is_error, answer.get("result").is_some(), "{what}: {answer}");
}

#[tokio::test]
async fn each_request_gets_its_answer() {
    let initialize = |version| {
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize",
            "params": {"runtime_protocol_version": version, "protocol_prefix": "it"}})
    };
    let request = |method: &str, params: Json| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let greet = |component| execute(1, component, json!({"name": "Ada"}));
    let greeting = json!({"id": 1, "result": {"output": {"text": "Hello, Ada!"}}});
    let output = |id: Json, output| json!({"id": id, "result": {"output": output}});
    let error = |code: i64| json!({"id": 1, "code": code});
    let initialized = json!({"jsonrpc": "2.0", "method": "initialized"});
    for program in PROGRAMS {
        let mut server = Server::start(program);
        for (message, expected) in [
            (request("components/list", json!({})), error(-32002)),
            (initialize(json!(2)), error(-32002)),
            (initialize(json!(null)), error(-32002)),
            (request("initialize", json!({})), error(-32602)),
            (
                initialize(json!(1)),
                json!({"id": 1, "result":
                {"server_protocol_version": 1, "server": {"name": "example"}, "capabilities": {"cancel": {}}}}),
            ),
        ] {
            send(&mut server, message.clone()).await;
            check(
                &read(&mut server).await,
                &expected,
                &format!("{program:?}: {message}"),
            );
        }
        send(&mut server, initialized.clone()).await;
        for (message, expected) in [
            (greet("/greet"), greeting.clone()),
            (greet("greet"), greeting.clone()),
            (greet("/it/greet"), greeting.clone()),
            (greet("/greets"), error(-32001)),
            (greet(""), error(-32001)),
            (
                request("components/info", json!({"component": "/it/greet"})),
                json!({"id": 1, "result": {"info": {"component": "/greet"}}}),
            ),
            (
                request("components/info", json!({"component": "/greets"})),
                error(-32001),
            ),
            // The id comes back as it was.
            (
                execute("1", "/conformance/echo", json!("a")),
                output(json!("1"), json!("a")),
            ),
            (
                execute(-7, "/conformance/echo", json!(null)),
                output(json!(-7), json!(null)),
            ),
            (
                execute(1, "/conformance/echo", json!("\u{2028}é\n")),
                output(json!(1), json!("\u{2028}é\n")),
            ),
            // What is wrong is said, each time with its code.
            (request("no/such", json!({})), error(-32601)),
            (request("constructor", json!({})), error(-32601)),
            (
                json!({"jsonrpc": "2.0", "id": 1, "method": 5}),
                error(-32600),
            ),
            (json!({"jsonrpc": "2.0", "id": 1}), error(-32600)),
            (request("components/info", json!({})), error(-32602)),
            (
                request("components/info", json!({"component": 5})),
                error(-32602),
            ),
            (
                request("components/execute", json!({"component": "/greet"})),
                error(-32602),
            ),
            (
                request("components/execute", json!({"input": {}})),
                error(-32602),
            ),
            (request("components/execute", json!([1, 2])), error(-32602)),
            (
                execute(
                    1,
                    "/conformance/fail",
                    json!({"code": 4242, "message": "no", "data": [1]}),
                ),
                json!({"id": 1, "error": {"code": 4242, "message": "no", "data": [1]}}),
            ),
            (execute(1, "/conformance/sleep", json!(null)), error(-32004)),
            (sleep(1, 1), output(json!(1), json!({"ms": 1}))),
        ] {
            send(&mut server, message.clone()).await;
            check(
                &read(&mut server).await,
                &expected,
                &format!("{program:?}: {message}"),
            );
        }
        send(
            &mut server,
            json!({"jsonrpc": "2.0", "id": 1, "method": "components/list"}),
        )
        .await;
        let listed = read(&mut server).await;
        let listed = listed["result"]["components"].as_array().unwrap().iter();
        let names: Vec<_> = listed.map(|it| it["component"].as_str().unwrap()).collect();
        assert_eq!(names.len(), 5, "{program:?}: {names:?}");
        assert!(names.contains(&"/greet") && names.contains(&"/conformance/blob"));
        assert_eq!(server.end().await, Some(0), "{program:?}");
    }
}

#[tokio::test]
async fn what_wants_no_answer_gets_none() {
    for program in PROGRAMS {
        let mut server = Server::greeted(program).await;
        for noise in [
            "hello",
            "",
            "\r",
            "42",
            "null",
            "\"text\"",
            "[1]",
            "{}",
            "{\"half\":",
            r#"{"jsonrpc":"2.0","id":"nobody","result":1}"#,
            r#"{"jsonrpc":"2.0","id":[],"result":1}"#,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"?"}}"#,
            r#"{"jsonrpc":"2.0","method":"no/such","params":[1,2]}"#,
            r#"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":"nobody"}}"#,
            r#"{"jsonrpc":"2.0","method":"$/cancelRequest"}"#,
        ] {
            server.write(format!("{noise}\n").as_bytes()).await;
            send(&mut server, execute(1, "/conformance/echo", json!(1))).await;
            let expected = json!({"id": 1, "result": {"output": 1}});
            check(
                &read(&mut server).await,
                &expected,
                &format!("{program:?} after {noise:?}"),
            );
        }
        server.write(b"\xff\xfe\n").await;
        let echo = execute(1, "/conformance/echo", json!("\u{feff}é日🎉"));
        for byte in format!("\u{feff}{echo}\r\n").bytes() {
            server.write(&[byte]).await;
        }
        let expected = json!({"id": 1, "result": {"output": "\u{feff}é日🎉"}});
        check(&read(&mut server).await, &expected, &format!("{program:?}"));
        assert_eq!(server.end().await, Some(0), "{program:?}");
    }
}

#[tokio::test]
async fn calls_do_not_wait_for_each_other() {
    for program in PROGRAMS {
        let mut server = Server::greeted(program).await;
        send(&mut server, sleep("sleeper", AN_HOUR)).await;
        send(
            &mut server,
            execute(1, "/conformance/blob", json!({"data": {"n": 1}})),
        )
        .await;
        let put = read(&mut server).await;
        assert_eq!(put["method"], json!("blobs/put"), "{program:?}: {put}");
        assert_eq!(
            put["params"],
            json!({"data": {"n": 1}, "execution": 1, "observability": {"run_id": "r"}})
        );
        // While one call sleeps and another one asks, a third is answered.
        send(&mut server, execute(2, "/conformance/echo", json!("quick"))).await;
        check(&read(&mut server).await, &json!({"id": 2}), "the quick one");
        send(
            &mut server,
            json!({"jsonrpc": "2.0", "id": put["id"], "result": {"blob_id": "b"}}),
        )
        .await;
        let get = read(&mut server).await;
        assert_eq!(get["method"], json!("blobs/get"), "{program:?}: {get}");
        assert_eq!(get["params"]["blob_id"], json!("b"));
        let found = json!({"data": {"n": 1}, "blob_type": "data"});
        send(
            &mut server,
            json!({"jsonrpc": "2.0", "id": get["id"], "result": found}),
        )
        .await;
        let expected = json!({"id": 1, "result": {"output": {"blob_id": "b", "data": {"n": 1}}}});
        check(&read(&mut server).await, &expected, &format!("{program:?}"));
        // The end of its input is the end of the server, whoever sleeps.
        assert_eq!(server.end().await, Some(0), "{program:?}");
    }
}

#[tokio::test]
async fn what_the_runtime_refuses_fails_the_call() {
    for program in PROGRAMS {
        let mut server = Server::greeted(program).await;
        send(
            &mut server,
            execute(1, "/conformance/blob", json!({"data": 1})),
        )
        .await;
        let put = read(&mut server).await;
        let error = json!({"code": -32601, "message": "no blobs here"});
        send(
            &mut server,
            json!({"jsonrpc": "2.0", "id": put["id"], "error": error}),
        )
        .await;
        check(
            &read(&mut server).await,
            &json!({"id": 1, "code": -32601}),
            &format!("{program:?}"),
        );
        assert_eq!(server.end().await, Some(0), "{program:?}");
    }
}

#[tokio::test]
async fn a_cancelled_call_is_answered_once_wherever_it_waits() {
    for program in PROGRAMS {
        let mut server = Server::greeted(program).await;
        // The two are in one piece: the cancelling may be seen before the component has begun.
        let both = format!("{}\n{}\n", sleep(1, AN_HOUR), cancel(1));
        server.write(both.as_bytes()).await;
        check(
            &read(&mut server).await,
            &json!({"id": 1, "code": -32012}),
            &format!("{program:?}"),
        );
        send(
            &mut server,
            execute("1", "/conformance/blob", json!({"data": 1})),
        )
        .await;
        let put = read(&mut server).await;
        send(&mut server, cancel(1)).await;
        send(&mut server, cancel("1")).await;
        check(
            &read(&mut server).await,
            &json!({"id": "1", "code": -32012}),
            &format!("{program:?}"),
        );
        // The answer to what it asked comes late, and concerns nobody.
        send(
            &mut server,
            json!({"jsonrpc": "2.0", "id": put["id"], "result": {"blob_id": "b"}}),
        )
        .await;
        send(&mut server, execute(2, "/conformance/echo", json!(1))).await;
        check(
            &read(&mut server).await,
            &json!({"id": 2}),
            &format!("{program:?}"),
        );
        assert_eq!(server.end().await, Some(0), "{program:?}");
    }
}

#[tokio::test]
async fn a_message_that_the_runtime_does_not_take_is_not_sent() {
    for program in PROGRAMS {
        let mut server = Server::start(program);
        let params = json!({"runtime_protocol_version": 1, "max_message_bytes": 1000});
        send(
            &mut server,
            json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}),
        )
        .await;
        server.read().await;
        send(
            &mut server,
            json!({"jsonrpc": "2.0", "method": "initialized"}),
        )
        .await;
        for (length, expected) in [
            (800, json!({"id": 1})),
            (1000, json!({"id": 1, "code": -32004})),
        ] {
            send(
                &mut server,
                execute(1, "/conformance/echo", json!("x".repeat(length))),
            )
            .await;
            check(&read(&mut server).await, &expected, &format!("{program:?}"));
        }
        assert_eq!(server.end().await, Some(0), "{program:?}");
    }
}

#[tokio::test]
async fn the_example_runs() {
    let folder = Folder::default();
    let flow = environment::example("component-server/flow.yaml");
    let mut command = folder.stepflow(&["run", "--input-json", r#"{"name": "Ada"}"#]);
    let programs = [
        environment::Python::Project.interpreter(),
        environment::node(),
    ];
    let folders = programs.iter().filter_map(|program| program.parent());
    let path = std::env::join_paths(folders.chain([Path::new("/bin")])).unwrap();
    let ran = Ran::from(command.arg(flow).env("PATH", path).output().unwrap());
    let expected = value(r#"{"python":"Hello, Ada!","node":"Hello, Ada!"}"#);
    assert_eq!(success(&ran.outcome()), &expected, "{ran:#?}");
    folder.mark().all_gone().await;
}

#[tokio::test]
async fn a_server_that_only_answers_posts_is_enough() {
    let folder = Folder::default();
    let mut command = tokio::process::Command::new(environment::Python::Project.interpreter());
    command
        .arg(environment::example("component-server/python/over_http.py"))
        .arg("0")
        .env_clear()
        .envs(runtime::variables(folder.path(), folder.mark()));
    let server = http::Server::spawn(command).await;
    let greet = ["--call", "/greet", "--input", r#"{"name": "Ada"}"#];
    let arguments = [&["inspect", "--url", &server.url][..], &greet].concat();
    let mut command = folder.stepflow(&arguments);
    let ran = tokio::task::spawn_blocking(move || Ran::from(command.output().unwrap()));
    let ran = ran.await.unwrap();
    let expected = value(r#"{"text":"Hello, Ada!"}"#);
    assert_eq!(success(&ran.outcome()), &expected, "{ran:#?}");
    server.kill().await;
    folder.mark().all_gone().await;
}

/// All that the protocol demands, as `stepflow conformance` checks it; what it recommends is the servers' own affair.
#[tokio::test]
async fn the_examples_do_all_that_the_protocol_demands() {
    for program in PROGRAMS {
        let folder = Folder::default();
        let (path, arguments) = program.command();
        let mut command = folder.stepflow(&["conformance", "--timeout", "100s", "--"]);
        command.arg(path).args(arguments);
        let ran = tokio::task::spawn_blocking(move || Ran::from(command.output().unwrap()));
        let ran = ran.await.unwrap();
        assert_eq!(ran.code, Some(0), "{program:?}: {ran:#?}");
        folder.mark().all_gone().await;
    }
}
