//! What attempts of a step that runs flows leave for later ones, by a clock that nobody waits for.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use stepflow_components::Options;
use stepflow_components::Plugins;
use stepflow_engine::Engine;
use stepflow_engine::Finished;
use stepflow_engine::Request;
use stepflow_flow::document::Source;
use stepflow_flow::plan;
use stepflow_flow::value::Value;
use stepflow_store::Store;
use tokio::time::Instant;

/// Runs a flow of built-ins; says how long it took.
async fn run(flow: &str) -> (Finished, Duration) {
    let store = Store::memory();
    let plugins = Plugins::new(Options::default(), store.clone()).unwrap();
    let engine = Engine::new(
        store,
        Arc::new(plugins),
        stepflow_engine::Options::default(),
    );
    let checked = plan::check(&Source::new("flow.yaml", flow));
    let plan = checked
        .plan
        .unwrap_or_else(|| panic!("{}", checked.diagnostics));
    let run = engine.run(Request::new(plan, Value::null())).unwrap();
    let start = Instant::now();
    let finished = run.await.unwrap();
    (finished, start.elapsed())
}

const RETRY: &str = "onError: {action: retry, maxRetries: 2, backoff: {minDelay: 0}}";

// req: subflows.later-attempt
#[tokio::test(start_paused = true)]
async fn a_later_attempt_starts_no_second_run() {
    let body = "{steps: [
        {id: one, component: sleep, input: {duration_ms: {$input: $}}},
        {id: two, component: sleep, skipIf: {$if: {$step: one}, then: false}, input: {duration_ms: {$input: $}}}],
      output: {$step: two, path: duration_ms}}";
    // Item 0 takes 6 s, item 1 one after the other as much: the first attempt ends in the last second of item 1.
    let flow = format!(
        "steps: [{{id: m, component: map, timeout: 11s, {RETRY},
          input: {{flow: {body}, items: [3000, 3000], max_concurrency: 1}}}}]\noutput: {{$step: m, path: successful}}"
    );
    let (finished, took) = run(&flow).await;
    assert_eq!(finished.outcome.result(), Some(&Value::parse("2").unwrap()));
    // The second attempt only had to repeat the step that was going on.
    assert_eq!(took.as_secs(), 11 + 3);
    let flow = format!(
        "steps: [{{id: e, component: eval, timeout: 5s, {RETRY}, input: {{flow: {body}, input: 3000}}}}]
output: {{$step: e, path: result.result}}"
    );
    let (finished, took) = run(&flow).await;
    assert_eq!(
        finished.outcome.result(),
        Some(&Value::parse("3000").unwrap())
    );
    assert_eq!(took.as_secs(), 5 + 3);
}

// req: subflows.iterate-retry
#[tokio::test(start_paused = true)]
async fn a_retry_of_iterate_repeats_what_failed_and_nothing_else() {
    let body = "{steps: [
        {id: wait, component: sleep, input: {duration_ms: 1000}},
        {id: fail, component: get_blob, skipIf: {$if: {$input: fails}, then: false, else: true},
         input: {blob_id: {$template: none}, after: {$step: wait}}}],
      output: {next: {fails: true, ignored: [{$step: fail, onSkip: {action: useDefault}}, {$step: wait}]}}}";
    let flow = format!(
        "steps: [{{id: i, component: iterate, {RETRY}, input: {{flow: {body}, initial_input: {{fails: false}}}}}}]
output: {{$step: i}}"
    );
    let (finished, took) = run(&flow).await;
    let text = serde_json::to_string(&finished.outcome).unwrap();
    assert!(text.contains("-32008"), "{text}");
    assert_eq!(finished.failed_step.unwrap().attempts, 3);
    assert_eq!(
        took.as_secs(),
        1 + 3,
        "the first iteration was not repeated"
    );
}
