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
    /// With a published SDK for MCP servers.
    Mcp,
}

impl Python {
    /// Its interpreter.
    pub fn interpreter(self) -> PathBuf {
        let folder = match self {
            Python::Project => "target/venv",
            Python::Published => "target/venv-published",
            Python::Mcp => "target/venv-mcp",
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

/// A file of `examples`.
pub fn example(name: &str) -> PathBuf {
    let path = workspace().join("examples").join(name);
    assert!(path.exists(), "{} is missing", path.display());
    path
}

/// The interpreter of JavaScript.
pub fn node() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut programs = std::env::split_paths(&path).map(|folder| folder.join("node"));
    programs.find(|program| program.is_file()).expect(
        "there is no `node` in PATH: install Node.js 20 or newer (Debian: apt-get install nodejs)",
    )
}

/// Says that tests which need packages for Node.js are passed over where there are none.
const WITHOUT_NODE: &str = "STEPFLOW_WITHOUT_NODE";

/// The folder of the published MCP servers for Node.js; `None` where the environment says to do without.
#[expect(
    clippy::print_stdout,
    reason = "what is passed over is said to whoever reads the output of a test"
)]
pub fn node_modules() -> Option<PathBuf> {
    let folder = workspace().join("target/node-mcp/node_modules");
    if !folder.is_dir() && std::env::var_os(WITHOUT_NODE).is_some() {
        println!("passed over: there are no packages for Node.js, and {WITHOUT_NODE} is set");
        return None;
    }
    assert!(
        folder.is_dir(),
        "{} is missing: run `cargo xtask setup` first; {WITHOUT_NODE}=1 passes the tests over that need it",
        folder.display()
    );
    Some(folder)
}

/// The test server in Rust.
pub fn test_server() -> PathBuf {
    built("test-server", "stepflow-tests")
}

/// The program `stepflow`.
pub fn stepflow() -> PathBuf {
    built("stepflow", "stepflow")
}

/// Says that tests which need nginx are passed over where there is none.
const WITHOUT_NGINX: &str = "STEPFLOW_WITHOUT_NGINX";

/// The system's nginx, or the one that `cargo xtask setup` unpacked; `None` where the environment says to do without.
#[expect(
    clippy::print_stdout,
    reason = "what is passed over is said to whoever reads the output of a test"
)]
pub fn nginx() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"].map(PathBuf::from))
        .chain([workspace().join("target/nginx/usr/sbin")]);
    let found = folders
        .map(|folder| folder.join("nginx"))
        .find(|program| program.is_file());
    if found.is_none() && std::env::var_os(WITHOUT_NGINX).is_some() {
        println!("passed over: there is no nginx, and {WITHOUT_NGINX} is set");
        return None;
    }
    assert!(
        found.is_some(),
        "there is no nginx: run `cargo xtask setup`, or install it (Debian: apt-get install nginx; macOS: brew install nginx); \
         {WITHOUT_NGINX}=1 passes the tests over that need it"
    );
    found
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
