//! `stepflow completions`: a script for a shell, made from the definition of the arguments.

use clap::Command;
use clap::CommandFactory;

use crate::args::Cli;
use crate::args::Completions;
use crate::output;
use crate::report::CliError;
use crate::report::Exit;

/// Prints the script.
pub fn completions(args: &Completions) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut shown(), "stepflow", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Success)
}

/// What people type: commands that are hidden from the help are for programs.
fn shown() -> Command {
    let whole = Cli::command();
    let commands = whole.get_subcommands().filter(|it| !it.is_hide_set());
    Command::new("stepflow")
        .propagate_version(true)
        .version(env!("CARGO_PKG_VERSION"))
        .args(whole.get_arguments().cloned())
        .subcommands(commands.cloned())
}
