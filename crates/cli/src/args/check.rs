//! What can be typed after the verbs that look at a flow and start no run.

use std::path::PathBuf;

use clap::Args;
use clap::ValueEnum;
use clap::ValueHint;

use super::ConfigArg;

/// Checks a flow, a config, or both, and reports all mistakes it finds at once
///
/// Nothing is started, so what component servers offer, take and return is not known here. Exits with 2 if there is any error.
#[derive(Debug, Args)]
#[command(
    display_name = "stepflow",
    after_help = "\
Examples:
  stepflow validate flow.yaml
  stepflow validate flow.yaml --config production/stepflow-config.yml
  stepflow validate flow.yaml --format sarif > flow.sarif
  stepflow validate                                the config of the current folder"
)]
pub struct Validate {
    /// The flow, YAML or JSON
    #[arg(value_name = "FLOW", value_hint = ValueHint::FilePath)]
    flow_positional: Option<PathBuf>,
    /// The same as FLOW
    #[arg(long = "flow", value_name = "FLOW", conflicts_with = "flow_positional", value_hint = ValueHint::FilePath)]
    flow_option: Option<PathBuf>,
    #[command(flatten)]
    pub config: ConfigArg,
    /// How the report is written: for people on stderr, for programs on stdout
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: ReportFormat,
}

impl Validate {
    /// The flow, if one was given.
    pub fn flow(&self) -> Option<PathBuf> {
        self.flow_positional
            .clone()
            .or_else(|| self.flow_option.clone())
    }
}

/// How what was found is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people
    #[default]
    Pretty,
    /// One JSON object
    Json,
    /// What code hosts and editors read (SARIF 2.1.0)
    Sarif,
}

/// Explains a code: of a mistake in a flow, such as E0403, or of an error, such as -32003
#[derive(Debug, Args)]
#[command(
    display_name = "stepflow",
    after_help = "\
Examples:
  stepflow explain E0403                           a mistake, with a flow that has it and one that has not
  stepflow explain -32003                          an error of a step
  stepflow explain                                 all codes, one a line"
)]
pub struct Explain {
    /// The code; without one, all are listed
    #[arg(allow_negative_numbers = true)]
    pub code: Option<String>,
}

/// Draws a flow: its steps and what they take from each other
///
/// A line is what a step needs before it can run; a dashed one, what it may need on its way (a branch, a default).
#[derive(Debug, Args)]
#[command(
    display_name = "stepflow",
    after_help = "\
Examples:
  stepflow visualize flow.yaml                     Mermaid, which many editors and code hosts draw
  stepflow visualize flow.yaml --output flow.svg   a picture
  stepflow visualize flow.yaml --format dot | dot -Tpng > flow.png"
)]
pub struct Visualize {
    /// The flow, YAML or JSON
    #[arg(value_name = "FLOW", value_hint = ValueHint::FilePath)]
    pub flow: PathBuf,
    /// What is written; without it, the ending of --output decides (mmd, mermaid, dot, gv, svg), else Mermaid
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<DrawingFormat>,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

impl Visualize {
    /// What to write; nothing if the ending of the file leaves that open.
    pub fn format(&self) -> Option<DrawingFormat> {
        let Some(file) = self.output.as_ref().filter(|_| self.format.is_none()) else {
            return Some(self.format.unwrap_or(DrawingFormat::Mermaid));
        };
        let ending = file.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "mmd" | "mermaid" => Some(DrawingFormat::Mermaid),
            "dot" | "gv" => Some(DrawingFormat::Dot),
            "svg" => Some(DrawingFormat::Svg),
            _ => None,
        }
    }
}

/// How a flow is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DrawingFormat {
    /// Text that Markdown viewers draw
    Mermaid,
    /// Text that Graphviz draws
    Dot,
    /// A picture, drawn here
    Svg,
}

/// Prints a script that completes commands and options as you type
#[derive(Debug, Args)]
#[command(
    display_name = "stepflow",
    after_help = "\
Examples:
  stepflow completions bash > ~/.local/share/bash-completion/completions/stepflow
  stepflow completions zsh > ~/.zfunc/_stepflow
  stepflow completions fish > ~/.config/fish/completions/stepflow.fish"
)]
pub struct Completions {
    /// Which shell
    pub shell: clap_complete::Shell,
}

/// Writes a flow, a config and a component in Python to start from
///
/// No file is overwritten. The Python SDK is installed from its folder; what to type is printed.
#[derive(Debug, Args)]
#[command(
    display_name = "stepflow",
    after_help = "\
Examples:
  stepflow init hello
  stepflow init hello --sdk ~/stepflow/sdk/python"
)]
pub struct Init {
    /// Where to write; made if it is not there
    #[arg(value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,
    /// The folder of the Python SDK; it is looked for around this program and the current folder
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub sdk: Option<PathBuf>,
}

/// Prints a flow with the types of what goes into its steps and comes out of them
///
/// Types come from the schemas in the flow, and from those of built-in and mock components; with --start, from those of
/// component servers too. `any` is what nothing is known of.
#[derive(Debug, Args)]
#[command(
    display_name = "stepflow",
    after_help = "\
Examples:
  stepflow infer flow.yaml
  stepflow infer flow.yaml --start                 ask the component servers
  stepflow infer flow.yaml --format json | jq .steps"
)]
pub struct Infer {
    /// The flow, YAML or JSON
    #[arg(value_name = "FLOW", value_hint = ValueHint::FilePath)]
    pub flow: PathBuf,
    #[command(flatten)]
    pub config: ConfigArg,
    /// Start the component servers and ask for their schemas
    #[arg(long)]
    pub start: bool,
    /// The flow with comments, or the types alone
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: TypesFormat,
}

/// How types are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TypesFormat {
    /// The flow, with the types as comments
    #[default]
    Flow,
    /// One JSON object
    Json,
}
