//! Servers and sessions that go away in the middle of work, and answers that are none.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::middleware;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::future::join_all;
use stepflow_rpc::transport::http::client::SessionMode;
use stepflow_sdk::http::Options;
use stepflow_tests::front;
use stepflow_tests::front::Front;
use stepflow_tests::gate::Gate;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Setup;
use stepflow_tests::runtime::failure;
use stepflow_tests::runtime::success;
use stepflow_tests::server;
use stepflow_tests::value;

use crate::passing::answer;
use crate::passing::every;
use crate::passing::says;

const BOTH: [SessionMode; 2] = [SessionMode::Required, SessionMode::Off];

// req: http.restart
#[tokio::test]
async fn a_server_that_is_restarted_under_load_costs_attempts_and_no_call() {
    for (program, session) in [
        (Program::Rust, SessionMode::Required),
        (Program::Python, SessionMode::Required),
        (Program::Rust, SessionMode::Off),
        (Program::Python, SessionMode::Off),
    ] {
        let setup = Setup::default();
        let server = setup.server(program).await;
        let (url, port) = (server.url.clone(), server.port());
        let gate = Gate::open(setup.home());
        let runtime = setup
            .http_with("it", &url, |http| http.client.session = session)
            .start();
        let calls = (0..20).map(|number| {
            let input = gate.input_until(&number.to_string(), 2);
            runtime.call("/it/gate", input)
        });
        let restart = async {
            let visitors = gate.take(20).await;
            server.kill().await;
            drop(visitors);
            runtime.server_again(program, port).await
        };
        let (outcomes, server) = tokio::join!(join_all(calls), restart);
        for outcome in &outcomes {
            // While the server is away nothing is sent, which costs no attempt; what waited in a session that is then
            // found to be gone is sent again in the next.
            let attempt = success(outcome).get("attempt").unwrap().as_u64();
            let is_right = matches!(
                (attempt, session),
                (Some(2), _) | (Some(3), SessionMode::Required)
            );
            assert!(is_right, "{program:?} {session:?}: {attempt:?}");
        }
        runtime.shut_down_with(server).await;
    }
}

// req: http.restart
#[tokio::test]
async fn what_may_run_once_only_fails_when_its_server_goes_away() {
    for session in BOTH {
        let setup = Setup::default();
        let server = setup.server(Program::Rust).await;
        let gate = Gate::open(setup.home());
        let runtime = setup
            .http_with("it", &server.url, |http| http.client.session = session)
            .start();
        let call = runtime.call_as("/it/gate", "atMostOnce: true", gate.input("a"));
        let kill = async {
            let visitor = gate.next().await;
            server.kill().await;
            visitor.gone().await
        };
        let (outcome, _) = tokio::join!(call, kill);
        assert_eq!(failure(&outcome).code, -32013, "{session:?}: {outcome:?}");
        runtime.shut_down().await;
    }
}

/// What passes in front of a server: how many streams were asked for, and sessions that are no more.
#[derive(Clone, Default)]
struct Watch {
    n_streams: Arc<AtomicUsize>,
    n_greetings: Arc<AtomicUsize>,
    last: Arc<Mutex<String>>,
    expired: Arc<Mutex<String>>,
}

impl Watch {
    fn routes(&self) -> Router {
        let watch = self.clone();
        front::routes().layer(middleware::from_fn(move |request: Request, next: Next| {
            let watch = watch.clone();
            async move { watch.pass(request, next).await }
        }))
    }

    async fn pass(&self, request: Request, next: Next) -> Response {
        if request.method() == Method::GET {
            self.n_streams.fetch_add(1, Ordering::Relaxed);
            return next.run(request).await;
        }
        if request.method() == Method::POST {
            let session = request.uri().query().unwrap_or_default().to_owned();
            if !session.is_empty() && *self.expired.lock().unwrap() == session {
                let error =
                    r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32010,"message":"expired"}}"#;
                return answer(StatusCode::NOT_FOUND, "application/json", error);
            }
            *self.last.lock().unwrap() = session;
        }
        let (request, is_greeting) = says(request, "\"initialize\"").await;
        if is_greeting {
            self.n_greetings.fetch_add(1, Ordering::Relaxed);
        }
        next.run(request).await
    }

    fn expire(&self) {
        *self.expired.lock().unwrap() = self.last.lock().unwrap().clone();
    }
}

// req: http.expired
#[tokio::test]
async fn one_new_session_follows_one_that_has_expired() {
    let watch = Watch::default();
    let front = Front::start(watch.routes()).await;
    let setup = Setup::default();
    let gate = Gate::open(setup.home());
    let runtime = setup.http("it", &front.url).start();
    success(&runtime.call("/it/echo", value("1")).await);
    let under_way = (0..10).map(|number| {
        let input = gate.input_until(&number.to_string(), 2);
        runtime.call("/it/gate", input)
    });
    let expire = async {
        let visitors = gate.take(10).await;
        watch.expire();
        let calls = (0..20).map(|_| runtime.call("/it/call", value("{}")));
        for outcome in join_all(calls).await {
            success(&outcome);
        }
        visitors
    };
    let (outcomes, visitors) = tokio::join!(join_all(under_way), expire);
    for outcome in &outcomes {
        // What ran in the session that is gone has an outcome that nobody knows.
        assert_eq!(success(outcome).get("attempt"), Some(value("2")));
    }
    drop(visitors);
    assert_eq!(watch.n_streams.load(Ordering::Relaxed), 2);
    assert_eq!(watch.n_greetings.load(Ordering::Relaxed), 2);
    runtime.shut_down().await;
    front.stop().await;
}

// req: http.one-failed-post
#[tokio::test]
async fn a_post_that_fails_costs_its_own_call_an_attempt() {
    const HTML: &str = "<html><h1>Bad gateway</h1></html>";
    for session in BOTH {
        for (status, kind, body) in [
            (500, "text/plain", ""),
            (502, "text/html", HTML),
            (503, "text/html", HTML),
            (504, "text/html", HTML),
            (429, "text/html", HTML),
            (200, "text/html", HTML),
        ] {
            let hits = Arc::new(AtomicUsize::new(0));
            let routes = every(20, status, kind, body, Arc::clone(&hits));
            let front = Front::start(routes).await;
            let runtime = Setup::default()
                .http_with("it", &front.url, |http| http.client.session = session)
                .start();
            let calls = (0..40).map(|_| runtime.call("/it/call", value("{}")));
            let outcomes = join_all(calls).await;
            let again = outcomes.iter().filter(|outcome| {
                let attempt = success(outcome).get("attempt").unwrap();
                attempt != value("1")
            });
            let hits = hits.load(Ordering::Relaxed);
            assert_eq!(again.count(), hits, "{status} {session:?}");
            assert!(hits >= 2, "{hits}");
            runtime.shut_down().await;
            front.stop().await;
        }
    }
}

// req: http.statuses
#[tokio::test]
async fn a_status_decides_whether_a_call_is_sent_again() {
    for session in BOTH {
        for (status, code, words) in [
            (400, -32005, "400"),
            (401, -32005, "bearerToken"),
            (413, -32005, "larger"),
            (500, -32013, "500"),
            (502, -32013, "Bad gateway"),
        ] {
            let hits = Arc::new(AtomicUsize::new(0));
            let body = "<html>Bad gateway</html>";
            let routes = every(1, status, "text/html", body, Arc::clone(&hits));
            let front = Front::start(routes).await;
            let runtime = Setup::default()
                .http_with("it", &front.url, |http| http.client.session = session)
                .start();
            let outcome = runtime.call("/it/echo", value("1")).await;
            let error = failure(&outcome);
            assert_eq!(error.code, code, "{status} {session:?}: {error}");
            assert!(
                error.message.contains(words),
                "{status} {session:?}: {error}"
            );
            let sent = if code == -32013 { 4 } else { 1 };
            assert_eq!(hits.load(Ordering::Relaxed), sent, "{status} {session:?}");
            let once = runtime.call_as("/it/echo", "atMostOnce: true", value("1"));
            failure(&once.await);
            assert_eq!(hits.load(Ordering::Relaxed), sent + 1);
            runtime.shut_down().await;
            front.stop().await;
        }
    }
}

/// A server behind a path that sends everybody elsewhere.
fn redirecting(status: u16, to: &str) -> Router {
    let to = to.to_owned();
    let options = Options {
        root_path: "/new".to_owned(),
        ..Options::default()
    };
    let redirect = move |request: Request| {
        let to = to.clone();
        async move {
            let path = request.uri().path();
            let rest = path.strip_prefix("/old").unwrap_or_default();
            let response = Response::builder().status(status);
            let response = response.header(header::LOCATION, format!("{to}{rest}"));
            response.body(Body::empty()).unwrap()
        }
    };
    Router::new()
        .route("/old", axum::routing::any(redirect.clone()))
        .route("/old/{*rest}", axum::routing::any(redirect))
        .nest_service("/new", server::server().http_router(options))
}

// req: http.redirects
#[tokio::test]
async fn redirects_are_followed_within_the_origin_and_named_otherwise() {
    for session in [SessionMode::Auto, SessionMode::Off] {
        for status in [307, 308] {
            let front = Front::start(redirecting(status, "/new")).await;
            let url = format!("{}/old", front.url);
            let runtime = Setup::default()
                .http_with("it", &url, |http| http.client.session = session)
                .start();
            for _ in 0..3 {
                let outcome = runtime.call("/it/blob", value(r#"{"data":[1]}"#)).await;
                assert_eq!(success(&outcome).get("data"), Some(value("[1]")));
            }
            runtime.shut_down().await;
            front.stop().await;
        }
        for (status, to) in [
            (301, "/new"),
            (302, "/new"),
            (303, "/new"),
            (307, "http://127.0.0.2:1/new"),
            (308, "//elsewhere.test/new"),
            (307, "/old"),
        ] {
            let front = Front::start(redirecting(status, to)).await;
            let url = format!("{}/old", front.url);
            let runtime = Setup::default()
                .http_with("it", &url, |http| http.client.session = session)
                .start();
            let outcome = runtime.call("/it/echo", value("1")).await;
            let error = failure(&outcome);
            let words = if to == "/old" { "without end" } else { to };
            assert!(error.message.contains(words), "{status} {to}: {error}");
            runtime.shut_down().await;
            front.stop().await;
        }
    }
}
