//! The program from its start to its end: a flow of one built-in step, as a person runs it.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;

use crate::child::environment;
use crate::child::peak_memory;
use crate::effort::Effort;
use crate::effort::Pace;
use crate::row::Probe;
use crate::row::Row;
use crate::row::Unit;
use crate::rpc;

/// A program that does nothing.
const TRUE: &str = "floor: start and end of a process";
/// Our program.
pub const TIME: &str = "cold start: stepflow run of a built-in flow";
/// Its memory.
pub const MEMORY: &str = "cold start: stepflow run of a built-in flow, memory";

/// How many runs are looked at for their memory: a look may miss the last moment of one.
const LOOKS: usize = 10;

const FLOW: &str = r#"
steps:
  - { id: step, component: noop, input: { $input: "$" } }
output: { $step: step }
"#;

/// The probes of this module.
pub fn probes(program: &Path, effort: Effort) -> anyhow::Result<Vec<Probe>> {
    let repeats = effort.repeats(Pace::Slow, 50);
    let folder = Arc::new(tempfile::tempdir()?);
    std::fs::write(folder.path().join("flow.yaml"), FLOW)?;
    let unit = Unit::Milliseconds;
    let repeated = move |name: &str, work: Arc<dyn Fn() -> anyhow::Result<()> + Send + Sync>| {
        let row = match name {
            TRUE => Row::new(name, unit),
            _ => Row::new(name, unit).against(TRUE),
        };
        Probe::one(row, move || {
            let work = Arc::clone(&work);
            let repeat = move || {
                work()?;
                let start = Instant::now();
                for _ in 0..repeats {
                    work()?;
                }
                anyhow::Ok(unit.figure(start.elapsed(), repeats))
            };
            async move { tokio::task::spawn_blocking(repeat).await? }
        })
    };
    let run = Run {
        program: program.to_owned(),
        folder,
    };
    let timed = run.clone();
    Ok(vec![
        repeated(TRUE, Arc::new(nothing)),
        repeated(TIME, Arc::new(move || timed.to_its_end())),
        Probe::one(Row::new(MEMORY, Unit::Megabytes), move || {
            let run = run.clone();
            let most = move || {
                let looks: Result<Vec<f64>, _> = (0..LOOKS).map(|_| run.memory()).collect();
                anyhow::Ok(looks?.into_iter().fold(0.0, f64::max))
            };
            async move { tokio::task::spawn_blocking(most).await? }
        }),
    ])
}

fn nothing() -> anyhow::Result<()> {
    Command::new("true").status()?;
    Ok(())
}

#[derive(Clone)]
struct Run {
    program: PathBuf,
    folder: Arc<tempfile::TempDir>,
}

impl Run {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["run", "flow.yaml", "--input-json", rpc::INPUT])
            .current_dir(self.folder.path())
            .env_clear()
            .envs(environment())
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn to_its_end(&self) -> anyhow::Result<()> {
        let output = self.command().output().with_context(|| {
            format!(
                "cannot start {}; `cargo xtask bench` builds it",
                self.program.display()
            )
        })?;
        check(&output)
    }

    /// Looks at its memory again and again: nothing tells it after the end.
    fn memory(&self) -> anyhow::Result<f64> {
        let child = self.command().spawn()?;
        let pid = child.id();
        let mut most: f64 = 0.0;
        while let Ok(memory) = peak_memory(pid) {
            most = most.max(memory);
            std::thread::sleep(Duration::from_micros(50));
        }
        check(&child.wait_with_output()?)?;
        Ok(most)
    }
}

fn check(output: &std::process::Output) -> anyhow::Result<()> {
    let said = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(
        output.status.success() && said.contains(rpc::INPUT),
        "`stepflow run` ended with {}: {said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
