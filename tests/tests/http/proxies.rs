//! What lies between a runtime and a server: connections that are cut, delayed and held back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::stream;
use serde_json::json;
use stepflow_rpc::transport::http::client::SessionMode;
use stepflow_sdk::Context;
use stepflow_sdk::Error;
use stepflow_sdk::Server;
use stepflow_sdk::Value;
use stepflow_sdk::http::Options;
use stepflow_tests::front::Front;
use stepflow_tests::gate::Gate;
use stepflow_tests::proxy::Faults;
use stepflow_tests::proxy::Proxy;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Setup;
use stepflow_tests::runtime::success;
use stepflow_tests::value;

use crate::from;
use crate::passing::answer;
use crate::passing::says;

const CALLS: usize = 10_000;

/// By key, the attempts that a server saw.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<HashMap<String, Vec<u32>>>>);

impl Seen {
    /// Each call has a key of its own, and no attempt of it ran twice.
    fn check(&self, n_calls: usize) {
        let seen = self.0.lock().unwrap();
        assert_eq!(seen.len(), n_calls);
        for (key, attempts) in seen.iter() {
            let is_rising = attempts.is_sorted_by(|one, next| one < next);
            assert!(is_rising, "{key} ran twice without saying so: {attempts:?}");
        }
    }
}

/// A server that writes down which attempts it sees, and calls back twice in each.
fn recording(seen: Seen) -> Server {
    let record = move |context: Context, input: Value| {
        let key = context.idempotency_key().unwrap().to_owned();
        let attempt = context.attempt();
        seen.0.lock().unwrap().entry(key).or_default().push(attempt);
        async move {
            let id = context.put_blob(input).await.map_err(Error::from_call)?;
            let data = context.get_blob(&id).await.map_err(Error::from_call)?;
            Ok(Value::object([
                ("data", data),
                ("attempt", Value::from(json!(attempt))),
            ]))
        }
    };
    Server::new("recording").component("/record", "Calls back", record)
}

async fn calls_survive(session: SessionMode, seed: u64) {
    let seen = Seen::default();
    let server = recording(seen.clone()).http_router(Options::default());
    let front = Front::start(server).await;
    let faults = Faults {
        seed,
        cut: 5,
        delay: 20,
        hold: 20,
        crumble: 10,
    };
    let proxy = Proxy::start(&front.url, faults).await;
    let runtime = Setup::default()
        .http_with("it", &proxy.url, |http| http.client.session = session)
        .retries(50)
        .start();
    let since = Instant::now();
    let calls = stream::iter(0..CALLS).map(async |number| {
        let input = from(json!({"number": number}));
        let outcome = runtime.call("/it/record", input.clone()).await;
        let output = success(&outcome);
        assert_eq!(output.get("data"), Some(input));
        output.get("attempt").unwrap().as_u64().unwrap()
    });
    let attempts: Vec<_> = calls.buffer_unordered(32).collect().await;
    let again = attempts.iter().filter(|attempt| **attempt > 1).count();
    crate::told(&format!(
        "{CALLS} calls with two call backs each, {session:?}: {:?}, {} connections cut, {again} calls needed more than one attempt",
        since.elapsed(),
        proxy.n_cut()
    ));
    assert!(proxy.n_cut() > 10 && again > 0, "nothing was tested");
    seen.check(CALLS);
    runtime.shut_down().await;
    front.stop().await;
}

// req: http.no-call-is-lost
#[tokio::test]
async fn no_call_is_lost_or_done_twice_in_secret_in_a_session() {
    calls_survive(SessionMode::Required, 1).await;
}

// req: http.no-call-is-lost
#[tokio::test]
async fn no_call_is_lost_or_done_twice_in_secret_without_a_session() {
    calls_survive(SessionMode::Off, 2).await;
}

/// How many calls everything happens to at once.
const FEWER_CALLS: usize = 2_000;

/// The server, some of whose answers are none: of every 20 POSTs with a call, one is answered by something else. It forgets its
/// session when it is told to.
fn unwell(seen: &Seen, expired: &Expired) -> Router {
    let (n_calls, expired) = (Arc::new(AtomicUsize::new(0)), expired.clone());
    let pass = move |request: Request, next: Next| {
        let (n_calls, expired) = (Arc::clone(&n_calls), expired.clone());
        async move {
            let session = request.uri().query().unwrap_or_default().to_owned();
            let (request, is_call) = says(request, "\"components/execute\"").await;
            if !is_call {
                return next.run(request).await;
            }
            if let Some(gone) = expired.pass(session) {
                return gone;
            }
            let number = n_calls.fetch_add(1, Ordering::Relaxed);
            let (status, kind, body) = match number % 60 {
                19 => (500, "text/plain", ""),
                39 => (502, "text/html", "<html><h1>Bad gateway</h1></html>"),
                59 => (429, "text/html", "<html>later</html>"),
                _ => return next.run(request).await,
            };
            answer(StatusCode::from_u16(status).unwrap(), kind, body)
        }
    };
    let routes = recording(seen.clone()).http_router(Options::default());
    routes.layer(middleware::from_fn(pass))
}

/// The session of the last call, and the one that is no more.
#[derive(Clone, Default)]
struct Expired(Arc<Mutex<(String, Option<String>)>>);

impl Expired {
    /// What a call in a session that is no more is answered by.
    fn pass(&self, session: String) -> Option<Response> {
        const GONE: &str =
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32010,"message":"expired"}}"#;
        let mut state = self.0.lock().unwrap();
        if state.1.as_ref() == Some(&session) && !session.is_empty() {
            return Some(answer(StatusCode::NOT_FOUND, "application/json", GONE));
        }
        state.0 = session;
        None
    }

    fn expire(&self) {
        let mut state = self.0.lock().unwrap();
        state.1 = Some(state.0.clone());
    }
}

// req: http.no-call-is-lost
#[tokio::test]
async fn everything_at_once_costs_attempts_and_no_call() {
    for (session, seed) in [(SessionMode::Required, 3), (SessionMode::Off, 4)] {
        let (seen, expired) = (Seen::default(), Expired::default());
        let first = Front::start(unwell(&seen, &expired)).await;
        let second = Front::start(unwell(&seen, &expired)).await;
        let faults = Faults {
            seed,
            cut: 2,
            delay: 20,
            hold: 20,
            crumble: 10,
        };
        let proxy = Proxy::start(&first.url, faults).await;
        let runtime = Setup::default()
            .http_with("it", &proxy.url, |http| http.client.session = session)
            .retries(50)
            .start();
        let calls = stream::iter(0..FEWER_CALLS).map(async |number| {
            match number {
                n if n == FEWER_CALLS / 3 => expired.expire(),
                n if n == FEWER_CALLS / 3 * 2 => proxy.lead_to(&second.url),
                _ => {}
            }
            let input = from(json!({"number": number}));
            let outcome = runtime.call("/it/record", input.clone()).await;
            assert_eq!(success(&outcome).get("data"), Some(input));
        });
        let since = Instant::now();
        calls.buffer_unordered(32).collect::<()>().await;
        crate::took(
            &format!("{FEWER_CALLS} calls through everything, {session:?}"),
            since,
        );
        seen.check(FEWER_CALLS);
        assert!(proxy.n_cut() > 10, "nothing was tested");
        runtime.shut_down().await;
        first.stop().await;
        second.stop().await;
    }
}

// req: http.resume
#[tokio::test]
async fn a_stream_that_is_cut_is_taken_up_where_it_broke_off() {
    for program in [Program::Rust, Program::Python] {
        let setup = Setup::default();
        let server = setup.server(program).await;
        let proxy = Proxy::start(&server.url, Faults::default()).await;
        let gate = Gate::open(setup.home());
        let runtime = setup
            .http_with("it", &proxy.url, |http| {
                http.client.session = SessionMode::Required;
            })
            .start();
        for round in 0..5 {
            let name = format!("round {round}");
            let call = runtime.call("/it/gate", gate.input(&name));
            let cut = async {
                let visitor = gate.next().await;
                while proxy.cut_streams() == 0 {
                    // The stream of the round before is still on its way.
                    tokio::task::yield_now().await;
                }
                // Asked while there is no stream, or hardly one.
                let input = value(r#"{"data":[1]}"#);
                let outcome = runtime.call("/it/blob", input).await;
                assert_eq!(success(&outcome).get("data"), Some(value("[1]")));
                visitor.release("go on").await;
            };
            let (outcome, ()) = tokio::join!(call, cut);
            let output = success(&outcome);
            assert_eq!(output.get("attempt"), Some(value("1")), "{program:?}");
            assert_eq!(output.get("said"), Some(value(r#""go on""#)));
        }
        assert_eq!(proxy.n_cut(), 5);
        runtime.shut_down_with(server).await;
    }
}
