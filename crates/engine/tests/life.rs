//! The life of a run as its owner sees it: watching, cancelling, dropping, recovering.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use stepflow_engine::{
    Class, Completion, Components, Engine, Event, Failure, Invocation, Limits, Options, Request,
    Run, RunError,
};
use stepflow_flow::error::ErrorCode;
use stepflow_flow::value::Value;
use stepflow_store::journal::{Entry, Record};
use stepflow_store::{RunId, Store};
use support::{Act, Script, brief, engine, plan, run, slow, value};

const CHAIN: &str = "
steps:
- {id: a, component: x, input: 1}
- {id: b, component: x, input: {$step: a}}
- {id: c, component: x, input: {$step: b}}
output: {$step: c}";

/// Polls a run until it waits for something that only time brings.
async fn until_idle(run: &mut Run) {
    for _ in 0..1000 {
        assert!(run.now_or_never().is_none(), "the run ended too early");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn cancelling_stops_all_work_and_says_why() {
    let script = Script::new([
        ("a", vec![Act::Hang]),
        ("b", vec![Act::Fail(Class::NotSent, 1)]),
    ]);
    let flow = "
steps: [{id: a, component: x}, {id: b, component: x, onError: {action: skip}}]
output: {$step: a}";
    let engine = engine(&script, 8);
    let mut run = engine.run(Request::new(plan(flow), value("null"))).unwrap();
    let handle = run.handle();
    until_idle(&mut run).await;
    assert_eq!(script.running(), 1);
    handle.cancel("the user pressed Ctrl-C");
    handle.cancel("too late to count");
    let finished = run.await.unwrap();
    assert_eq!(script.running(), 0);
    assert_eq!(
        serde_json::to_string(&finished.outcome).unwrap(),
        r#"{"outcome":"failed","error":{"code":-32012,"message":"the user pressed Ctrl-C"}}"#
    );
    let records = engine.store().load(&finished.run_id).await.unwrap();
    assert!(matches!(
        records.last().unwrap().entry,
        Entry::RunFinished { .. }
    ));
    assert!(handle.events().next().await.is_none());
    handle.cancel("long after");
}

#[tokio::test(start_paused = true)]
async fn a_run_may_be_cancelled_before_it_began() {
    let script = Script::new([]);
    let run = engine(&script, 8)
        .run(Request::new(plan(CHAIN), value("null")))
        .unwrap();
    run.handle().cancel("never mind");
    assert_eq!(brief(&run.await.unwrap().outcome), "failed: -32012");
    assert!(script.called().is_empty());
}

#[tokio::test(start_paused = true)]
async fn dropping_a_run_drops_its_work() {
    let script = Script::new([("a", vec![Act::Hang])]);
    let engine = engine(&script, 8);
    let mut run = engine
        .run(Request::new(plan(CHAIN), value("null")))
        .unwrap();
    let mut events = run.events();
    until_idle(&mut run).await;
    assert_eq!(script.running(), 1);
    let run_id = run.id();
    drop(run);
    assert_eq!(script.running(), 0);
    while events.next().await.is_some() {}
    let records = engine.store().load(&run_id).await.unwrap();
    assert_eq!(
        records.last().unwrap().entry,
        Entry::StepStarted {
            step: plan(CHAIN).step_idx("a").unwrap(),
            attempt: 1
        }
    );
}

#[tokio::test(start_paused = true)]
async fn an_instant_run_lets_others_work() {
    let script = Script::new([]);
    let steps: Vec<String> = (0..5000)
        .map(|n| format!("- {{id: s{n}, component: x}}"))
        .collect();
    let flow = plan(&format!("steps:\n{}\noutput: 1", steps.join("\n")));
    let run = engine(&script, 1)
        .run(Request::new(flow, value("null")))
        .unwrap();
    let handle = run.handle();
    let canceller = tokio::spawn(async move { handle.cancel("I got a word in") });
    assert_eq!(brief(&run.await.unwrap().outcome), "failed: -32012");
    canceller.await.unwrap();
}

/// Events in few words.
async fn read(mut events: stepflow_engine::Events) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(event) = events.next().await {
        texts.push(match event {
            Event::Waiting { step, wait } => {
                format!("{} waits {}s", step.place(), wait.as_secs())
            }
            Event::Missed { n_events } => format!("missed {n_events}"),
            Event::Recorded {
                sequence,
                elapsed,
                entry,
            } => {
                format!("{sequence} {}s {}", elapsed.as_secs(), word(&entry))
            }
        });
    }
    texts
}

fn word(entry: &Entry) -> String {
    match entry {
        Entry::RunCreated(_) => "created".to_owned(),
        Entry::RunResumed => "resumed".to_owned(),
        Entry::StepStarted { step, attempt } => format!("{} started {attempt}", step.place()),
        Entry::StepFailed { step, attempt, .. } => format!("{} failed {attempt}", step.place()),
        Entry::StepFinished { step, outcome } => format!("{} {}", step.place(), outcome.name()),
        Entry::RunFinished { outcome, .. } => format!("finished {}", outcome.name()),
    }
}

#[tokio::test(start_paused = true)]
async fn events_tell_what_happened_and_when() {
    let script = Script::new([
        ("a", vec![Act::Fail(Class::Component, 1), slow(2)]),
        ("b", vec![slow(5)]),
    ]);
    let flow = "
steps:
- {id: a, component: x, onError: {action: retry, backoff: {minDelay: 1s, jitter: false}}}
- {id: b, component: x, input: {$step: a}}
output: {$step: b}";
    let run = engine(&script, 8)
        .run(Request::new(plan(flow), value("null")))
        .unwrap();
    let events = read(run.events());
    let (finished, texts) = tokio::join!(run, events);
    assert_eq!(brief(&finished.unwrap().outcome), "null");
    assert_eq!(
        texts,
        [
            "0 0s created",
            "1 0s 0 started 1",
            "2 0s 0 failed 1",
            "0 waits 1s",
            "3 1s 0 started 2",
            "4 3s 0 success",
            "5 3s 1 started 1",
            "6 8s 1 success",
            "7 8s finished success",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_loses_events_and_knows_it() {
    let script = Script::new([]);
    let steps: Vec<String> = (0..2000)
        .map(|n| format!("- {{id: s{n}, component: x}}"))
        .collect();
    let flow = plan(&format!("steps:\n{}\noutput: 1", steps.join("\n")));
    let run = engine(&script, 8)
        .run(Request::new(flow, value("null")))
        .unwrap();
    let events = run.events();
    run.await.unwrap();
    let texts = read(events).await;
    assert_eq!(texts[0], "missed 2978");
    assert_eq!(texts.len(), 1025);
    assert_eq!(texts.last().unwrap(), "4001 0s finished success");
}

/// What a crash may leave of a journal, and what becomes of it.
async fn resume(
    script: &Arc<Script>,
    flow: &str,
    entries: &[Entry],
) -> (Result<stepflow_engine::Finished, RunError>, Vec<Record>) {
    let engine = engine(script, 8);
    let run_id = RunId::new();
    engine.store().append(&run_id, entries).await.unwrap();
    let finished = match engine.resume(run_id, plan(flow)).await {
        Ok(run) => run.await,
        Err(error) => Err(error),
    };
    (finished, engine.store().load(&run_id).await.unwrap())
}

/// The journal of a whole run.
async fn journal(acts: Vec<(&'static str, Vec<Act>)>, flow: &str) -> Vec<Entry> {
    let script = Script::new(acts);
    let engine = engine(&script, 8);
    let run = engine
        .run(Request::new(plan(flow), value(r#"{"yes":true}"#)))
        .unwrap();
    let finished = run.await.unwrap();
    let records = engine.store().load(&finished.run_id).await.unwrap();
    records.into_iter().map(|record| record.entry).collect()
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_from_any_point() {
    let flow = "
steps:
- {id: a, component: x, input: 1}
- {id: b, component: x, input: 2, onError: {action: retry, backoff: {minDelay: 1s}}}
- {id: skipped, component: x, input: {$step: a}, skipIf: {$input: yes}}
- {id: lazy, component: x, input: [{$step: a}, {$step: b}]}
- {id: z, component: x, input: {$if: {$step: a}, then: {$step: lazy}}}
output: [{$step: z}, {$coalesce: [{$step: skipped}, 0]}]";
    let acts = || vec![("b", vec![Act::Fail(Class::Component, 1), Act::Echo])];
    let entries = journal(acts(), flow).await;
    for n in 1..=entries.len() {
        let script = Script::new(acts());
        let (finished, records) = resume(&script, flow, &entries[..n]).await;
        let finished = finished.unwrap_or_else(|error| panic!("after {n} entries: {error}"));
        assert_eq!(brief(&finished.outcome), "[[1,2],0]", "after {n} entries");
        for step in ["a", "b", "lazy", "z"] {
            let place = plan(flow).step_idx(step).unwrap().place();
            let ended = format!("{place} success");
            let n_ends = records.iter().filter(|it| word(&it.entry) == ended).count();
            assert_eq!(n_ends, 1, "after {n} entries: {step}");
            let was_there = entries[..n].iter().any(|entry| word(entry) == ended);
            let called = script.called().iter().any(|call| call.starts_with(step));
            assert_ne!(
                called, was_there,
                "after {n} entries: {step} ran again, or never"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn interrupted_steps_run_again_with_the_next_attempt() {
    let entries = journal(vec![], CHAIN).await;
    let started = &entries[..4];
    assert_eq!(word(&started[3]), "1 started 1");
    let script = Script::new([]);
    let (finished, records) = resume(&script, CHAIN, started).await;
    assert_eq!(brief(&finished.unwrap().outcome), "1");
    assert_eq!(script.called(), ["b#2", "c#1"]);
    let words: Vec<String> = records.iter().map(|record| word(&record.entry)).collect();
    assert_eq!(words[4..6], ["resumed", "1 started 2"]);
}

#[tokio::test(start_paused = true)]
async fn interrupted_steps_that_must_not_run_twice_fail() {
    let flow = "steps: [{id: a, component: x, atMostOnce: true}]\noutput: {$step: a}";
    let entries = journal(vec![], flow).await;
    let script = Script::new([]);
    let (finished, records) = resume(&script, flow, &entries[..2]).await;
    assert_eq!(brief(&finished.unwrap().outcome), "failed: -32013");
    assert!(script.called().is_empty());
    let unknown = |record: &Record| {
        matches!(
            record.entry,
            Entry::StepFailed {
                class: Class::Unknown,
                ..
            }
        )
    };
    assert!(records.iter().any(unknown));
    // A plugin may forbid it for all its components, as `retryUnknown: false`.
    let flow = "steps: [{id: a, component: x}]\noutput: {$step: a}";
    let entries = journal(vec![], flow).await;
    let script = Script::unresendable([]);
    let (finished, _) = resume(&script, flow, &entries[..2]).await;
    assert_eq!(brief(&finished.unwrap().outcome), "failed: -32013");
    assert!(script.called().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_finished_run_stays_as_it_ended() {
    let entries = journal(vec![], CHAIN).await;
    let script = Script::new([]);
    let (finished, records) = resume(&script, CHAIN, &entries).await;
    assert_eq!(brief(&finished.unwrap().outcome), "1");
    assert_eq!(records.len(), entries.len());
    assert!(script.called().is_empty());
}

#[tokio::test(start_paused = true)]
async fn journals_that_make_no_sense_are_refused() {
    let entries = journal(vec![], CHAIN).await;
    let script = Script::new([]);
    let check = async |entries: &[Entry], flow: &str, text: &str| {
        let (finished, _) = resume(&script, flow, entries).await;
        let error = finished.unwrap_err();
        let chain = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        assert!(chain.contains(text), "{chain}");
    };
    check(&[], CHAIN, "there is no run").await;
    check(&entries[1..], CHAIN, "does not begin").await;
    check(&entries, "output: 1", "belongs to the flow").await;
    let with = |entry: &Entry| [&entries[..3], std::slice::from_ref(entry)].concat();
    check(&with(&entries[0]), CHAIN, "created a second time").await;
    check(&with(&entries[1]), CHAIN, "step `a` cannot have started").await;
    check(&with(&entries[2]), CHAIN, "step `a` cannot have ended").await;
    let step = stepflow_flow::plan::StepIdx::new(77);
    let stranger = Entry::StepStarted { step, attempt: 1 };
    check(&with(&stranger), CHAIN, "no step number 77").await;
    let after = [&entries[..], &entries[1..2]].concat();
    check(&after, CHAIN, "after the end").await;
}

#[tokio::test(start_paused = true)]
async fn engines_do_not_outlive_their_runs() {
    let script = Script::new([]);
    let finished = run(&script, CHAIN, "null").await;
    assert_eq!(brief(&finished.outcome), "1");
    assert_eq!(
        Arc::strong_count(&script),
        1,
        "something still holds the components"
    );
}

/// A component that runs a flow for its step, as `eval` and call backs do.
struct Nested {
    script: Arc<Script>,
    flow: &'static str,
}

impl Components for Nested {
    fn execute(&self, call: Invocation) -> BoxFuture<'static, Result<Completion, Failure>> {
        if &*call.component != "/builtin/nest" {
            return self.script.execute(call);
        }
        let mut request = Request::new(plan(self.flow), call.input.clone());
        request.parent = Some(call.as_parent("0"));
        request.trace_id = Some(call.trace.trace_id);
        Box::pin(async move {
            let run = call.engine.run(request).map_err(|error| {
                let error = ErrorCode::UNAVAILABLE.error(error.to_string());
                Failure::new(Class::Refused, error)
            })?;
            let finished = run.await.unwrap();
            Ok(Completion::Output(
                Value::from_serialize(&finished.outcome).unwrap(),
            ))
        })
    }
}

fn nested(script: &Arc<Script>, flow: &'static str) -> Engine {
    let script = Arc::clone(script);
    let options = Options {
        limits: Limits {
            run: 1,
            depth: 3,
            ..Limits::default()
        },
        ..Options::default()
    };
    Engine::new(Store::memory(), Arc::new(Nested { script, flow }), options)
}

const NEST: &str = "{steps: [{id: n, component: nest, input: {$input: $}}], output: {$step: n}}";

#[tokio::test(start_paused = true)]
async fn a_step_may_run_a_flow() {
    let script = Script::new([("a", vec![slow(1)])]);
    let engine = nested(&script, CHAIN);
    // One slot is enough: a run inside has its own.
    let run = engine.run(Request::new(plan(NEST), value("null")));
    let finished = run.unwrap().await.unwrap();
    assert_eq!(
        brief(&finished.outcome),
        r#"{"outcome":"success","result":1}"#
    );
    let flow = "{steps: [{id: n, component: nest}], output: {$step: n, path: result}}";
    let run = nested(&script, flow).run(Request::new(plan(flow), value("null")));
    let finished = run.unwrap().await.unwrap();
    assert_eq!(brief(&finished.outcome), "failed: -32009", "it has no end");
}

#[tokio::test(start_paused = true)]
async fn a_run_inside_ends_with_its_step() {
    let script = Script::new([("a", vec![Act::Hang])]);
    let mut run = nested(&script, CHAIN)
        .run(Request::new(plan(NEST), value("null")))
        .unwrap();
    until_idle(&mut run).await;
    assert_eq!(script.running(), 1);
    run.handle().cancel("enough");
    assert_eq!(brief(&run.await.unwrap().outcome), "failed: -32012");
    assert_eq!(script.running(), 0);
    assert_eq!(
        Arc::strong_count(&script),
        1,
        "something still holds the components"
    );
}

#[tokio::test]
async fn a_chain_of_any_length_needs_no_stack() {
    const N_STEPS: usize = 100_000;
    let steps: Vec<String> = (1..N_STEPS)
        .map(|n| format!("- {{id: s{n}, component: x, input: {{$step: s{}}}}}", n - 1))
        .collect();
    // Written last to first, so that nothing is in a convenient order.
    let steps: Vec<String> = steps.into_iter().rev().collect();
    let flow = format!(
        "steps:\n{}\n- {{id: s0, component: x, input: 1}}\noutput: {{$step: s{}}}",
        steps.join("\n"),
        N_STEPS - 1
    );
    let script = Script::new([]);
    let finished = run(&script, &flow, "null").await;
    assert_eq!(brief(&finished.outcome), "1");
    assert_eq!(script.calls().len(), N_STEPS);
}
