//! Is it a runtime? Has it run a small flow on a component server that follows a script, and judges what the server saw and how
//! the run ended. Knows no runtime: one is a command that takes a flow and a config and prints the outcome.

mod checks;
mod record;
mod server;

use std::ffi::OsStr;
use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::report::Finding;
use crate::report::Outcome;
use crate::report::Report;
use crate::requirements;
use crate::requirements::Requirement;
use crate::suite;
use crate::target::Way;
use crate::verdict::Stop;
use crate::verdict::Verdict;
use crate::verdict::brief;

use checks::Check;
use record::Record;
use server::Scenario;

pub use server::serve;

/// What stands in the command for the config.
pub const CONFIG: &str = "{config}";

/// What stands in the command for the flow.
pub const FLOW: &str = "{flow}";

/// How long a server that was let go may take to see it.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The verb of this program that is the scripted server.
pub const SERVER: &str = "conformance-server";

/// What is run.
#[derive(Debug)]
pub struct Options {
    /// The runtime.
    pub command: OsString,
    /// Its arguments, with [`CONFIG`] and [`FLOW`] among them.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The folder it starts in.
    pub folder: PathBuf,
    /// The program that is the scripted server when its verb is [`SERVER`].
    pub server: PathBuf,
    /// How long a run may take.
    pub timeout: Duration,
    /// Only requirements whose ids begin with one of these; all when there is none.
    pub only: Vec<String>,
}

/// What a run came to.
struct Seen {
    record: Record,
    /// The outcome on stdout; null where there is none.
    outcome: Value,
    stdout: String,
    stderr: String,
}

/// Does all checks. Each finding is told as it is made.
///
/// # Errors
/// When there is no place for the files of a run.
pub async fn run(options: Options, mut tell: impl FnMut(&Finding)) -> Result<Report, String> {
    let mut findings = Vec::new();
    for requirement in suite::select(requirements::of_runtimes(), &options.only, None) {
        let folder = TempDir::new().map_err(|error| format!("a temporary folder: {error}"))?;
        let finding = check(requirement, &options, folder.path()).await;
        tell(&finding);
        findings.push(finding);
    }
    Ok(Report {
        server: Some("the runtime".to_owned()),
        way: Way::Stdio,
        findings,
    })
}

async fn check(requirement: &'static Requirement, options: &Options, folder: &Path) -> Finding {
    let began = Instant::now();
    let record = folder.join("record");
    let verdict = match checks::find(&requirement.id) {
        Some(check) => perform(check, options, folder, &record).await,
        None => Err(Stop::skip("nothing checks it")),
    };
    let outcome = match verdict {
        Ok(()) => Outcome::Pass,
        Err(Stop::Skip(reason)) => Outcome::Skip { reason },
        Err(Stop::Fail(fault)) => Outcome::Fail {
            fault: *fault,
            transcript: Record::read(&record).transcript(),
        },
    };
    Finding {
        requirement,
        outcome,
        took: began.elapsed(),
    }
}

async fn perform(check: &Check, options: &Options, folder: &Path, record: &Path) -> Verdict {
    let unwritten = |error: std::io::Error| Stop::skip(format!("a file of the run: {error}"));
    let flow = folder.join("flow.yaml");
    std::fs::write(&flow, self::flow().to_string()).map_err(unwritten)?;
    let config = folder.join("stepflow-config.yml");
    let text = self::config(&options.server, check.scenario, record).to_string();
    std::fs::write(&config, text).map_err(unwritten)?;

    let arguments = options.arguments.iter();
    let arguments = arguments.map(|it| replaced(it, &[(FLOW, &flow), (CONFIG, &config)]));
    let mut command = tokio::process::Command::new(&options.command);
    command
        .args(arguments)
        .env_clear()
        .envs(
            options
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .current_dir(&options.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let ran = tokio::time::timeout(options.timeout, command.output()).await;
    let Ok(ran) = ran else {
        let most = format!("an end within {:?}", options.timeout);
        return Err(Stop::fail("the run came to no end", most, "none"));
    };
    let ran = ran.map_err(|error| {
        let seen = format!("{}: {error}", options.command.display());
        Stop::fail("the runtime does not start", "a process", seen)
    })?;
    let stdout = String::from_utf8_lossy(&ran.stdout).into_owned();
    let seen = Seen {
        record: last_words(record).await,
        outcome: serde_json::from_str(&stdout).unwrap_or_default(),
        stdout,
        stderr: String::from_utf8_lossy(&ran.stderr).into_owned(),
    };
    (check.judge)(&seen)
}

/// The record, once the last server has seen its end or has had the time to.
async fn last_words(path: &Path) -> Record {
    let late = Instant::now() + LAST_WORDS;
    loop {
        let record = Record::read(path);
        if record.has_ended() || record.processes() == 0 || Instant::now() > late {
            return record;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Two steps, one after the other: what goes wrong about the first call must not reach the second.
fn flow() -> Value {
    json!({
        "name": "conformance",
        "steps": [
            {"id": "first", "component": "/scripted/first", "input": {"value": 7}},
            {"id": "second", "component": "/scripted/second", "input": {"value": {"$step": "first"}}},
        ],
        "output": {"$step": "second"},
    })
}

/// The config, in JSON: every reader of YAML reads that too.
fn config(server: &Path, scenario: Scenario, record: &Path) -> Value {
    let record = record.to_string_lossy();
    json!({
        "plugins": {
            "scripted": {
                "type": "stepflow",
                "transport": "stdio",
                "command": server.to_string_lossy(),
                "args": [SERVER, scenario.name(), "--record", record],
            },
        },
        "routes": {"/scripted/{*component}": [{"plugin": "scripted"}]},
    })
}

/// An argument with paths in the place of their names. What is no text has no names in it.
fn replaced(argument: &OsStr, paths: &[(&str, &Path)]) -> OsString {
    let Some(text) = argument.to_str() else {
        return argument.to_owned();
    };
    let fill =
        |text: String, (name, path): &(&str, &Path)| text.replace(name, &path.to_string_lossy());
    paths.iter().fold(text.to_owned(), fill).into()
}

impl Seen {
    /// Fails unless the run came to this outcome.
    fn outcome_is(&self, expected: &Value) -> Verdict {
        if self.outcome == *expected {
            return Ok(());
        }
        let seen = match self.stdout.trim() {
            "" => format!("nothing on stdout; stderr: {}", brief(&self.stderr)),
            stdout => brief(stdout),
        };
        let expected = expected.to_string();
        Err(Stop::fail("the run has another outcome", expected, seen))
    }

    /// Fails unless the run came to the right end.
    fn succeeds(&self) -> Verdict {
        self.outcome_is(&json!({"outcome": "success", "result": 7}))
    }

    /// The params of all executes.
    fn executes(&self) -> Vec<Value> {
        let all = self.record.all().into_iter();
        let executes = all.filter(|it| it["method"] == "components/execute");
        executes.map(|mut it| it["params"].take()).collect()
    }
}
