//! The flags of `stepflow inspect`.

use std::ffi::OsString;
use std::time::Duration;

use clap::ArgGroup;
use clap::Args;
use clap::ValueEnum;
use clap::ValueHint;

use super::server;
use super::server::HttpArgs;
use super::server::StartArgs;

/// Looks at one component server: what it is, what it offers, and what it does when a component is called
///
/// Needs no config. Connects to any server that speaks the protocol, in any language, and shows the handshake and the
/// components with their schemas. On a terminal it then asks what to do; `help` lists what it knows.
#[derive(Debug, Args)]
#[command(
    display_name = "stepflow",
    override_usage = "stepflow inspect [OPTIONS] -- COMMAND [ARGUMENT]…\n       stepflow inspect [OPTIONS] --url URL",
    after_help = "\
Examples:
  stepflow inspect -- python my_server.py
  stepflow inspect --url http://localhost:8080 --call /add --input '{\"a\": 1, \"b\": 2}' --transcript

With --call, stdout has the outcome and nothing else; calls back, progress, what the server prints, timings and the transcript
go to stderr. Blobs that the component stores are kept in memory.

Exit codes: 0 success or skipped, 1 the component failed, or the server cannot be had or does not list its components,
2 usage."
)]
#[command(group(ArgGroup::new("which_server").required(true)))]
pub struct Inspect {
    /// The command that starts the server, after `--`
    #[arg(last = true, value_name = "COMMAND", group = "which_server", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
    /// Where a server is that runs already
    #[arg(long, value_name = "URL", group = "which_server", value_hint = ValueHint::Url)]
    pub url: Option<String>,
    /// Run this component
    #[arg(long, value_name = "NAME")]
    pub call: Option<String>,
    /// Its input: JSON, `@` and a file with JSON or YAML, or `-` for stdin; null if left out
    #[arg(long, value_name = "JSON|@FILE|-", requires = "call")]
    pub input: Option<String>,
    /// Write one JSON document to stdout: the server, its components, and the outcome of --call
    #[arg(long)]
    pub json: bool,
    /// Show every message on stderr, one a line: `→` to the server, `←` from it. Long values are cut, secrets taken out
    #[arg(long)]
    pub transcript: bool,
    /// How long connecting, the handshake, the list and the call may take, each
    #[arg(long, value_name = "DURATION", value_parser = server::duration)]
    pub timeout: Option<Duration>,
    #[command(flatten)]
    pub start: StartArgs,
    #[command(flatten)]
    pub http: HttpArgs,
    /// Whether to open a session
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        conflicts_with = "command",
        help_heading = "A server that runs already"
    )]
    pub session: Session,
}

/// Whether a session is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Session {
    /// Where the server offers one
    #[default]
    Auto,
    /// Or nothing
    Required,
    /// Never: each request stands alone
    Off,
}
