//! The nginx that tests put in front of component servers. Owns where it comes from: the system has one, or Debian's package is
//! unpacked under `target/`, where it changes nothing of the system and starts no service. Knows nothing of what is tested.

use crate::debian;
use crate::run;
use crate::workspace::{NGINX, Workspace};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Says that tests which need nginx are to be passed over; the tests read it too.
const WITHOUT: &str = "STEPFLOW_WITHOUT_NGINX";

/// The packages that may hold the program: which one does depends on the distribution.
const PACKAGES: [&str; 2] = ["nginx", "nginx-core"];

/// Where the program is in such a package.
const PROGRAM: &str = "usr/sbin/nginx";

/// Folders of programs that a user's PATH may lack.
const FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"];

/// Makes nginx available to the tests. Where that cannot be done they say so themselves, so it is no error here.
pub fn set_up(workspace: &Workspace) {
    if env::var_os(WITHOUT).is_some() || is_there(workspace) {
        return;
    }
    if let Err(error) = unpack(workspace) {
        eprintln!(
            "there is no nginx, and the tests behind a load balancer need one: {error:#}\n\
             install it (Debian: apt-get install nginx; macOS: brew install nginx), or set {WITHOUT}=1 to pass those tests over"
        );
    }
}

fn is_there(workspace: &Workspace) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_the_system = env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
    on_the_system
        .map(|folder| folder.join("nginx"))
        .chain([workspace.path(NGINX).join(PROGRAM)])
        .any(|program| program.is_file() && starts(workspace, &program))
}

fn starts(workspace: &Workspace, program: &Path) -> bool {
    let version = run::program(program, workspace.root()).arg("-v");
    version.output().is_ok()
}

/// Fetches the package and unpacks it; that takes no rights on the system.
fn unpack(workspace: &Workspace) -> Result<()> {
    let folder = workspace.path(NGINX);
    eprintln!("setting up {NGINX} from the distribution's package");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove the stale {NGINX}"))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {NGINX}"))?;
    for package in PACKAGES {
        debian::unpack(package, &folder)?;
        if folder.join(PROGRAM).is_file() {
            break;
        }
    }
    if !starts(workspace, &folder.join(PROGRAM)) {
        bail!("the package's program does not start here; a library that it needs may be missing");
    }
    Ok(())
}
