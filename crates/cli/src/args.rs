//! What can be typed. Owns flags and their help; what they do is for the commands.

mod check;
mod conformance;
mod inspect;
mod run;
mod server;
mod test;

use std::path::PathBuf;

use clap::ArgAction;
use clap::ArgGroup;
use clap::Args;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;
use clap::ValueHint;

use crate::screen::Loudness;
pub use check::Completions;
pub use check::DrawingFormat;
pub use check::Explain;
pub use check::Infer;
pub use check::Init;
pub use check::ReportFormat;
pub use check::TypesFormat;
pub use check::Validate;
pub use check::Visualize;
pub use conformance::Conformance;
pub use conformance::ConformanceServer;
pub use conformance::Mode;
pub use conformance::SuiteFormat;
pub use inspect::Inspect;
pub use inspect::Session;
pub use run::BatchArgs;
pub use run::OverrideArgs;
pub use run::Run;
pub use run::VariableArgs;
pub use server::HttpArgs;
pub use server::StartArgs;
pub use test::Test;
pub use test::TestFormat;

const EXAMPLES: &str = "\
Examples:
  stepflow run flow.yaml --input-json '{\"name\": \"Ada\"}'    run a flow with an input
  cat input.json | stepflow run flow.yaml | jq .result       the same in a pipe
  stepflow validate flow.yaml                                find mistakes without running anything
  stepflow test flows/                                       run the tests that stand in flows
  stepflow list-components                                   what flows can use here
  stepflow call /python/add '{\"a\": 1, \"b\": 2}'               run one component
  stepflow init hello                                        a project to start from
  stepflow inspect -- python my_server.py                    look at a component server, without a config
  stepflow conformance -- ./my-server                        check a component server against the protocol

Exit codes: 0 success or skipped, 1 the flow failed, 2 usage or an invalid flow, config or input,
3 the runtime itself failed, 130 and 143 after Ctrl-C and SIGTERM. Results go to stdout, everything else to stderr.";

/// Runs workflows written in YAML on components in any language.
#[derive(Debug, Parser)]
#[command(name = "stepflow", version, propagate_version = true, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Messages")]
pub struct Global {
    /// Say more: -v shows what components print, -vv debugging, -vvv everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Say less: -q only errors, -qq nothing but the result
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "verbose")]
    quiet: u8,
    /// off, error, warn, info, debug, trace; or a list such as `warn,stepflow_rpc=debug`
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// How logs are written
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t
    )]
    pub log_format: LogFormat,
    /// Write the logs to this file too, with times, at least from `info` on
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub log_file: Option<PathBuf>,
}

impl Global {
    /// How much is to be said.
    pub fn loudness(&self) -> Loudness {
        match (self.quiet, self.verbose) {
            (0, 0) => Loudness::Normal,
            (0, n) => Loudness::Verbose(n),
            (1, _) => Loudness::Quiet,
            _ => Loudness::Silent,
        }
    }
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    Run(Box<Run>),
    Validate(Validate),
    Test(Test),
    ListComponents(ListComponents),
    Call(Call),
    Inspect(Box<Inspect>),
    Infer(Infer),
    Visualize(Visualize),
    Explain(Explain),
    Init(Init),
    Completions(Completions),
    Conformance(Box<Conformance>),
    #[command(hide = true)]
    ConformanceServer(ConformanceServer),
    Schema(Schema),
}

/// Lists the components that flows can use here
///
/// Starts every component server of the config and asks it. A plugin that does not start is shown as broken; the others
/// are listed all the same, and the exit code is 1.
#[derive(Debug, Args)]
#[command(
    display_name = "stepflow",
    after_help = "\
Examples:
  stepflow list-components
  stepflow list-components --schemas --format yaml
  stepflow list-components --format json | jq -r '.plugins[].components[]?.paths[]'"
)]
pub struct ListComponents {
    #[command(flatten)]
    pub config: ConfigArg,
    /// How the list is written
    #[arg(long, value_enum, default_value_t)]
    pub format: ListFormat,
    /// Show the schemas of inputs and outputs
    #[arg(long)]
    pub schemas: bool,
}

/// How a list is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// For people
    #[default]
    Pretty,
    /// For programs
    Json,
    /// For both
    Yaml,
}

/// Runs one component and prints its outcome
///
/// The call goes the way of a step: routes, checks against schemas, retries and call backs.
#[derive(Debug, Args)]
#[command(
    display_name = "stepflow",
    after_help = "\
Examples:
  stepflow call /python/add '{\"a\": 1, \"b\": 2}'
  stepflow call create_messages --input-yaml 'user_prompt: Hello'
  stepflow call /python/total --input prices.json --config stepflow-config.yml"
)]
pub struct Call {
    /// The component's path; a bare name is a built-in
    pub component: String,
    /// The input as JSON
    #[arg(value_name = "JSON", group = "which_input")]
    pub json: Option<String>,
    #[command(flatten)]
    pub config: ConfigArg,
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub output: OutputArg,
}

/// Prints the JSON Schema of flows, of config files or of the protocol
///
/// Editors that know the schema of a file complete its keys, explain them, and mark mistakes while you type.
#[derive(Debug, Args)]
#[command(
    display_name = "stepflow",
    after_help = "\
Examples:
  stepflow schema flow > flow.schema.json
  stepflow schema config > config.schema.json     then, in the first line of a config:
                                                  # yaml-language-server: $schema=config.schema.json"
)]
pub struct Schema {
    /// Of what
    #[arg(value_enum)]
    pub of: SchemaOf,
}

/// What there is a schema of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// Flows
    Flow,
    /// Config files
    Config,
    /// Messages between the runtime and component servers
    Protocol,
}

/// Which config to use.
#[derive(Debug, Args)]
pub struct ConfigArg {
    /// The config, instead of the stepflow-config.yml beside the flow or in the current folder
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
}

/// Where the input comes from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Input")]
#[command(group(ArgGroup::new("which_input")))]
pub struct InputArgs {
    /// Read the input from a JSON or YAML file; - is stdin
    #[arg(long, value_name = "FILE", group = "which_input", value_hint = ValueHint::FilePath)]
    pub input: Option<PathBuf>,
    /// The input as JSON
    #[arg(long, value_name = "JSON", group = "which_input")]
    pub input_json: Option<String>,
    /// The input as YAML
    #[arg(long, value_name = "YAML", group = "which_input")]
    pub input_yaml: Option<String>,
    /// How the input on stdin is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub stdin_format: TextFormat,
}

/// Where the outcome goes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArg {
    /// Write the outcome to this file instead of stdout: YAML if it ends so, else JSON
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

/// How data is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TextFormat {
    /// JSON
    #[default]
    Json,
    /// YAML
    Yaml,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        super::Cli::command().debug_assert();
    }
}
