//! Measures, in one run and interleaved: what the machine can do at best (floors), and what ours does, as ratios to it.
//!
//! Every row is measured once a round, all rows in turn, so that a machine that slows down slows all of them; the table
//! shows the median over the rounds with its spread. Nothing here asserts: figures are for people.

mod child;
mod engine;
mod floors;
mod rpc;
mod serve;
mod table;

use std::path::PathBuf;

use clap::Parser;

use crate::table::Row;
use crate::table::Table;

/// Measures floors and ours in one run and prints a table of medians and ratios.
#[derive(Debug, Parser)]
#[command(
    name = "bench",
    after_help = "Run it by `cargo xtask bench`, which builds for release and finds Python."
)]
struct Arguments {
    /// A minute's check: fewer rounds of fewer operations.
    #[arg(long)]
    quick: bool,
    /// Only rows whose name contains this text, and the floors they are compared with.
    #[arg(long)]
    only: Option<String>,
    /// The Python that has the SDK installed.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Not for people: plays the other side of a row.
    #[arg(long, hide = true)]
    serve: Option<serve::Mode>,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    rounds: usize,
    /// Sequential operations a round.
    sequential: usize,
    /// Operations a round where many are in flight.
    parallel: usize,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(mode) = arguments.serve {
        return serve::run(mode);
    }
    let effort = match arguments.quick {
        true => Effort {
            rounds: 3,
            sequential: 2_000,
            parallel: 20_000,
        },
        false => Effort {
            rounds: 9,
            sequential: 10_000,
            parallel: 100_000,
        },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(&arguments, effort))
}

async fn measure(arguments: &Arguments, effort: Effort) -> anyhow::Result<()> {
    let mut rows: Vec<Box<dyn Row>> = Vec::new();
    rows.extend(floors::rows(&arguments.python, effort)?);
    rows.extend(rpc::rows(&arguments.python, effort).await?);
    rows.extend(engine::rows(&arguments.python, effort)?);
    let mut table = Table::new(rows, arguments.only.as_deref());
    for round in 0..effort.rounds {
        table.measure(round, effort.rounds).await?;
    }
    table.print();
    Ok(())
}
