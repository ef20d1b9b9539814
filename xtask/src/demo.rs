//! The demo: builds the runtime, sets up Python, runs the example. stdout holds its result alone.

use crate::metadata::Metadata;
use crate::python::{self, Environment};
use crate::run;
use crate::workspace::{DEMO_CONFIG, DEMO_FLOW, DEMO_INPUT, Workspace};
use anyhow::Result;

/// How to run the demo.
#[derive(clap::Args)]
pub struct Options {
    /// Build with optimisations: slower to build, faster to run
    #[arg(long)]
    release: bool,
}

/// Runs the example flow with everything it needs.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    python::set_up(workspace, &[Environment::Project])?;
    let (profile, folder) = if options.release {
        ("release", "release")
    } else {
        ("dev", "debug")
    };
    run::cargo(workspace)
        .args([
            "build",
            "--package",
            "stepflow",
            "--bin",
            "stepflow",
            "--profile",
            profile,
        ])
        .run()?;
    let metadata = Metadata::of_manifests(workspace.root())?;
    let stepflow = metadata.target_directory.join(folder).join("stepflow");
    run::program(stepflow, workspace.root())
        .env("PATH", run::path_with_venv(workspace))
        .args([
            "run",
            "--flow",
            DEMO_FLOW,
            "--config",
            DEMO_CONFIG,
            "--input",
            DEMO_INPUT,
        ])
        .run()
}
