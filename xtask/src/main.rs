//! The project's chores, as `cargo xtask <verb>`. Owns how the pieces are checked, set up and
//! tried; knows nothing of how the runtime works, and depends on none of its crates.
#![expect(
    clippy::print_stderr,
    reason = "a chore tells its progress on stderr and leaves stdout to the program it runs"
)]

mod bench;
mod codegen;
mod debian;
mod demo;
mod instructions;
mod legs;
mod metadata;
mod nginx;
mod node;
mod python;
mod run;
mod tidy;
mod valgrind;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;
use workspace::Workspace;

/// Chores of the Stepflow project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Sets everything up and runs every check: format, lints, tidy, tests, SDK and docs
    Test(legs::Selection),
    /// Sets everything up and runs the example flow; its result is on stdout
    Demo(demo::Options),
    /// Creates what the tests need under target/, unless it is there: Python environments, nginx, MCP servers
    Setup,
    /// Writes what is generated from the code and kept in the repository: the schemas
    Codegen {
        /// Write nothing; fail if something is stale
        #[arg(long)]
        check: bool,
    },
    /// Checks what the compiler cannot: arrows, manifests, licences, sources
    Tidy,
    /// Builds the documentation site into target/site; a broken link fails it
    Docs,
    /// Measures floors, ours and peers in release; arguments are passed through, see `-- --help`
    Bench {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Counts the instructions of hot paths and compares them with benches/instructions.toml
    Instructions {
        /// Write the counts down instead of comparing them
        #[arg(long)]
        update: bool,
    },
    /// Runs calls under random kills for a long time, and looks for lost answers and growth
    Soak {
        /// How long
        #[arg(long, default_value_t = 600)]
        seconds: u32,
    },
}

fn main() -> ExitCode {
    match perform(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(verb: Verb) -> Result<()> {
    let workspace = Workspace::find()?;
    match verb {
        Verb::Test(selection) => legs::run(&workspace, &selection),
        Verb::Demo(options) => demo::run(&workspace, &options),
        Verb::Setup => legs::set_up(&workspace),
        Verb::Codegen { check: false } => codegen::run(&workspace, codegen::Mode::Write),
        Verb::Codegen { check: true } => codegen::run(&workspace, codegen::Mode::Check),
        Verb::Tidy => tidy::report(&workspace),
        Verb::Docs => {
            python::set_up(&workspace, &[python::Environment::Project])?;
            legs::build_docs(&workspace)
        }
        Verb::Bench { arguments } => bench::run(&workspace, &arguments),
        Verb::Instructions { update: false } => instructions::check(&workspace),
        Verb::Instructions { update: true } => instructions::update(&workspace),
        Verb::Soak { seconds } => {
            python::set_up(&workspace, python::Environment::ALL)?;
            run::cargo(&workspace)
                .args([
                    "test",
                    "--release",
                    "--package",
                    "stepflow-tests",
                    "--test",
                    "soak",
                ])
                .args(["--", "--ignored", "--nocapture"])
                .env("SOAK_SECONDS", seconds.to_string())
                .run()
        }
    }
}
