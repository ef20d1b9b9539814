//! Counts the instructions of hot paths under valgrind and compares them with those written down: a guard against getting slower that
//! a busy machine does not disturb. Knows nothing of what the workloads do.

mod baseline;

use crate::run;
use crate::valgrind::Valgrind;
use crate::workspace::{INSTRUCTIONS, Workspace};
use anyhow::{Context, Result, bail, ensure};
use baseline::{Baseline, Compiler, Count};
use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

/// The package of the workloads, its program, and its profile.
const PROGRAM: &str = "stepflow-instructions";
const PROFILE: &str = "instructions";

/// Compares with what is written down; passed over where there is no valgrind to be had.
pub fn check(workspace: &Workspace) -> Result<()> {
    if !cfg!(target_os = "linux") {
        eprintln!("passed over: valgrind does not run on {}", env::consts::OS);
        return Ok(());
    }
    let path = workspace.path(INSTRUCTIONS);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read {INSTRUCTIONS}; `--update` writes it"))?;
    let baseline = Baseline::parse(&text).with_context(|| format!("in {INSTRUCTIONS}"))?;
    let compiler = compiler(workspace)?;
    if baseline.compiler.target != compiler.target {
        eprintln!(
            "PASSED OVER: {INSTRUCTIONS} was counted on {}, and says nothing of {}",
            baseline.compiler.target, compiler.target
        );
        return Ok(());
    }
    let counts = count(workspace)?;
    let comparison = baseline.compare(&compiler, &counts);
    eprint!("{comparison}");
    let problems = comparison.problems();
    if !problems.is_empty() {
        bail!(
            "{}\nwhere that is meant, better or worse, write it down: `cargo xtask instructions --update`, and say why in the commit",
            problems.join("\n")
        );
    }
    Ok(())
}

/// Writes the counts down.
pub fn update(workspace: &Workspace) -> Result<()> {
    ensure!(
        cfg!(target_os = "linux"),
        "valgrind does not run on {}",
        env::consts::OS
    );
    let compiler = compiler(workspace)?;
    let counts = count(workspace)?;
    let path = workspace.path(INSTRUCTIONS);
    let before = fs::read_to_string(&path).ok();
    let new = Baseline::new(compiler, &counts);
    // What was written down before is for people to see what they change; it may be of any kind.
    if let Some(Ok(before)) = before.map(|text| Baseline::parse(&text)) {
        eprint!("{}", before.compare(&new.compiler, &counts));
    }
    fs::write(&path, new.to_string()).with_context(|| format!("cannot write {INSTRUCTIONS}"))
}

fn compiler(workspace: &Workspace) -> Result<Compiler> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = run::program(rustc, workspace.root()).arg("-vV").output()?;
    Compiler::parse(&said).with_context(|| format!("rustc said of itself {said:?}"))
}

/// What one workload is, as its program says.
#[derive(Debug, PartialEq, Eq)]
struct Workload {
    name: String,
    repeats: u64,
    operations: u64,
}

/// What is needed to run workloads.
struct Counter<'run> {
    workspace: &'run Workspace,
    valgrind: Valgrind,
    program: PathBuf,
}

/// Builds the workloads and counts each, as many at once as there are cores: time is not what is measured.
fn count(workspace: &Workspace) -> Result<Vec<Count>> {
    let valgrind = Valgrind::set_up(workspace)?;
    run::cargo(workspace)
        .args(["build", "--profile", PROFILE, "--package", PROGRAM])
        .run()?;
    let program = workspace.built(PROFILE, PROGRAM);
    let listed = run::program(&program, workspace.root()).output()?;
    let workloads: Vec<Workload> = listed.lines().map(parse_workload).collect::<Result<_>>()?;
    let counter = Counter {
        workspace,
        valgrind,
        program,
    };
    eprintln!("counting the instructions of {} workloads", workloads.len());
    let waiting = Mutex::new(workloads.iter().enumerate().rev().collect::<Vec<_>>());
    let next = || waiting.lock().ok()?.pop();
    let work = || {
        let mut counts = Vec::new();
        while let Some((index, workload)) = next() {
            counts.push((index, counter.count(workload)));
        }
        counts
    };
    let n_threads = thread::available_parallelism().map_or(1, usize::from);
    let mut counts = thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(work)).collect();
        let counts = threads.into_iter().flat_map(|thread| {
            thread
                .join()
                .expect("counting tells its errors and does not panic")
        });
        counts.collect::<Vec<_>>()
    });
    counts.sort_by_key(|(index, _)| *index);
    counts.into_iter().map(|(_, count)| count).collect()
}

fn parse_workload(line: &str) -> Result<Workload> {
    let mut fields = line.splitn(3, '\t');
    let mut field = || {
        fields
            .next()
            .with_context(|| format!("half a line: {line}"))
    };
    Ok(Workload {
        repeats: field()?.parse().context("how often is a number")?,
        operations: field()?.parse().context("operations are a number")?,
        name: field()?.to_owned(),
    })
}

impl Counter<'_> {
    /// Once so often and twice so often; the difference leaves out the start, what is made ready, and the end. The longer run is made
    /// twice, to see how much counts vary.
    fn count(&self, workload: &Workload) -> Result<Count> {
        let (once, twice) = (workload.repeats, 2 * workload.repeats);
        let less = self.instructions(workload, once)?;
        let more = self.instructions(workload, twice)?;
        let again = self.instructions(workload, twice)?;
        let per_operation = |more: u64| {
            let difference = more.saturating_sub(less) as f64;
            difference / (workload.repeats * workload.operations) as f64
        };
        Ok(Count::of_two(
            &workload.name,
            per_operation(more),
            per_operation(again),
        ))
    }

    fn instructions(&self, workload: &Workload, repeats: u64) -> Result<u64> {
        let said = self
            .valgrind
            .program(self.workspace)
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg("--log-fd=1")
            .arg(&self.program)
            .args([&workload.name, &repeats.to_string()])
            .output()?;
        collected(&said).with_context(|| format!("valgrind says no count, but {said:?}"))
    }
}

/// The count in what callgrind says at its end.
fn collected(said: &str) -> Option<u64> {
    let (_, count) = said.split_once("Collected : ")?;
    count.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_found_in_what_valgrind_says() {
        let said = "==7== Events    : Ir\n==7== Collected : 112275729\n==7== \n";
        assert_eq!(collected(said), Some(112_275_729));
        assert_eq!(collected("==7== Callgrind, a call-graph profiler\n"), None);
    }

    #[test]
    fn a_workload_is_a_line_of_three() {
        let workload = parse_workload("2\t10000\tscheduler, a step").unwrap();
        let expected = Workload {
            name: "scheduler, a step".to_owned(),
            repeats: 2,
            operations: 10_000,
        };
        assert_eq!(workload, expected);
        assert!(parse_workload("2\t10000").is_err());
        assert!(parse_workload("two\t1\tname").is_err());
    }
}
