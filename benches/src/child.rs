//! How the other sides are started.

use std::ffi::OsString;
use std::path::Path;

/// A program and its arguments.
#[derive(Clone, Debug)]
pub struct Other {
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl Other {
    /// This program, playing a part.
    pub fn ours(mode: &str) -> anyhow::Result<Other> {
        let program = std::env::current_exe()?.into();
        Ok(Other {
            program,
            arguments: vec!["--serve".into(), mode.into()],
        })
    }

    /// A Python program.
    pub fn python(python: &Path, script: &str) -> Other {
        Other {
            program: python.into(),
            arguments: vec!["-c".into(), script.into()],
        }
    }
}

/// The environment that is passed on: what Python needs to find itself.
pub fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os()
        .filter(|(name, _)| name == "PATH" || name == "HOME" || name == "VIRTUAL_ENV")
        .collect()
}
