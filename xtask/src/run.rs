//! Running programs: every one is started in a named folder, says what it runs, and fails with
//! the command line that failed. Knows nothing of what the programs do.

use crate::workspace::{self, Workspace};
use anyhow::{Context, Result, bail};
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program to run in a folder.
pub struct Program {
    command: Command,
}

/// Prepares `program` to run in `folder`, with no standard input.
pub fn program(program: impl AsRef<OsStr>, folder: &Path) -> Program {
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null());
    Program { command }
}

/// Prepares the cargo that runs us, in the workspace, with the project's Python first in PATH.
pub fn cargo(workspace: &Workspace) -> Program {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    program(cargo, workspace.root()).env("PATH", path_with_venv(workspace))
}

/// Prepares a program of the project's Python environment, in the workspace.
pub fn venv_program(workspace: &Workspace, name: &str) -> Program {
    program(
        workspace.path(workspace::VENV).join("bin").join(name),
        workspace.root(),
    )
    .env("PATH", path_with_venv(workspace))
}

/// PATH with the programs of the project's Python environment before all others.
pub fn path_with_venv(workspace: &Workspace) -> OsString {
    let inherited = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::iter::once(workspace.path(workspace::VENV).join("bin"))
        .chain(env::split_paths(&inherited))
        .collect();
    // A folder of PATH cannot hold the separator it was split at; only our own could.
    env::join_paths(folders).unwrap_or(inherited)
}

impl Program {
    /// Adds one argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets a variable of the program's environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs in another folder.
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs to the end, showing its output; an exit code other than 0 is an error.
    pub fn run(mut self) -> Result<()> {
        let line = self.line();
        eprintln!("$ {line}");
        let status = self
            .command
            .status()
            .with_context(|| format!("cannot start `{line}`"))?;
        if !status.success() {
            bail!("`{line}` ended with {status}");
        }
        Ok(())
    }

    /// Runs to the end and gives what it wrote on stdout; its stderr is part of the error.
    pub fn output(mut self) -> Result<String> {
        let line = self.line();
        let output = self
            .command
            .output()
            .with_context(|| format!("cannot start `{line}`"))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("`{line}` ended with {}: {}", output.status, stderr.trim());
        }
        String::from_utf8(output.stdout).with_context(|| format!("`{line}` wrote no UTF-8"))
    }

    fn line(&self) -> String {
        let program = Path::new(self.command.get_program());
        let name = program
            .file_name()
            .unwrap_or(program.as_os_str())
            .to_string_lossy();
        let mut line = name.into_owned();
        for argument in self.command.get_args() {
            line.push(' ');
            line.push_str(&argument.to_string_lossy());
        }
        line
    }
}
