//! What can be typed after `stepflow run`.

use std::path::PathBuf;

use clap::ArgGroup;
use clap::Args;
use clap::ValueHint;

use super::ConfigArg;
use super::InputArgs;
use super::OutputArg;

/// Runs a flow and prints its outcome
///
/// The outcome is JSON on stdout: `{"outcome": "success", "result": …}`, `{"outcome": "skipped"}` or
/// `{"outcome": "failed", "error": …}`.
#[derive(Debug, Args)]
#[command(
    display_name = "stepflow",
    after_help = "\
Examples:
  stepflow run flow.yaml --input input.json
  stepflow run --flow flow.yaml --input-yaml 'name: Ada'
  echo '{\"name\": \"Ada\"}' | stepflow run flow.yaml
  stepflow run flow.yaml --inputs inputs.jsonl --output outcomes.jsonl --resume
  stepflow run flow.yaml --variables-json '{\"model\": \"small\"}' --output result.yaml

Without an input option, stdin is read, unless it is a terminal; nothing there means null."
)]
#[command(group(ArgGroup::new("which_flow").required(true)))]
pub struct Run {
    /// The flow, YAML or JSON
    #[arg(value_name = "FLOW", group = "which_flow", value_hint = ValueHint::FilePath)]
    flow_positional: Option<PathBuf>,
    /// The same as FLOW
    #[arg(long = "flow", value_name = "FLOW", group = "which_flow", value_hint = ValueHint::FilePath)]
    flow_option: Option<PathBuf>,
    #[command(flatten)]
    pub config: ConfigArg,
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub batch: BatchArgs,
    #[command(flatten)]
    pub variables: VariableArgs,
    #[command(flatten)]
    pub overrides: OverrideArgs,
    #[command(flatten)]
    pub output: OutputArg,
    /// Show every step with its state, attempts and time, redrawn as the run goes on
    #[arg(long, conflicts_with = "inputs")]
    pub watch: bool,
}

impl Run {
    /// The flow, however it was given.
    pub fn flow(&self) -> PathBuf {
        let given = self.flow_positional.as_ref().or(self.flow_option.as_ref());
        given.expect("the group is required").clone()
    }
}

/// Where the variables come from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Variables")]
#[command(group(ArgGroup::new("which_variables")))]
pub struct VariableArgs {
    /// Read the variables from a JSON or YAML file
    #[arg(long, value_name = "FILE", group = "which_variables", value_hint = ValueHint::FilePath)]
    pub variables: Option<PathBuf>,
    /// The variables as a JSON object
    #[arg(long, value_name = "JSON", group = "which_variables")]
    pub variables_json: Option<String>,
    /// The variables as YAML
    #[arg(long, value_name = "YAML", group = "which_variables")]
    pub variables_yaml: Option<String>,
    /// Take variables from the environment where the flow names one in `env_var`
    #[arg(long)]
    pub env_variables: bool,
}

/// Which steps are changed for this run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Overrides")]
#[command(group(ArgGroup::new("which_overrides")))]
pub struct OverrideArgs {
    /// Read changes of steps from a JSON or YAML file: `{<step id>: {$type: merge_patch, value: {…}}}`
    #[arg(long, value_name = "FILE", group = "which_overrides", value_hint = ValueHint::FilePath)]
    pub overrides: Option<PathBuf>,
    /// The changes as JSON
    #[arg(long, value_name = "JSON", group = "which_overrides")]
    pub overrides_json: Option<String>,
    /// The changes as YAML
    #[arg(long, value_name = "YAML", group = "which_overrides")]
    pub overrides_yaml: Option<String>,
}

/// Many inputs instead of one.
#[derive(Debug, Args)]
#[command(next_help_heading = "Batches")]
pub struct BatchArgs {
    /// Run the flow on each line of this file; the result has a line for each, in their order
    #[arg(long, value_name = "FILE", group = "which_input", value_hint = ValueHint::FilePath)]
    pub inputs: Option<PathBuf>,
    /// How many runs may be under way at once
    #[arg(long, value_name = "N", default_value_t = 16, requires = "inputs", value_parser = clap::value_parser!(u16).range(1..))]
    pub max_concurrency: u16,
    /// Go on after the outcomes that --output holds already
    #[arg(long, requires = "inputs", requires = "output")]
    pub resume: bool,
}
