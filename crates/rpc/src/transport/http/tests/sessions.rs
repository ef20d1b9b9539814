//! The life of sessions: their streams, what is missed and made up for, their bounds and their end.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;

use super::Running;
use super::doubling;
use super::raw::Answer;
use super::raw::Ask;
use super::raw::Events;
use super::serve;
use super::serve_with;
use super::server;
use crate::Router;

crate::notice!(Told, "told", [String; 1]);
crate::method!(Flood, "flood", [u64; 2] => u64);
crate::method!(Held, "held", [u8; 0] => String);

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(1);

fn request(id: u64, method: &str, params: &serde_json::Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

fn echo(id: u64) -> String {
    request(id, "echo", &json!(["x"]))
}

/// Sends a POST from a task of its own.
fn post(server: &Arc<Running>, endpoint: &str, body: &str) -> tokio::task::JoinHandle<Answer> {
    let (server, endpoint, body) = (Arc::clone(server), endpoint.to_owned(), body.to_owned());
    tokio::spawn(async move { Answer::of(Ask::post(&endpoint, &body).send(&server).await).await })
}

/// Waits until something is so; every look lets everything else go on first.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(SHORT).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
    waited.unwrap_or_else(|_| panic!("still not so: {what}"));
}

/// Waits for the end of every peer there was.
async fn all_ended(server: &Running) {
    let sessions = std::mem::take(&mut *server.sessions.lock().unwrap());
    for session in sessions {
        session.closed().await;
    }
}

/// Says as much as it is told to, and keeps the most that ever waited to be written.
fn flooding() -> (Router<()>, Arc<Mutex<usize>>) {
    let most = Arc::new(Mutex::new(0));
    let kept = Arc::clone(&most);
    let router = doubling().method::<Flood, _, _>(move |call, [size, count]| {
        let kept = Arc::clone(&kept);
        async move {
            for n in 0..count {
                let text = format!("{n} {}", "x".repeat(usize::try_from(size).unwrap()));
                call.peer.notify::<Told>(&[text]).await.unwrap();
                let mut kept = kept.lock().unwrap();
                *kept = (*kept).max(call.peer.queued_bytes());
            }
            Ok(count)
        }
    });
    (router, most)
}

/// The number that a notification of [`flooding`] begins with.
fn told(message: &serde_json::Value) -> u64 {
    let text = message["params"][0].as_str().unwrap();
    text.split_once(' ').unwrap().0.parse().unwrap()
}

#[tokio::test]
async fn an_id_that_is_in_use_is_refused_and_the_first_goes_on() {
    let server = Arc::new(serve(server::Options::default()).await);
    let mut events = Events::open(&server).await;
    let first = post(
        &server,
        &events.endpoint,
        &request(7, "twice", &json!(["a"])),
    );
    let asked = events.message().await;

    let second = post(&server, &events.endpoint, &echo(7)).await.unwrap();
    assert_eq!(second.verdict(), (400, Some(-32600)));
    assert_eq!(second.json()["id"], 7);
    // The same as text is another id, and the same in another session is another session's.
    let other = Events::open(&server).await;
    for (endpoint, body) in [
        (
            &events.endpoint,
            echo(7).replace("\"id\":7", "\"id\":\"7\""),
        ),
        (&other.endpoint, echo(7)),
    ] {
        let answer = post(&server, endpoint, &body).await.unwrap();
        assert_eq!(answer.verdict(), (200, None), "{answer:?}");
    }

    let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": "b" });
    let taken = post(&server, &events.endpoint, &answer.to_string()).await;
    assert_eq!(taken.unwrap().verdict(), (202, None));
    let first = first.await.unwrap();
    assert_eq!(
        first.json(),
        json!({ "jsonrpc": "2.0", "id": 7, "result": "bb" })
    );
    // Now it is free again.
    let third = post(&server, &events.endpoint, &echo(7)).await.unwrap();
    assert_eq!(third.verdict(), (200, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_goes_on_with_nothing_lost_and_nothing_twice() {
    let (router, most) = flooding();
    // What was written may still be on its way when the stream is cut, so more is kept than the network holds.
    let options = server::Options::default();
    let server = Arc::new(serve_with(options, router).await);
    let mut events = Events::open(&server).await;
    let endpoint = events.endpoint.clone();
    let (size, count) = (64 * 1024, 200);
    let flood = post(
        &server,
        &endpoint,
        &request(1, "flood", &json!([size, count])),
    );
    for expected in 0..count {
        if expected % 37 == 0 {
            let last = events.last.clone();
            drop(events);
            events = Events::resume(&server, &last).await;
            assert_eq!(events.endpoint, endpoint);
            assert_eq!(
                events.last, last,
                "the endpoint's event says where the client stands"
            );
        }
        assert_eq!(told(&events.message().await), expected);
    }
    assert_eq!(flood.await.unwrap().json()["result"], count);
    // However much was said, it waited for the client to read it.
    let most = *most.lock().unwrap();
    assert!(most < 2 * 1024 * 1024, "{most} bytes were queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_written_is_kept_whatever_its_size() {
    let options = server::Options {
        replay_events: 1,
        replay_bytes: 1,
        ..server::Options::default()
    };
    let server = Arc::new(serve(options).await);
    let mut events = Events::open(&server).await;
    let endpoint = events.endpoint.clone();
    let text = "x".repeat(3 * 1024 * 1024);
    let calls: Vec<_> = (0..4)
        .map(|id| post(&server, &endpoint, &request(id, "twice", &json!([text]))))
        .collect();
    for _ in 0..4 {
        let asked = events.message().await;
        assert_eq!(asked["params"][0].as_str().unwrap().len(), text.len());
        let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": "b" });
        post(&server, &endpoint, &answer.to_string()).await.unwrap();
    }
    for call in calls {
        assert_eq!(call.await.unwrap().json()["result"], "bb");
    }
}

#[tokio::test]
async fn who_cannot_go_on_gets_a_new_session_and_the_old_one_ends() {
    let (router, _) = flooding();
    let options = server::Options {
        replay_events: 2,
        ..server::Options::default()
    };
    let server = Arc::new(serve_with(options, router).await);
    for last in ["", "unknown.1", "unknown", "0"] {
        let events = Events::resume(&server, last).await;
        assert!(!events.last.starts_with("unknown"), "{}", events.last);
    }
    let mut events = Events::open(&server).await;
    let (endpoint, start) = (events.endpoint.clone(), events.last.clone());
    let flood = request(1, "flood", &json!([1, 10]));
    post(&server, &endpoint, &flood).await.unwrap();
    for expected in 0..10 {
        assert_eq!(told(&events.message().await), expected);
    }
    let resumed = Events::resume(&server, &start).await;
    assert_ne!(resumed.endpoint, endpoint);
    assert_eq!(events.next().await, None);
    let answer = post(&server, &endpoint, &echo(2)).await.unwrap();
    assert_eq!(answer.verdict(), (404, Some(-32010)));
}

#[tokio::test]
async fn of_two_streams_of_one_session_the_older_ends() {
    let server = Arc::new(serve(server::Options::default()).await);
    let mut older = Events::open(&server).await;
    let mut newer = Events::resume(&server, &older.last.clone()).await;
    assert_eq!(newer.endpoint, older.endpoint);
    assert_eq!(older.next().await, None);
    let call = post(
        &server,
        &newer.endpoint,
        &request(1, "twice", &json!(["a"])),
    );
    assert_eq!(newer.message().await["method"], "echo");
    assert_eq!(server.host.sessions(), 1);
    call.abort();
}

#[tokio::test]
async fn an_answer_whose_post_is_gone_comes_as_an_event() {
    let (release, held) = tokio::sync::watch::channel(());
    let router = doubling().method::<Held, _, _>(move |call, []| {
        let mut held = held.clone();
        async move {
            call.peer.notify::<Told>(&["began".into()]).await.unwrap();
            held.changed().await.unwrap();
            Ok("late".into())
        }
    });
    let server = Arc::new(serve_with(server::Options::default(), router).await);
    let mut events = Events::open(&server).await;
    let held = post(&server, &events.endpoint, &request(9, "held", &json!([])));
    assert_eq!(events.message().await["method"], "told");
    held.abort();
    assert!(held.await.unwrap_err().is_cancelled());
    let again = post(&server, &events.endpoint, &echo(9)).await.unwrap();
    assert_eq!(again.verdict(), (400, Some(-32600)), "it still runs");
    // An answer that is written before the connection's end is noticed goes down with it.
    until("the POST's end was noticed", || server.host.left() == 1).await;
    release.send(()).unwrap();
    let expected = json!({ "jsonrpc": "2.0", "id": 9, "result": "late" });
    assert_eq!(events.message().await, expected);
    assert_eq!(server.host.calls(), 0);
}

#[tokio::test]
async fn the_end_of_a_session_answers_its_posts_and_cancels_its_calls() {
    let server = Arc::new(serve(server::Options::default()).await);
    let mut events = Events::open(&server).await;
    let endpoint = events.endpoint.clone();
    let waiting = post(&server, &endpoint, &request(1, "twice", &json!(["a"])));
    let asked = events.message().await;
    let ended = Answer::of(Ask::of("DELETE", &endpoint).send(&server).await).await;
    assert_eq!(ended.verdict(), (202, None));
    let answer = waiting.await.unwrap();
    assert_eq!(
        answer.verdict(),
        (200, Some(-32012)),
        "it may have run: it is not lost"
    );
    assert_eq!(answer.json()["id"], 1);
    assert_eq!(events.next().await, None);
    all_ended(&server).await;
    assert_eq!((server.host.sessions(), server.host.calls()), (0, 0));
    for body in [
        echo(2),
        json!({ "jsonrpc": "2.0", "id": asked["id"], "result": "b" }).to_string(),
    ] {
        let late = post(&server, &endpoint, &body).await.unwrap();
        assert_eq!(late.verdict(), (404, Some(-32010)));
    }
    let again = Answer::of(Ask::of("DELETE", &endpoint).send(&server).await).await;
    assert_eq!(again.verdict(), (404, Some(-32010)));
}

#[tokio::test]
async fn a_broken_answer_fails_the_call_back_that_it_was_for() {
    let server = Arc::new(serve(server::Options::default()).await);
    let mut events = Events::open(&server).await;
    let call = post(
        &server,
        &events.endpoint,
        &request(1, "twice", &json!(["a"])),
    );
    let asked = events.message().await;
    let broken = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": 1, "error": 2 });
    let refused = post(&server, &events.endpoint, &broken.to_string()).await;
    assert_eq!(refused.unwrap().verdict(), (400, Some(-32600)));
    assert_eq!(call.await.unwrap().verdict(), (200, Some(-32603)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_abandoned_sessions_leave_nothing() {
    let marker = Arc::new(());
    let held = Arc::clone(&marker);
    let router = doubling().method::<Held, _, _>(move |_, []| {
        let _held = Arc::clone(&held);
        std::future::pending()
    });
    let options = server::Options {
        session_grace: SHORT,
        idle_timeout: LONG,
        ..server::Options::default()
    };
    let server = Arc::new(serve_with(options, router).await);
    for _ in 0..1_000 {
        drop(Events::open(&server).await);
    }
    all_ended(&server).await;
    assert_eq!(server.host.sessions(), 0);
    // The router is held by the server, and by no peer any more.
    until("peers are gone", || Arc::strong_count(&marker) == 2).await;
}

#[tokio::test]
async fn an_abandoned_session_cancels_what_it_asked_for() {
    let options = server::Options {
        session_grace: SHORT,
        ..server::Options::default()
    };
    let server = Arc::new(serve(options).await);
    let mut events = Events::open(&server).await;
    let call = post(
        &server,
        &events.endpoint,
        &request(1, "twice", &json!(["a"])),
    );
    events.message().await;
    drop(events);
    assert_eq!(call.await.unwrap().verdict(), (200, Some(-32012)));
    all_ended(&server).await;
    assert_eq!((server.host.sessions(), server.host.calls()), (0, 0));
}

#[tokio::test]
async fn an_idle_session_ends_and_a_busy_one_does_not() {
    let options = server::Options {
        idle_timeout: Duration::from_millis(50),
        ..server::Options::default()
    };
    let server = Arc::new(serve(options).await);
    let mut busy = Events::open(&server).await;
    let call = post(&server, &busy.endpoint, &request(1, "twice", &json!(["a"])));
    let asked = busy.message().await;
    let mut idle = Events::open(&server).await;
    assert_eq!(idle.next().await, None, "its stream ends with it");
    let late = post(&server, &idle.endpoint, &echo(1)).await.unwrap();
    assert_eq!(late.verdict(), (404, Some(-32010)));
    // Meanwhile the other one was as silent, but had something to do.
    let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": "b" });
    post(&server, &busy.endpoint, &answer.to_string())
        .await
        .unwrap();
    assert_eq!(call.await.unwrap().json()["result"], "bb");
    assert_eq!(busy.next().await, None, "now it is idle too");
    all_ended(&server).await;
}

#[tokio::test]
async fn a_silent_stream_shows_that_it_lives() {
    let options = server::Options {
        keep_alive: SHORT,
        ..server::Options::default()
    };
    let server = Arc::new(serve(options).await);
    let mut events = Events::open(&server).await;
    assert_eq!(events.next_block().await.unwrap(), ": keep-alive");
    // So does the stream of a request that stands alone, once it is one.
    let ask = Ask::post("/", &request(1, "twice", &json!(["a"])));
    let response = ask.with("accept", "text/event-stream, application/json");
    let mut response = response.send(&server).await;
    let mut read = String::new();
    while !read.contains(": keep-alive\n\n") {
        let chunk = response.chunk().await.unwrap().unwrap();
        read.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(read.starts_with("event: message\ndata: {"), "{read}");
}

#[tokio::test]
async fn who_comes_when_all_is_taken_is_told_when_to_come_back() {
    let options = server::Options {
        max_sessions: 2,
        max_calls: 1,
        retry_after: Duration::from_millis(1_500),
        session_grace: LONG,
        ..server::Options::default()
    };
    let server = Arc::new(serve(options).await);
    let is_busy = |answer: &Answer, status| {
        assert_eq!(answer.verdict(), (status, Some(-32011)));
        assert_eq!(answer.header("retry-after"), "2");
        assert_eq!(answer.json()["error"]["data"]["retry_after_ms"], 2000);
    };
    let first = Events::open(&server).await;
    let mut second = Events::open(&server).await;
    let ask = Ask::of("GET", "/runtime/events");
    is_busy(&Answer::of(ask.send(&server).await).await, 503);

    let hanging = post(
        &server,
        &second.endpoint,
        &request(1, "twice", &json!(["a"])),
    );
    let asked = second.message().await;
    is_busy(
        &post(&server, &first.endpoint, &echo(2)).await.unwrap(),
        429,
    );
    is_busy(&post(&server, "/", &echo(2)).await.unwrap(), 429);
    let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": "b" });
    post(&server, &second.endpoint, &answer.to_string())
        .await
        .unwrap();
    assert_eq!(hanging.await.unwrap().json()["result"], "bb");
    assert_eq!(post(&server, "/", &echo(3)).await.unwrap().status, 200);

    // Who left and does nothing makes room; the resumed one and the busy one stay.
    drop(first);
    let mut third = None;
    while third.is_none() {
        let response = ask.send(&server).await;
        if response.status() == 200 {
            third = Some(Events::of(response).await);
        }
    }
    assert_eq!(
        post(&server, &second.endpoint, &echo(4))
            .await
            .unwrap()
            .status,
        200
    );
    assert_eq!(server.host.sessions(), 2);
}

#[tokio::test]
async fn a_server_that_ends_lets_calls_finish_and_begins_nothing_new() {
    let server = Arc::new(serve(server::Options::default()).await);
    let mut events = Events::open(&server).await;
    let call = post(
        &server,
        &events.endpoint,
        &request(1, "twice", &json!(["a"])),
    );
    let asked = events.message().await;
    let host = server.host.clone();
    let draining = tokio::spawn(async move { host.drain().await });
    let health = || async { Answer::of(Ask::of("GET", "/health").send(&server).await).await };
    while health().await.status == 200 {}
    assert_eq!(health().await.text, r#"{"status":"draining"}"#);
    for ask in [
        Ask::of("GET", "/runtime/events"),
        Ask::post("/", &echo(2)),
        Ask::post(&events.endpoint, &echo(2)),
    ] {
        let answer = Answer::of(ask.send(&server).await).await;
        assert_eq!(answer.verdict(), (503, Some(-32011)), "{ask:?}");
        assert_eq!(answer.header("retry-after"), "1");
    }
    let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": "b" });
    let taken = post(&server, &events.endpoint, &answer.to_string()).await;
    assert_eq!(taken.unwrap().status, 202);
    assert_eq!(call.await.unwrap().json()["result"], "bb");
    draining.await.unwrap();
    assert_eq!(events.next().await, None);
    all_ended(&server).await;
    assert_eq!((server.host.sessions(), server.host.calls()), (0, 0));
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cancelled() {
    let options = server::Options {
        drain_grace: Duration::ZERO,
        ..server::Options::default()
    };
    let server = Arc::new(serve(options).await);
    let mut events = Events::open(&server).await;
    let twice = request(1, "twice", &json!(["a"]));
    let calls = [
        post(&server, &events.endpoint, &twice),
        post(&server, "/", &request(2, "hang", &json!([]))),
    ];
    events.message().await;
    until("both run", || server.host.calls() == 2).await;
    server.host.drain().await;
    for call in calls {
        assert_eq!(call.await.unwrap().verdict(), (200, Some(-32012)));
    }
    all_ended(&server).await;
    until("nothing runs", || server.host.calls() == 0).await;
}
