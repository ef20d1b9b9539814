//! The client against servers that no one should write: no call waits for ever, and what is told to be unsent stays that.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use axum::Router as Routes;
use axum::body::Body;
use axum::body::Bytes;
use axum::routing::get;
use futures_util::stream;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::BOTH;
use super::Echo;
use super::connect_to;
use super::raw;
use crate::CallError;
use crate::transport::http::Failure;
use crate::transport::http::Kind;
use crate::transport::http::client::SessionMode;

type Answer = ([(&'static str, &'static str); 1], Body);

const STREAM: [(&str, &str); 1] = [("content-type", "text/event-stream")];
const JSON: [(&str, &str); 1] = [raw::JSON];

/// A stream of these bytes, which ends once it is told to.
fn events(text: String, end: Option<Arc<Notify>>) -> Answer {
    let rest = stream::once(async move {
        match end {
            Some(end) => end.notified().await,
            None => std::future::pending().await,
        }
        Ok::<_, Infallible>(Bytes::new())
    });
    let first = stream::once(async { Ok(Bytes::from(text)) });
    let body = futures_util::StreamExt::chain(first, rest);
    (STREAM, Body::from_stream(body))
}

fn named(name: u32) -> String {
    format!("id: {name}.0\nevent: endpoint\ndata: /?session={name}\n\n")
}

async fn serve(routes: Routes) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    address
}

/// A server that answers every message so.
async fn answering(answer: fn() -> Answer) -> std::net::SocketAddr {
    let open = async || events(named(1), None);
    let routes = Routes::new().route("/runtime/events", get(open));
    serve(routes.route("/", axum::routing::post(async move || answer()))).await
}

/// A call that is told nothing would wait for ever.
async fn in_time<T>(call: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(Duration::from_secs(60), call).await;
    waited.expect("the call was told nothing")
}

#[tokio::test]
async fn what_was_not_sent_is_not_sent_after_its_session_was_lost_either() {
    let (cut, resumed, resume) = <(Arc<Notify>, Arc<Notify>, Arc<Notify>)>::default();
    let posted: Arc<Mutex<Vec<String>>> = Arc::default();
    let (came, opened) = (Arc::clone(&posted), Arc::new(Mutex::new(0)));
    let (is_cut, is_resumed, may_resume) = (cut.clone(), resumed.clone(), resume.clone());
    let open = async move || {
        let name = {
            let mut opened = opened.lock().unwrap();
            *opened += 1;
            *opened
        };
        if name > 1 {
            is_resumed.notify_one();
            may_resume.notified().await;
        }
        events(named(name), Some(is_cut))
    };
    let take = async move |body: String| came.lock().unwrap().push(body);
    let routes = Routes::new().route("/runtime/events", get(open));
    let address = serve(routes.route("/", axum::routing::post(take))).await;

    let (client, _) = connect_to(address, SessionMode::Required).await;
    cut.notify_one();
    resumed.notified().await;
    let peer = client.peer();
    let text = ["waits".to_owned()];
    let mut call = pin!(peer.call::<Echo>(&text));
    // It is handed over, and waits for the stream.
    std::future::poll_fn(|context| {
        assert!(call.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
    // Another session than before: the first one is lost.
    resume.notify_one();
    let outcome = in_time(call).await;
    assert!(matches!(outcome, Err(CallError::NotSent(_))), "{outcome:?}");
    // Whatever was under way to the server came before this.
    let marker = raw::client().post(format!("http://{address}/"));
    marker.body("marker").send().await.unwrap();
    assert_eq!(*posted.lock().unwrap(), ["marker"]);
}

#[tokio::test]
async fn a_stream_that_ends_before_the_answer_fails_its_call() {
    for (session, _) in BOTH {
        let address = answering(|| (STREAM, Body::from(": nothing\n\n"))).await;
        let (client, _) = connect_to(address, session).await;
        let outcome = in_time(client.peer().call::<Echo>(&["a".to_owned()])).await;
        let Err(CallError::Http(Failure { kind, what })) = outcome else {
            panic!("{session:?}: {outcome:?}");
        };
        assert_eq!(kind, Kind::Unknown);
        assert!(what.contains("before the answer"), "{what}");
    }
}

#[tokio::test]
async fn an_answer_to_another_request_fails_the_call_whose_post_it_answers() {
    let another = || {
        let text = r#"{"jsonrpc":"2.0","id":"another","result":"a"}"#;
        (JSON, Body::from(text))
    };
    let request = || {
        let text = r#"{"jsonrpc":"2.0","id":"another request","method":"echo","params":["a"]}"#;
        (JSON, Body::from(text))
    };
    let answers: [fn() -> Answer; 2] = [another, request];
    for (answer, (session, _)) in answers
        .into_iter()
        .flat_map(|it| BOTH.map(|mode| (it, mode)))
    {
        let address = answering(answer).await;
        let (client, _) = connect_to(address, session).await;
        let outcome = in_time(client.peer().call::<Echo>(&["a".to_owned()])).await;
        let Err(CallError::Lost(lost)) = outcome else {
            panic!("{session:?}: {outcome:?}");
        };
        let text = lost.to_string();
        assert!(text.contains("request"), "{text}");
    }
}

#[tokio::test]
async fn a_component_may_answer_with_the_code_of_an_expired_session() {
    for (session, _) in BOTH {
        let answer = async |body: String| {
            let asked: serde_json::Value = serde_json::from_str(&body).unwrap();
            let error = serde_json::json!({"code": -32010, "message": "elsewhere"});
            let answer = serde_json::json!({"jsonrpc": "2.0", "id": asked["id"], "error": error});
            (JSON, answer.to_string())
        };
        let open = async || events(named(1), None);
        let routes = Routes::new().route("/runtime/events", get(open));
        let address = serve(routes.route("/", axum::routing::post(answer))).await;
        let (client, _) = connect_to(address, session).await;
        let outcome = in_time(client.peer().call::<Echo>(&["a".to_owned()])).await;
        // It ran: nothing may say that it was not sent.
        assert!(
            matches!(outcome, Err(CallError::Remote(_))),
            "{session:?}: {outcome:?}"
        );
        assert!(!client.peer().is_closed());
    }
}
