//! `stepflow test`: the tests that stand in flows, run against the components or what stands in for them.
//!
//! # Layout
//!
//! - `find`: paths → flows; `suite`: one flow's tests; `servers`, `mocks`: what they run against
//! - `compare`: expected and actual outcomes; `update`: outcomes back into the text; `report`: what is told

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
use suite::Ran;

/// How many flows are at work at once, each with its servers.
const FLOWS_AT_ONCE: usize = 4;

/// Runs the tests and reports on them.
pub async fn test(args: &Test, context: &Context) -> Result<Exit, CliError> {
    let found = find::find(&args.paths)?;
    if found.flows.is_empty() {
        return Err(nothing_found(&found));
    }
    let slots = Semaphore::new(usize::from(args.jobs));
    let running = found
        .flows
        .iter()
        .map(|path| suite::run(path, args, &slots, context));
    // In the order of the paths, whichever ends first.
    let mut running = stream::iter(running).buffered(FLOWS_AT_ONCE);
    let mut report = Report::new(found.n_skipped);
    while let Some(ran) = running.next().await {
        let mut ran = ran?;
        if args.update {
            update::update(&mut ran)?;
        }
        if args.format == TestFormat::Pretty {
            print(&report::pretty::suite(&ran, args.diff), context)?;
        }
        report.suites.push(ran);
    }
    if let Some(signal) = report.suites.iter().find_map(|suite| suite.interrupted) {
        return Ok(Exit::Signal(signal));
    }
    if let Some(missing) = missing_case(args, &report) {
        return Err(missing);
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

/// A name that no test has is a mistake, not a success.
fn missing_case(args: &Test, report: &Report) -> Option<CliError> {
    let names = || report.suites.iter().flat_map(|suite: &Ran| &suite.known);
    let missing = args
        .cases
        .iter()
        .find(|wanted| !names().any(|name| **name == ***wanted))?;
    let error = CliError::usage(format!("no test is called {missing:?}"));
    Some(match nearest(missing, names().map(|name| &**name)) {
        Some(near) => error.hint(format!("did you mean {near:?}?")),
        None => error,
    })
}

/// A path as it is shown.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
