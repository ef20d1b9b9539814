//! A server that has enough to do says when to come back, and that is when the runtime does; what it spends on waiting, it does not
//! take from other retries.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use axum::middleware;
use axum::middleware::Next;
use axum::response::Response;
use stepflow_engine::Class;
use stepflow_rpc::transport::http::client::SessionMode;
use stepflow_tests::front;
use stepflow_tests::front::Front;
use stepflow_tests::runtime::Runtime;
use stepflow_tests::runtime::Setup;
use stepflow_tests::runtime::failure;
use stepflow_tests::runtime::success;
use stepflow_tests::value;

use crate::passing::says;

const BOTH: [SessionMode; 2] = [SessionMode::Required, SessionMode::Off];

const HTML: &str = "<html>later</html>";

/// An answer instead of the component's: a status, what `Retry-After` says, and a body.
type Refusal = (u16, &'static str, &'static str);

/// What calls are answered by before they get through, by a name in their input; and which came, in which order.
#[derive(Clone, Default)]
struct Script {
    refusals: Arc<Mutex<HashMap<&'static str, Vec<Refusal>>>>,
    came: Arc<Mutex<Vec<&'static str>>>,
}

impl Script {
    /// The last refusal comes first.
    fn of(refusals: impl IntoIterator<Item = (&'static str, Vec<Refusal>)>) -> Script {
        let script = Script::default();
        script.refusals.lock().unwrap().extend(refusals);
        script
    }

    fn routes(&self) -> Router {
        let script = self.clone();
        front::routes().layer(middleware::from_fn(move |request: Request, next: Next| {
            let script = script.clone();
            async move { script.pass(request, next).await }
        }))
    }

    async fn pass(&self, mut request: Request, next: Next) -> Response {
        let names: Vec<_> = self.refusals.lock().unwrap().keys().copied().collect();
        for name in names {
            let is_meant;
            (request, is_meant) = says(request, &format!("\"input\":\"{name}\"")).await;
            if !is_meant {
                continue;
            }
            self.came.lock().unwrap().push(name);
            let refusal = self
                .refusals
                .lock()
                .unwrap()
                .get_mut(name)
                .and_then(Vec::pop);
            if let Some((status, retry_after, body)) = refusal {
                let kind = if body == HTML {
                    "text/html"
                } else {
                    "application/json"
                };
                let response = Response::builder()
                    .status(status)
                    .header(header::CONTENT_TYPE, kind)
                    .header(header::RETRY_AFTER, retry_after);
                return response.body(Body::from(body)).unwrap();
            }
        }
        next.run(request).await
    }

    /// A runtime in front of which the script is played.
    async fn start(&self, session: SessionMode, retries: u32) -> (Front, Runtime) {
        let front = Front::start(self.routes()).await;
        let runtime = Setup::default()
            .http_with("it", &front.url, |http| http.client.session = session)
            .retries(retries)
            .start();
        (front, runtime)
    }
}

const OURS: &str = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32011,"message":"busy"}}"#;

// req: http.retry-after
#[tokio::test]
async fn what_a_busy_server_asks_for_is_kept_whatever_it_says_besides() {
    for session in BOTH {
        for (status, body) in [(429, HTML), (503, HTML), (429, OURS), (503, OURS)] {
            let script = Script::of([("a", vec![(status, "77", body)])]);
            let (front, runtime) = script.start(session, 0).await;
            let refused = runtime
                .attempt("/it/echo", value(r#""a""#))
                .await
                .unwrap_err();
            let retry_after = Some(Duration::from_secs(77));
            assert_eq!(
                refused.class,
                Class::Busy { retry_after },
                "{status} {body} {session:?}"
            );
            assert_eq!(refused.error.code, -32011, "{refused:?}");
            runtime.shut_down().await;
            front.stop().await;
        }
    }
}

// req: http.retry-after
#[tokio::test]
async fn who_was_told_to_wait_longer_comes_back_later() {
    let script = Script::of([
        ("long", vec![(503, "4", HTML)]),
        ("short", vec![(429, "1", OURS)]),
        ("none", vec![(429, "0", HTML)]),
    ]);
    let (front, runtime) = script.start(SessionMode::Required, 0).await;
    let calls =
        [r#""long""#, r#""short""#, r#""none""#].map(|name| runtime.call("/it/echo", value(name)));
    for outcome in futures_util::future::join_all(calls).await {
        success(&outcome);
    }
    let came = script.came.lock().unwrap().clone();
    // Each came, and came back when it was told to.
    assert_eq!(came.len(), 6, "{came:?}");
    let back: Vec<_> = ["none", "short", "long"]
        .map(|name| came.iter().rposition(|it| *it == name))
        .into();
    assert!(back.is_sorted(), "{came:?}");
    runtime.shut_down().await;
    front.stop().await;
}

// req: http.busy-budget
#[tokio::test]
async fn waiting_for_a_busy_server_takes_nothing_from_other_retries() {
    const BUSY: Refusal = (429, "0", HTML);
    const LOST: Refusal = (502, "0", HTML);
    for session in BOTH {
        let busy_and_lost = [BUSY, BUSY, LOST, BUSY, BUSY, BUSY, LOST, BUSY].to_vec();
        let lost_too_often = [BUSY, LOST, BUSY, LOST, BUSY, LOST].to_vec();
        let script = Script::of([("a", busy_and_lost), ("b", lost_too_often)]);
        let (front, runtime) = script.start(session, 2).await;
        success(&runtime.call("/it/echo", value(r#""a""#)).await);
        let outcome = runtime.call("/it/echo", value(r#""b""#)).await;
        assert_eq!(failure(&outcome).code, -32013, "{session:?}: {outcome:?}");
        assert_eq!(script.came.lock().unwrap().len(), 9 + 5, "{session:?}");
        runtime.shut_down().await;
        front.stop().await;
    }
}
