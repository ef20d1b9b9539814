//! What to start: program, arguments, environment and folder; and the error that explains why it did not start.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use crate::peer::DEFAULT_MAX_MESSAGE_BYTES;

/// The grace on each rung of the shutdown ladder, unless set otherwise.
const DEFAULT_SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// A command line with the environment and folder it runs in. Nothing is inherited but what is listed.
#[derive(Clone)]
pub struct Command {
    /// What the process is called in logs and errors.
    pub name: Arc<str>,
    /// A path, or a name that is looked up in the `PATH` of `environment`.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The folder it starts in.
    pub folder: PathBuf,
    /// The longest line taken from it, in bytes.
    pub max_message_bytes: usize,
    /// How long it may take to end at each step of a shutdown.
    pub shutdown_grace: Duration,
}

// Values of the environment may be secrets; only names are shown.
impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("Command")
            .field("program", &self.program)
            .field("n_arguments", &self.arguments.len())
            .field("environment", &names)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Command {
    /// A command with no arguments and an empty environment.
    pub fn new(name: &str, program: impl Into<OsString>, folder: impl Into<PathBuf>) -> Self {
        Command {
            name: name.into(),
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: folder.into(),
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            shutdown_grace: DEFAULT_SHUTDOWN_GRACE,
        }
    }

    pub(super) fn start(&self) -> Result<tokio::process::Child, SpawnError> {
        if !self.folder.is_dir() {
            return Err(SpawnError::NoFolder {
                folder: self.folder.clone(),
            });
        }
        let program = self.resolve()?;
        let mut command = tokio::process::Command::new(&program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Its own group: a Ctrl-C at the terminal reaches us only, and we can end all it starts.
            .process_group(0)
            .kill_on_drop(true);
        command.spawn().map_err(|source| SpawnError::Failed {
            program,
            folder: self.folder.clone(),
            source,
        })
    }

    /// The program's path: as the child's own `PATH` finds it, not as ours would.
    fn resolve(&self) -> Result<PathBuf, SpawnError> {
        let program = Path::new(&self.program);
        if program.components().count() > 1 {
            let path = self.folder.join(program);
            let found = is_executable(&path);
            return if found {
                Ok(path)
            } else {
                Err(self.not_found(None))
            };
        }
        let search = self
            .environment
            .iter()
            .find(|(name, _)| name == "PATH")
            .map(|(_, value)| value);
        let Some(search) = search else {
            return Err(self.not_found(None));
        };
        std::env::split_paths(search)
            .map(|folder| self.folder.join(folder).join(program))
            .find(|path| is_executable(path))
            .ok_or_else(|| self.not_found(Some(search.clone())))
    }

    fn not_found(&self, search: Option<OsString>) -> SpawnError {
        SpawnError::NotFound {
            program: self.program.clone(),
            folder: self.folder.clone(),
            search,
        }
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Why a process could not be started at all.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// There is no such program.
    #[error(
        "the command `{}` was not found or is not executable (folder {}{})",
        program.to_string_lossy(), folder.display(), searched(search.as_ref())
    )]
    NotFound {
        /// The program as it was given.
        program: OsString,
        /// The folder it was to start in.
        folder: PathBuf,
        /// The `PATH` that was searched, if one was.
        search: Option<OsString>,
    },
    /// The folder it was to start in does not exist.
    #[error("the folder {} does not exist", folder.display())]
    NoFolder {
        /// The folder it was to start in.
        folder: PathBuf,
    },
    /// The system refused.
    #[error("{} could not be started in {}: {source}", program.display(), folder.display())]
    Failed {
        /// The program's full path.
        program: PathBuf,
        /// The folder it was to start in.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn searched(search: Option<&OsString>) -> String {
    search.map_or_else(String::new, |search| {
        format!("; PATH searched: {}", search.to_string_lossy())
    })
}
