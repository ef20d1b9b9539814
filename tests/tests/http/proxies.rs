//! What lies between a runtime and a server: connections that are cut, delayed and held back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;

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

const CALLS: usize = 2_000;

/// By key, the attempts that a server saw.
type Seen = Arc<Mutex<HashMap<String, Vec<u32>>>>;

/// A server that writes down which attempts it sees, and calls back twice in each.
fn recording(seen: Seen) -> Server {
    let record = move |context: Context, input: Value| {
        let key = context.idempotency_key().unwrap().to_owned();
        let attempt = context.attempt();
        seen.lock().unwrap().entry(key).or_default().push(attempt);
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
    let server = recording(Arc::clone(&seen)).http_router(Options::default());
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
        "{CALLS} calls, {session:?}: {} connections cut, {again} calls needed more than one attempt",
        proxy.n_cut()
    ));
    assert!(proxy.n_cut() > 10 && again > 0, "nothing was tested");
    {
        let seen = seen.lock().unwrap();
        assert_eq!(
            seen.len(),
            CALLS,
            "each call was seen under a key of its own"
        );
        for (key, attempts) in seen.iter() {
            let is_rising = attempts.is_sorted_by(|one, next| one < next);
            assert!(is_rising, "{key} ran twice without saying so: {attempts:?}");
        }
    }
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
