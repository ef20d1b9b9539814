//! One file per verb. What several of them need is here.

mod call;
mod completions;
mod conformance;
mod explain;
mod infer;
mod init;
mod inspect;
mod list_components;
mod run;
mod schema;
mod server;
mod test;
mod validate;
mod visualize;

use std::path::Path;

use stepflow_flow::diagnostic::Severity;

use crate::args::Command;
use crate::args::ConfigArg;
use crate::config;
use crate::config::Config;
use crate::environment::Environment;
use crate::logs::Unasked;
use crate::report;
use crate::report::CliError;
use crate::report::Exit;
use crate::report::Found;
use crate::screen::Loudness;
use crate::screen::Screen;
use crate::signals::Signals;

/// What commands work with.
#[derive(Clone, Debug)]
pub struct Context {
    /// The way to stderr.
    pub screen: Screen,
    /// The process's surroundings.
    pub environment: Environment,
    /// Ctrl-C and its kin.
    pub signals: Signals,
}

/// What a command shows of the components' own words without being asked.
pub fn shown_unasked(command: &Command) -> Unasked {
    match command {
        Command::Inspect(_) => Unasked::Output,
        _ => Unasked::Warnings,
    }
}

/// Does what was typed.
pub async fn execute(command: Command, context: &Context) -> Result<Exit, CliError> {
    match command {
        Command::Run(args) => run::run(*args, context).await,
        Command::Validate(args) => validate::validate(&args, context),
        Command::Test(args) => test::test(&args, context).await,
        Command::ListComponents(args) => list_components::list_components(&args, context).await,
        Command::Call(args) => call::call(args, context).await,
        Command::Inspect(args) => inspect::inspect(*args, context).await,
        Command::Infer(args) => infer::infer(&args, context).await,
        Command::Visualize(args) => visualize::visualize(&args, context),
        Command::Explain(args) => explain::explain(&args),
        Command::Init(args) => init::init(&args, context),
        Command::Completions(args) => completions::completions(&args),
        Command::Conformance(args) => conformance::conformance(*args, context).await,
        Command::ConformanceServer(args) => conformance::runtime::serve(&args),
        Command::Schema(args) => schema::schema(&args),
    }
}

/// The config that is named, else the one beside the flow or in the current folder, else the built-ins.
fn load_config(
    arg: &ConfigArg,
    flow: Option<&Path>,
    context: &Context,
) -> Result<Config, CliError> {
    let secrets = &context.screen.secrets;
    let loaded = config::load(arg.config.as_deref(), flow, &context.environment, secrets)?;
    let (config, found) = loaded.into_config()?;
    found
        .into_iter()
        .for_each(|found| tell_warnings(found, context));
    Ok(config)
}

/// Shows what does not keep a document from being used. Notes are for those who asked for more.
fn tell_warnings(mut found: Found, context: &Context) {
    let least = match context.screen.loudness {
        Loudness::Verbose(_) => Severity::Note,
        _ => Severity::Warning,
    };
    found
        .diagnostics
        .retain(|diagnostic| diagnostic.severity >= least);
    if !found.diagnostics.is_empty() {
        context.screen.tell(&report::diagnostics::render(&found));
    }
}
