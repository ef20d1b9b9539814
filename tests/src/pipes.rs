//! A server as a stranger meets it, byte by byte over stdin and stdout. Owns the process and its pipes; knows of the
//! protocol only how to shake hands.

use std::process::Stdio;

use stepflow_flow::value::Value;
use tempfile::TempDir;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::ChildStdin;
use tokio::process::ChildStdout;
use tokio::process::Command;

use crate::process::Mark;
use crate::runtime;
use crate::runtime::Program;
use crate::soon;
use crate::value;

/// A server that was started, and the test at the other ends of its pipes.
#[derive(Debug)]
pub struct Server {
    /// Its process.
    pub child: Child,
    stdin: Option<ChildStdin>,
    /// What it writes, unless the test has let go of it.
    pub stdout: Option<BufReader<ChildStdout>>,
    /// Its home folder.
    pub home: TempDir,
    /// The mark on its processes.
    pub mark: Mark,
}

impl Server {
    /// Starts it, and says nothing to it.
    pub fn start(program: Program) -> Server {
        let home = TempDir::new().unwrap();
        let mark = Mark::default();
        let (path, arguments) = program.command();
        let mut child = Command::new(path)
            .args(arguments)
            .env_clear()
            .envs(runtime::variables(home.path(), &mark))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().map(BufReader::new);
        Server {
            child,
            stdin,
            stdout,
            home,
            mark,
        }
    }

    /// Starts it and shakes hands, as the plugin `it`.
    pub async fn greeted(program: Program) -> Server {
        let mut server = Server::start(program);
        server
            .write(b"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"runtime_protocol_version\":1,\"protocol_prefix\":\"it\"}}\n")
            .await;
        server.read().await;
        server
            .write(b"{\"jsonrpc\":\"2.0\",\"method\":\"initialized\",\"params\":{}}\n")
            .await;
        server
    }

    /// Writes bytes to its stdin.
    pub async fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        soon("the server reads", stdin.write_all(bytes))
            .await
            .unwrap();
    }

    /// Reads one line, a message.
    pub async fn read(&mut self) -> Value {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().unwrap();
        soon("the server writes", stdout.read_line(&mut line))
            .await
            .unwrap();
        value(&line)
    }

    /// Sends a ping and reads its answer: nothing else was answered before.
    pub async fn ping(&mut self) {
        self.write(b"{\"jsonrpc\":\"2.0\",\"id\":\"ping\",\"method\":\"ping\",\"params\":{}}\n")
            .await;
        let answer = self.read().await;
        assert_eq!(answer.get("id"), Some(value("\"ping\"")), "{answer}");
        assert!(answer.get("result").is_some(), "{answer}");
    }

    /// Closes its stdin, and waits until nothing of it is left. Answers with its exit code.
    pub async fn end(mut self) -> Option<i32> {
        drop(self.stdin.take());
        let status = soon("the server ends", self.child.wait()).await.unwrap();
        self.mark.all_gone().await;
        status.code()
    }
}
