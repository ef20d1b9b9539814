//! `stepflow completions`: a script for a shell, made from the definition of the arguments.

use clap::CommandFactory;

use crate::args::Cli;
use crate::args::Completions;
use crate::output;
use crate::report::CliError;
use crate::report::Exit;

/// Prints the script.
pub fn completions(args: &Completions) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "stepflow", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Success)
}
