//! What figures are worth nothing without: the machine, the code, the day. Names of hosts and of folders are left out.

use std::process::Command;

use anyhow::Context;

use crate::effort::Effort;

/// A machine about to be measured.
pub struct Machine {
    effort: Effort,
    load_before: String,
}

impl Machine {
    /// Looks at it before anything runs.
    pub fn look(effort: Effort) -> anyhow::Result<Self> {
        Ok(Machine {
            effort,
            load_before: load()?,
        })
    }

    /// Names and values for people; after the last round.
    pub fn describe(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let changed = said("git", &["status", "--porcelain", "--untracked-files=no"])?;
        let commit = said("git", &["rev-parse", "--short", "HEAD"])?;
        let commit = match changed.is_empty() {
            true => commit,
            false => format!("{commit}, with changes"),
        };
        let cores = std::thread::available_parallelism()?;
        Ok(vec![
            ("Machine", format!("{cores} cores, {}", processor()?)),
            ("Memory", format!("{} GB", memory()?)),
            ("Kernel", said("uname", &["-sr"])?),
            ("Code", commit),
            ("Date", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])?),
            (
                "Load before and after",
                format!("{} and {}", self.load_before, load()?),
            ),
            ("Rounds", self.effort.rounds.to_string()),
        ])
    }
}

/// What a program says, without the line break.
fn said(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn processor() -> anyhow::Result<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").context("what the processor is")?;
    let model = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    Ok(model.unwrap_or_else(|| "unknown processor".to_owned()))
}

fn memory() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").context("how much memory there is")?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = total.and_then(|it| it.split_whitespace().next());
    let kilobytes: u64 = kilobytes.context("MemTotal is there")?.parse()?;
    Ok((kilobytes * 1024).div_ceil(1_000_000_000))
}

/// How many processes wanted to run in the last minute.
fn load() -> anyhow::Result<String> {
    let text = std::fs::read_to_string("/proc/loadavg").context("how busy the machine is")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}
