//! The program `stepflow` as a user runs it, in a folder and an environment of its own.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use tempfile::TempDir;

use crate::environment;
use crate::environment::Python;
use crate::process::Mark;
use crate::runtime;

/// A folder in which `stepflow` is run.
#[derive(Debug)]
pub struct Folder {
    home: TempDir,
    mark: Mark,
}

/// What a run of the program came to.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; `None` after a signal.
    pub code: Option<i32>,
    /// All of its stdout.
    pub stdout: String,
    /// All of its stderr.
    pub stderr: String,
}

impl Default for Folder {
    fn default() -> Self {
        Folder {
            home: TempDir::new().unwrap(),
            mark: Mark::default(),
        }
    }
}

impl Folder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.home.path()
    }

    /// The mark on all processes that inherit the environment.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Writes a file.
    #[must_use]
    pub fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.path().join(name), text).unwrap();
        self
    }

    /// Copies a file of the workspace into it.
    #[must_use]
    pub fn copy(self, from: &str) -> Self {
        let from = environment::workspace().join(from);
        let text = std::fs::read_to_string(&from)
            .unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        let name = from.file_name().and_then(OsStr::to_str).unwrap();
        self.file(name, &text)
    }

    /// The program with arguments, to be run here. `python` is the one with this checkout's SDK.
    pub fn stepflow(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(environment::stepflow());
        let scripts = Python::Project.interpreter();
        let scripts = scripts.parent().expect("an interpreter is in a folder");
        let mut path = scripts.as_os_str().to_owned();
        path.push(":/usr/bin:/bin");
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .envs(runtime::variables(self.path(), &self.mark))
            .env("PATH", path)
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.stepflow(arguments).output().unwrap();
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.mark.clean_up_after_panic();
    }
}

impl Ran {
    /// Its outcome: the one line of JSON on stdout, with nothing before or after it.
    pub fn outcome(&self) -> stepflow_flow::outcome::Outcome {
        let line = self.stdout.strip_suffix('\n');
        let line = line.filter(|line| !line.contains('\n'));
        let line = line.unwrap_or_else(|| panic!("not one line: {self:#?}"));
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}
