//! What is generated and kept in the repository: the schemas. Owns where they are and that they are not stale; what is in
//! them, the program says.

use crate::run;
use crate::workspace::{SCHEMAS, Workspace};
use anyhow::{Context, Result, bail};
use std::fs;

/// What there is a schema of: the file, and the argument of `stepflow schema`.
const NAMES: [&str; 3] = ["config", "flow", "protocol"];

/// Whether files are written or only looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Write what differs.
    Write,
    /// Fail if anything differs.
    Check,
}

/// Generates everything.
pub fn run(workspace: &Workspace, mode: Mode) -> Result<()> {
    let mut stale = Vec::new();
    for name in NAMES {
        let file = format!("{SCHEMAS}/{name}.json");
        let path = workspace.path(&file);
        let text = schema(workspace, name)?;
        let is_fresh = fs::read_to_string(&path).is_ok_and(|there| there == text);
        match (mode, is_fresh) {
            (_, true) => {}
            (Mode::Check, false) => stale.push(file),
            (Mode::Write, false) => {
                fs::create_dir_all(workspace.path(SCHEMAS))?;
                fs::write(&path, text).with_context(|| format!("cannot write {file}"))?;
                eprintln!("wrote {file}");
            }
        }
    }
    if !stale.is_empty() {
        bail!(
            "stale: {}; run `cargo xtask codegen` and commit what it writes",
            stale.join(", ")
        );
    }
    Ok(())
}

fn schema(workspace: &Workspace, name: &str) -> Result<String> {
    run::cargo(workspace)
        .args([
            "run",
            "--quiet",
            "--package",
            "stepflow",
            "--bin",
            "stepflow",
            "--",
        ])
        .args(["schema", name])
        .output()
        .with_context(|| format!("cannot make the schema {name}"))
}
