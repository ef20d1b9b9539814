//! The Python environments under `target/`. Owns how they are made and when they are made again;
//! knows nothing of what is tested in them.

use crate::run;
use crate::workspace::{
    DOCS_REQUIREMENTS, PEERS_REQUIREMENTS, PYTHON_SDK, SDK_LOCK, SDK_PROJECT, VENV, VENV_MCP,
    VENV_PEERS, VENV_PUBLISHED, Workspace,
};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The published SDK that must keep working with our runtime, over both transports.
const PUBLISHED: &str = "stepflow-py[http]==0.4.0";

/// The SDK for MCP servers that ours must work with.
const MCP: &str = "mcp==2.3.0";

/// Names under which a fitting Python may be found, best first.
const INTERPRETERS: [&str; 6] = [
    "python3",
    "python3.14",
    "python3.13",
    "python3.12",
    "python3.11",
    "python3.10",
];

/// The oldest Python that the SDK supports.
const OLDEST: (u32, u32) = (3, 10);

/// Prints the version and whether the parts that make an environment are there.
const PROBE: &str = "import sys, importlib.util as u; \
    print(sys.version_info[0], sys.version_info[1], sys.executable, \
    all(u.find_spec(name) for name in ('venv', 'ensurepip')), sep='\\t')";

/// Written last into an environment: what it was made from.
const STAMP: &str = "made-from.txt";

/// An environment that chores run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// The SDK of this checkout with its tools, and what builds the site.
    Project,
    /// The published SDK, alone.
    Published,
    /// The published SDK for MCP servers, alone.
    Mcp,
    /// Other people's programs that the benchmarks measure.
    Peers,
}

impl Environment {
    /// Every environment that tests need.
    pub const ALL: &'static [Self] = &[Self::Project, Self::Published, Self::Mcp];

    fn folder(self) -> &'static str {
        match self {
            Self::Project => VENV,
            Self::Published => VENV_PUBLISHED,
            Self::Mcp => VENV_MCP,
            Self::Peers => VENV_PEERS,
        }
    }

    /// What to install, as arguments of pip.
    fn requirements(self, workspace: &Workspace) -> Vec<String> {
        match self {
            Self::Project => {}
            Self::Published => return vec![PUBLISHED.into()],
            Self::Mcp => return vec![MCP.into()],
            Self::Peers => return vec!["--requirement".into(), PEERS_REQUIREMENTS.into()],
        }
        let sdk = format!("{PYTHON_SDK}[dev,http]");
        let mut requirements = vec![
            "--requirement".into(),
            DOCS_REQUIREMENTS.into(),
            "--editable".into(),
            sdk,
        ];
        if workspace.path(SDK_LOCK).is_file() {
            requirements.extend(["--constraint".into(), SDK_LOCK.into()]);
        }
        requirements
    }

    /// The files whose change makes the environment stale; those that are not there are passed
    /// over, and pip tells of one that it needs.
    fn inputs(self) -> &'static [&'static str] {
        match self {
            Self::Project => &[DOCS_REQUIREMENTS, SDK_PROJECT, SDK_LOCK],
            Self::Published | Self::Mcp => &[],
            Self::Peers => &[PEERS_REQUIREMENTS],
        }
    }
}

/// Makes the environments that are missing or stale; the others cost nothing.
pub fn set_up(workspace: &Workspace, environments: &[Environment]) -> Result<()> {
    let mut interpreter = None;
    for &environment in environments {
        let inputs = read_inputs(workspace, environment)?;
        let stamp = workspace.path(environment.folder()).join(STAMP);
        if fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == inputs)
            && works(workspace, environment)
        {
            continue;
        }
        let interpreter = match &interpreter {
            Some(found) => found,
            None => interpreter.insert(find_interpreter(workspace)?),
        };
        make(workspace, environment, interpreter)?;
        fs::write(&stamp, inputs).with_context(|| format!("cannot write {}", stamp.display()))?;
    }
    Ok(())
}

/// Everything an environment is made from, as text: compared whole, so that no hash can collide
/// and a person can see what changed.
fn read_inputs(workspace: &Workspace, environment: Environment) -> Result<String> {
    let mut inputs = environment.requirements(workspace).join(" ");
    for file in environment.inputs() {
        let path = workspace.path(file);
        match fs::read_to_string(&path) {
            Ok(text) => inputs.push_str(&format!("\n== {file}\n{text}")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {file}")),
        }
    }
    Ok(inputs)
}

/// Whether the environment's Python still starts: the one it was made from may be gone.
fn works(workspace: &Workspace, environment: Environment) -> bool {
    let python = workspace.path(environment.folder()).join("bin/python");
    run::program(python, workspace.root())
        .args(["-c", "pass"])
        .output()
        .is_ok()
}

fn make(workspace: &Workspace, environment: Environment, interpreter: &Path) -> Result<()> {
    let folder = environment.folder();
    let path = workspace.path(folder);
    eprintln!("setting up {folder} with {}", interpreter.display());
    if path.exists() {
        fs::remove_dir_all(&path).with_context(|| format!("cannot remove the stale {folder}"))?;
    }
    run::program(interpreter, workspace.root())
        .args(["-m", "venv"])
        .arg(&path)
        .output()
        .with_context(|| format!("cannot make {folder}"))?;
    run::program(path.join("bin/python"), workspace.root())
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(environment.requirements(workspace))
        .output()
        .with_context(|| format!("cannot install packages into {folder}"))?;
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    version: (u32, u32),
    executable: PathBuf,
    can_make_environments: bool,
}

fn find_interpreter(workspace: &Workspace) -> Result<PathBuf> {
    let mut incomplete = None;
    let mut too_old = Vec::new();
    for name in INTERPRETERS {
        // A name that is not there, or a shim that leads nowhere, is no candidate.
        let Ok(answer) = run::program(name, workspace.root())
            .args(["-c", PROBE])
            .output()
        else {
            continue;
        };
        let found = parse_probe(&answer)
            .with_context(|| format!("{name} did not say its version, but {answer:?}"))?;
        if found.version < OLDEST {
            too_old.push(format!("{name} is {}.{}", found.version.0, found.version.1));
        } else if !found.can_make_environments {
            incomplete.get_or_insert(found);
        } else {
            return Ok(found.executable);
        }
    }
    if let Some(found) = incomplete {
        let (major, minor) = found.version;
        bail!(
            "{} cannot make environments: its modules venv and ensurepip are missing; \
             on Debian: apt-get install python{major}.{minor}-venv",
            found.executable.display()
        );
    }
    bail!(
        "no Python {}.{} or newer in PATH{}{}; on Debian: apt-get install python3 python3-venv",
        OLDEST.0,
        OLDEST.1,
        if too_old.is_empty() { "" } else { ": " },
        too_old.join(", ")
    )
}

fn parse_probe(answer: &str) -> Option<Found> {
    let mut fields = answer.trim().split('\t');
    let found = Found {
        version: (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?),
        executable: PathBuf::from(fields.next()?),
        can_make_environments: fields.next()? == "True",
    };
    fields.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_tells_version_place_and_parts() {
        let found = parse_probe("3\t11\t/usr/bin/python3\tFalse\n").unwrap();
        assert_eq!(found.version, (3, 11));
        assert_eq!(found.executable, Path::new("/usr/bin/python3"));
        assert!(!found.can_make_environments);
        assert_eq!(parse_probe("Python 2.7"), None);
    }

    #[test]
    fn versions_compare_as_numbers() {
        let found = parse_probe("3\t9\t/usr/bin/python3\tTrue").unwrap();
        assert!(found.version < OLDEST);
    }
}
