//! The tests of one flow: what is read of them, its config, its servers, and their runs side by side.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::diagnostic::Severity;
use stepflow_flow::document::Source;
use stepflow_flow::flow::Case;
use stepflow_flow::flow::Flow;
use stepflow_flow::flow::Suite;
use stepflow_flow::plan::Plan;
use tokio::sync::Semaphore;

use super::case;
use super::case::RanCase;
use super::plain;
use super::servers::Places;
use super::servers::Servers;
use crate::args::Test;
use crate::assemble::Runtime;
use crate::assemble::assemble;
use crate::commands::Context;
use crate::commands::tell_warnings;
use crate::config;
use crate::flow_file;
use crate::report;
use crate::report::CliError;
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

/// A flow whose tests can be run, or what is wrong with it.
#[derive(Debug)]
pub struct Prepared {
    /// What is known of it so far; no test was run.
    pub ran: Ran,
    ready: Option<Ready>,
}

#[derive(Debug)]
struct Ready {
    source: Arc<Source>,
    plan: Plan,
    suite: Suite,
}

/// Reads and checks a flow. What is wrong with it is in the result; an error is the runtime's.
pub fn prepare(path: &Path, context: &Context) -> Result<Prepared, CliError> {
    let mut ran = Ran {
        path: path.to_owned(),
        source: None,
        known: Vec::new(),
        cases: Vec::new(),
        problem: None,
        interrupted: None,
    };
    let ready = match read(path, context) {
        Ok(ready) => {
            ran.source = Some(Arc::clone(&ready.source));
            let names = ready.suite.cases.iter().map(|case| Arc::clone(&case.name));
            ran.known = names.collect();
            Some(ready)
        }
        Err(error) if error.exit() == report::Exit::Broken => return Err(error),
        Err(error) => {
            ran.problem = Some(plain(&error));
            None
        }
    };
    Ok(Prepared { ran, ready })
}

/// Whether its components are there is for each run to find out: a mocked one need not be.
fn read(path: &Path, context: &Context) -> Result<Ready, CliError> {
    let source = flow_file::read(path)?;
    let (plan, mut found) = flow_file::check(&source, None, &context.screen.secrets).into_plan()?;
    found.diagnostics.retain(|it| it.severity > Severity::Note);
    tell_warnings(found, context);
    let flow = Flow::read(&source, &mut Diagnostics::new(&source));
    let suite = flow.and_then(|flow| flow.test).unwrap_or_default();
    Ok(Ready {
        source,
        plan,
        suite,
    })
}

/// Runs the tests of a flow. What is wrong with its surroundings is in the result; an error is the runtime's.
pub async fn run(
    prepared: Prepared,
    args: &Test,
    slots: &Semaphore,
    context: &Context,
) -> Result<Ran, CliError> {
    let Prepared { mut ran, ready } = prepared;
    let Some(Ready {
        source,
        plan,
        suite,
    }) = ready
    else {
        return Ok(ran);
    };
    let is_wanted =
        |case: &Case| args.cases.is_empty() || args.cases.iter().any(|it| **it == *case.name);
    let cases = suite.cases.iter().enumerate();
    let cases: Vec<_> = cases.filter(|(_, case)| is_wanted(case)).collect();
    if cases.is_empty() {
        return Ok(ran);
    }
    let mut servers = Servers::default();
    let started = tokio::select! {
        signal = context.signals.first() => {
            ran.interrupted = Some(signal);
            None
        }
        runtime = start(&mut servers, &ran.path, &source, &suite, args, context) => Some(runtime),
    };
    match started {
        None => {}
        Some(Err(problem)) => ran.problem = Some(problem),
        Some(Ok(runtime)) => {
            let runs = cases.iter().map(|(place, case)| {
                let (plan, runtime, places) = (&plan, &runtime, &servers.places);
                async move {
                    let _slot = slots.acquire().await;
                    let limit = case.timeout.unwrap_or(args.timeout);
                    let case = Case {
                        input: places.fill_value(&case.input),
                        variables: places.fill_value(&case.variables),
                        ..(*case).clone()
                    };
                    case::run(*place, &case, limit, plan, runtime, context).await
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

/// Starts what the tests need: servers, then the runtime that may use them.
async fn start(
    servers: &mut Servers,
    path: &Path,
    source: &Arc<Source>,
    suite: &Suite,
    args: &Test,
    context: &Context,
) -> Result<Runtime, String> {
    servers.places = Places::reserve(&suite.servers)?;
    let inline = suite.config.as_ref().map(|node| (source, node));
    let loaded = config::load_for_test(
        args.config.config.as_deref(),
        path,
        inline,
        &context.environment,
        &context.screen.secrets,
        |node| servers.places.fill_in(node),
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
        .start(&suite.servers, &folder, &context.environment)
        .await?;
    assemble(config).map_err(|error| plain(&error))
}
