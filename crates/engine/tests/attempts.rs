//! Which failures are tried again, when, how often, and what components are told about it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use stepflow_engine::Class;
use support::{Act, Script, brief, run, slow};

fn fail(class: Class) -> Act {
    Act::Fail(class, 1)
}

const BUSY: Class = Class::Busy { retry_after: None };

/// Runs a step `a` with these keys whose attempts go like this, and compares what it comes to and
/// how many attempts it took.
async fn check(keys: &str, acts: Vec<Act>, outcome: &str, attempts: usize) {
    let script = Script::new([("a", acts.clone())]);
    let flow = format!("steps: [{{id: a, component: x, input: 1{keys}}}]\noutput: {{$step: a}}");
    let finished = run(&script, &flow, "null").await;
    assert_eq!(brief(&finished.outcome), outcome, "{flow} {acts:?}");
    let numbers: Vec<u32> = script.calls().iter().map(|call| call.attempt).collect();
    let expected: Vec<u32> = (1..).take(attempts).collect();
    assert_eq!(numbers, expected, "{flow} {acts:?}");
}

#[tokio::test(start_paused = true)]
async fn without_on_error_only_transport_and_busy_are_tried_again() {
    let retry_after = Class::Busy {
        retry_after: Some(Duration::from_secs(90)),
    };
    for (class, again) in [
        (Class::NotSent, true),
        (BUSY, true),
        (retry_after, true),
        (Class::Unknown, true),
        (Class::TimedOut, false),
        (Class::Component, false),
        (Class::Refused, false),
        (Class::Cancelled, false),
    ] {
        let (outcome, attempts) = if again { ("1", 2) } else { ("failed: 1", 1) };
        check("", vec![fail(class), Act::Echo], outcome, attempts).await;
    }
}

#[tokio::test(start_paused = true)]
async fn budgets_end() {
    check("", vec![fail(Class::NotSent)], "failed: 1", 4).await;
    check("", vec![fail(Class::Unknown)], "failed: 1", 4).await;
    check("", vec![fail(BUSY)], "failed: 1", 121).await;
    // What is not sent and what is lost use one budget, busy another; attempts count on.
    let mixed = vec![
        fail(Class::NotSent),
        fail(BUSY),
        fail(Class::Unknown),
        fail(BUSY),
        fail(Class::NotSent),
        fail(Class::Unknown),
    ];
    check("", mixed, "failed: 1", 6).await;
}

const RETRY: &str = ", onError: {action: retry, maxRetries: 2, backoff: {minDelay: 1s}}";

#[tokio::test(start_paused = true)]
async fn on_error_retry_covers_what_may_succeed() {
    for class in [Class::Component, Class::TimedOut] {
        check(RETRY, vec![fail(class), fail(class), Act::Echo], "1", 3).await;
        check(RETRY, vec![fail(class)], "failed: 1", 3).await;
    }
    for class in [Class::Refused, Class::Cancelled] {
        check(RETRY, vec![fail(class)], "failed: 1", 1).await;
    }
    // After the transport's own retries, the step's. Neither budget is filled again.
    check(RETRY, vec![fail(Class::NotSent)], "failed: 1", 6).await;
    // Skips are no failures.
    check(RETRY, vec![Act::Skip(None)], "skipped", 1).await;
    check(RETRY, vec![Act::Panic, Act::Echo], "1", 2).await;
}

#[tokio::test(start_paused = true)]
async fn then_decides_when_retries_are_used_up() {
    let then = |action: &str| {
        format!(", onError: {{action: retry, maxRetries: 1, then: {{action: {action}}}}}")
    };
    let acts = || vec![fail(Class::Component)];
    check(&then("fail"), acts(), "failed: 1", 2).await;
    check(&then("skip"), acts(), "skipped", 2).await;
    check(&then("useDefault, defaultValue: 9"), acts(), "9", 2).await;
    // Cancellation is not covered.
    check(
        ", onError: {action: skip}",
        vec![fail(Class::Cancelled)],
        "failed: 1",
        1,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn at_most_once_is_kept() {
    let once = ", atMostOnce: true";
    check(
        once,
        vec![fail(Class::Unknown), Act::Echo],
        "failed: -32013",
        1,
    )
    .await;
    // Even where the step asks for retries: nobody knows whether it ran.
    let retried = format!("{once}{RETRY}");
    check(
        &retried,
        vec![fail(Class::Unknown), Act::Echo],
        "failed: -32013",
        1,
    )
    .await;
    check(
        &retried,
        vec![fail(Class::TimedOut), Act::Echo],
        "failed: 1",
        1,
    )
    .await;
    // What surely did not run, or surely ended, is another matter.
    check(once, vec![fail(Class::NotSent), Act::Echo], "1", 2).await;
    check(once, vec![fail(BUSY), Act::Echo], "1", 2).await;
    check(&retried, vec![fail(Class::Component), Act::Echo], "1", 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_plugin_may_forbid_resending() {
    let script = Script::unresendable([("a", vec![fail(Class::Unknown), Act::Echo])]);
    let flow = "steps: [{id: a, component: x}]\noutput: {$step: a}";
    let finished = run(&script, flow, "null").await;
    assert_eq!(brief(&finished.outcome), "failed: -32013");
    assert_eq!(script.called(), ["a#1"]);
}

#[tokio::test(start_paused = true)]
async fn the_idempotency_key_is_the_same_in_every_attempt() {
    let script = Script::new([
        ("a", vec![fail(Class::Unknown), Act::Echo]),
        ("b", vec![Act::Echo]),
    ]);
    let flow = "
steps: [{id: a, component: x}, {id: b, component: x}]
output: 1";
    let finished = run(&script, flow, "null").await;
    let calls = script.calls();
    let key = |step: &str, attempt: u32| {
        let mut calls = calls.iter();
        let call = calls.find(|call| call.step == step && call.attempt == attempt);
        call.unwrap().key.clone()
    };
    assert_eq!(key("a", 1), key("a", 2));
    assert_eq!(key("a", 1), format!("{}/a", finished.run_id));
    assert_ne!(key("a", 1), key("b", 1));
}

#[tokio::test(start_paused = true)]
async fn waits_follow_backoff_and_the_component() {
    let waits = async |keys: &str, acts: Vec<Act>| {
        let script = Script::new([("a", acts)]);
        let flow = format!("steps: [{{id: a, component: x{keys}}}]\noutput: {{$step: a}}");
        run(&script, &flow, "null").await;
        let times: Vec<Duration> = script.calls().iter().map(|call| call.at).collect();
        let waits = times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis());
        waits.collect::<Vec<_>>()
    };
    let retry = |backoff: &str| {
        format!(", onError: {{action: retry, maxRetries: 4, backoff: {{{backoff}}}}}")
    };
    let acts = || vec![fail(Class::Component)];
    let exact = |wait: &u128, seconds: u128| wait.abs_diff(seconds * 1000) <= 2;
    for (backoff, seconds) in [
        ("type: constant, minDelay: 2s, jitter: false", [2, 2, 2, 2]),
        ("minDelay: 1s, jitter: false, factor: 3", [1, 3, 9, 10]),
        ("type: fibonacci, minDelay: 1s, jitter: false", [1, 1, 2, 3]),
    ] {
        let actual = waits(&retry(backoff), acts()).await;
        assert!(
            actual
                .iter()
                .zip(seconds)
                .all(|(wait, seconds)| exact(wait, seconds)),
            "{backoff}: {actual:?}"
        );
    }
    // Jitter takes up to half of a wait away, never adds to it.
    let actual = waits(&retry("type: constant, minDelay: 2s, jitter: true"), acts()).await;
    assert!(
        actual.iter().all(|wait| (998..=2002).contains(wait)),
        "{actual:?}"
    );
    // A component that asks for a longer wait gets it, within reason.
    for (asked, gets) in [(77, 77), (u64::MAX, 3600)] {
        let asked = Class::Busy {
            retry_after: Some(Duration::from_secs(asked)),
        };
        let actual = waits("", vec![fail(asked), Act::Echo]).await;
        assert!(exact(&actual[0], gets), "{actual:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_counts_from_sending() {
    let timeout = ", timeout: 3s";
    check(timeout, vec![slow(2)], "1", 1).await;
    check(timeout, vec![slow(4)], "failed: -32006", 1).await;
    check(timeout, vec![Act::Hang], "failed: -32006", 1).await;
    // Each attempt has its own time.
    check(
        &format!("{timeout}{RETRY}"),
        vec![Act::Hang, slow(2)],
        "1",
        2,
    )
    .await;
    // Waiting to be sent is not the component's fault.
    let unsent = |then: Act| Act::Unsent(Duration::from_secs(60), Box::new(then));
    check(timeout, vec![unsent(slow(2))], "1", 1).await;
    check(timeout, vec![unsent(slow(4))], "failed: -32006", 1).await;
    let late = Act::After(Duration::from_secs(2), Box::new(unsent(slow(2))));
    check(timeout, vec![late], "1", 1).await;
    // Neither is waiting for what it asked for; its own time before and after counts.
    let paused = |first: u64, last: u64| {
        let waits = Act::Paused(Duration::from_secs(60), Box::new(slow(last)));
        Act::After(Duration::from_secs(first), Box::new(waits))
    };
    check(timeout, vec![paused(1, 1)], "1", 1).await;
    check(timeout, vec![paused(2, 2)], "failed: -32006", 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_holds_no_slot() {
    let script = Script::new([("a", vec![fail(BUSY), Act::Echo])]);
    let flow = "
steps:
- {id: a, component: x, input: 1}
- {id: b, component: x, input: 2}
output: [{$step: a}, {$step: b}]";
    let request = stepflow_engine::Request::new(support::plan(flow), support::value("null"));
    let finished = support::engine(&script, 1)
        .run(request)
        .unwrap()
        .await
        .unwrap();
    assert_eq!(brief(&finished.outcome), "[1,2]");
    assert_eq!(script.called(), ["a#1", "b#1", "a#2"]);
}
