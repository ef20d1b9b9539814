//! What the compiler cannot check. Owns the list of checks and their report; each check is a
//! function from what it looks at to the problems it finds, and knows of no other.

mod arrows;
mod evidence;
mod graph;
mod licence;
mod links;
mod manifests;
mod requirements;
mod sources;
mod text;

use crate::metadata::Metadata;
use crate::run;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::fmt;
use std::fs;

/// A file of the checkout that is text.
pub struct File {
    /// Its path from the workspace's folder, with `/`.
    pub path: String,
    /// What it holds.
    pub text: String,
}

impl File {
    /// Whether the path is inside the folder.
    fn is_in(&self, folder: &str) -> bool {
        self.path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
    }

    /// Whether the file is data of a test, which may hold what a source must not.
    fn is_test_data(&self) -> bool {
        self.path
            .split('/')
            .any(|part| matches!(part, "fixtures" | "corpus" | "snapshots"))
    }
}

/// What a check found.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    place: String,
    message: String,
    severity: Severity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Error,
    /// Told, and fails nothing.
    Reminder,
}

impl Problem {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            message: message.into(),
            severity: Severity::Error,
        }
    }

    fn at(file: &File, line_index: usize, message: impl Into<String>) -> Self {
        Self::new(format!("{}:{}", file.path, line_index + 1), message)
    }

    fn reminder(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Reminder,
            ..Self::new(place, message)
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Reminder => "reminder",
        };
        write!(f, "{}: {severity}: {}", self.place, self.message)
    }
}

/// Runs every check, prints what they found, and fails if one of it is an error.
pub fn report(workspace: &Workspace) -> Result<()> {
    let files = files(workspace)?;
    let mut problems = Vec::new();
    for (_, check) in FILE_CHECKS {
        problems.extend(check(&files));
    }
    problems.extend(arrows::check_workspace(workspace.root())?);
    problems.extend(graph::check(&Metadata::of_graph(workspace.root())?));
    for problem in &problems {
        eprintln!("{problem}");
    }
    let errors = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .count();
    if errors > 0 {
        bail!("tidy found {errors} problem(s)");
    }
    eprintln!("tidy: {} files in order", files.len());
    Ok(())
}

type FileCheck = fn(&[File]) -> Vec<Problem>;

/// The checks that look at files alone, with the names that their tests report.
const FILE_CHECKS: [(&str, FileCheck); 6] = [
    ("sources", sources::check),
    ("manifests", manifests::check),
    ("text", text::check),
    ("links", links::check),
    ("evidence", evidence::check),
    ("requirements", requirements::check),
];

/// Every text file that is in version control, or would be if it were added.
fn files(workspace: &Workspace) -> Result<Vec<File>> {
    let list = run::program("git", workspace.root())
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .output()
        .context("cannot list the files of the checkout")?;
    let mut files = Vec::new();
    for path in list.split('\0').filter(|path| !path.is_empty()) {
        // Deleted and not yet committed, a link, or not text: nothing to read.
        if let Ok(text) = fs::read_to_string(workspace.path(path)) {
            files.push(File {
                path: path.to_owned(),
                text,
            });
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files.dedup_by(|one, other| one.path == other.path);
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_no_errors(problems: &[Problem]) {
        let errors: Vec<String> = problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .map(ToString::to_string)
            .collect();
        assert!(errors.is_empty(), "\n{}", errors.join("\n"));
    }

    #[test]
    fn files_are_tidy() {
        let files = files(&Workspace::find().unwrap()).unwrap();
        assert!(files.iter().any(|file| file.path == "xtask/src/tidy.rs"));
        for (name, check) in FILE_CHECKS {
            eprintln!("check: {name}");
            assert_no_errors(&check(&files));
        }
    }

    #[test]
    fn crates_follow_the_arrow_table() {
        let workspace = Workspace::find().unwrap();
        assert_no_errors(&arrows::check_workspace(workspace.root()).unwrap());
    }

    #[test]
    fn dependencies_are_allowed() {
        let workspace = Workspace::find().unwrap();
        assert_no_errors(&graph::check(
            &Metadata::of_graph(workspace.root()).unwrap(),
        ));
    }
}
