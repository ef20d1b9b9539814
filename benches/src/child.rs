//! How the other sides are started and what they are given; their memory; their end.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context;
use stepflow_rpc::transport::http::client::Url;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncRead;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::ChildStdin;
use tokio::sync::OnceCell;

use crate::serve::Mode;

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
    pub fn ours(mode: Mode) -> anyhow::Result<Other> {
        let program = std::env::current_exe()?.into();
        Ok(Other {
            program,
            arguments: vec!["--serve".into(), mode.name().into()],
        })
    }

    /// A Python program.
    pub fn python(python: &Path, script: &str) -> Other {
        Other {
            program: python.into(),
            arguments: vec!["-c".into(), script.into()],
        }
    }

    /// The same with one more argument.
    pub fn argument(mut self, argument: impl Into<OsString>) -> Other {
        self.arguments.push(argument.into());
        self
    }

    /// Its process, with pipes at stdin and stdout, that ends with its handle at the latest.
    pub fn command(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(environment())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

/// The environment that is passed on: what Python needs to find itself, and nothing that could make a peer call home.
pub fn environment() -> Vec<(OsString, OsString)> {
    let inherited = std::env::vars_os()
        .filter(|(name, _)| name == "PATH" || name == "HOME" || name == "VIRTUAL_ENV");
    let quiet = [
        ("DO_NOT_TRACK", "1"),
        ("LANGCHAIN_TRACING_V2", "false"),
        ("LANGSMITH_TRACING", "false"),
        ("OTEL_SDK_DISABLED", "true"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
    ];
    inherited
        .chain(quiet.map(|(name, value)| (name.into(), value.into())))
        .collect()
}

/// A server over HTTP, started when it is first needed.
#[derive(Clone, Debug)]
pub struct Web {
    other: Other,
    server: Arc<OnceCell<Running>>,
}

/// It ends when its stdin does.
#[derive(Debug)]
struct Running {
    url: Url,
    pid: u32,
    _child: Child,
    _stdin: Option<ChildStdin>,
}

impl Web {
    /// A program that says on stderr where it serves.
    pub fn new(other: Other) -> Self {
        Web {
            other,
            server: Arc::default(),
        }
    }

    /// Where it is.
    pub async fn url(&self) -> anyhow::Result<Url> {
        Ok(self.running().await?.url.clone())
    }

    /// Its process.
    pub async fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.running().await?.pid)
    }

    async fn running(&self) -> anyhow::Result<&Running> {
        self.server.get_or_try_init(|| start(&self.other)).await
    }
}

async fn start(other: &Other) -> anyhow::Result<Running> {
    let mut child = other
        .command()
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", other.program.display()))?;
    let stderr = child.stderr.take().context("stderr is piped")?;
    Ok(Running {
        url: announced(stderr).await?,
        pid: child.id().context("the server ended")?,
        _stdin: child.stdin.take(),
        _child: child,
    })
}

/// The first URL in what a server says; the rest is read and forgotten.
async fn announced(said: impl AsyncRead + Unpin + Send + 'static) -> anyhow::Result<Url> {
    let mut lines = BufReader::new(said).lines();
    let mut before = String::new();
    while let Some(line) = lines.next_line().await? {
        let url = line.split_whitespace().find(|it| it.starts_with("http://"));
        if let Some(url) = url {
            let url = Url::parse(url)?;
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(url);
        }
        before.push_str(&line);
        before.push('\n');
    }
    anyhow::bail!("the server ended without saying where it is: {before}")
}

/// The most memory that a process had resident so far, in megabytes.
pub fn peak_memory(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path)
        .with_context(|| format!("the memory of a process is read from {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    let kilobytes: f64 = kilobytes
        .context("the process has ended")?
        .parse()
        .context("VmHWM is a number")?;
    Ok(kilobytes * 1024.0 / 1e6)
}
