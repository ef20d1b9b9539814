//! The program `stepflow`: the composition root, and the only reader of environment, files and arguments.
//!
//! # Layout
//!
//! - [`args`]: what can be typed; [`commands`]: one file per verb
//! - [`config`]: the config file → options; [`environment`]: the only look at the process's surroundings
//! - [`flow_file`], [`input`]: what a run is made of; [`assemble`]: parts → a runtime; [`drive`]: a run to its end
//! - [`report`]: typed errors → words, hints, exit codes; [`output`]: results on stdout
//! - [`screen`], [`logs`], [`progress`], [`secrets`], [`paint`]: everything that goes to stderr, scrubbed
//! - [`json_text`], [`yaml_text`], [`wire_text`]: values and messages as text for people
//! - [`signals`]: Ctrl-C and its kin

mod args;
mod assemble;
mod commands;
mod config;
mod drive;
mod environment;
mod flow_file;
mod input;
mod json_text;
mod logs;
mod output;
mod paint;
mod progress;
mod report;
mod screen;
mod secrets;
mod signals;
mod wire_text;
mod xml_text;
mod yaml_text;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::commands::Context;
use crate::environment::Environment;
use crate::report::CliError;
use crate::report::Exit;
use crate::screen::Screen;
use crate::signals::Signals;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to be told when even this cannot be printed.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let screen = Screen::new(cli.global.loudness());
    report::report_panics(&screen);
    let exit = std::panic::catch_unwind(AssertUnwindSafe(|| start(cli, &screen)));
    // The hook has reported the panic.
    let exit = exit.unwrap_or(Ok(Exit::Broken)).unwrap_or_else(|error| {
        screen.say(&report::error(&error));
        error.exit()
    });
    ExitCode::from(exit.code())
}

fn start(cli: Cli, screen: &Screen) -> Result<Exit, CliError> {
    let environment = Environment::capture()?;
    logs::start(&cli.global, commands::shown_unasked(&cli.command), screen)?;
    let signals = Signals::listen(screen)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            CliError::internal("the async runtime could not be started").because(error)
        })?;
    let context = Context {
        screen: screen.clone(),
        environment,
        signals,
    };
    let exit = runtime.block_on(commands::execute(cli.command, &context));
    // A thread may wait for stdin for ever.
    runtime.shutdown_background();
    exit
}
