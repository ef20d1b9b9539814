//! Where a config is looked for when none is named.

use std::path::Path;
use std::path::PathBuf;

use crate::report::CliError;

/// What a config may be called.
const NAMES: &[&str] = &[
    "stepflow-config.yml",
    "stepflow-config.yaml",
    "stepflow_config.yml",
    "stepflow_config.yaml",
];

/// What a config for tests alone may be called.
const NAMES_FOR_TEST: &[&str] = &["stepflow-config.test.yml", "stepflow-config.test.yaml"];

/// The config for tests beside the flow, else the usual one.
pub fn find_for_test(flow: &Path) -> Result<Option<PathBuf>, CliError> {
    let folder = flow.parent().unwrap_or(Path::new(""));
    match find_in(folder, NAMES_FOR_TEST)? {
        Some(found) => Ok(Some(found)),
        None => find(Some(flow)),
    }
}

/// The config beside the flow, else the one in the current folder.
pub fn find(flow: Option<&Path>) -> Result<Option<PathBuf>, CliError> {
    let beside = flow.map(|flow| flow.parent().unwrap_or(Path::new("")));
    if let Some(folder) = beside
        && let Some(found) = find_in(folder, NAMES)?
    {
        return Ok(Some(found));
    }
    find_in(Path::new(""), NAMES)
}

fn find_in(folder: &Path, names: &[&str]) -> Result<Option<PathBuf>, CliError> {
    let mut found = names
        .iter()
        .map(|name| folder.join(name))
        .filter(|path| path.is_file());
    let first = found.next();
    match (&first, found.next()) {
        (Some(first), Some(second)) => {
            let message = format!(
                "there are two configs: {} and {}",
                first.display(),
                second.display()
            );
            Err(CliError::usage(message).hint("remove one, or say which with --config"))
        }
        _ => Ok(first),
    }
}
