//! Whole runs through the engine: chains and fans of steps on built-in and Python components, state in memory.

use std::path::Path;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use stepflow_components::Options;
use stepflow_components::Plugins;
use stepflow_components::options;
use stepflow_engine::Engine;
use stepflow_engine::Request;
use stepflow_flow::document::Source;
use stepflow_flow::flow::Flow;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::Plan;
use stepflow_flow::value::Value;
use stepflow_store::Store;

use crate::Effort;
use crate::child::Other;
use crate::child::environment;
use crate::floors;
use crate::serve;
use crate::table::Row;
use crate::table::Unit;
use crate::table::figure;

#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Each step takes the result of the one before.
    Chain,
    /// All steps take the flow's input.
    Fan,
}

/// The rows of this module.
pub fn rows(python: &Path, effort: Effort) -> anyhow::Result<Vec<Box<dyn Row>>> {
    let engine = engine(python)?;
    let row = |name: &str,
               component: &str,
               shape: Shape,
               steps: usize,
               floor|
     -> anyhow::Result<Box<dyn Row>> {
        let plan = plan(component, shape, steps)?;
        let repeat = (effort.sequential / steps).max(1);
        Ok(Box::new(Steps {
            name: name.to_owned(),
            engine: engine.clone(),
            plan,
            steps,
            repeat,
            floor,
        }))
    };
    Ok(vec![
        row(
            "engine: 1 000 built-in steps, sequential",
            "noop",
            Shape::Chain,
            1000,
            None,
        )?,
        row(
            "engine: 1 000 built-in steps, parallel",
            "noop",
            Shape::Fan,
            1000,
            None,
        )?,
        row(
            "engine: 10 000 built-in steps, sequential",
            "noop",
            Shape::Chain,
            10_000,
            None,
        )?,
        row(
            "engine: 1 000 Python steps, sequential",
            "/python/echo",
            Shape::Chain,
            1000,
            Some(floors::PYTHON),
        )?,
        row(
            "engine: 1 000 Python steps, parallel",
            "/python/echo",
            Shape::Fan,
            1000,
            Some(floors::PYTHON_PIPELINED),
        )?,
        row(
            "engine: 1 000 Rust steps, sequential",
            "/rust/echo",
            Shape::Chain,
            1000,
            Some(floors::BLOCKING),
        )?,
        row(
            "engine: 1 000 Rust steps, parallel",
            "/rust/echo",
            Shape::Fan,
            1000,
            Some(floors::PIPELINED),
        )?,
    ])
}

fn engine(python: &Path) -> anyhow::Result<Engine> {
    let store = Store::memory();
    let mut all = Options::default();
    let servers = [
        ("python", Other::python(python, serve::PYTHON_SERVER)),
        ("rust", Other::ours("server")?),
    ];
    for (name, other) in servers {
        let stdio = options::Stdio {
            command: other.program,
            arguments: other.arguments,
            environment: environment(),
            folder: PathBuf::from("."),
            instances: 1,
            limits: options::Limits::default(),
            restart: options::Restart::default(),
        };
        all.plugins
            .insert(name.to_owned(), options::Plugin::Stdio(Box::new(stdio)));
    }
    let plugins =
        Plugins::new(all, store.clone()).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    Ok(Engine::new(
        store,
        std::sync::Arc::new(plugins),
        stepflow_engine::Options::default(),
    ))
}

fn plan(component: &str, shape: Shape, steps: usize) -> anyhow::Result<Plan> {
    use std::fmt::Write;
    let mut text = String::from("steps:\n");
    for step in 0..steps {
        let input = match (shape, step) {
            (Shape::Fan, _) | (Shape::Chain, 0) => "{ $input: \"$\" }".to_owned(),
            (Shape::Chain, _) => format!("{{ $step: s{} }}", step - 1),
        };
        writeln!(
            text,
            "  - {{ id: s{step}, component: {component}, input: {input} }}"
        )?;
    }
    writeln!(text, "output: {{ $step: s{} }}", steps - 1)?;
    let flow = Flow::parse(&Source::new("bench.yaml", text))
        .map_err(|errors| anyhow::anyhow!("{errors}"))?;
    Plan::compile(&flow).map_err(|errors| anyhow::anyhow!("{errors}"))
}

struct Steps {
    name: String,
    engine: Engine,
    plan: Plan,
    steps: usize,
    repeat: usize,
    floor: Option<&'static str>,
}

impl Row for Steps {
    fn name(&self) -> &str {
        &self.name
    }

    fn unit(&self) -> Unit {
        Unit::PerSecond
    }

    fn floor(&self) -> Option<&str> {
        self.floor
    }

    fn measure(&mut self) -> BoxFuture<'_, anyhow::Result<f64>> {
        async move {
            let input = Value::parse(r#"{"text":"hello","number":1}"#)?;
            // The first run starts the component server.
            run(&self.engine, &self.plan, &input).await?;
            let start = Instant::now();
            for _ in 0..self.repeat {
                run(&self.engine, &self.plan, &input).await?;
            }
            Ok(figure(
                self.unit(),
                start.elapsed(),
                self.steps * self.repeat,
            ))
        }
        .boxed()
    }
}

async fn run(engine: &Engine, plan: &Plan, input: &Value) -> anyhow::Result<()> {
    let run = engine
        .run(Request::new(plan.clone(), input.clone()))
        .context("the run does not start")?;
    let finished = tokio::spawn(run).await?.context("the runtime failed")?;
    match finished.outcome {
        Outcome::Success(_) => Ok(()),
        other => anyhow::bail!("the run ended otherwise: {other:?}"),
    }
}
