//! How a session comes about, or does not, with a server that knows nothing of our SDKs: `tests/servers/session_stdlib.py`.

use std::time::Duration;
use std::time::Instant;

use futures_util::future::join_all;
use serde_json::json;
use stepflow_components::options;
use stepflow_rpc::transport::http::client::SessionMode;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Setup;
use stepflow_tests::runtime::failure;
use stepflow_tests::runtime::success;
use stepflow_tests::value;

use crate::Pair;
use crate::from;
use crate::took;

const SERVER: &str = "session_stdlib.py";

/// A text whose letters have every length that UTF-8 knows, and line breaks that are none in an event.
const TEXT: &str = "a é 日 🎉 \u{2028} \u{85} \r\n \0 ,: data: x";

/// Where nothing waits for time to pass, it may not: a test that does takes this long.
const FAR_TOO_LONG: Duration = Duration::from_secs(3600);

fn never_in_time(http: &mut options::Http) {
    http.client.negotiation_timeout = Duration::from_millis(100);
}

/// A server with these habits comes to a session, and all works over it.
async fn a_session(habits: &'static [&'static str]) {
    let since = Instant::now();
    let pair = Pair::with(Program::File(SERVER, habits), |http| {
        http.client.negotiation_timeout = FAR_TOO_LONG;
        http.client.session = SessionMode::Required;
    })
    .await;
    assert_eq!(
        pair.output("/where", value("{}")).await,
        value(r#""session""#)
    );
    took(&format!("a session with {habits:?}"), since);
    let calls = (0..5).map(async |number| {
        let input = from(json!({"text": TEXT, "number": number, "list": [[], {}, null, 1.5]}));
        assert_eq!(pair.output("/echo", input.clone()).await, input);
        assert_eq!(pair.output("/blob", input.clone()).await, input);
    });
    join_all(calls).await;
    let said = pair.server.stderr();
    let order = [
        "GET ",
        "session initialize",
        "session initialized",
        "session components/",
    ];
    let places = order.map(|it| said.find(it).unwrap_or_else(|| panic!("no {it}: {said}")));
    assert!(places.is_sorted(), "{said}");
    assert!(!said.contains("POST direct"), "{said}");
    pair.end().await;
}

/// A server with these habits comes to no session; what is known at once is not waited for.
async fn no_session(habits: &'static [&'static str]) {
    let since = Instant::now();
    let pair = Pair::with(Program::File(SERVER, habits), |http| {
        http.client.negotiation_timeout = FAR_TOO_LONG;
    })
    .await;
    assert_eq!(
        pair.output("/where", value("{}")).await,
        value(r#""direct""#)
    );
    took(&format!("no session with {habits:?}"), since);
    assert_eq!(pair.output("/echo", value("1")).await, value("1"));
    let said = pair.server.stderr();
    assert_eq!(said.matches("GET ").count(), 1, "{said}");
    pair.end().await;
}

/// A server with these habits cannot be talked to, and the error says why.
async fn an_error(habits: &'static [&'static str], session: SessionMode, words: &[&str]) {
    let pair = Pair::with(Program::File(SERVER, habits), |http| {
        http.client.session = session;
        http.client.connect_timeout = Duration::from_millis(500);
    })
    .await;
    let error = pair.error("/echo", value("1")).await;
    for word in words {
        assert!(error.message.contains(word), "{habits:?}: {error}");
    }
    assert!(!pair.server.stderr().contains("components/execute"));
    pair.end().await;
}

// req: http.endpoint
#[tokio::test]
async fn an_endpoint_may_be_named_in_any_form() {
    for habits in [
        &["form=path"][..],
        &["form=root"],
        &["form=relative"],
        &["form=query"],
        &["form=absolute"],
        &["form=path", "data=bare"],
        &["form=query", "data=bare"],
        &["form=absolute", "data=bare"],
        &["endpoint=after-others"],
        &["type=text/event-stream; charset=utf-8"],
    ] {
        a_session(habits).await;
    }
}

// req: http.events
#[tokio::test]
async fn events_may_be_framed_in_any_way() {
    for habits in [
        &["breaks=crlf"][..],
        &["breaks=cr"],
        &["pieces=1"],
        &["pieces=1", "breaks=crlf"],
        &["framing=comments"],
        &["framing=comments", "breaks=crlf", "pieces=1"],
        &["framing=lines"],
        &["framing=tight"],
        &["framing=named"],
        &["framing=bom"],
        &["framing=keep-alives"],
    ] {
        a_session(habits).await;
    }
}

// req: http.either-route
#[tokio::test]
async fn an_answer_may_come_with_its_post() {
    a_session(&["answers=posts"]).await;
}

// req: http.no-session
#[tokio::test]
async fn a_server_without_events_is_talked_to_without_waiting() {
    for habits in [
        &["events=404"][..],
        &["events=405"],
        &["events=406"],
        &["events=501"],
        &["events=html"],
    ] {
        no_session(habits).await;
    }
}

// req: http.no-session
#[tokio::test]
async fn a_server_that_names_no_endpoint_is_talked_to_without_a_session() {
    for habits in [&["endpoint=never"][..], &["events=silent"]] {
        let pair = Pair::with(Program::File(SERVER, habits), never_in_time).await;
        assert_eq!(
            pair.output("/where", value("{}")).await,
            value(r#""direct""#)
        );
        pair.end().await;
    }
}

// req: http.late-session
#[tokio::test]
async fn a_late_endpoint_becomes_a_session() {
    for habits in [&["endpoint=late"][..], &["endpoint=late", "events=late"]] {
        let pair = Pair::with(Program::File(SERVER, habits), never_in_time).await;
        // The first call makes the server name its endpoint; those after it move over as soon as that is greeted.
        let mut places = Vec::new();
        while places.last() != Some(&value(r#""session""#)) {
            places.push(pair.output("/where", value("{}")).await);
        }
        assert_eq!(places.first(), Some(&value(r#""direct""#)));
        assert_eq!(pair.output("/blob", value("[1]")).await, value("[1]"));
        let said = pair.server.stderr();
        assert_eq!(said.matches("session initialize\n").count(), 1, "{said}");
        pair.end().await;
    }
}

// req: http.required
#[tokio::test]
async fn where_a_session_is_required_none_is_an_error() {
    for habits in [&["events=404"][..], &["events=html"]] {
        let words = ["session: required", "offers no session"];
        an_error(habits, SessionMode::Required, &words).await;
    }
}

// req: http.refused
#[tokio::test]
async fn an_answer_that_says_no_is_an_error_at_once() {
    let token = ["401", "bearerToken"];
    an_error(&["events=401"], SessionMode::Auto, &token).await;
    an_error(&["events=403"], SessionMode::Auto, &["403"]).await;
    let foreign = ["another origin", "127.0.0.2", "allowedEndpointOrigins"];
    an_error(&["form=foreign"], SessionMode::Auto, &foreign).await;
    an_error(&["form=nonsense"], SessionMode::Auto, &["no URL"]).await;
}

// req: http.try-again
#[tokio::test]
async fn a_server_that_is_not_well_is_asked_again() {
    let pair = Pair::of(Program::File(SERVER, &["events=500-then-well"])).await;
    assert_eq!(
        pair.output("/where", value("{}")).await,
        value(r#""session""#)
    );
    let said = pair.server.stderr();
    assert_eq!(said.matches("GET ").count(), 3, "{said}");
    pair.end().await;
    an_error(&["events=500"], SessionMode::Auto, &["500"]).await;
}

// req: http.try-again
#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for session in [SessionMode::Auto, SessionMode::Required, SessionMode::Off] {
        let runtime = Setup::default()
            .http_with("it", &url, |http| {
                http.client.session = session;
                http.client.connect_timeout = Duration::from_millis(300);
            })
            .start();
        let outcome = runtime.call("/it/echo", value("1")).await;
        let error = failure(&outcome);
        assert!(error.message.contains(&url), "{session:?}: {error}");
        assert!(error.message.contains("refused"), "{session:?}: {error}");
        runtime.shut_down().await;
    }
}

// req: http.try-again
#[tokio::test]
async fn a_server_that_comes_up_later_is_waited_for() {
    for session in [SessionMode::Required, SessionMode::Off] {
        let setup = Setup::default();
        let program = Program::File(SERVER, &[]);
        let first = setup.server(program).await;
        let (url, port) = (first.url.clone(), first.port());
        first.stop().await;
        let runtime = setup
            .http_with("it", &url, |http| http.client.session = session)
            .start();
        let call = runtime.call("/it/echo", value("1"));
        let (outcome, server) = tokio::join!(call, runtime.server_again(program, port));
        assert_eq!(success(&outcome), &value("1"));
        runtime.shut_down_with(server).await;
    }
}
