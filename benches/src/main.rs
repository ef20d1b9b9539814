//! Measures, in one run and interleaved: what the machine can do at best (floors), what ours does, and what others do
//! (peers), as ratios to each other.
//!
//! Every row is measured once a round, all rows in turn, so that a machine that slows down slows all of them, and those with a floor
//! in short pairs right beside it; the tables show the median over the rounds with its spread. Nothing here asserts: figures are for people.

mod caller;
mod child;
mod cold;
mod effort;
mod engine;
mod floors;
mod flows;
mod machine;
mod maps;
mod peers;
mod place;
mod plot;
mod report;
mod row;
mod rpc;
mod scale;
mod serve;
mod table;
mod targets;

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

use crate::effort::Effort;
use crate::machine::Machine;
use crate::peers::Drivers;
use crate::peers::Installed;
use crate::row::Probe;
use crate::rpc::Servers;
use crate::table::Table;
use crate::table::note;

/// Measures floors, ours and peers in one run and prints tables of medians and ratios.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bench",
    after_help = "Run it by `cargo xtask bench`, which builds everything for release and finds Python.\n\
                  A whole run writes its tables to benches/RESULTS.md and docs/performance.md; one with --quick or --only does not."
)]
struct Arguments {
    /// A minute's check: fewer rounds of fewer operations.
    #[arg(long)]
    quick: bool,
    /// Only rows whose name contains this text, and those they are compared with.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Only how cost grows with work; a whole run has that too.
    #[arg(long)]
    scale: bool,
    /// Prints the names of all rows and measures nothing.
    #[arg(long)]
    list: bool,
    /// The Python that has the SDK installed.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// The Python that has the peers installed.
    #[arg(long, hide = true)]
    peers_python: Option<PathBuf>,
    /// The program with the peers in Rust.
    #[arg(long, hide = true)]
    peers_program: Option<PathBuf>,
    /// Not for people: plays the other side of a row.
    #[arg(long, hide = true)]
    serve: Option<serve::Mode>,
    /// Not for people: what a caller does.
    #[arg(long, hide = true)]
    task: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match (arguments.serve, &arguments.task) {
        (None, _) => runtime()?.block_on(measure(&arguments)),
        (Some(_), Some(task)) => runtime()?.block_on(caller::perform(task)),
        (Some(mode), None) => serve::run(mode),
    }
}

/// The same for whoever calls: as the program's own.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let effort = match arguments.quick {
        true => Effort::QUICK,
        false => Effort::FULL,
    };
    if arguments.scale {
        return measure_scale(arguments, effort).await;
    }
    let (probes, drivers) = probes(arguments, effort)?;
    let mut table = Table::new(probes, arguments.only.as_deref());
    if arguments.list {
        for line in table.lines() {
            report::print(&line.row.name);
        }
        return Ok(());
    }
    let machine = Machine::look(effort)?;
    for round in 0..effort.rounds {
        table.measure(round, effort.rounds).await;
    }
    drivers.end().await;
    let report = report::markdown(&table, &machine.describe()?)?;
    report::print(&report);
    if !arguments.quick && arguments.only.is_none() {
        report::write(&report)?;
        measure_scale(arguments, effort).await?;
    }
    let failures: Vec<_> = table
        .failures()
        .map(|(row, why)| format!("{row}: {why}"))
        .collect();
    anyhow::ensure!(failures.is_empty(), "rows failed: {}", failures.join("; "));
    note("done");
    Ok(())
}

async fn measure_scale(arguments: &Arguments, effort: Effort) -> anyhow::Result<()> {
    let plots = scale::plots(&Servers::new(&arguments.python)?, effort).await?;
    report::print(&report::curves(&plots)?);
    if !arguments.quick {
        report::write_curves(&plots)?;
    }
    Ok(())
}

fn probes(arguments: &Arguments, effort: Effort) -> anyhow::Result<(Vec<Probe>, Drivers)> {
    let python = &arguments.python;
    let servers = Servers::new(python)?;
    let exe = std::env::current_exe()?;
    let stepflow = exe.with_file_name("stepflow");
    let mut probes = Vec::new();
    probes.extend(floors::pipes::probes(python, effort)?);
    probes.extend(floors::http::probes(python, effort)?);
    probes.extend(rpc::probes(&servers, effort));
    probes.extend(rpc::big::probes(&servers));
    probes.extend(engine::probes(&servers, effort).context("the flows that are measured")?);
    probes.extend(maps::probes());
    probes.extend(cold::probes(&stepflow, effort)?);
    let installed = Installed {
        program: arguments.peers_program.clone(),
        python: arguments.peers_python.clone(),
    };
    let (peers, drivers) = peers::probes(&installed, effort);
    probes.extend(peers);
    Ok((probes, drivers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_row_that_is_spoken_of_is_measured() {
        let arguments = Arguments::parse_from(["bench"]);
        let (probes, _) = probes(&arguments, Effort::QUICK).unwrap();
        let rows: Vec<_> = probes.iter().flat_map(|probe| &probe.rows).collect();
        let mut names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
        let targets = targets::all();
        let compared = rows.iter().flat_map(|row| &row.against);
        let spoken_of = compared.map(|against| against.row.as_str());
        for name in spoken_of.chain(targets::rows(&targets)) {
            assert!(names.contains(&name), "nothing measures {name:?}");
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "two rows have one name");
    }
}
