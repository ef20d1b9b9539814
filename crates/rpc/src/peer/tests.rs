//! Tests of calls, answers, cancellation and the end, over links made of memory or driven by hand.

use std::sync::Arc;
use std::sync::Mutex;

use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

use super::*;
use crate::transport::memory;

crate::method!(Echo, "echo", String => String);
crate::method!(Blob, "blob", String => usize);
crate::method!(Hang, "hang", () => ());
crate::method!(Panics, "panics", () => ());
crate::method!(Shape, "shape", () => Vec<u32>);
crate::notice!(Said, "said", String);

fn echoing() -> Router<()> {
    Router::new(()).method::<Echo, _, _>(|_, text| async { Ok(text) })
}

/// A peer whose other side is the test itself.
fn by_hand() -> (Connection, Link) {
    let (near, far) = memory::pair();
    (connect(near, echoing()), far)
}

async fn next(far: &mut Link) -> Message {
    match far.incoming.next().await {
        Some(Arrival::Message(message)) => message,
        other => panic!("no message but {other:?}"),
    }
}

async fn next_request(far: &mut Link) -> Request {
    match next(far).await {
        Message::Request(request) => request,
        other => panic!("no request but {other:?}"),
    }
}

fn answer(id: &Id, result: &str) -> Message {
    let result = Json::of(result).unwrap();
    Message::Response(Response {
        id: id.clone(),
        result: Ok(result),
    })
}

#[tokio::test]
async fn ten_thousand_calls_each_get_their_own_answer() {
    let (left, right) = memory::pair();
    let _server = connect(right, echoing());
    let client = connect(left, Router::new(()));
    let calls = (0..10_000).map(|n| {
        let peer = client.peer();
        async move { (n, peer.call::<Echo>(&format!("{n}")).await) }
    });
    for (n, answer) in join_all(calls).await {
        assert_eq!(answer.unwrap(), n.to_string());
    }
}

#[tokio::test]
async fn handlers_call_back_more_of_them_than_any_limit_of_the_other_side() {
    let (left, right) = memory::pair();
    let server = Router::new(()).method::<Blob, _, _>(|call, text| async move {
        let back = call
            .peer
            .call::<Echo>(&text)
            .await
            .map_err(|e| RpcError::internal(e.to_string()))?;
        Ok(back.len())
    });
    let _server = connect(right, server);
    let client = connect(left, echoing());
    let calls = (0..500).map(|_| async { client.peer().call::<Blob>(&"four".to_owned()).await });
    for answer in join_all(calls).await {
        assert_eq!(answer.unwrap(), 4);
    }
}

#[tokio::test]
async fn ids_that_differ_in_kind_only_are_different_calls() {
    let (client, mut far) = by_hand();
    let peer = client.peer();
    let call = tokio::spawn(async move { peer.call::<Echo>(&"x".into()).await });
    let request = next_request(&mut far).await;
    far.outgoing
        .send(answer(&Id::Number(1), "wrong"), None)
        .unwrap();
    far.outgoing
        .send(answer(&"1".into(), "wrong"), None)
        .unwrap();
    far.outgoing
        .send(answer(&request.id, "right"), None)
        .unwrap();
    assert_eq!(call.await.unwrap().unwrap(), "right");
}

#[tokio::test]
async fn late_and_repeated_answers_cost_nothing() {
    let (client, mut far) = by_hand();
    let peer = client.peer();
    let call = tokio::spawn(async move { peer.call::<Echo>(&"x".into()).await });
    let first = next_request(&mut far).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    far.outgoing.send(answer(&first.id, "late"), None).unwrap();
    far.outgoing.send(answer(&first.id, "again"), None).unwrap();
    let peer = client.peer();
    let call = tokio::spawn(async move { peer.call::<Echo>(&"y".into()).await });
    let second = next_request(&mut far).await;
    far.outgoing.send(answer(&second.id, "y"), None).unwrap();
    assert_eq!(call.await.unwrap().unwrap(), "y");
}

#[tokio::test]
async fn the_end_of_the_link_wakes_every_waiter_and_fails_later_calls() {
    let (client, mut far) = by_hand();
    let calls: Vec<_> = (0..20)
        .map(|n| {
            let peer = client.peer();
            tokio::spawn(async move { peer.call::<Echo>(&n.to_string()).await })
        })
        .collect();
    for _ in 0..20 {
        next_request(&mut far).await;
    }
    drop(far);
    for call in calls {
        assert!(matches!(
            call.await.unwrap(),
            Err(CallError::Unknown(Closed::ByPeer))
        ));
    }
    let later = client.peer().call::<Echo>(&"x".into()).await;
    assert!(matches!(later, Err(CallError::NotSent(Closed::ByPeer))));
    assert!(matches!(client.closed().await, Closed::ByPeer));
}

#[tokio::test]
async fn dropping_the_connection_wakes_its_waiters() {
    let (client, mut far) = by_hand();
    let peer = client.peer();
    let call = tokio::spawn(async move { peer.call::<Echo>(&"x".into()).await });
    next_request(&mut far).await;
    drop(client);
    assert!(matches!(
        call.await.unwrap(),
        Err(CallError::Unknown(Closed::ByUs))
    ));
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_where_the_other_side_takes_it() {
    let (client, mut far) = by_hand();
    client.peer().enable_cancel();
    let peer = client.peer();
    let call = tokio::spawn(async move { peer.call::<Echo>(&"x".into()).await });
    let request = next_request(&mut far).await;
    call.abort();
    let Message::Notification(cancel) = next(&mut far).await else {
        panic!("a notification")
    };
    assert_eq!(cancel.method, "$/cancelRequest");
    let params: CancelParams = serde_json::from_str(cancel.params.get()).unwrap();
    assert_eq!(params.id, request.id);
}

#[tokio::test]
async fn a_cancelled_request_is_answered_once_and_its_handler_stops() {
    struct Stopped(Option<oneshot::Sender<()>>);
    impl Drop for Stopped {
        fn drop(&mut self) {
            let _ = self.0.take().unwrap().send(());
        }
    }
    let (near, mut far) = memory::pair();
    let started = Arc::new(Notify::new());
    let (stopped, has_stopped) = oneshot::channel();
    let stopped = Arc::new(Mutex::new(Some(stopped)));
    let begun = Arc::clone(&started);
    let router = Router::new(()).method::<Hang, _, _>(move |_, ()| {
        let stopped = Stopped(stopped.lock().unwrap().take());
        let begun = Arc::clone(&begun);
        async move {
            let _stopped = stopped;
            begun.notify_one();
            std::future::pending().await
        }
    });
    let _server = connect(near, router);
    let request = |id: Id| {
        let params = Json::of(&()).unwrap();
        Message::Request(Request {
            id,
            method: "hang".into(),
            params,
        })
    };
    // `()` travels as null, which is no params object; an array stands for it.
    let Message::Request(mut hang) = request(7.into()) else {
        unreachable!()
    };
    hang.params = Json::of(&[(); 0]).unwrap();
    far.outgoing.send(Message::Request(hang), None).unwrap();
    let Message::Response(refused) = next(&mut far).await else {
        panic!("an answer")
    };
    assert_eq!(refused.result.unwrap_err().code, ErrorCode::INVALID_PARAMS);
    far.outgoing.send(request(8.into()), None).unwrap();
    started.notified().await;
    let params = Json::of(&CancelParams {
        id: 8.into(),
        reason: Some("why not".into()),
    })
    .unwrap();
    let cancel = Notification {
        method: Cancel::NAME.into(),
        params,
    };
    far.outgoing
        .send(Message::Notification(cancel.clone()), None)
        .unwrap();
    far.outgoing
        .send(Message::Notification(cancel), None)
        .unwrap();
    let Message::Response(response) = next(&mut far).await else {
        panic!("an answer")
    };
    assert_eq!(response.id, 8.into());
    let error = response.result.unwrap_err();
    assert_eq!(error.code, ErrorCode::CANCELLED);
    assert!(error.message.contains("why not"), "{error}");
    has_stopped.await.unwrap();
}

#[tokio::test]
async fn errors_of_handlers_cost_their_own_call_only() {
    let (left, right) = memory::pair();
    let router = echoing()
        .method::<Panics, _, _>(|_, ()| async { panic!("on purpose") })
        .method::<Shape, _, _>(|_, ()| async { Ok(vec![1]) });
    let _server = connect(right, router);
    let client = connect(left, Router::new(()));
    let peer = client.peer();
    let Err(CallError::Remote(panicked)) = peer.call::<Panics>(&()).await else {
        panic!("an error")
    };
    assert_eq!(panicked.code, ErrorCode::INTERNAL);
    assert!(panicked.message.contains("on purpose"));
    let Err(CallError::Remote(unknown)) = peer.call::<Hang>(&()).await else {
        panic!("an error")
    };
    assert_eq!(unknown.code, ErrorCode::METHOD_NOT_FOUND);
    let raw = peer.prepare_raw("echo", Json::of(&[1]).unwrap());
    let Err(CallError::Remote(params)) = raw.send().await else {
        panic!("an error")
    };
    assert_eq!(params.code, ErrorCode::INVALID_PARAMS);
    crate::method!(WrongShape, "shape", () => std::collections::BTreeMap<String, u32>);
    let Err(CallError::Decode { method, .. }) = peer.call::<WrongShape>(&()).await else {
        panic!("an error")
    };
    assert_eq!(method, "shape");
    assert_eq!(
        peer.call::<Echo>(&"still here".into()).await.unwrap(),
        "still here"
    );
}

#[tokio::test]
async fn more_requests_than_the_limit_are_answered_busy() {
    let (near, mut far) = memory::pair();
    let router = echoing()
        .method::<Hang, _, _>(|_, ()| std::future::pending())
        .concurrency(2);
    let _server = connect(near, router);
    for id in 0..3 {
        let params = Json::of(&()).unwrap();
        let request = Request {
            id: Id::Number(id),
            method: "hang".into(),
            params,
        };
        far.outgoing.send(Message::Request(request), None).unwrap();
    }
    let Message::Response(busy) = next(&mut far).await else {
        panic!("an answer")
    };
    assert_eq!(
        (busy.id, busy.result.unwrap_err().code),
        (2.into(), ErrorCode::BUSY)
    );
}

#[tokio::test]
async fn one_id_in_use_twice_gets_one_handler() {
    let (near, mut far) = memory::pair();
    let _server = connect(
        near,
        Router::new(()).method::<Hang, _, _>(|_, ()| std::future::pending()),
    );
    for _ in 0..2 {
        let params = Json::of(&()).unwrap();
        let request = Request {
            id: 1.into(),
            method: "hang".into(),
            params,
        };
        far.outgoing.send(Message::Request(request), None).unwrap();
    }
    let Message::Response(refused) = next(&mut far).await else {
        panic!("an answer")
    };
    assert_eq!(refused.result.unwrap_err().code, ErrorCode::INVALID_REQUEST);
}

#[tokio::test]
async fn notifications_are_handled_in_order_before_later_answers() {
    let (near, far) = memory::pair();
    let (heard, mut said) = mpsc::unbounded_channel();
    let router = Router::new(heard).notice::<Said, _>(|call, text| call.state.send(text).unwrap());
    let _client = connect(near, router);
    let other = connect(far, Router::new(()));
    for n in 0..100 {
        other.peer().notify::<Said>(&n.to_string()).await.unwrap();
    }
    crate::notice!(Unknown, "unknown", ());
    other.peer().notify::<Unknown>(&()).await.unwrap();
    for n in 0..100 {
        assert_eq!(said.recv().await.unwrap(), n.to_string());
    }
}

#[tokio::test]
async fn what_is_too_large_for_the_other_side_is_not_sent() {
    let (left, right) = memory::pair();
    let server = connect(right, echoing());
    let client = connect(left, Router::new(()));
    client.peer().set_max_outgoing_bytes(1000);
    let refused = client.peer().call::<Echo>(&"x".repeat(1001)).await;
    assert!(matches!(
        refused,
        Err(CallError::TooLarge { limit: 1000, .. })
    ));
    server.peer().set_max_outgoing_bytes(200);
    let Err(CallError::Remote(error)) = client.peer().call::<Echo>(&"x".repeat(500)).await else {
        panic!("an error")
    };
    assert_eq!(error.code, ErrorCode::RESOURCE_UNAVAILABLE);
    assert_eq!(
        client.peer().call::<Echo>(&"small".into()).await.unwrap(),
        "small"
    );
}
