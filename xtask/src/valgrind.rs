//! The valgrind that counts instructions. Owns where it comes from: the system has one, or Debian's package is unpacked under
//! `target/`. Knows nothing of what is counted.

use crate::debian;
use crate::run::{self, Program};
use crate::workspace::{VALGRIND, Workspace};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// What to do where there is none.
const ADVICE: &str =
    "counting instructions needs valgrind; install it (Debian: apt-get install valgrind)";

/// The program in the package, without the wrapper that looks for debugging symbols.
const PROGRAM: &str = "usr/bin/valgrind.bin";

/// Where the package keeps its tools; older releases and newer ones differ.
const LIBRARIES: [&str; 2] = ["usr/libexec/valgrind", "usr/lib/valgrind"];

/// A valgrind that starts.
pub struct Valgrind {
    place: Place,
}

enum Place {
    System,
    Unpacked,
}

impl Valgrind {
    /// Finds the system's, or the one that was unpacked before, or unpacks one.
    pub fn set_up(workspace: &Workspace) -> Result<Self> {
        let found = [Place::System, Place::Unpacked]
            .map(|place| Valgrind { place })
            .into_iter()
            .find(|valgrind| valgrind.starts(workspace));
        match found {
            Some(valgrind) => Ok(valgrind),
            None => unpack(workspace).context(ADVICE),
        }
    }

    /// Prepares it to run in the workspace.
    pub fn program(&self, workspace: &Workspace) -> Program {
        let folder = workspace.path(VALGRIND);
        match self.place {
            Place::System => run::program("valgrind", workspace.root()),
            Place::Unpacked => run::program(folder.join(PROGRAM), workspace.root())
                .env("VALGRIND_LIB", libraries(&folder)),
        }
    }

    /// Starts a program under the tool that counts: that is there, and fits the system.
    fn starts(&self, workspace: &Workspace) -> bool {
        self.program(workspace)
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "true"])
            .output()
            .is_ok()
    }
}

fn libraries(folder: &Path) -> PathBuf {
    let [first, other] = LIBRARIES.map(|path| folder.join(path));
    if first.is_dir() { first } else { other }
}

fn unpack(workspace: &Workspace) -> Result<Valgrind> {
    let folder = workspace.path(VALGRIND);
    eprintln!("setting up {VALGRIND} from the distribution's package");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove the stale {VALGRIND}"))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {VALGRIND}"))?;
    debian::unpack("valgrind", &folder)?;
    let valgrind = Valgrind {
        place: Place::Unpacked,
    };
    anyhow::ensure!(
        valgrind.starts(workspace),
        "the package's program does not start here"
    );
    Ok(valgrind)
}
