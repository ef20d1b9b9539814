//! Published MCP servers, unmodified: one made with the SDK for Python, over stdio and over HTTP, and one for Node.js.

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use stepflow_engine::Class;
use stepflow_tests::environment;
use stepflow_tests::gate::Gate;
use stepflow_tests::http;
use stepflow_tests::process;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Runtime;
use stepflow_tests::runtime::Setup;
use stepflow_tests::runtime::failure;
use stepflow_tests::runtime::success;

use super::error;
use super::from;
use super::output;

const SERVER: Program = Program::Mcp("mcp_published.py");

/// A server, and a runtime that knows it as `it`.
struct Published {
    runtime: Runtime,
    server: Option<http::Server>,
    gate: Gate,
}

/// How it is reached.
#[derive(Clone, Copy, Debug)]
enum Way {
    Stdio,
    Http,
}

impl Published {
    async fn start(way: Way) -> Published {
        let setup = Setup::default();
        let gate = Gate::open(setup.home());
        let (setup, server) = match way {
            Way::Stdio => {
                let change = |it: &mut stepflow_components::options::Stdio| {
                    it.limits.retry_unknown = false;
                };
                (setup.mcp_with("it", SERVER, change), None)
            }
            Way::Http => {
                let server = setup.server(SERVER).await;
                let setup = setup.mcp_over_http_with("it", &server.url, |it| {
                    it.limits.retry_unknown = false;
                });
                (setup, Some(server))
            }
        };
        Published {
            runtime: setup.start(),
            server,
            gate,
        }
    }

    async fn end(self) {
        match self.server {
            Some(server) => self.runtime.shut_down_with(server).await,
            None => self.runtime.shut_down().await,
        }
    }
}

#[tokio::test]
async fn tools_of_the_python_sdk_are_components() {
    for way in [Way::Stdio, Way::Http] {
        let it = Published::start(way).await;
        let runtime = &it.runtime;
        let sum = output(runtime, "/it/add", json!({"a": 2, "b": 40})).await;
        assert_eq!(sum, from(json!({"sum": 42})), "{way:?}");
        let shout = output(runtime, "/it/shout", json!({"text": "é"})).await;
        assert_eq!(shout, from(json!("É")), "{way:?}");
        let twice = output(runtime, "/it/twice", json!({"text": "a"})).await;
        assert_eq!(twice.get("content").unwrap().len(), 2, "{way:?}");
        let failed = error(runtime, "/it/fail", json!({"why": "no such thing"})).await;
        assert_eq!(failed.code, -32004, "{way:?}: {failed}");
        assert!(failed.message.ends_with("no such thing"), "{failed}");
        let misfit = error(runtime, "/it/add", json!({"a": "x", "b": 1})).await;
        assert_eq!(misfit.code, -32003, "{way:?}: {misfit}");
        let unknown = error(runtime, "/it/ad", json!({})).await;
        assert_eq!(unknown.code, -32001, "{way:?}: {unknown}");
        it.end().await;
    }
}

#[tokio::test]
async fn tools_are_listed_with_both_schemas() {
    for way in [Way::Stdio, Way::Http] {
        let it = Published::start(way).await;
        let listings = it.runtime.plugins.list().await;
        let listing = listings.into_iter().find(|listing| listing.plugin == "it");
        let list = listing.unwrap().components.unwrap();
        let (paths, add) = list
            .iter()
            .find(|(_, info)| info.component == "/add")
            .unwrap();
        assert_eq!(paths, &["/it/add"]);
        assert_eq!(add.description.as_deref(), Some("Adds two numbers."));
        let required = add.input_schema.as_ref().and_then(|it| it.get("required"));
        assert_eq!(required, Some(from(json!(["a", "b"]))));
        let properties = add
            .output_schema
            .as_ref()
            .and_then(|it| it.get("properties"));
        assert!(properties.unwrap().get("sum").is_some());
        it.end().await;
    }
}

#[tokio::test]
async fn tools_run_at_once() {
    for way in [Way::Stdio, Way::Http] {
        let it = Published::start(way).await;
        let calls = (0..20).map(|number| {
            let input = from(json!({"name": number.to_string()}));
            it.runtime.call("/it/gate", input)
        });
        let release = async {
            // All twenty are there before one of them may go on.
            for visitor in it.gate.take(20).await {
                let name = visitor.hello.name.clone();
                visitor.release(&name).await;
            }
        };
        let (outcomes, ()) = tokio::join!(join_all(calls), release);
        for (number, outcome) in outcomes.iter().enumerate() {
            assert_eq!(
                success(outcome),
                &from(json!(number.to_string())),
                "{way:?}"
            );
        }
        it.end().await;
    }
}

#[tokio::test]
async fn a_published_server_stops_what_nobody_waits_for() {
    for way in [Way::Stdio, Way::Http] {
        let it = Published::start(way).await;
        let input = from(json!({"name": "a"}));
        let call = it.runtime.call_as("/it/gate", "timeout: 500ms", input);
        let (outcome, visitor) = tokio::join!(call, it.gate.next());
        assert_eq!(failure(&outcome).code, -32006, "{way:?}");
        assert_eq!(visitor.gone().await, "", "{way:?}");
        it.end().await;
    }
}

#[tokio::test]
async fn an_mcp_server_killed_over_http_leaves_the_outcome_unknown_and_may_come_back() {
    let mut it = Published::start(Way::Http).await;
    let server = it.server.take().unwrap();
    let port = server.port();
    let call = it.runtime.call("/it/gate", from(json!({"name": "a"})));
    let kill = async {
        let visitor = it.gate.next().await;
        process::kill(visitor.hello.pid, Signal::KILL);
    };
    let (outcome, ()) = tokio::join!(call, kill);
    let lost = failure(&outcome);
    assert_eq!(lost.code, -32013, "{lost}");
    server.kill().await;
    let gone = it
        .runtime
        .attempt("/it/shout", from(json!({"text": "a"})))
        .await;
    let gone = gone.unwrap_err();
    assert_eq!(gone.class, Class::NotSent, "{gone:?}");
    // It knows nothing of the session: a new one is made, and the call is sent in that.
    let server = it.runtime.server_again(SERVER, port).await;
    let shout = output(&it.runtime, "/it/shout", json!({"text": "a"})).await;
    assert_eq!(shout, from(json!("A")));
    it.server = Some(server);
    it.end().await;
}

#[tokio::test]
async fn the_server_with_everything_works() {
    if environment::node_modules().is_none() {
        return;
    }
    let everything = Program::McpInNode("mcp-server-everything", &[]);
    let it = Setup::default().mcp_with("it", everything, |_| {}).start();
    let echo = output(&it, "/it/echo", json!({"message": "hi"})).await;
    assert_eq!(echo, from(json!("Echo: hi")));
    let sum = output(&it, "/it/get-sum", json!({"a": 2, "b": 3})).await;
    assert!(sum.as_str().unwrap().contains('5'), "{sum:?}");
    let input = json!({"location": "New York"});
    let weather = output(&it, "/it/get-structured-content", input).await;
    assert!(weather.get("temperature").is_some(), "{weather:?}");
    let image = output(&it, "/it/get-tiny-image", json!({})).await;
    let content = image.get("content").unwrap();
    let kinds: Vec<_> = content
        .items()
        .iter()
        .map(|it| it.get("type").unwrap())
        .collect();
    assert!(kinds.contains(&from(json!("image"))), "{kinds:?}");
    let long = json!({"duration": 0.1, "steps": 2});
    output(&it, "/it/trigger-long-running-operation", long).await;
    it.shut_down().await;
}
