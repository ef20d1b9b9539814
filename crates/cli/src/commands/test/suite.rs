//! The tests of one flow: its config, its servers, a run for each case.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use stepflow_engine::Engine;
use stepflow_engine::Request;
use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::diagnostic::Severity;
use stepflow_flow::document::Source;
use stepflow_flow::flow::Case;
use stepflow_flow::flow::Expected;
use stepflow_flow::flow::Flow;
use stepflow_flow::flow::Suite;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::Plan;
use tokio::sync::Semaphore;

use super::mocks::Mocked;
use super::servers::Places;
use super::servers::Servers;
use crate::args::Test;
use crate::assemble::Runtime;
use crate::assemble::assemble;
use crate::commands::Context;
use crate::commands::tell_warnings;
use crate::config;
use crate::flow_file;
use crate::input;
use crate::report;
use crate::report::CliError;
use crate::report::words;
use crate::signals::Signal;

/// The tests of one flow, and what became of them.
#[derive(Debug)]
pub struct Ran {
    /// The flow's file.
    pub path: PathBuf,
    /// The text they stand in.
    pub source: Option<Arc<Source>>,
    /// The names of all tests, those that were not wanted too.
    pub known: Vec<Arc<str>>,
    /// Those that were run, in the order of the text.
    pub cases: Vec<RanCase>,
    /// Why none could be run.
    pub problem: Option<String>,
    /// What stopped them.
    pub interrupted: Option<Signal>,
}

/// One test and what became of it.
#[derive(Debug)]
pub struct RanCase {
    /// Its place among the tests of its flow.
    pub place: usize,
    /// Its name.
    pub name: Arc<str>,
    /// What was expected.
    pub expected: Option<Expected>,
    /// What there was.
    pub outcome: Outcome,
    /// The step whose failure ended the run.
    pub failed_step: Option<Arc<str>>,
    /// How long it took.
    pub took: Duration,
    /// What is to be thought of it.
    pub verdict: Verdict,
}

/// What is to be thought of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is as expected.
    Passed,
    /// It is not.
    Failed,
    /// It was not, and is expected to be so from now on.
    Updated,
}

/// Runs the tests of a flow. What is wrong with the flow or its surroundings is in the result; an error is the runtime's.
pub async fn run(
    path: &Path,
    args: &Test,
    slots: &Semaphore,
    context: &Context,
) -> Result<Ran, CliError> {
    let mut ran = Ran {
        path: path.to_owned(),
        source: None,
        known: Vec::new(),
        cases: Vec::new(),
        problem: None,
        interrupted: None,
    };
    let prepared = prepare(path, context);
    let Prepared {
        source,
        plan,
        suite,
    } = match prepared {
        Ok(prepared) => prepared,
        Err(error) if error.exit() == report::Exit::Broken => return Err(error),
        Err(error) => {
            ran.problem = Some(plain(&error));
            return Ok(ran);
        }
    };
    ran.source = Some(Arc::clone(&source));
    ran.known = suite
        .cases
        .iter()
        .map(|case| Arc::clone(&case.name))
        .collect();
    let is_wanted =
        |case: &Case| args.cases.is_empty() || args.cases.iter().any(|it| **it == *case.name);
    let cases: Vec<_> = suite
        .cases
        .iter()
        .enumerate()
        .filter(|(_, case)| is_wanted(case))
        .collect();
    if cases.is_empty() {
        return Ok(ran);
    }
    let mut servers = Servers::default();
    let started = tokio::select! {
        signal = context.signals.first() => {
            ran.interrupted = Some(signal);
            None
        }
        runtime = start(&mut servers, path, &source, &suite, args, context) => Some(runtime),
    };
    match started {
        None => {}
        Some(Err(problem)) => ran.problem = Some(problem),
        Some(Ok(runtime)) => {
            let runs = cases.iter().map(|(place, case)| {
                let runtime = &runtime;
                let plan = &plan;
                async move {
                    let _slot = slots.acquire().await;
                    run_case(*place, case, plan, runtime, context).await
                }
            });
            tokio::select! {
                signal = context.signals.first() => ran.interrupted = Some(signal),
                cases = futures_util::future::try_join_all(runs) => ran.cases = cases?,
            }
            runtime.shut_down().await;
        }
    }
    servers.shut_down().await;
    Ok(ran)
}

struct Prepared {
    source: Arc<Source>,
    plan: Plan,
    suite: Suite,
}

/// Reads and checks the flow. Whether its components are there is for each run to find out: a mocked one need not be.
fn prepare(path: &Path, context: &Context) -> Result<Prepared, CliError> {
    let source = flow_file::read(path)?;
    let (plan, mut found) = flow_file::check(&source, None, &context.screen.secrets).into_plan()?;
    found.diagnostics.retain(|it| it.severity > Severity::Note);
    tell_warnings(found, context);
    let flow = Flow::read(&source, &mut Diagnostics::new(&source));
    let suite = flow.and_then(|flow| flow.test).unwrap_or_default();
    Ok(Prepared {
        source,
        plan,
        suite,
    })
}

/// Starts what the tests need: servers, then the runtime that may use them.
async fn start(
    servers: &mut Servers,
    path: &Path,
    source: &Arc<Source>,
    suite: &Suite,
    args: &Test,
    context: &Context,
) -> Result<Runtime, String> {
    let places = Places::reserve(&suite.servers)?;
    let inline = suite.config.as_ref().map(|node| (source, node));
    let loaded = config::load_for_test(
        args.config.config.as_deref(),
        path,
        inline,
        &context.environment,
        &context.screen.secrets,
        |node| places.fill_in(node),
    );
    let loaded = loaded.and_then(config::Loaded::into_config);
    let (config, found) = loaded.map_err(|error| plain(&error))?;
    found
        .into_iter()
        .for_each(|found| tell_warnings(found, context));
    let folder = context.environment.folder.join(path);
    let folder = folder
        .parent()
        .unwrap_or(&context.environment.folder)
        .to_owned();
    servers
        .start(&suite.servers, places, &folder, &context.environment)
        .await?;
    assemble(config).map_err(|error| plain(&error))
}

async fn run_case(
    place: usize,
    case: &Case,
    plan: &Plan,
    runtime: &Runtime,
    context: &Context,
) -> Result<RanCase, CliError> {
    input::remember_secrets(plan, &case.variables, &context.screen.secrets);
    let components = Mocked {
        plugins: runtime.plugins.clone(),
        mocks: case.mocks.clone(),
    };
    let options = runtime.engine.options().clone();
    let engine = Engine::new(
        runtime.engine.store().clone(),
        Arc::new(components),
        options,
    );
    let request = Request {
        variables: case.variables.clone(),
        ..Request::new(plan.clone(), case.input.clone())
    };
    let began = Instant::now();
    let (outcome, failed_step) = match engine.run(request) {
        Err(refused) => (Outcome::Failed(words::refusal(&refused)), None),
        Ok(run) => {
            let finished = run.await?;
            let step = finished.failed_step.map(|step| step.step_id);
            (finished.outcome, step)
        }
    };
    let is_met = match &case.output {
        Some(expected) => expected.is_met_by(&outcome),
        None => !matches!(outcome, Outcome::Failed(_)),
    };
    Ok(RanCase {
        place,
        name: Arc::clone(&case.name),
        expected: case.output.clone(),
        outcome,
        failed_step,
        took: began.elapsed(),
        verdict: if is_met {
            Verdict::Passed
        } else {
            Verdict::Failed
        },
    })
}

/// An error as text without colours.
fn plain(error: &CliError) -> String {
    let text = report::error(error);
    anstream::adapter::strip_str(&text).to_string()
}
