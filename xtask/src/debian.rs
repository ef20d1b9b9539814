//! Packages of the distribution, unpacked below `target/`: that changes nothing of the system and takes no rights on it.
//! Knows nothing of what is in them.

use crate::run;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Fetches a package and unpacks it into a folder.
pub fn unpack(package: &str, folder: &Path) -> Result<()> {
    let archive = download(package, folder)?;
    run::program("dpkg-deb", folder)
        .arg("--extract")
        .arg(&archive)
        .arg(folder)
        .output()?;
    fs::remove_file(&archive).with_context(|| format!("cannot remove {package}'s archive"))
}

/// Fetches a package into a folder. A system that has no list of packages yet gets one, where we may.
fn download(package: &str, folder: &Path) -> Result<PathBuf> {
    let fetch = || {
        run::program("apt-get", folder)
            .args(["download", "--quiet", package])
            .output()
    };
    if let Err(error) = fetch() {
        update(folder).with_context(|| format!("{error:#}"))?;
        fetch()?;
    }
    let entries = fs::read_dir(folder).context("cannot list the folder of the download")?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let archive = paths.find(|path| path.extension().is_some_and(|it| it == "deb"));
    archive.with_context(|| format!("apt-get left no archive of {package}"))
}

/// Fetches the list of packages as root, or by a sudo that asks nothing.
fn update(folder: &Path) -> Result<()> {
    let update = ["apt-get", "update", "--quiet"];
    let as_we_are = run::program(update[0], folder).args(&update[1..]).output();
    if as_we_are.is_err() {
        run::program("sudo", folder)
            .arg("-n")
            .args(update)
            .output()?;
    }
    Ok(())
}
