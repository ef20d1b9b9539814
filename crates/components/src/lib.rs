//! Every way to run a component: where the engine meets the protocol.
//!
//! Owns routing, the plugins behind it, the processes and connections behind those, and what component servers may call
//! back. Must not know how a run is scheduled, nor read the environment, configuration files or the command line: all of
//! that comes in as [`Options`].
//!
//! # Layout
//!
//! - [`options`]: what the configuration says, as plain data
//! - [`routes`]: from a component's path to a plugin and the name the plugin knows it by
//! - [`plugins`]: the port that the engine calls; finds the plugin, checks input and output
//! - [`remote`]: component servers: sessions, calls, call backs
//! - `supervisor`, `pool`, `launch`: what keeps servers of any kind alive, spreads calls over them, starts their processes
//! - [`mcp`]: MCP servers, whose tools are components
//! - [`builtin`]: the components that come with the runtime, one file each
//! - [`subflows`]: flows that a step runs, for built-ins and call backs
//! - [`mock`]: components with fixed answers, for tests
//! - [`schemas`]: inputs and outputs against what a component says of itself

pub mod builtin;
mod launch;
pub mod mcp;
pub mod mock;
pub mod options;
pub mod plugins;
mod pool;
pub mod remote;
pub mod routes;
pub mod schemas;
pub mod subflows;
mod supervisor;
mod web_client;

pub use options::Options;
pub use plugins::Plugins;
