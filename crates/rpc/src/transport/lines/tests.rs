//! Tests of framing: what is a line, what is noise, what is too long, and who waits for whom.

use std::sync::Arc;
use std::sync::Mutex;

use proptest::prelude::*;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::duplex;

use super::*;
use crate::Arrival;
use crate::CallError;
use crate::Router;
use crate::error::Lost;
use crate::message::Malformed;
use crate::message::Message;
use crate::peer;

crate::method!(Echo, "echo", [String; 1] => String);

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Noise for Heard {
    fn heard(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

fn short(arrival: &Arrival) -> String {
    match arrival {
        Arrival::Message(Message::Response(it)) => format!("answer {}", it.id),
        Arrival::Message(Message::Request(it)) => format!("request {}", it.id),
        Arrival::Message(Message::Notification(it)) => format!("notification {}", it.method),
        Arrival::Message(Message::Unattributed(it)) => format!("unattributed {it}"),
        Arrival::Malformed(Malformed::NotAMessage { .. }) => "not a message".into(),
        Arrival::Malformed(other) => format!("{other:?}"),
        Arrival::Lost {
            id,
            lost: Lost::Oversized { size, .. },
        } => format!("lost {id} of {size}"),
        Arrival::Lost { id, .. } | Arrival::Failed { id, .. } => format!("lost {id}"),
        Arrival::Oversized { id, size, .. } => format!("oversized {id} of {size}"),
        Arrival::Ended(closed) => format!("ended: {closed}"),
    }
}

/// What a reader makes of bytes that come in pieces of `step` bytes.
async fn read_all(bytes: &[u8], step: usize, limit: usize) -> (Vec<String>, Vec<String>) {
    let (mut near, far) = duplex(step);
    let bytes = bytes.to_vec();
    let writer = tokio::spawn(async move {
        // The reader may end the link before everything is written.
        let _ = near.write_all(&bytes).await;
    });
    let heard = Arc::new(Heard::default());
    let noise: Arc<dyn Noise> = Arc::<Heard>::clone(&heard);
    let mut reader = LineReader::new(far, limit, noise);
    let mut arrivals = Vec::new();
    loop {
        let arrival = reader.next().await;
        if matches!(arrival, Arrival::Ended(Closed::ByPeer)) {
            break;
        }
        arrivals.push(short(&arrival));
        if matches!(arrival, Arrival::Ended(_)) {
            break;
        }
    }
    drop(reader);
    writer.await.unwrap();
    let heard = heard.0.lock().unwrap().clone();
    (arrivals, heard)
}

async fn check(bytes: &[u8], arrivals: &[&str], noise: &[&str]) {
    for step in [1, 2, 7, 4096] {
        let (found, heard) = read_all(bytes, step, 100_000).await;
        assert_eq!(found, arrivals, "in steps of {step}");
        assert_eq!(heard, noise, "in steps of {step}");
    }
}

#[tokio::test]
async fn lines_are_messages_whatever_stands_between_them() {
    let text = "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"\u{2028}é\"}\r\n\n \r\nhello\n\
        {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":0}\n{\"half\": \n{\"level\":\"info\"}\n\
        printed without a break: {\"jsonrpc\":\"2.0\",\"id\":3,\"result\":0}\n\
        {\"jsonrpc\":\"2.0\",\"id\":4,\"result\":0}";
    check(
        text.as_bytes(),
        &[
            "answer 1",
            "answer 2",
            "not a message",
            "answer 3",
            "answer 4",
        ],
        &[
            "hello",
            "{\"half\":",
            "{\"level\":\"info\"}",
            "printed without a break: ",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_message_behind_something_else_is_found_however_it_starts() {
    check(
        b"loading 10% {\"id\":1,\"result\":{\"id\":7},\"jsonrpc\":\"2.0\"}\n\
          {\"a\":1}{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"id\":7}}\n",
        &["answer 1", "answer 2"],
        &["loading 10% ", "{\"a\":1}"],
    )
    .await;
}

#[tokio::test]
async fn an_answer_cut_off_by_another_message_fails_its_call() {
    check(
        b"{\"id\":1,\"result\":\"cut o{\"id\":2,\"result\":0,\"jsonrpc\":\"2.0\"}\n\
          {\"jsonrpc\":\"2.0\",\"id\":3,\"result\":[1,{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":0}\n",
        &["answer 2", "lost 1", "answer 4", "lost 3"],
        &[
            "{\"id\":1,\"result\":\"cut o",
            "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":[1,",
        ],
    )
    .await;
}

#[tokio::test]
async fn an_answer_cut_off_by_the_end_is_left_to_the_end() {
    check(
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":0}\n{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":\"cut o",
        &["answer 1"],
        &["{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":\"cut o"],
    )
    .await;
}

#[tokio::test]
async fn bytes_that_are_no_text_cost_their_line_and_fail_the_call_they_name() {
    let bytes = b"\xff\xfe\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"\xff\"}\n{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":0}\n";
    check(
        bytes,
        &["lost 1", "answer 2"],
        &[
            "\u{fffd}\u{fffd}",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"\u{fffd}\"}",
        ],
    )
    .await;
}

#[tokio::test]
async fn lines_of_any_size_follow_each_other() {
    let sizes = [
        1, 70_000, 100_000, 2, 300_000, 65_536, 3, 65_535, 5_000_000, 4,
    ];
    let mut bytes = String::from("noise\n");
    for size in sizes {
        bytes += &format!("{{\"id\":{size},\"result\":\"{}\"}}\r\n", "x".repeat(size));
    }
    let expected: Vec<_> = sizes.iter().map(|size| format!("answer {size}")).collect();
    for step in [1000, 64 * 1024, 10_000_000] {
        let (arrivals, heard) = read_all(bytes.as_bytes(), step, 10_000_000).await;
        assert_eq!(arrivals, expected, "in steps of {step}");
        assert_eq!(heard, ["noise"]);
    }
}

#[tokio::test]
async fn a_large_line_that_is_no_message_is_treated_as_a_small_one() {
    let long = "x".repeat(100_000);
    let answer = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"";
    let bytes = [
        long.as_bytes(),
        b"\n\xEF\xBB\xBF{\"id\":2,\"result\":\"",
        long.as_bytes(),
        b"\"}\n{\"id\":3,\"result\":\"\xFF",
        long.as_bytes(),
        b"\"}\n",
        long.as_bytes(),
        answer.as_bytes(),
        long.as_bytes(),
        b"\"}\n[\"",
        long.as_bytes(),
        b"\"]\n",
    ];
    let (arrivals, heard) = read_all(&bytes.concat(), 64 * 1024, 1_000_000).await;
    assert_eq!(
        arrivals,
        ["answer 2", "lost 3", "answer 1", "not a message"]
    );
    assert_eq!(
        heard.len(),
        4,
        "what is shown is cut: {:.2000}",
        heard.concat()
    );
    assert!(heard.iter().all(|line| line.len() <= 1100));
}

#[tokio::test]
async fn a_line_over_the_limit_costs_its_own_call() {
    let long = "x".repeat(200_000);
    let bytes = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"{long}\"}}\n{{\"result\":\"{long}\",\"id\":2}}\n\
         {{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"m\",\"params\":[\"{long}\"]}}\n{{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":0}}\n"
    );
    for step in [1000, 64 * 1024, 10_000_000] {
        let (arrivals, _) = read_all(bytes.as_bytes(), step, 100_000).await;
        assert_eq!(
            arrivals,
            [
                "lost 1 of 200036",
                "lost 2 of 200020",
                "oversized 3 of 200051",
                "answer 4"
            ],
            "in steps of {step}"
        );
    }
}

#[tokio::test]
async fn a_line_over_the_limit_without_an_id_ends_the_link() {
    let bytes = format!(
        "{}\n{{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":0}}\n",
        "x".repeat(200_000)
    );
    let (arrivals, _) = read_all(bytes.as_bytes(), 4096, 100_000).await;
    assert_eq!(arrivals.len(), 1, "{arrivals:?}");
    assert!(
        arrivals[0].contains("over the limit of 100000 bytes"),
        "{arrivals:?}"
    );
}

#[tokio::test]
async fn a_line_of_the_limit_passes_and_one_byte_more_does_not() {
    for (extra, expected) in [(0, "answer 1"), (1, "lost 1 of 1001")] {
        let frame = r#"{"jsonrpc":"2.0","id":1,"result":""}"#.len();
        let bytes = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"{}\"}}\n",
            "x".repeat(1000 - frame + extra)
        );
        let (arrivals, _) = read_all(bytes.as_bytes(), 4096, 1000).await;
        assert_eq!(arrivals, [expected]);
    }
}

#[tokio::test]
async fn line_breaks_inside_params_do_not_break_the_line() {
    let (near, mut far) = duplex(1 << 20);
    let (input, output) = tokio::io::split(near);
    let link = link(input, output, &Options::default());
    for size in [10, 100_000] {
        let params = format!("{{\r\n \"a\": \"{}\"\n}}", "x".repeat(size));
        let params = stepflow_json::Json::parse(&params).unwrap();
        let message = Message::Notification(crate::Notification {
            method: "m".into(),
            params,
        });
        link.outgoing.send(message, None).unwrap();
    }
    link.outgoing.close();
    let mut text = String::new();
    far.read_to_string(&mut text).await.unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(!text.contains('\r'));
    assert!(text.lines().all(|line| Message::decode(line).is_ok()));
}

#[tokio::test]
async fn large_messages_both_ways_through_a_narrow_pipe_do_not_block_each_other() {
    let (near, far) = duplex(1024);
    let ends = [near, far].map(|end| {
        let (input, output) = tokio::io::split(end);
        let router =
            Router::new(()).method::<Echo, _, _>(|_, [text]: [String; 1]| async { Ok(text) });
        peer::connect(link(input, output, &Options::default()), router)
    });
    let text = "x".repeat(400_000);
    let calls = (0..20).map(|n| {
        let peer = ends[n % 2].peer();
        let text = text.clone();
        async move { peer.call::<Echo>(&[text]).await.unwrap().len() }
    });
    for size in futures_util::future::join_all(calls).await {
        assert_eq!(size, text.len());
    }
}

#[tokio::test]
async fn somebody_who_asks_and_never_reads_the_answers_is_given_up() {
    let (near, mut far) = duplex(64 * 1024);
    let (input, output) = tokio::io::split(near);
    let router = Router::new(()).method::<Echo, _, _>(|_, [text]: [String; 1]| async { Ok(text) });
    let connection = peer::connect(link(input, output, &Options::default()), router);
    let long = "x".repeat(1 << 20);
    let asking = async {
        for id in 0.. {
            let line = format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"echo\",\"params\":[\"{long}\"]}}\n"
            );
            if far.write_all(line.as_bytes()).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        closed = connection.closed() => assert!(matches!(closed, Closed::Stalled { .. }), "{closed}"),
        () = asking => panic!("the link ended without a word"),
    }
}

#[tokio::test]
async fn a_request_still_in_the_queue_at_the_end_was_not_sent() {
    let (near, mut far) = duplex(64);
    let (input, output) = tokio::io::split(near);
    let connection = peer::connect(link(input, output, &Options::default()), Router::new(()));
    let (first, second) = (connection.peer(), connection.peer());
    let long = "x".repeat(1000);
    let written = tokio::spawn(async move { first.call::<Echo>(&[long]).await });
    // A byte of the first has arrived: the pipe is now full and the writer busy with it.
    far.read_exact(&mut [0; 1]).await.unwrap();
    let queued = tokio::spawn(async move { second.call::<Echo>(&["short".into()]).await });
    while connection_queued(&connection) < 1100 {
        tokio::task::yield_now().await;
    }
    drop(connection);
    assert!(matches!(written.await.unwrap(), Err(CallError::Unknown(_))));
    assert!(matches!(queued.await.unwrap(), Err(CallError::NotSent(_))));
    // The other side lives on and reads: what was called not sent must never come.
    let mut sent = String::new();
    far.read_to_string(&mut sent).await.unwrap();
    assert!(!sent.contains("short"), "{sent}");
}

fn connection_queued(connection: &peer::Connection) -> usize {
    connection.peer().queued_bytes()
}

/// What the other side reads when it asks twice, says nothing more, and one answer takes until it has been asked for.
async fn last_answers(farewell: Duration) -> String {
    let (near, far) = duplex(4096);
    let (input, output) = tokio::io::split(near);
    let router = Router::new(())
        .method_at_once::<Echo, _>(|_, [text]| Ok(text))
        .fallback(|_, _| async {
            // Longer than whoever is given no time.
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(crate::message::empty_params())
        })
        .farewell(farewell);
    let connection = peer::connect(link(input, output, &Options::default()), router);
    let (mut answers, mut asking) = tokio::io::split(far);
    asking
        .write_all(
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"slow\",\"params\":{}}\n\
              {\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"echo\",\"params\":[\"a\"]}\n",
        )
        .await
        .unwrap();
    asking.shutdown().await.unwrap();
    let closed = connection.closed().await;
    assert!(matches!(closed, Closed::ByPeer), "{closed}");
    let mut text = String::new();
    answers.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(start_paused = true)]
async fn what_is_being_answered_at_the_end_may_finish_where_it_is_given_time() {
    let (first, second) = (
        r#"{"jsonrpc":"2.0","id":2,"result":"a"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    );
    let all = format!("{first}\n{second}\n");
    assert_eq!(last_answers(Duration::from_secs(1)).await, all);
    let answers = last_answers(Duration::ZERO).await;
    assert!(!answers.contains(second), "{answers}");
}

/// What a peer that serves `echo` says to these lines, before it hears nothing more.
async fn said_to(lines: &str) -> Vec<serde_json::Value> {
    let (near, far) = duplex(4096);
    let (input, output) = tokio::io::split(near);
    let router = Router::new(()).method_at_once::<Echo, _>(|_, [text]| Ok(text));
    let connection = peer::connect(link(input, output, &Options::default()), router);
    let (mut answers, mut asking) = tokio::io::split(far);
    asking.write_all(lines.as_bytes()).await.unwrap();
    asking.shutdown().await.unwrap();
    connection.closed().await;
    let mut text = String::new();
    answers.read_to_string(&mut text).await.unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

#[tokio::test]
async fn a_request_whose_id_cannot_be_repeated_is_refused_without_one() {
    for request in [
        r#"{"jsonrpc":"2.0","id":1.0,"method":"echo","params":["a"]}"#,
        r#"{"jsonrpc":"2.0","id":-0,"method":"echo","params":["a"]}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"echo","params":["a"]}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"echo","params":["a"]}"#,
    ] {
        let next = r#"{"jsonrpc":"2.0","id":3,"method":"echo","params":["b"]}"#;
        let said = said_to(&format!("{request}\n{next}\n")).await;
        assert_eq!(said.len(), 2, "{request}: {said:?}");
        assert_eq!(said[0]["error"]["code"], -32600, "{request}");
        assert_eq!(said[0].get("id"), Some(&serde_json::Value::Null));
        assert_eq!(said[1]["result"], "b", "{request}");
    }
    for unanswered in [
        "[1]",
        r#"{"id":1.0,"method":"GET"}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"what?"}}"#,
        r#"{"jsonrpc":"2.0","id":1.0,"result":1}"#,
    ] {
        assert_eq!(
            said_to(&format!("{unanswered}\n")).await.len(),
            0,
            "{unanswered}"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_are_read_to_the_end(bytes in any::<Vec<u8>>(), step in 1usize..64, limit in 8usize..64) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(read_all(&bytes, step, limit));
    }

    #[test]
    fn a_message_survives_any_noise_before_and_after(noise in "[^\n{}]{0,80}", step in 1usize..64) {
        let text = format!("{noise}\n{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":0}}\n{noise}\n");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (arrivals, _) = runtime.block_on(read_all(text.as_bytes(), step, 1000));
        prop_assert!(arrivals.contains(&"answer 1".to_owned()), "{:?}", arrivals);
    }
}
