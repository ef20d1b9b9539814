//! The built-ins that make requests over HTTP, against a server on this machine.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use axum::http::header;
use serde_json::Value as Json;
use serde_json::json;
use stepflow_components::Options;
use stepflow_components::Plugins;
use stepflow_engine::Class;
use stepflow_engine::Clock;
use stepflow_engine::Completion;
use stepflow_engine::Components;
use stepflow_engine::Engine;
use stepflow_engine::Failure;
use stepflow_engine::Invocation;
use stepflow_engine::Outer;
use stepflow_engine::Trace;
use stepflow_flow::document::Source;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::plan;
use stepflow_flow::value::Value;
use stepflow_store::RunId;
use stepflow_store::Store;
use tokio::net::TcpListener;

const SECRET: &str = "sentinel-of-a-secret";

/// Makes one attempt of a built-in.
async fn call(component: &str, input: Json) -> Result<Json, Failure> {
    let store = Store::memory();
    let plugins = Plugins::new(Options::default(), store.clone()).unwrap();
    let components: Arc<dyn Components> = Arc::new(plugins.clone());
    let engine = Engine::new(store, components, stepflow_engine::Options::default());
    let plan = || {
        plan::check(&Source::new("flow.yaml", "output: null"))
            .plan
            .unwrap()
    };
    let invocation = Invocation {
        component: format!("/builtin/{component}").into(),
        input: Value::from_serialize(&input).unwrap(),
        run_id: RunId::new(),
        flow_id: plan().flow_id(),
        step_id: "call".into(),
        attempt: 1,
        deadline: None,
        clock: Clock::default(),
        trace: Trace {
            trace_id: [1; 16],
            span_id: [1; 8],
        },
        depth: 0,
        outer: Outer::of_no_run(plan()),
        engine,
    };
    let guard = Duration::from_secs(60);
    let completion = tokio::time::timeout(guard, plugins.execute(invocation))
        .await
        .unwrap();
    match completion? {
        Completion::Output(output) => Ok(serde_json::from_str(output.as_text()).unwrap()),
        other => panic!("no output: {other:?}"),
    }
}

async fn http_request(input: Json) -> Result<Json, Failure> {
    call("http_request", input).await
}

/// Starts a server that does what each path says; returns its origin.
async fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    origin
}

fn respond(status: u16, content_type: &str, body: impl Into<Body>) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, content_type)
        .header(header::RETRY_AFTER, "7")
        .header("x-more", "one")
        .header("x-more", "two")
        .body(body.into())
        .unwrap()
}

async fn answer(request: Request) -> Response<Body> {
    let uri = request.uri().clone();
    let query = uri.query().unwrap_or_default().to_owned();
    let (_, kind, argument) = {
        let mut parts = uri.path().splitn(3, '/');
        (
            parts.next(),
            parts.next().unwrap_or_default().to_owned(),
            parts.next().unwrap_or_default().to_owned(),
        )
    };
    match kind.as_str() {
        "status" => respond(argument.parse().unwrap(), "text/plain", "no luck"),
        "text" => respond(200, "text/plain", "plain words"),
        "problem" => respond(200, "application/problem+json; charset=utf-8", "[1, 2.50]"),
        "broken" => respond(200, "application/json", "{"),
        "long" => respond(200, "text/plain", "x".repeat(argument.parse().unwrap())),
        "endless" => {
            let chunk = || async { Some((Ok::<_, std::io::Error>("x".repeat(4096)), ())) };
            let stream = futures_util::stream::unfold((), move |()| chunk());
            respond(200, "text/plain", Body::from_stream(stream))
        }
        "model" => model(&argument, request).await,
        "never" => std::future::pending().await,
        "redirect" => Response::builder()
            .status(argument.parse::<u16>().unwrap())
            .header(header::LOCATION, query)
            .body(Body::empty())
            .unwrap(),
        _ => echo(request).await,
    }
}

/// An endpoint whose answer says what it was asked; `/model/<status>/chat/completions`.
async fn model(argument: &str, request: Request) -> Response<Body> {
    let status: u16 = argument.split('/').next().unwrap().parse().unwrap();
    assert!(argument.ends_with("/chat/completions"));
    let key = request.headers().get(header::AUTHORIZATION);
    let key = key.map(|key| key.to_str().unwrap().to_owned());
    let asked = axum::body::to_bytes(request.into_body(), usize::MAX).await;
    let asked = String::from_utf8(asked.unwrap().to_vec()).unwrap();
    let answer = match status {
        200 => json!({"choices": [{"message": {"content": json!([key, asked]).to_string()}}, {}],
            "usage": {"total_tokens": 3}}),
        // A success without a text, which quotes the key.
        201 => json!({"choices": [{"message": {"content": null}}], "key": key}),
        _ => json!({"error": {"message": format!("no such luck with {key:?}")}}),
    };
    respond(status, "application/json", answer.to_string())
}

/// Answers with what was asked.
async fn echo(request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let headers: BTreeMap<_, _> = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    let seen = json!({
        "method": head.method.as_str(),
        "uri": head.uri.to_string(),
        "headers": headers,
        "body": String::from_utf8(body.to_vec()).unwrap(),
    });
    respond(200, "application/json", seen.to_string())
}

// req: builtins.http-request
#[tokio::test]
async fn a_request_is_sent_as_the_input_says() {
    let origin = serve().await;
    let got = http_request(json!({
        "url": format!("{origin}/echo?a=1"),
        "query": {"b": "x y&z", "c": [2, true, null], "d": null},
        "headers": {"X-One": "1", "Authorization": SECRET},
    }));
    let got = got.await.unwrap();
    assert_eq!(got["status"], 200);
    assert_eq!(got["headers"]["x-more"], "one, two");
    let seen = &got["body"];
    assert_eq!(seen["method"], "GET");
    assert_eq!(seen["uri"], "/echo?a=1&b=x+y%26z&c=2&c=true");
    assert_eq!(seen["headers"]["x-one"], "1");
    assert_eq!(seen["headers"]["authorization"], SECRET);
    assert_eq!(seen["body"], "");

    let posted = http_request(json!({"url": origin, "json": {"n": 2.50}}));
    let seen = posted.await.unwrap()["body"].take();
    assert_eq!(seen["method"], "POST");
    assert_eq!(seen["headers"]["content-type"], "application/json");
    assert_eq!(
        serde_json::from_str::<Json>(seen["body"].as_str().unwrap()).unwrap(),
        json!({"n": 2.5})
    );

    let put = json!({"url": origin, "method": "put", "body": "words", "headers": {"content-type": "text/x"}});
    let seen = http_request(put).await.unwrap()["body"].take();
    assert_eq!(seen["method"], "PUT");
    assert_eq!(seen["headers"]["content-type"], "text/x");
    assert_eq!(seen["body"], "words");
}

// req: builtins.http-request
#[tokio::test]
async fn a_body_is_json_where_the_server_says_so() {
    let origin = serve().await;
    for (path, expected) in [
        ("text", json!("plain words")),
        ("problem", json!([1, 2.5])),
        ("broken", json!("{")),
        ("status/404", json!("no luck")),
    ] {
        let got = http_request(json!({"url": format!("{origin}/{path}")})).await;
        assert_eq!(got.unwrap()["body"], expected, "{path}");
    }
}

// req: builtins.http-request
#[tokio::test]
async fn a_status_fails_the_step_only_where_asked() {
    let origin = serve().await;
    let busy = Class::Busy {
        retry_after: Some(Duration::from_secs(7)),
    };
    for (status, class, code) in [
        (400, Class::Refused, ErrorCode::COMPONENT_FAILED),
        (401, Class::Refused, ErrorCode::PERMISSION_DENIED),
        (429, busy, ErrorCode::BUSY),
        (500, Class::Component, ErrorCode::COMPONENT_FAILED),
        (503, busy, ErrorCode::BUSY),
    ] {
        let url = format!("{origin}/status/{status}?key={SECRET}");
        let got = http_request(json!({"url": url})).await.unwrap();
        assert_eq!(got["status"], status);
        let input = json!({"url": url, "fail_on_status": true, "headers": {"x-key": SECRET}});
        let failure = http_request(input).await.unwrap_err();
        assert_eq!(failure.class, class, "{status}");
        assert_eq!(failure.error.code, code.number());
        let data = failure.error.data.clone().unwrap();
        assert_eq!(data.get("status").unwrap().as_i64(), Some(status));
        assert_eq!(data.get("body").unwrap(), Value::string("no luck"));
        assert!(!format!("{failure:?}").contains(SECRET));
    }
    let fine = json!({"url": format!("{origin}/text"), "fail_on_status": true});
    assert_eq!(http_request(fine).await.unwrap()["status"], 200);
}

// req: builtins.http-request
#[tokio::test]
async fn an_answer_has_limits() {
    let origin = serve().await;
    let long = |max: u64| json!({"url": format!("{origin}/long/1000"), "max_bytes": max});
    assert!(http_request(long(1000)).await.is_ok());
    let failure = http_request(long(999)).await.unwrap_err();
    assert!(failure.error.message.contains("longer than 999 bytes"));
    // The limit that holds when nothing is said ends what would not end.
    let failure = http_request(json!({"url": format!("{origin}/endless")})).await;
    assert!(failure.unwrap_err().error.message.contains("16777216"));
    let never = json!({"url": format!("{origin}/never"), "timeout_ms": 50});
    let failure = http_request(never).await.unwrap_err();
    assert_eq!(failure.class, Class::TimedOut);
    assert_eq!(failure.error.code, ErrorCode::TIMEOUT.number());
}

// req: builtins.http-request
#[tokio::test]
async fn what_was_lost_is_told_from_what_was_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/{SECRET}", listener.local_addr().unwrap());
    let accepting = tokio::spawn(async move {
        // Reads the start of each request and hangs up.
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.unwrap();
            stream.readable().await.unwrap();
        }
    });
    for (method, class) in [("PUT", Class::Unknown), ("POST", Class::Refused)] {
        let input = json!({"url": url, "method": method, "body": SECRET});
        let failure = http_request(input).await.unwrap_err();
        assert_eq!(failure.class, class, "{failure:?}");
        assert_eq!(failure.error.code, ErrorCode::OUTCOME_UNKNOWN.number());
        assert!(!format!("{failure:?}").contains(SECRET));
    }
    accepting.await.unwrap();
    let failure = http_request(json!({"url": url, "body": SECRET})).await;
    let failure = failure.unwrap_err();
    assert_eq!(failure.class, Class::NotSent);
    assert_eq!(failure.error.code, ErrorCode::UNAVAILABLE.number());
    assert!(failure.error.message.contains("cannot connect to http://"));
    assert!(!format!("{failure:?}").contains(SECRET));
}

// req: builtins.http-request
#[tokio::test]
async fn redirects_keep_secrets_at_home() {
    let (here, there) = (serve().await, serve().await);
    let redirect = |status: u16, to: &str| {
        json!({"url": format!("{here}/redirect/{status}?{to}"),
        "headers": {"authorization": SECRET, "x-key": SECRET, "accept": "text/x"}})
    };
    let seen = http_request(redirect(302, "/echo")).await.unwrap()["body"].take();
    assert_eq!(seen["headers"]["authorization"], SECRET);
    let got = http_request(redirect(302, &format!("{there}/echo"))).await;
    let seen = got.unwrap()["body"].take();
    assert_eq!(seen["headers"]["accept"], "text/x");
    assert!(!seen.to_string().contains(SECRET), "{seen}");
    let mut with_body = redirect(307, &format!("{there}/echo"));
    with_body["body"] = SECRET.into();
    let failure = http_request(with_body).await.unwrap_err();
    assert!(failure.error.message.contains("another origin"));
    // It redirects to itself, for `Location` is what its query says.
    let failure = http_request(redirect(302, "?")).await.unwrap_err();
    assert!(
        failure.error.message.contains("10 were followed"),
        "{failure:?}"
    );
}

// req: builtins.http-request
#[tokio::test]
async fn an_input_that_cannot_be_sent_is_refused() {
    for (input, words) in [
        (json!({"url": "ftp://a.test/"}), "http://"),
        (json!({"url": "nothing"}), "not a URL"),
        (
            json!({"url": "http://a.test", "json": 1, "body": "b"}),
            "not both",
        ),
        (json!({"url": "http://a.test", "method": "A B"}), "method"),
        (
            json!({"url": "http://a.test", "headers": {"a": "b\nc"}}),
            "header `a`",
        ),
        (
            json!({"url": "http://a.test", "headers": {"content-length": "3"}}),
            "leave it out",
        ),
        (
            json!({"url": "http://a.test", "query": {"a": {"b": 1}}}),
            "query `a`",
        ),
        (json!({"url": "http://a.test", "timeout": 1}), "timeout"),
    ] {
        let failure = http_request(input).await.unwrap_err();
        assert_eq!(failure.class, Class::Refused, "{words}");
        assert!(failure.error.message.contains(words), "{failure:?}");
    }
}

// req: builtins.openai
#[tokio::test]
async fn a_model_is_asked_with_every_parameter() {
    let base_url = format!("{}/model/200/", serve().await);
    let input = json!({"base_url": base_url, "api_key": SECRET, "model": "m", "max_tokens": 5,
        "temperature": 0.5, "seed": 7, "stop": null, "messages": [{"role": "user", "content": "Hi"}]});
    let got = call("openai", input).await.unwrap();
    assert_eq!(got["usage"], json!({"total_tokens": 3}));
    let (key, asked): (String, String) =
        serde_json::from_str(got["response"].as_str().unwrap()).unwrap();
    assert_eq!(key, format!("Bearer {SECRET}"));
    assert_eq!(
        serde_json::from_str::<Json>(&asked).unwrap(),
        json!({"model": "m", "max_tokens": 5, "temperature": 0.5, "seed": 7, "stop": null,
            "messages": [{"role": "user", "content": "Hi"}]})
    );
    let little = json!({"base_url": base_url, "messages": [], "model": null});
    let got = call("openai", little).await.unwrap();
    assert_eq!(
        got["response"],
        json!([null, "{\"messages\":[]}"]).to_string()
    );
}

// req: builtins.openai
#[tokio::test]
async fn what_a_provider_refuses_is_told_without_the_key() {
    let origin = serve().await;
    let busy = Class::Busy {
        retry_after: Some(Duration::from_secs(7)),
    };
    for (status, class, words) in [
        (201, Class::Component, "without a text"),
        (400, Class::Refused, "no such luck"),
        (401, Class::Refused, "no such luck"),
        (403, Class::Refused, "no such luck"),
        (429, busy, "no such luck"),
        (500, Class::Component, "no such luck"),
        (503, busy, "no such luck"),
    ] {
        let base_url = format!("{origin}/model/{status}");
        let input = json!({"base_url": base_url, "api_key": SECRET, "messages": []});
        let failure = call("openai", input).await.unwrap_err();
        assert_eq!(failure.class, class, "{status}");
        assert!(failure.error.message.contains(words), "{failure:?}");
        assert!(failure.error.message.contains("***"), "{failure:?}");
        assert!(!format!("{failure:?}").contains(SECRET), "{failure:?}");
    }
    for (key, value) in [
        ("stream", json!(true)),
        ("api_key", json!(format!("{SECRET}\n"))),
    ] {
        let mut input = json!({"base_url": origin, "messages": []});
        input[key] = value;
        let failure = call("openai", input).await.unwrap_err();
        assert_eq!(failure.class, Class::Refused);
        assert!(failure.error.message.contains(key), "{failure:?}");
        assert!(!format!("{failure:?}").contains(SECRET));
    }
}
