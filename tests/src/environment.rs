//! Where the programs are that tests start. A program that is missing fails the test with the command that makes it;
//! nothing is skipped silently.

use std::path::Path;
use std::path::PathBuf;

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package has a folder of its own")
}

/// A Python environment that `cargo xtask setup` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Python {
    /// With the SDK of this checkout.
    Project,
    /// With a published SDK, unmodified.
    Published,
}

impl Python {
    /// Its interpreter.
    pub fn interpreter(self) -> PathBuf {
        let folder = match self {
            Python::Project => "target/venv",
            Python::Published => "target/venv-published",
        };
        let path = workspace().join(folder).join("bin/python");
        assert!(
            path.exists(),
            "the Python environment {folder} is missing: run `cargo xtask setup` first"
        );
        path
    }
}

/// A file of a component server in `tests/servers`.
pub fn server_file(name: &str) -> PathBuf {
    let path = workspace().join("tests/servers").join(name);
    assert!(path.exists(), "{} is missing", path.display());
    path
}

/// The test server in Rust.
pub fn test_server() -> PathBuf {
    built("test-server", "stepflow-tests")
}

/// The program `stepflow`.
pub fn stepflow() -> PathBuf {
    built("stepflow", "stepflow")
}

/// A program of the workspace: cargo puts tests into a folder below the one of the programs.
fn built(name: &str, package: &str) -> PathBuf {
    let this = std::env::current_exe().expect("a test knows its own program");
    let folder = this
        .parent()
        .and_then(Path::parent)
        .expect("tests are built into a folder of a folder");
    let path = folder.join(name);
    assert!(
        path.exists(),
        "the program {name} is not built: run `cargo build --package {package} --bins` first"
    );
    path
}
