//! Where things are. Owns every path that a chore relies on, so that a move is one change here.

use anyhow::{Context, Result, ensure};
use std::env;
use std::path::{Path, PathBuf};

/// The generated schemas.
pub const SCHEMAS: &str = "schemas";
/// The Python SDK's folder.
pub const PYTHON_SDK: &str = "sdk/python";
/// What the Python SDK needs.
pub const SDK_PROJECT: &str = "sdk/python/pyproject.toml";
/// The exact versions of what the SDK's tools bring along, where they are kept.
pub const SDK_LOCK: &str = "sdk/python/requirements-dev.txt";
/// What the documentation site is built with.
pub const DOCS_REQUIREMENTS: &str = "docs/requirements.txt";
/// The documentation site's configuration.
pub const DOCS_CONFIG: &str = "properdocs.yml";
/// Where the documentation site is built.
pub const SITE: &str = "target/site";
/// The example that the demo runs.
pub const DEMO_FLOW: &str = "examples/hello/flow.yaml";
/// The config of the example that the demo runs.
pub const DEMO_CONFIG: &str = "examples/hello/stepflow-config.yml";
/// The input of the example that the demo runs.
pub const DEMO_INPUT: &str = "examples/hello/input.json";
/// The environment of the SDK, its tools and the site.
pub const VENV: &str = "target/venv";
/// The peers that the benchmarks measure: a workspace of their own.
pub const PEERS: &str = "benches/peers";
/// The peers in Python.
pub const PEERS_REQUIREMENTS: &str = "benches/peers/requirements.txt";
/// Where the peers in Rust are built.
pub const PEERS_TARGET: &str = "target/peers";
/// The environment of the peers in Python.
pub const VENV_PEERS: &str = "target/venv-peers";
/// The environment of the published SDK, which must keep working unmodified.
pub const VENV_PUBLISHED: &str = "target/venv-published";
/// The environment of a published MCP server in Python.
pub const VENV_MCP: &str = "target/venv-mcp";
/// The published MCP servers of the tests that run in Node.js, at versions that are written down.
pub const MCP_SERVERS: &str = "tests/mcp";
/// Where those are installed.
pub const NODE_MCP: &str = "target/node-mcp";
/// The nginx of the tests, where the system has none.
pub const NGINX: &str = "target/nginx";
/// The valgrind that counts instructions, where the system has none.
pub const VALGRIND: &str = "target/valgrind";
/// How many instructions the workloads took when that was last written down.
pub const INSTRUCTIONS: &str = "benches/instructions.toml";

/// The checkout that the chores work on.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds the workspace that this program was built from.
    pub fn find() -> Result<Self> {
        let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest_dir
            .parent()
            .context("xtask's folder has no parent")?
            .to_path_buf();
        ensure!(
            root.join("Cargo.toml").is_file(),
            "{} is not the workspace; run this as `cargo xtask` inside the checkout",
            root.display()
        );
        Ok(Self { root })
    }

    /// The folder of the workspace.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path inside the workspace.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A program that cargo built with this profile.
    pub fn built(&self, profile: &str, program: &str) -> PathBuf {
        let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        self.root.join(target).join(profile).join(program)
    }
}
