//! What a request's head and body decide, before any method runs: for each, a status and a JSON-RPC body.

use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

use super::raw::Answer;
use super::raw::Ask;
use super::raw::Events;
use super::serve;
use super::server;

const ECHO: &str = r#"{"jsonrpc":"2.0","id":"q1","method":"echo","params":["x"]}"#;

/// Each request gets its status, and its error's code where it gets one.
async fn check(options: server::Options, cases: Vec<(Ask<'_>, u16, Option<i64>)>) {
    let server = serve(options).await;
    for (ask, status, code) in cases {
        let answer = Answer::of(ask.send(&server).await).await;
        assert_eq!(answer.verdict(), (status, code), "{ask:?}\n{answer:?}");
        assert!(!answer.text.contains("sentinel"), "{ask:?}\n{answer:?}");
        if code.is_some() {
            assert_eq!(
                answer.header("content-type"),
                "application/json; charset=utf-8"
            );
            let body = answer.json();
            assert_eq!(body["jsonrpc"], "2.0", "{ask:?}");
            let id = match ask.method {
                "POST" if ask.body.contains("q1") => Value::from("q1"),
                _ => Value::Null,
            };
            assert_eq!(body["id"], id, "{ask:?}\n{answer:?}");
        }
    }
}

fn echo() -> Ask<'static> {
    Ask::post("/", ECHO)
}

fn with_security(change: impl FnOnce(&mut server::Security)) -> server::Options {
    let mut options = server::Options::default();
    change(&mut options.security);
    options
}

#[tokio::test]
async fn only_json_is_read_and_only_who_takes_json_is_answered() {
    let cases = [
        ("content-type", "application/json", 200),
        ("content-type", "application/json; charset=utf-8", 200),
        ("content-type", "Application/JSON;charset=\"UTF-8\"", 200),
        ("content-type", "application/json; charset=latin1", 415),
        ("content-type", "text/plain", 415),
        ("content-type", "application/jsonp", 415),
        ("content-type", "application/x-www-form-urlencoded", 415),
        ("content-type", "", 415),
        ("content-encoding", "identity", 200),
        ("content-encoding", "gzip", 415),
        ("accept", "", 200),
        ("accept", "*/*", 200),
        ("accept", "application/*;q=0.1", 200),
        ("accept", "application/json, text/event-stream", 200),
        ("accept", "text/html, application/json;q=0.5", 200),
        ("accept", "text/html", 406),
        ("accept", "text/event-stream", 406),
        ("accept", "application/json;q=0, */*", 406),
    ];
    let cases = cases.map(|(name, value, status)| {
        let code = (status != 200).then_some(-32600);
        (echo().with(name, value), status, code)
    });
    check(server::Options::default(), cases.into()).await;
}

#[tokio::test]
async fn bodies_that_are_no_message_are_refused_each_in_its_way() {
    let cases = [
        ("{", -32700),
        ("", -32700),
        ("nonsense", -32700),
        ("1", -32600),
        ("{}", -32600),
        ("[]", -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"echo"}]"#, -32600),
        (r#"{"jsonrpc":"2.0","id":"q1"}"#, -32600),
        (
            r#"{"jsonrpc":"2.0","id":1.0,"method":"echo","params":["a"]}"#,
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"echo","params":["a"]}"#,
            -32600,
        ),
        (r#"{"jsonrpc":"2.0","id":"q1","method":1}"#, -32600),
        (
            r#"{"jsonrpc":"2.0","id":"q1","result":1,"error":{"code":1,"message":""}}"#,
            -32600,
        ),
    ];
    let server = server::Options::default();
    let cases = cases.map(|(body, code)| (Ask::post("/", body), 400, Some(code)));
    check(server, cases.into()).await;
}

#[tokio::test]
async fn a_body_at_the_limit_passes_and_one_byte_more_does_not() {
    let limit = 10_000;
    let of_size = |size: usize, id_first: bool| {
        let (head, tail) = if id_first {
            (
                r#"{"jsonrpc":"2.0","id":"q1","method":"echo","params":[""#,
                r#""]}"#,
            )
        } else {
            (
                r#"{"jsonrpc":"2.0","method":"echo","params":[""#,
                r#""],"id":"q1"}"#,
            )
        };
        let body = format!("{head}{}{tail}", "x".repeat(size - head.len() - tail.len()));
        assert_eq!(body.len(), size);
        Ask::post("/", &body)
    };
    let options = server::Options {
        max_message_bytes: limit,
        ..server::Options::default()
    };
    let cases = vec![
        (of_size(limit, true), 200, None),
        (of_size(limit, false), 200, None),
        (of_size(limit + 1, true), 413, Some(-32600)),
        (of_size(limit + 1, false), 413, Some(-32600)),
        (of_size(limit * 50, true), 413, Some(-32600)),
        (of_size(limit * 50, false), 413, Some(-32600)),
        // The next one finds the server as it was.
        (of_size(limit, true), 200, None),
    ];
    check(options, cases).await;
}

#[tokio::test]
async fn paths_take_their_methods_with_and_without_a_slash_at_the_end() {
    let cases = [
        ("GET", "/", 405, "POST, DELETE"),
        ("PUT", "/", 405, "POST, DELETE"),
        ("HEAD", "/", 405, "POST, DELETE"),
        ("OPTIONS", "/", 405, "POST, DELETE"),
        ("POST", "/runtime/events", 405, "GET"),
        ("HEAD", "/runtime/events/", 405, "GET"),
        ("OPTIONS", "/runtime/events", 405, "GET"),
        ("POST", "/health", 405, "GET, HEAD"),
        ("GET", "/health", 200, ""),
        ("HEAD", "/health/", 200, ""),
        ("POST", "/", 200, ""),
        ("POST", "/tools", 200, ""),
        ("POST", "/tools/", 200, ""),
        ("GET", "/tools/health", 200, ""),
        ("GET", "/tools/health/", 200, ""),
        ("GET", "/tools", 405, "POST, DELETE"),
        ("GET", "/elsewhere", 404, ""),
        ("POST", "/elsewhere/", 404, ""),
        ("POST", "/toolset/", 404, ""),
    ];
    let server = serve(server::Options {
        root_path: "tools/".into(),
        ..server::Options::default()
    })
    .await;
    for (method, path, status, allow) in cases {
        let mut ask = Ask::of(method, path);
        if method == "POST" {
            ask = Ask::post(path, ECHO);
        }
        let answer = Answer::of(ask.send(&server).await).await;
        assert_eq!(answer.status, status, "{ask:?}\n{answer:?}");
        assert_eq!(answer.header("allow"), allow, "{ask:?}");
        if status >= 400 && method != "HEAD" {
            assert_eq!(answer.verdict().1, Some(-32600), "{ask:?}");
        }
        if method == "HEAD" {
            assert_eq!(answer.text, "", "{ask:?}");
        }
    }
    for path in [
        "/runtime/events",
        "/tools/runtime/events",
        "/tools/runtime/events/",
    ] {
        let events = Events::of(Ask::of("GET", path).send(&server).await).await;
        assert!(
            events.endpoint.starts_with("/tools/?sessionId="),
            "{}",
            events.endpoint
        );
        let answer = Ask::post(&events.endpoint, ECHO).send(&server).await;
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test]
async fn a_stream_of_events_goes_to_those_who_take_one() {
    let server = serve(server::Options::default()).await;
    for (accept, status) in [
        ("text/event-stream", 200),
        ("text/*", 200),
        ("", 200),
        ("application/json", 406),
        ("text/event-stream;q=0", 406),
    ] {
        let ask = Ask::of("GET", "/runtime/events").with("accept", accept);
        let response = ask.send(&server).await;
        assert_eq!(response.status(), status, "{accept}");
    }
}

#[tokio::test]
async fn names_that_others_may_have_pointed_here_are_not_served() {
    let options = with_security(|it| it.allow_hosts = vec!["ok.test".into(), "*.ok.test".into()]);
    let cases = [
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("127.0.0.1", 200),
        ("127.0.0.1:80", 200),
        ("127.9.9.9", 200),
        ("[::1]", 200),
        ("[::1]:8080", 200),
        ("[::ffff:127.0.0.1]:80", 200),
        ("ok.test", 200),
        ("OK.test:8080", 200),
        ("ok.test.", 200),
        ("deep.ok.test", 200),
        ("evil.test", 403),
        ("evil.test:80", 403),
        ("notok.test", 403),
        ("localhost.evil.test", 403),
        ("127.0.0.1.evil.test", 403),
        ("10.0.0.1", 403),
        ("[::2]", 403),
        ("[2001:db8::1]", 403),
    ];
    let cases = cases.map(|(host, status)| {
        let code = (status != 200).then_some(-32007);
        (echo().with("host", host), status, code)
    });
    check(options, cases.into()).await;
}

#[tokio::test]
async fn pages_of_elsewhere_are_not_served() {
    let options = with_security(|it| it.allow_hosts = vec!["ok.test".into()]);
    let cases = [
        ("localhost", "http://localhost", 200),
        ("localhost:8080", "http://localhost:8080", 200),
        ("localhost:80", "http://localhost", 200),
        ("ok.test", "https://ok.test", 200),
        ("ok.test:443", "https://ok.test", 200),
        ("[::1]:8080", "http://[::1]:8080", 200),
        ("localhost:8080", "http://localhost:3000", 403),
        ("localhost:8080", "http://127.0.0.1:8080", 403),
        ("localhost", "http://evil.test", 403),
        ("localhost", "http://ok.test", 403),
        ("localhost", "null", 403),
        ("localhost", "file://", 403),
        ("localhost", "localhost", 403),
    ];
    let cases = cases.map(|(host, origin, status)| {
        let code = (status != 200).then_some(-32007);
        let ask = echo().with("host", host).with("origin", origin);
        (ask, status, code)
    });
    check(options, cases.into()).await;
}

#[tokio::test]
async fn a_request_without_a_host_is_refused_through_loopback() {
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    let server = serve(server::Options::default()).await;
    let mut socket = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let length = ECHO.len();
    let request = format!(
        "POST / HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{ECHO}"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("403 Forbidden"), "{answer}");
    assert!(answer.contains(r#""id":"q1""#), "{answer}");
}

#[tokio::test]
async fn the_token_is_asked_for_on_every_method() {
    let options = || with_security(|it| it.token = Some("sentinel".into()));
    let cases = [
        ("Bearer sentinel", 200),
        ("bearer sentinel", 200),
        ("BEARER  sentinel ", 200),
        ("", 401),
        ("Bearer", 401),
        ("Bearer wrong", 401),
        ("Bearer sentine", 401),
        ("Bearer sentinels", 401),
        ("Basic sentinel", 401),
        ("sentinel", 401),
    ];
    let cases = cases.map(|(given, status)| {
        let code = (status != 200).then_some(-32007);
        (echo().with("authorization", given), status, code)
    });
    check(options(), cases.into()).await;

    let server = serve(options()).await;
    for (method, path) in [
        ("POST", "/"),
        ("POST", "/?sessionId=unknown"),
        ("DELETE", "/?sessionId=unknown"),
        ("GET", "/runtime/events"),
    ] {
        let answer = Answer::of(Ask::of(method, path).send(&server).await).await;
        assert_eq!(answer.verdict(), (401, Some(-32007)), "{method} {path}");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    assert_eq!(server.host.sessions(), 0);
    // It says that it is there, and nothing else.
    let health = Answer::of(Ask::of("GET", "/health").send(&server).await).await;
    assert_eq!((health.status, &*health.text), (200, r#"{"status":"ok"}"#));
    assert_eq!(health.header("stepflow-instance-id"), "");
}

#[tokio::test]
async fn what_is_meant_for_another_instance_is_not_taken() {
    let options = server::Options {
        instance_id: Some("r1".into()),
        ..server::Options::default()
    };
    let cases = vec![
        (echo(), 200, None),
        (Ask::post("/?instance=r1", ECHO), 200, None),
        (echo().with("stepflow-instance-id", "r1"), 200, None),
        (Ask::post("/?instance=r2", ECHO), 421, Some(-32010)),
        (echo().with("stepflow-instance-id", "r2"), 421, Some(-32010)),
        (
            Ask::of("DELETE", "/?sessionId=x&instance=r2"),
            421,
            Some(-32010),
        ),
    ];
    check(options.clone(), cases).await;
    let server = serve(options).await;
    let events = Events::open(&server).await;
    assert!(
        events.endpoint.ends_with("&instance=r1"),
        "{}",
        events.endpoint
    );
}

#[tokio::test]
async fn a_process_without_a_name_notices_answers_for_another_one() {
    let options = server::Options::default();
    let cases = vec![(
        Ask::post("/", r#"{"jsonrpc":"2.0","id":"q1","result":1}"#)
            .with("stepflow-instance-id", "another"),
        421,
        Some(-32010),
    )];
    check(options, cases).await;
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_taken_and_dropped() {
    let server = serve(server::Options::default()).await;
    let late = Ask::post("/", r#"{"jsonrpc":"2.0","id":"q1","result":1}"#);
    let answer = Answer::of(late.send(&server).await).await;
    assert_eq!((answer.status, &*answer.text), (202, ""));
}

#[tokio::test]
async fn sessions_that_are_not_there_are_not_there_for_anything() {
    let cases = vec![
        (Ask::post("/?sessionId=unknown", ECHO), 404, Some(-32010)),
        (Ask::post("/?sessionId=", ECHO), 404, Some(-32010)),
        (
            Ask::post("/?sessionId=unknown", r#"{"jsonrpc":"2.0","method":"x"}"#),
            404,
            Some(-32010),
        ),
        (
            Ask::post(
                "/?sessionId=unknown",
                r#"{"jsonrpc":"2.0","id":"q1","result":1}"#,
            ),
            404,
            Some(-32010),
        ),
        (Ask::of("DELETE", "/?sessionId=unknown"), 404, Some(-32010)),
        (Ask::of("DELETE", "/"), 400, Some(-32600)),
    ];
    check(server::Options::default(), cases).await;
}

#[tokio::test]
async fn an_advertised_address_is_where_sessions_are_and_a_name_that_is_served() {
    let server = serve(server::Options {
        advertise_url: Some("http://r1.test:8080/base/".into()),
        root_path: "/ignored".into(),
        ..server::Options::default()
    })
    .await;
    let events = Events::open(&server).await;
    let expected = "http://r1.test:8080/base/?sessionId=";
    assert!(events.endpoint.starts_with(expected), "{}", events.endpoint);
    let answer = echo().with("host", "r1.test:8080").send(&server).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_body_that_stands_still_is_given_up() {
    let options = server::Options {
        body_idle: Duration::from_millis(50),
        ..server::Options::default()
    };
    let server = serve(options).await;
    let mut stream = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let half = format!(
        "POST / HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        server.address
    );
    stream.write_all(half.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\"code\":-32600"), "{answer}");
}
