//! What can be typed after `stepflow test`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::ValueEnum;
use clap::ValueHint;

use super::ConfigArg;
use super::server;

/// Runs the tests that stand in flows
///
/// A test passes when the flow's outcome is the expected one. Folders are searched for flows; YAML and JSON files that are
/// no flow are skipped and counted. Exits with 1 if any test fails or any flow has a mistake.
#[derive(Debug, Args)]
#[command(
    display_name = "stepflow",
    after_help = "\
Examples:
  stepflow test flows/
  stepflow test order.yaml --case 'an empty order' --diff
  stepflow test order.yaml --update                write what flows return now into their tests
  stepflow test flows/ --format junit > tests.xml"
)]
pub struct Test {
    /// Flows, and folders with flows in them; the current folder where none is given
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub config: ConfigArg,
    /// Run the tests of this name alone; may be given more than once
    #[arg(long = "case", value_name = "NAME")]
    pub cases: Vec<String>,
    /// Write the outcomes of tests that fail into the flows, as what is expected from now on
    #[arg(long)]
    pub update: bool,
    /// Show expected and actual outcomes in full, line by line
    #[arg(long)]
    pub diff: bool,
    /// How the report is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: TestFormat,
    /// How many tests may run at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: u16,
    /// How long a test may take that does not say it by a `timeout` of its own
    #[arg(long, value_name = "DURATION", value_parser = server::duration, default_value = "5m")]
    pub timeout: Duration,
}

/// How a report of tests is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TestFormat {
    /// For people
    #[default]
    Pretty,
    /// One JSON object
    Json,
    /// The XML that CI systems read
    Junit,
}
