//! What cargo says of the workspace, in the few fields that the chores need.

use crate::run;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::env;
use std::path::{Path, PathBuf};

/// The platforms that Stepflow is built for; packages for others are not looked at.
const PLATFORMS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-apple-darwin"];

/// `cargo metadata`.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// The workspace's packages, and those it depends on when they were asked for.
    pub packages: Vec<Package>,
    /// The resolved graph, when it was asked for.
    pub resolve: Option<Resolve>,
    /// Where cargo builds.
    pub target_directory: PathBuf,
}

/// One package.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence as an SPDX expression.
    pub license: Option<String>,
    /// What its `Cargo.toml` asks for, of every kind.
    pub dependencies: Vec<Dependency>,
}

/// One dependency as a `Cargo.toml` states it.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    /// The name of the package.
    pub name: String,
    /// Its folder, where it is one of ours.
    pub path: Option<PathBuf>,
}

/// The resolved graph.
#[derive(Debug, Deserialize)]
pub struct Resolve {
    /// One node a package.
    pub nodes: Vec<Node>,
}

/// One package of the resolved graph.
#[derive(Debug, Deserialize)]
pub struct Node {
    /// Cargo's id of the package, which holds name and version.
    pub id: String,
    /// The features that someone in the graph enabled.
    pub features: Vec<String>,
}

impl Metadata {
    /// Reads only what the workspace's own manifests say; resolves and fetches nothing.
    pub fn of_manifests(folder: &Path) -> Result<Self> {
        Self::read(folder, &["--no-deps"])
    }

    /// Reads the whole graph of dependencies.
    pub fn of_graph(folder: &Path) -> Result<Self> {
        let filters: Vec<&str> = PLATFORMS
            .iter()
            .flat_map(|platform| ["--filter-platform", platform])
            .collect();
        Self::read(folder, &filters)
    }

    fn read(folder: &Path, arguments: &[&str]) -> Result<Self> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let text = run::program(cargo, folder)
            .args(["metadata", "--format-version", "1"])
            .args(arguments)
            .output()?;
        serde_json::from_str(&text).context("cannot read what `cargo metadata` wrote")
    }
}
