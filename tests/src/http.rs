//! Component servers that run on their own and are reached over HTTP: their processes, the addresses they say they have, and
//! their end. Knows nothing of what is said to them.

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;

use rustix::process::Signal;
use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::environment;
use crate::environment::Python;
use crate::process;
use crate::process::Mark;
use crate::runtime;
use crate::runtime::Program;
use crate::soon;

/// A component server that runs.
#[derive(Debug)]
pub struct Server {
    /// Where it says it is.
    pub url: String,
    child: Child,
    stderr: Arc<Mutex<String>>,
    reading: JoinHandle<()>,
}

impl Server {
    /// Starts a server at a port that is free.
    pub async fn start(program: Program, home: &Path, mark: &Mark) -> Server {
        Server::start_at(0, program, home, mark).await
    }

    /// Starts a server at a port; waits until it says where it is.
    pub async fn start_at(port: u16, program: Program, home: &Path, mark: &Mark) -> Server {
        Server::start_with(port, program, &[], home, mark).await
    }

    /// The same with options that both SDKs know, such as `--instance-id`.
    pub async fn start_with(
        port: u16,
        program: Program,
        options: &[&str],
        home: &Path,
        mark: &Mark,
    ) -> Server {
        let (path, arguments) = command(program, port);
        let mut command = Command::new(path);
        command
            .args(arguments)
            .args(options)
            .current_dir(environment::workspace().join("tests/servers"))
            .env_clear()
            .envs(runtime::variables(home, mark))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        Server::spawn(command).await
    }

    /// Starts a server by a command of one's own; waits until it says where it is.
    pub async fn spawn(mut command: Command) -> Server {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stderr = Arc::default();
        let (found, url) = oneshot::channel();
        let lines = BufReader::new(child.stderr.take().unwrap());
        let reading = tokio::spawn(read(lines, Arc::clone(&stderr), found));
        let Ok(url) = soon("the server says where it is", url).await else {
            let said = stderr.lock().unwrap().clone();
            panic!("the server ended without saying where it is: {said}\n{command:?}");
        };
        Server {
            url,
            child,
            stderr,
            reading,
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it was not waited for before")
    }

    /// The port of its URL.
    pub fn port(&self) -> u16 {
        port(&self.url)
    }

    /// What it said on stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Tells it to end, and waits until it has.
    pub async fn stop(self) -> ExitStatus {
        self.end(Signal::TERM).await
    }

    /// Ends it without a word.
    pub async fn kill(self) -> ExitStatus {
        self.end(Signal::KILL).await
    }

    async fn end(mut self, signal: Signal) -> ExitStatus {
        process::kill(self.pid(), signal);
        let status = soon("the server's end", self.child.wait()).await.unwrap();
        soon("the end of its stderr", self.reading).await.unwrap();
        status
    }
}

/// The port of a URL that a server said.
pub fn port(url: &str) -> u16 {
    let host = url.split("://").nth(1).and_then(|it| it.split('/').next());
    let port = host.and_then(|host| host.rsplit(':').next());
    port.and_then(|port| port.parse().ok())
        .unwrap_or_else(|| panic!("no port in {url}"))
}

/// The program that serves over HTTP, and its arguments.
fn command(program: Program, port: u16) -> (PathBuf, Vec<OsString>) {
    let port = port.to_string();
    if program == Program::Python {
        let module = ["-m", "stepflow_sdk", "test_server:server", "--http"];
        let arguments = module.into_iter().chain(["--port", &port]);
        let python = Python::Project.interpreter();
        return (python, arguments.map(OsString::from).collect());
    }
    let (path, mut arguments) = program.command();
    if program == Program::Rust {
        arguments.push("--http".into());
    }
    arguments.extend(["--port", &port].map(OsString::from));
    (path, arguments)
}

/// Keeps what a server says, and sends the first URL in it.
async fn read(
    mut lines: BufReader<tokio::process::ChildStderr>,
    kept: Arc<Mutex<String>>,
    found: oneshot::Sender<String>,
) {
    let mut found = Some(found);
    let mut line = String::new();
    while lines.read_line(&mut line).await.is_ok_and(|n| n > 0) {
        kept.lock().unwrap().push_str(&line);
        let url = line.split_whitespace().find(|it| it.starts_with("http://"));
        if let Some(url) = url
            && let Some(found) = found.take()
        {
            // A test that failed meanwhile asks no more.
            let _ = found.send(url.to_owned());
        }
        line.clear();
    }
}
