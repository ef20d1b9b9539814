//! `stepflow conformance`: a component server, or a runtime, against the protocol. Owns the way from flags to a run of the suite, and its exit
//! code.

pub mod runtime;
mod show;

use stepflow_conformance::Finding;
use stepflow_conformance::Options;
use stepflow_conformance::Requirement;
use stepflow_conformance::Target;
use stepflow_conformance::Way;
use stepflow_conformance::requirements;
use stepflow_conformance::runtimes;
use stepflow_conformance::suite;
use stepflow_flow::document::nearest;
use stepflow_rpc::transport::child;
use stepflow_rpc::transport::child::Guard;
use stepflow_rpc::transport::http::client::header;

use super::Context;
use super::server;
use crate::args::Conformance;
use crate::args::Mode;
use crate::args::SuiteFormat;
use crate::output;
use crate::report::CliError;
use crate::report::Exit;

/// Does what was asked.
pub async fn conformance(args: Conformance, context: &Context) -> Result<Exit, CliError> {
    let required = match args.runtime {
        true => requirements::of_runtimes(),
        false => requirements::of_servers(),
    };
    if let Some(unknown) = unknown_name(required, &args.only) {
        return Err(unknown);
    }
    let all = suite::select(required, &args.only, None);
    if args.list {
        if args.format == SuiteFormat::Junit {
            let error = CliError::usage("a list of requirements is no report for build servers");
            return Err(error.hint("--list goes with --format pretty or json"));
        }
        output::print(&show::list(&all, args.format))?;
        return Ok(Exit::Success);
    }
    let secrets = &context.screen.secrets;
    let mut shown = show::Table::default();
    let tell = |finding: &Finding| {
        if args.format == SuiteFormat::Pretty {
            // Whoever does not read any more is told by the end of the run.
            let _ = output::print(&shown.row(finding, secrets));
        }
    };
    let run = async {
        let report = match args.runtime {
            true => runtimes::run(runtime::options(&args, context)?, tell).await,
            false => suite::run(options(&args, context)?, tell).await,
        };
        report.map_err(|why| CliError::unreachable(&why))
    };
    let report = tokio::select! {
        signal = context.signals.first() => return Err(CliError::interrupted(signal)),
        report = run => report?,
    };
    if report.findings.is_empty() {
        let message = format!(
            "none of the {} requirements chosen is about this way to talk",
            all.len()
        );
        return Err(
            CliError::usage(message).hint("stepflow conformance --list says what each is about")
        );
    }
    output::print(&match args.format {
        SuiteFormat::Pretty => show::summary(&report),
        SuiteFormat::Json => output::json(&show::json(&report, secrets)),
        SuiteFormat::Junit => show::junit(&report, secrets),
    })?;
    Ok(match report.counts().failed {
        0 => Exit::Success,
        _ => Exit::Failed,
    })
}

/// A name that chooses nothing is a mistake, also beside others that do.
fn unknown_name(required: &'static [Requirement], only: &[String]) -> Option<CliError> {
    let chooses =
        |name: &String| !suite::select(required, std::slice::from_ref(name), None).is_empty();
    let unknown = only.iter().find(|name| !chooses(name))?;
    let error = CliError::usage(format!(
        "no requirement has a name that begins with {unknown:?}"
    ));
    let known = required.iter().flat_map(|it| [it.group(), &*it.id]);
    Some(match nearest(unknown, known) {
        Some(near) => error.hint(format!("did you mean {near:?}?")),
        None => error.hint("stepflow conformance --list shows them all"),
    })
}

fn options(args: &Conformance, context: &Context) -> Result<Options, CliError> {
    let mut has_token = false;
    let target = match &args.url {
        Some(url) => {
            let client = server::options(url, &args.http, context)?;
            has_token = client.headers.contains_key(header::AUTHORIZATION);
            Target::Http {
                options: Box::new(client),
                way: args.mode.map(|mode| match mode {
                    Mode::Session => Way::Session,
                    Mode::Streamable => Way::Streamable,
                    Mode::Plain => Way::Plain,
                }),
            }
        }
        None => {
            let program = server::program(&args.command, &args.start, context)?;
            let mut command = child::Command::new("server", program.command, program.folder);
            command.arguments = program.arguments;
            command.environment = program.environment;
            command.shutdown_grace = std::time::Duration::from_secs(2);
            Target::Stdio {
                command: Box::new(command),
                guard: Guard::start().ok(),
            }
        }
    };
    Ok(Options {
        target,
        timeout: args.timeout,
        only: args.only.clone(),
        has_token,
    })
}
