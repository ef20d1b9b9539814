//! A folder to run in, and a component server in a few lines of shell.

use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_stepflow");

/// A flow that returns its input's name.
pub const GREET: &str = "\
inputSchema: { type: object, properties: { name: { type: string } } }
steps:
  - { id: greet, component: noop, input: { hello: { $input: name } } }
output: { $step: greet }
";

/// A config for the server below.
pub const CONFIG: &str = "\
plugins:
  builtin: { type: builtin }
  sh: { type: stepflow, command: ./server.sh, restart: { maxRestarts: 0 } }
retry: { transportMaxRetries: 0 }
";

/// Answers by the component's name.
pub const SERVER: &str = r#"#!/bin/sh
reply() { printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$1"; }
while IFS= read -r line; do
  id=$(printf '%s\n' "$line" | sed -n 's/.*"id":\("[^"]*"\|[0-9]*\).*/\1/p')
  case $line in
    *'"method":"initialize"'*) reply '"result":{"server_protocol_version":1}' ;;
    *'"method":"components/list"'*) reply '"result":{"components":[{"component":"/echo","description":"Says it back"}]}' ;;
    *'"component":"/echo"'*) reply '"result":{"output":"echo"}' ;;
    *'"component":"/fail"'*) reply '"error":{"code":4242,"message":"closed on Sundays","data":{"day":"Sunday","traceback":"in open()\nin vault()"}}' ;;
    *'"component":"/skip"'*) reply '"result":{"skipped":{"reason":"not today"}}' ;;
    *'"component":"/leak"'*) echo "said $KEY" >&2; reply '"error":{"code":1,"message":"the key '"$KEY"' is refused"}' ;;
    *'"component":"/die"'*) echo "cannot open the vault" >&2; exit 7 ;;
    *'"component":"/hang"'*) echo "hanging $$" >&2 ;;
  esac
done
"#;

/// A folder that is gone with the test.
pub struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    /// An empty folder.
    pub fn new() -> Sandbox {
        Sandbox {
            folder: TempDir::new().unwrap(),
        }
    }

    /// A folder with the flow, the config and the server of this module.
    pub fn with_server() -> Sandbox {
        let sandbox = Sandbox::new();
        sandbox.write("flow.yaml", GREET);
        sandbox.write("stepflow-config.yml", CONFIG);
        sandbox.write_program("server.sh", SERVER);
        sandbox
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and the folders it is in.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Writes a file that can be run.
    pub fn write_program(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        self.write(name, text);
        std::fs::set_permissions(self.path(name), PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// What a file holds.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The program, to be run in the folder with little around it. Nothing is on stdin.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.with_little_around(PROGRAM);
        command.args(args);
        command
    }

    /// The same with no more address space than this.
    pub fn within_memory(&self, kilobytes: u32, args: &[&str]) -> Command {
        let limited = format!("ulimit -v {kilobytes}; exec \"$0\" \"$@\"");
        let mut command = self.with_little_around("/bin/sh");
        command.args(["-c", &limited, PROGRAM]).args(args);
        // What is reserved and never touched would grow with the number of cores.
        command.env("MALLOC_ARENA_MAX", "2");
        command.env("TOKIO_WORKER_THREADS", "2");
        command
    }

    fn with_little_around(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", "/usr/bin:/bin")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program.
    pub fn run(&self, args: &[&str]) -> Ended {
        ended(&mut self.command(args), self.folder.path())
    }

    /// Runs the program with this on stdin.
    pub fn run_with_stdin(&self, args: &[&str], stdin: &str) -> Ended {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        // The program may end before it reads.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        Ended::of(child.wait_with_output().unwrap(), self.folder.path())
    }
}

/// Runs a command to its end.
pub fn ended(command: &mut Command, folder: &Path) -> Ended {
    Ended::of(command.output().unwrap(), folder)
}

/// What a program left behind.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    fn of(output: std::process::Output, folder: &Path) -> Ended {
        let text = |bytes: Vec<u8>| {
            let folder = folder.canonicalize().unwrap();
            let text = String::from_utf8(bytes).unwrap();
            text.replace(&folder.display().to_string(), "[FOLDER]")
        };
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}
