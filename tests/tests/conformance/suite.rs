//! Runs of the suite by the program, as its users run it, and what their reports say.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::Value;
use stepflow_tests::program::Folder;
use stepflow_tests::program::Ran;
use stepflow_tests::runtime::Program;

/// What came of one requirement.
#[derive(Clone, Debug)]
pub struct Finding {
    pub outcome: String,
    /// All that was found.
    pub whole: Value,
}

/// A report as JSON, by requirement.
#[derive(Debug)]
pub struct Report {
    pub findings: BTreeMap<String, Finding>,
    pub mode: String,
    pub code: Option<i32>,
}

impl Report {
    /// The requirements that are not met.
    pub fn failed(&self) -> BTreeSet<&str> {
        self.with("fail")
    }

    /// The requirements that were not checked.
    pub fn skipped(&self) -> BTreeSet<&str> {
        self.with("skip")
    }

    fn with(&self, outcome: &str) -> BTreeSet<&str> {
        let found = self.findings.iter().filter(|(_, it)| it.outcome == outcome);
        found.map(|(id, _)| id.as_str()).collect()
    }

    /// What is to be read when a test fails.
    pub fn faults(&self) -> String {
        let failed = self.findings.values().filter(|it| it.outcome == "fail");
        let texts = failed.map(|it| serde_json::to_string_pretty(&it.whole).unwrap());
        texts.collect::<Vec<_>>().join("\n")
    }
}

impl From<Ran> for Report {
    fn from(ran: Ran) -> Report {
        let report: Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:#?}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let findings = report["findings"].as_array().unwrap().iter().map(|it| {
            let finding = Finding {
                outcome: text(&it["outcome"]),
                whole: it.clone(),
            };
            (text(&it["id"]), finding)
        });
        Report {
            findings: findings.collect(),
            mode: text(&report["mode"]),
            code: ran.code,
        }
    }
}

/// `stepflow conformance OPTIONS -- the server`, and no process is left.
pub async fn started(server: Program, options: &[&str]) -> Report {
    let folder = Folder::default();
    let (path, arguments) = server.command();
    let mut command = folder.stepflow(&["conformance", "--format", "json"]);
    command
        .args(options)
        .args(["--env", stepflow_tests::process::VARIABLE])
        .arg("--")
        .arg(path)
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let ran = run(command).await;
    folder.mark().all_gone().await;
    ran.into()
}

/// `stepflow conformance OPTIONS --url URL`.
pub async fn reached(folder: &Folder, url: &str, options: &[&str]) -> Report {
    let arguments = [&["conformance", "--format", "json", "--url", url], options].concat();
    run(folder.stepflow(&arguments)).await.into()
}

/// Runs the program off the async threads, which servers of the test may need.
pub async fn run(mut command: std::process::Command) -> Ran {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    Ran::from(output.await.unwrap())
}
