//! Whole runs through the engine: built-in steps, state in memory.

use std::sync::Arc;

use anyhow::Context;
use stepflow_components::Options;
use stepflow_components::Plugins;
use stepflow_engine::Engine;
use stepflow_engine::Request;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::Plan;
use stepflow_flow::value::Value;
use stepflow_store::Store;

use crate::STEPS;
use crate::Workload;
use crate::calls::on_one_thread;
use crate::flows::Shape;
use crate::pure;

/// A run of many steps that do nothing.
pub fn workload(shape: Shape, word: &str) -> Workload {
    Workload::new(
        format!("engine, a built-in step of 10 000 {word}"),
        (1, STEPS),
        move |repeats| {
            let plan = Plan::compile(&pure::flow(shape, STEPS)).expect("the flow is sound");
            on_one_thread(runs(plan, repeats))
        },
    )
}

async fn runs(plan: Plan, repeats: usize) -> anyhow::Result<()> {
    for _ in 0..repeats {
        // A store of its own, so that no run is dearer for what earlier ones left.
        let store = Store::memory();
        let plugins = Plugins::new(Options::default(), store.clone());
        let plugins = plugins.ok().context("there are no routes to be wrong")?;
        let plugins = Arc::new(plugins);
        let engine = Engine::new(store, plugins.clone(), Default::default());
        let request = Request::new(plan.clone(), Value::null());
        let run = engine.run(request).context("the run does not start")?;
        let finished = tokio::spawn(run).await?.context("the runtime failed")?;
        let Outcome::Success(_) = finished.outcome else {
            anyhow::bail!("the run ended otherwise: {:?}", finished.outcome);
        };
        plugins.shut_down().await;
    }
    Ok(())
}
