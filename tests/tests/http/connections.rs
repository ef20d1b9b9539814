//! Several sessions with one server: the work is spread over them, and each has a fate of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware;
use axum::middleware::Next;
use futures_util::future::join;
use futures_util::future::join_all;
use stepflow_flow::outcome::Outcome;
use stepflow_rpc::transport::http::client::SessionMode;
use stepflow_tests::front;
use stepflow_tests::front::Front;
use stepflow_tests::gate::Gate;
use stepflow_tests::runtime::Setup;
use stepflow_tests::runtime::success;
use stepflow_tests::value;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::passing::says;

const CONNECTIONS: usize = 3;
const CALLS: usize = 30;

/// The execute requests of each session, by the query of its endpoint; the streams that were asked for.
#[derive(Clone, Default)]
struct Watch {
    calls: Arc<Mutex<BTreeMap<String, usize>>>,
    n_streams: Arc<Mutex<usize>>,
}

impl Watch {
    fn routes(&self) -> Router {
        let watch = self.clone();
        front::routes().layer(middleware::from_fn(move |request: Request, next: Next| {
            let watch = watch.clone();
            async move {
                if request.method() == Method::GET {
                    *watch.n_streams.lock().unwrap() += 1;
                }
                let session = request.uri().query().unwrap_or_default().to_owned();
                let (request, is_call) = says(request, "\"components/execute\"").await;
                if is_call {
                    *watch.calls.lock().unwrap().entry(session).or_default() += 1;
                }
                next.run(request).await
            }
        }))
    }

    fn calls(&self) -> BTreeMap<String, usize> {
        self.calls.lock().unwrap().clone()
    }
}

// req: http.connections
#[tokio::test]
async fn each_of_several_sessions_has_its_share_and_its_own_fate() {
    let watch = Watch::default();
    let front = Front::start(watch.routes()).await;
    let setup = Setup::default();
    let gate = Gate::open(setup.home());
    let runtime = setup
        .http_with("it", &front.url, |http| {
            http.client.session = SessionMode::Required;
            http.connections = CONNECTIONS;
        })
        .start();
    let once = "atMostOnce: true";
    let calls = (0..CALLS).map(|number| {
        let keys = if number < CALLS / 2 { once } else { "" };
        runtime.call_as("/it/gate", keys, gate.input_until(&number.to_string(), 2))
    });
    let end_one = async {
        let visitors = gate.take(CALLS).await;
        assert_eq!(*watch.n_streams.lock().unwrap(), CONNECTIONS);
        let shares = watch.calls();
        assert_eq!(shares.len(), CONNECTIONS, "{shares:?}");
        let is_even = shares.values().all(|share| *share == CALLS / CONNECTIONS);
        assert!(is_even, "{shares:?}");
        // Whoever knows the address of a session may end it.
        delete(&front.url, shares.keys().next().unwrap()).await;
        for visitor in visitors {
            visitor.release("go on").await;
        }
    };
    let (outcomes, ()) = join(join_all(calls), end_one).await;
    let mut n_lost = 0;
    for (number, outcome) in outcomes.iter().enumerate() {
        let may_run_again = number >= CALLS / 2;
        match outcome {
            Outcome::Failed(error) if !may_run_again => assert_eq!(error.code, -32013, "{error}"),
            outcome if success(outcome).get("attempt") == Some(value("1")) => continue,
            outcome => assert!(may_run_again, "it ran twice: {outcome:?}"),
        }
        n_lost += 1;
    }
    assert_eq!(n_lost, CALLS / CONNECTIONS);
    runtime.shut_down().await;
    front.stop().await;
}

/// Ends a session.
async fn delete(url: &str, session: &str) {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("DELETE /?{session} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
}
