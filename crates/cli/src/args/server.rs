//! The flags that name one component server: how it is started, or how it is reached. Shared by the commands that need no config.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::ValueHint;

/// How a server is started.
#[derive(Debug, Args)]
#[command(next_help_heading = "A server that is started")]
pub struct StartArgs {
    /// Set a variable of its environment, or pass on ours of that name; may be given several times
    #[arg(long, value_name = "NAME[=VALUE]", conflicts_with = "url")]
    pub env: Vec<String>,
    /// The folder it starts in
    #[arg(long, value_name = "FOLDER", conflicts_with = "url", value_hint = ValueHint::DirPath)]
    pub cwd: Option<PathBuf>,
}

/// How a server is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "A server that runs already")]
pub struct HttpArgs {
    /// Send this header with every request; its value is never shown
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "command")]
    pub header: Vec<String>,
    /// Send the token in this file; it is never shown
    #[arg(long, value_name = "FILE", conflicts_with = "command", value_hint = ValueHint::FilePath)]
    pub bearer_token_file: Option<PathBuf>,
    /// Trust the certificates in this PEM file too
    #[arg(long, value_name = "FILE", conflicts_with = "command", value_hint = ValueHint::FilePath)]
    pub ca: Option<PathBuf>,
}

/// A time as flags have it: `500ms`, `10s`.
pub fn duration(text: &str) -> Result<Duration, String> {
    match stepflow_flow::duration::parse(text) {
        Ok(time) if time.is_zero() => Err("it must be longer than no time at all".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}
