//! Parts → a runtime: store, plugins, engine.

use std::sync::Arc;

use stepflow_components::Plugins;
use stepflow_engine::Engine;
use stepflow_store::Store;

use crate::config::Config;
use crate::report::CliError;

/// Everything a run needs. End it with [`Runtime::shut_down`].
#[derive(Debug)]
pub struct Runtime {
    /// Starts runs.
    pub engine: Engine,
    /// Runs components.
    pub plugins: Plugins,
}

/// Puts the parts together; no component server is started yet. Must be called inside the async runtime.
pub fn assemble(config: Config) -> Result<Runtime, CliError> {
    let store = Store::memory();
    let plugins = Plugins::new(config.components, store.clone()).map_err(|errors| {
        let all: Vec<_> = errors.iter().map(ToString::to_string).collect();
        CliError::invalid(format!(
            "the routes of the config cannot be used: {}",
            all.join("; ")
        ))
    })?;
    let engine = Engine::new(store, Arc::new(plugins.clone()), config.engine);
    Ok(Runtime { engine, plugins })
}

impl Runtime {
    /// Ends all component servers and waits until they are gone.
    pub async fn shut_down(self) {
        self.plugins.shut_down().await;
    }
}
