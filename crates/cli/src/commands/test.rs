//! `stepflow test`: the tests that stand in flows, run against the components or what stands in for them.
//!
//! # Layout
//!
//! - `find`: paths → flows; `suite`: one flow's tests; `case`: one of them; `servers`, `mocks`: what they run against
//! - `compare`: expected and actual outcomes; `update`: outcomes back into the text; `report`: what is told

mod case;
mod compare;
mod find;
mod mocks;
mod report;
mod servers;
mod suite;
mod update;

use std::path::Path;

use futures_util::StreamExt;
use futures_util::stream;
use stepflow_flow::document::nearest;
use tokio::sync::Semaphore;

use super::Context;
use crate::args::Test;
use crate::args::TestFormat;
use crate::output;
use crate::report::CliError;
use crate::report::Exit;
use find::Flows;
use report::Report;
use suite::Prepared;

/// How many names of tests a hint has at most.
const MOST_NAMES: usize = 20;

/// How many flows are at work at once, each with its servers.
const FLOWS_AT_ONCE: usize = 4;

/// Runs the tests and reports on them.
pub async fn test(args: &Test, context: &Context) -> Result<Exit, CliError> {
    let found = find::find(&args.paths)?;
    if found.flows.is_empty() {
        return Err(nothing_found(&found));
    }
    let flows = found.flows.iter();
    let flows: Vec<Prepared> = flows
        .map(|path| suite::prepare(path, context))
        .collect::<Result<_, _>>()?;
    if let Some(missing) = missing_case(args, &flows) {
        return Err(missing);
    }
    let slots = Semaphore::new(usize::from(args.jobs));
    let running = flows
        .into_iter()
        .map(|flow| suite::run(flow, args, &slots, context));
    // In the order of the paths, whichever ends first.
    let mut running = stream::iter(running).buffered(FLOWS_AT_ONCE);
    let mut report = Report::new(found.n_skipped);
    while let Some(ran) = running.next().await {
        let mut ran = ran?;
        if args.update {
            update::update(&mut ran, &context.screen.secrets)?;
        }
        if args.format == TestFormat::Pretty {
            print(&report::pretty::suite(&ran, args.diff), context)?;
        }
        report.suites.push(ran);
    }
    if let Some(signal) = report.suites.iter().find_map(|suite| suite.interrupted) {
        return Ok(Exit::Signal(signal));
    }
    match args.format {
        TestFormat::Pretty => print(&report::pretty::summary(&report), context)?,
        TestFormat::Json => print(&report::json(&report), context)?,
        TestFormat::Junit => print(&report::junit::print(&report), context)?,
    }
    Ok(match report.has_failures() {
        true => Exit::Failed,
        false => Exit::Success,
    })
}

/// A report quotes what flows return, and what the runtime says about failures: secrets are in neither.
fn print(text: &str, context: &Context) -> Result<(), CliError> {
    output::print(&context.screen.secrets.scrub(text))
}

fn nothing_found(found: &Flows) -> CliError {
    let message = match found.n_skipped {
        0 => "there is nothing to test: no YAML or JSON file was found".to_owned(),
        n => format!("there is nothing to test: none of {n} files is a flow"),
    };
    CliError::usage(message)
        .hint("a flow has `steps` and an `output`; its tests stand under `test`")
}

/// A name that no test has is a mistake, not a success; nothing is run then.
fn missing_case(args: &Test, flows: &[Prepared]) -> Option<CliError> {
    let names = || flows.iter().flat_map(|flow| &flow.ran.known);
    let missing = args
        .cases
        .iter()
        .find(|wanted| !names().any(|name| **name == ***wanted))?;
    let error = CliError::usage(format!("no test is called {missing:?}"));
    let broken = flows.iter().find(|flow| flow.ran.problem.is_some());
    let near = nearest(missing, names().map(|name| &**name));
    Some(match (near, broken) {
        (Some(near), _) => error.hint(format!("did you mean {near:?}?")),
        (None, Some(broken)) => {
            let path = shown(&broken.ran.path);
            error.hint(format!(
                "the tests of {path} are not known, for it has a mistake; stepflow validate {path} shows it"
            ))
        }
        (None, None) => {
            let known: Vec<_> = names()
                .take(MOST_NAMES)
                .map(|name| format!("{name:?}"))
                .collect();
            match known.is_empty() {
                true => error.hint("no flow here has tests; they stand under `test`"),
                false => error.hint(format!("there are {}", known.join(", "))),
            }
        }
    })
}

/// A path as it is shown.
fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// An error as text without colours.
fn plain(error: &CliError) -> String {
    let text = crate::report::error(error);
    anstream::adapter::strip_str(&text).to_string()
}
