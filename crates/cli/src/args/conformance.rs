//! The flags of `stepflow conformance`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgGroup;
use clap::Args;
use clap::ValueEnum;
use clap::ValueHint;

use super::server;
use super::server::HttpArgs;
use super::server::StartArgs;

/// Checks a component server, or a runtime, against the protocol and says what it fails
///
/// Needs no config. Each requirement has a name, a place where it is written, and one check. A server that offers the components
/// `/conformance/echo`, `/conformance/blob`, `/conformance/sleep` and `/conformance/fail` is tested whole, another as far as possible.
#[derive(Debug, Args)]
#[command(
    display_name = "stepflow",
    override_usage = "stepflow conformance [OPTIONS] -- COMMAND [ARGUMENT]…\n       stepflow conformance [OPTIONS] --url URL\n       stepflow conformance [OPTIONS] --runtime -- COMMAND [ARGUMENT]…\n       stepflow conformance --list [--runtime]",
    after_help = "\
Examples:
  stepflow conformance -- python my_server.py
  stepflow conformance --url http://localhost:8080 --mode session
  stepflow conformance --only messages --only sizes.pipe -- ./my-server
  stepflow conformance --format junit -- ./my-server > report.xml
  stepflow conformance --runtime -- stepflow run {flow} --config {config}

Exit codes: 0 all that MUST be so is so, 1 something is not, or the server cannot be had, 2 usage."
)]
#[command(group(ArgGroup::new("which_server").required(true)))]
pub struct Conformance {
    /// The command that starts the server, after `--`; it is started anew for many checks
    #[arg(last = true, value_name = "COMMAND", group = "which_server", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
    /// Where a server is that runs already
    #[arg(long, value_name = "URL", group = "which_server", value_hint = ValueHint::Url)]
    pub url: Option<String>,
    /// Check a runtime: COMMAND runs the flow `{flow}` with the config `{config}` and prints the outcome
    #[arg(long, conflicts_with_all = ["url", "mode"])]
    pub runtime: bool,
    /// List the requirements and check nothing
    #[arg(long, group = "which_server")]
    pub list: bool,
    /// Check only requirements whose names begin so; may be given several times
    #[arg(long, value_name = "PREFIX")]
    pub only: Vec<String>,
    /// How long a check may take
    #[arg(long, value_name = "DURATION", value_parser = server::duration, default_value = "10s")]
    pub timeout: Duration,
    /// How the report is written
    #[arg(long, value_enum, default_value_t)]
    pub format: SuiteFormat,
    #[command(flatten)]
    pub start: StartArgs,
    #[command(flatten)]
    pub http: HttpArgs,
    /// The way to talk to it; without this, the one that a runtime would find
    #[arg(
        long,
        value_enum,
        value_name = "WAY",
        conflicts_with = "command",
        help_heading = "A server that runs already"
    )]
    pub mode: Option<Mode>,
}

/// A component server that follows a script; `stepflow conformance --runtime` has the runtime start it
#[derive(Debug, Args)]
pub struct ConformanceServer {
    /// The script
    pub scenario: String,
    /// The file that what happens is added to
    #[arg(long, value_name = "FILE")]
    pub record: PathBuf,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SuiteFormat {
    /// For people
    #[default]
    Pretty,
    /// For programs
    Json,
    /// For build servers
    Junit,
}

/// A way to talk over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// With a session
    Session,
    /// Without one, reading streams
    Streamable,
    /// Without one, reading JSON alone
    Plain,
}
