//! `stepflow validate`: everything that is wrong with a flow and a config, at once. Starts nothing.

use stepflow_flow::diagnostic::Severity;

use super::Context;
use crate::args::ReportFormat;
use crate::args::Validate;
use crate::config;
use crate::flow_file;
use crate::output;
use crate::report;
use crate::report::CliError;
use crate::report::Exit;
use crate::report::Found;
use crate::report::machine;

/// Checks what was given and what belongs to it.
pub fn validate(args: &Validate, context: &Context) -> Result<Exit, CliError> {
    let flow = args.flow();
    let source = flow.as_deref().map(flow_file::read).transpose()?;
    let loaded = config::load(
        args.config.config.as_deref(),
        flow.as_deref(),
        &context.environment,
        &context.screen.secrets,
    )?;
    if source.is_none() && loaded.found.is_none() {
        return Err(CliError::usage(
            "there is nothing to check: no flow was given, and there is no config here",
        )
        .hint("name a flow: `stepflow validate flow.yaml`"));
    }
    let config = loaded.config.as_ref();
    let checked =
        source.map(|source| flow_file::check(&source, config, &context.screen.secrets).found);
    let all: Vec<Found> = loaded.found.into_iter().chain(checked).collect();
    match args.format {
        ReportFormat::Pretty => return Ok(tell(&all, context)),
        ReportFormat::Json => output::print(&machine::json(&all, &context.screen.secrets))?,
        ReportFormat::Sarif => output::print(&machine::sarif(&all, &context.screen.secrets))?,
    }
    Ok(exit(&all))
}

fn exit(all: &[Found]) -> Exit {
    let mut diagnostics = all.iter().flat_map(|found| &found.diagnostics);
    match diagnostics.any(|found| found.severity == Severity::Error) {
        true => Exit::Refused,
        false => Exit::Success,
    }
}

fn tell(all: &[Found], context: &Context) -> Exit {
    let screen = &context.screen;
    let shown = all.iter().filter(|found| !found.diagnostics.is_empty());
    let shown: Vec<_> = shown.map(report::diagnostics::render).collect();
    let end = summary(all);
    if exit(all) != Exit::Success {
        let end = report::headline("error", &end);
        screen.say(&format!("{}\n{end}", shown.join("\n")));
        return Exit::Refused;
    }
    if shown.is_empty() {
        screen.tell(&end);
    } else {
        screen.tell(&format!("{}\n{end}", shown.join("\n")));
    }
    Exit::Success
}

/// How many problems each file has; a file without any is named only where none has any.
fn summary(all: &[Found]) -> String {
    let count = |found: &Found| {
        let count = report::diagnostics::count(std::slice::from_ref(found));
        (!count.is_empty()).then(|| format!("{}: {count}", found.source.name()))
    };
    let counts: Vec<_> = all.iter().filter_map(count).collect();
    if !counts.is_empty() {
        return counts.join("; ");
    }
    let names: Vec<_> = all.iter().map(|found| &**found.source.name()).collect();
    format!("{}: no problems", names.join(" and "))
}
