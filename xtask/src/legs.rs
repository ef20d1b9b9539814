//! The legs of `cargo xtask test`: what is checked, in which order, and the table at the end.

use crate::codegen;
use crate::instructions;
use crate::nginx;
use crate::node;
use crate::python::{self, Environment};
use crate::run;
use crate::tidy;
use crate::workspace::{DOCS_CONFIG, PYTHON_SDK, SITE, Workspace};
use anyhow::{Result, bail};
use clap::ValueEnum;
use std::time::{Duration, Instant};

/// The seed of inputs made by chance.
const SEED: &str = "20261121";

/// Folders that hold Python files.
const PYTHON_FOLDERS: [&str; 4] = [PYTHON_SDK, "docs", "examples", "tests"];

/// Which legs to run, and how.
#[derive(clap::Args)]
pub struct Selection {
    /// Run this leg alone (may be given several times)
    #[arg(long, value_name = "LEG")]
    only: Vec<Leg>,
    /// Run the remaining legs when one has failed
    #[arg(long)]
    keep_going: bool,
}

/// One leg, in the order in which they run: the quick ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Leg {
    /// `cargo fmt --check`
    Fmt,
    /// What the compiler cannot check
    Tidy,
    /// What the others need: the Python environments, nginx, MCP servers
    Setup,
    /// Lints of the Python sources, and their format
    Ruff,
    /// Types of the Python sources
    Pyright,
    /// The documentation site, with its links
    Docs,
    /// Lints of the Rust sources
    Clippy,
    /// Instructions of the hot paths against those written down
    Instructions,
    /// The documentation of the crates, with its links
    Rustdoc,
    /// Whether what is generated is up to date
    Codegen,
    /// Tests of the crates, documentation examples included
    Cargo,
    /// Tests of the Python SDK
    Pytest,
}

impl Leg {
    fn run(self, workspace: &Workspace) -> Result<()> {
        match self {
            Self::Fmt => run::cargo(workspace)
                .args(["fmt", "--all", "--check"])
                .run(),
            Self::Tidy => tidy::report(workspace),
            Self::Setup => set_up(workspace),
            Self::Ruff => ruff(workspace),
            Self::Pyright => run::venv_program(workspace, "pyright")
                .folder(workspace.path(PYTHON_SDK))
                .run(),
            Self::Docs => build_docs(workspace),
            Self::Clippy => run::cargo(workspace)
                .args([
                    "clippy",
                    "--workspace",
                    "--all-targets",
                    "--",
                    "-D",
                    "warnings",
                ])
                .run(),
            Self::Instructions => instructions::check(workspace),
            Self::Rustdoc => run::cargo(workspace)
                .env("RUSTDOCFLAGS", "-D warnings")
                .args([
                    "doc",
                    "--workspace",
                    "--no-deps",
                    "--document-private-items",
                ])
                .run(),
            Self::Codegen => codegen::run(workspace, codegen::Mode::Check),
            Self::Cargo => cargo_test(workspace),
            // The program is what the leg before has built.
            Self::Pytest => run::venv_program(workspace, "pytest")
                .folder(workspace.path(PYTHON_SDK))
                .env("STEPFLOW", workspace.path("target/debug/stepflow"))
                .run(),
        }
    }

    /// Whether the leg uses the Python environments.
    fn needs_python(self) -> bool {
        match self {
            Self::Fmt
            | Self::Tidy
            | Self::Clippy
            | Self::Instructions
            | Self::Rustdoc
            | Self::Codegen => false,
            Self::Setup | Self::Ruff | Self::Pyright | Self::Docs | Self::Cargo | Self::Pytest => {
                true
            }
        }
    }

    fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Makes everything that the legs need and cargo does not bring.
pub fn set_up(workspace: &Workspace) -> Result<()> {
    python::set_up(workspace, Environment::ALL)?;
    nginx::set_up(workspace);
    node::set_up(workspace);
    Ok(())
}

/// Runs the chosen legs and prints how each went.
pub fn run(workspace: &Workspace, selection: &Selection) -> Result<()> {
    let mut outcomes = Vec::new();
    for leg in chosen(&selection.only) {
        eprintln!("\n== {}", leg.name());
        let start = Instant::now();
        let result = leg.run(workspace);
        if let Err(error) = &result {
            eprintln!("{}: {error:#}", leg.name());
        }
        let failed = result.is_err();
        outcomes.push(Outcome {
            leg,
            took: start.elapsed(),
            failed,
        });
        // Without its environments, a leg in Python could only fail in a less clear way.
        if failed && (leg == Leg::Setup || !selection.keep_going) {
            break;
        }
    }
    eprint!("\n{}", table(&outcomes));
    let failed: Vec<String> = outcomes
        .iter()
        .filter(|outcome| outcome.failed)
        .map(|outcome| outcome.leg.name())
        .collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// The legs to run, in order; what they need is put before them.
fn chosen(only: &[Leg]) -> Vec<Leg> {
    let needs_python = only.iter().any(|leg| leg.needs_python());
    let all = Leg::value_variants().iter().copied();
    all.filter(|leg| only.is_empty() || only.contains(leg) || (needs_python && *leg == Leg::Setup))
        .collect()
}

struct Outcome {
    leg: Leg,
    took: Duration,
    failed: bool,
}

fn table(outcomes: &[Outcome]) -> String {
    let total: Duration = outcomes.iter().map(|outcome| outcome.took).sum();
    let mut table = String::from("leg              time  result\n");
    for outcome in outcomes {
        let result = if outcome.failed { "FAILED" } else { "ok" };
        table.push_str(&row(&outcome.leg.name(), outcome.took, result));
    }
    table.push_str(&row("all", total, ""));
    table
}

fn row(name: &str, took: Duration, result: &str) -> String {
    let line = format!("{name:<12} {:>7.1} s  {result}", took.as_secs_f64());
    format!("{}\n", line.trim_end())
}

fn ruff(workspace: &Workspace) -> Result<()> {
    let folders: Vec<&str> = PYTHON_FOLDERS
        .into_iter()
        .filter(|folder| workspace.path(folder).is_dir())
        .collect();
    run::venv_program(workspace, "ruff")
        .arg("check")
        .args(&folders)
        .run()?;
    run::venv_program(workspace, "ruff")
        .args(["format", "--check"])
        .args(&folders)
        .run()
}

/// Builds the program first: tests of other packages start it, and cargo promises it only to
/// the tests of its own. Both commands build the same packages with the same features.
fn cargo_test(workspace: &Workspace) -> Result<()> {
    run::cargo(workspace)
        .args(["build", "--workspace", "--bins"])
        .run()?;
    // The same inputs made by chance on every machine: what a check says must not depend on the day. `cargo test` by
    // itself, and the fuzzers, look further each time.
    run::cargo(workspace)
        .args(["test", "--workspace"])
        .env("PROPTEST_RNG_SEED", SEED)
        .env("BOLERO_RANDOM_SEED", SEED)
        .run()
}

/// Builds the documentation site; every warning, a broken link above all, is an error.
pub fn build_docs(workspace: &Workspace) -> Result<()> {
    run::venv_program(workspace, "properdocs")
        .args([
            "build",
            "--strict",
            "--config-file",
            DOCS_CONFIG,
            "--site-dir",
        ])
        .arg(workspace.path(SITE))
        .run()?;
    eprintln!("the site is in {SITE}/index.html");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_brings_what_it_needs() {
        assert_eq!(chosen(&[Leg::Fmt]), [Leg::Fmt]);
        assert_eq!(chosen(&[Leg::Pytest]), [Leg::Setup, Leg::Pytest]);
        assert_eq!(chosen(&[]), Leg::value_variants());
    }

    #[test]
    fn the_table_lines_up() {
        let outcome = |leg, seconds, failed| Outcome {
            leg,
            took: Duration::from_millis(seconds),
            failed,
        };
        let outcomes = [
            outcome(Leg::Fmt, 840, false),
            outcome(Leg::Cargo, 123_456, true),
        ];
        let expected = "leg              time  result\n\
                        fmt              0.8 s  ok\n\
                        cargo          123.5 s  FAILED\n\
                        all            124.3 s\n";
        assert_eq!(table(&outcomes), expected);
    }
}
