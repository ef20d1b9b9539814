//! The published MCP servers that tests run in Node.js. Owns where they are installed and when that is done again; knows
//! nothing of what is tested with them.

use crate::run;
use crate::workspace::{MCP_SERVERS, NODE_MCP, Workspace};
use anyhow::{Context, Result};
use std::{env, fs};

/// Says that tests which need Node.js are to be passed over; the tests read it too.
const WITHOUT: &str = "STEPFLOW_WITHOUT_NODE";

/// What npm installs from: what is wanted, and the exact versions of all that it brings along.
const FILES: [&str; 2] = ["package.json", "package-lock.json"];

/// Written last: what was installed.
const STAMP: &str = "made-from.txt";

/// Installs the servers unless they are there. Where that cannot be done the tests say so themselves, so it is no error here.
pub fn set_up(workspace: &Workspace) {
    if env::var_os(WITHOUT).is_some() {
        return;
    }
    if let Err(error) = install(workspace) {
        eprintln!(
            "the MCP servers for Node.js cannot be installed: {error:#}\n\
             install Node.js 20 with npm (Debian: apt-get install nodejs npm), or set {WITHOUT}=1 to pass those tests over"
        );
    }
}

fn install(workspace: &Workspace) -> Result<()> {
    let folder = workspace.path(NODE_MCP);
    let mut wanted = Vec::new();
    for file in FILES {
        let path = workspace.path(MCP_SERVERS).join(file);
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        wanted.push((file, text));
    }
    let made_from: String = wanted.iter().map(|(_, text)| text.as_str()).collect();
    let stamp = folder.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|found| found == made_from) {
        return Ok(());
    }
    eprintln!("setting up {NODE_MCP} with npm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {NODE_MCP}"))?;
    for (file, text) in &wanted {
        fs::write(folder.join(file), text)
            .with_context(|| format!("cannot write {NODE_MCP}/{file}"))?;
    }
    // Exactly what the lock says; no package gets to run anything at its installation.
    run::program("npm", &folder)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .output()
        .context("cannot install the packages")?;
    fs::write(&stamp, made_from).with_context(|| format!("cannot write {}", stamp.display()))
}
