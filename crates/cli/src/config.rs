//! The config file → options for components and engine. Owns its keys; reads nothing but the file and the environment
//! that it is given.

mod discover;
pub mod http;
mod mcp;
mod mock;
mod plugins;
mod read;
mod routes;
mod shapes;
mod substitute;

pub use shapes::json_schema;

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use stepflow_components::Options;
use stepflow_components::options::LoadFile;
use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::document;
use stepflow_flow::document::Node;
use stepflow_flow::document::Source;

use crate::environment::Environment;
use crate::report::CliError;
use crate::report::Found;
use crate::report::diagnostics;
use crate::report::words;
use crate::secrets::Secrets;

/// What a config says.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it was read, if it was: the built-ins need no file.
    pub file: Option<PathBuf>,
    /// Plugins, routes, checks.
    pub components: Options,
    /// Limits and retries.
    pub engine: stepflow_engine::Options,
}

/// A config file and everything that was found in it.
#[derive(Debug)]
pub struct Loaded {
    /// The config, if there is no error.
    pub config: Option<Config>,
    /// What was found; `None` when there is no file.
    pub found: Option<Found>,
}

impl Loaded {
    fn set_file(&mut self, path: &Path) {
        if let Some(config) = &mut self.config {
            config.file = Some(path.to_owned());
        }
    }

    /// The config and what else was found, or all of that as an error.
    pub fn into_config(self) -> Result<(Config, Option<Found>), CliError> {
        match (self.config, self.found) {
            (Some(config), found) => Ok((config, found)),
            (None, None) => Err(CliError::internal("a config was neither read nor refused")),
            (None, Some(found)) => {
                let count = diagnostics::count(std::slice::from_ref(&found));
                let message = format!("the config {} cannot be used: {count}", found.source.name());
                Err(CliError::invalid(message).found(found))
            }
        }
    }
}

/// Reads the named config, else the one beside the flow, else the one in the current folder; else there are the built-ins.
pub fn load(
    named: Option<&Path>,
    flow: Option<&Path>,
    environment: &Environment,
    secrets: &Secrets,
) -> Result<Loaded, CliError> {
    let path = match named {
        Some(named) => Some(named.to_owned()),
        None => discover::find(flow)?,
    };
    load_file(path, environment, secrets, |_| {})
}

/// The config that a flow is tested with: the one that its tests bring, else `stepflow-config.test.yml` beside it, else the
/// usual one. `prepare` may change the document before it is read.
pub fn load_for_test(
    named: Option<&Path>,
    flow: &Path,
    inline: Option<(&Arc<Source>, &Node)>,
    environment: &Environment,
    secrets: &Secrets,
    prepare: impl FnOnce(&mut Node),
) -> Result<Loaded, CliError> {
    if let (None, Some((source, node))) = (named, inline) {
        let mut node = node.clone();
        prepare(&mut node);
        let folder = environment.folder.join(flow);
        let folder = folder.parent().unwrap_or(&environment.folder);
        let diagnostics = Diagnostics::new(source);
        let mut loaded = read::read(Some(node), diagnostics, folder, environment, secrets);
        loaded.set_file(flow);
        return Ok(loaded);
    }
    let path = match named {
        Some(named) => Some(named.to_owned()),
        None => discover::find_for_test(flow)?,
    };
    load_file(path, environment, secrets, prepare)
}

fn load_file(
    path: Option<PathBuf>,
    environment: &Environment,
    secrets: &Secrets,
    prepare: impl FnOnce(&mut Node),
) -> Result<Loaded, CliError> {
    let Some(path) = path else {
        return Ok(Loaded {
            config: Some(Config::without_file(environment)),
            found: None,
        });
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| words::unreadable("the config", &path, error))?;
    let source = Source::new(&path.display().to_string(), text);
    let folder = environment.folder.join(&path);
    let folder = folder.parent().unwrap_or(&environment.folder);
    let mut loaded = read_text(&source, folder, environment, secrets, prepare);
    loaded.set_file(&path);
    Ok(loaded)
}

fn read_text(
    source: &Arc<Source>,
    folder: &Path,
    environment: &Environment,
    secrets: &Secrets,
    prepare: impl FnOnce(&mut Node),
) -> Loaded {
    let mut diagnostics = Diagnostics::new(source);
    let mut node = document::read(source, &mut diagnostics);
    if let Some(node) = &mut node {
        prepare(node);
    }
    read::read(node, diagnostics, folder, environment, secrets)
}

impl Config {
    /// The built-ins, under `/builtin/{*component}`.
    pub fn without_file(environment: &Environment) -> Config {
        let load_file = LoadFile {
            folder: environment.folder.clone(),
            allow: Vec::new(),
        };
        Config {
            file: None,
            components: Options {
                load_file,
                ..Options::default()
            },
            engine: stepflow_engine::Options::default(),
        }
    }
}

#[cfg(test)]
mod tests;
