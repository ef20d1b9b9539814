//! The benchmarks: builds what is measured, brings the peers along where they can be had, and starts the measurement. Knows nothing
//! of what is measured.

use crate::python::{self, Environment};
use crate::run;
use crate::workspace::{PEERS, PEERS_TARGET, VENV, VENV_PEERS, Workspace};
use anyhow::Result;
use std::path::PathBuf;

/// Arguments with which a run is short: peers are measured if they are there, and not installed.
const SHORT: [&str; 6] = ["--quick", "--only", "--scale", "--list", "--help", "-h"];

/// Builds for release and measures; the arguments are passed through.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    python::set_up(workspace, &[Environment::Project])?;
    let is_short = arguments.iter().any(|argument| {
        let name = argument.split('=').next().unwrap_or(argument);
        SHORT.contains(&name)
    });
    if !is_short {
        for made in [make_python_peers(workspace), make_rust_peers(workspace)] {
            // Whoever is away from the registries still has floors and ours.
            if let Err(error) = made {
                eprintln!("xtask: some peers will not be measured: {error:#}");
            }
        }
    }
    run::cargo(workspace)
        .args(["build", "--release"])
        .args(["--package", "stepflow", "--package", "stepflow-benches"])
        .args(["--bins"])
        .run()?;
    // Not `cargo run`: for one package alone it would choose other features, and build everything a second time.
    let program = workspace.built("release", "stepflow-benches");
    let mut bench = run::program(program, workspace.root())
        .arg("--python")
        .arg(workspace.path(VENV).join("bin/python"));
    for (option, path) in peers(workspace) {
        if path.is_file() {
            bench = bench.arg(option).arg(path);
        }
    }
    bench.args(arguments).run()
}

/// What peers are run with, by the option that names it.
fn peers(workspace: &Workspace) -> [(&'static str, PathBuf); 2] {
    let python = workspace.path(VENV_PEERS).join("bin/python");
    let program = workspace.path(PEERS_TARGET).join("release");
    [
        ("--peers-python", python),
        ("--peers-program", program.join("stepflow-bench-peers")),
    ]
}

fn make_python_peers(workspace: &Workspace) -> Result<()> {
    python::set_up(workspace, &[Environment::Peers])
}

fn make_rust_peers(workspace: &Workspace) -> Result<()> {
    run::cargo(workspace)
        .folder(workspace.path(PEERS))
        .args(["build", "--release", "--locked", "--target-dir"])
        .arg(workspace.path(PEERS_TARGET))
        .run()
}
