//! The guard: a small process of its own that ends our children when we die in a way that leaves us no time, by
//! SIGKILL or a crash. It reads group ids from a pipe that only we hold open; at its end it ends those groups.
//!
//! It is a POSIX shell script: no `unsafe`, no second binary, and nothing of this program that could be missing after an
//! upgrade. Between a child's start and the line that tells of it lies a moment in which a SIGKILL of the runtime leaves
//! the child to the end of its own stdin.

use std::io;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use rustix::process::Pid;
use tracing::warn;

/// Reads `+<group>` and `-<group>`, then ends what is left: politely, then for good.
const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT PIPE
groups=' '
while read -r line; do
    group=${line#?}
    case $line in
        +*) groups="$groups$group " ;;
        -*) case $groups in
                *" $group "*) groups="${groups%% $group *} ${groups#* $group }" ;;
            esac ;;
    esac
done
for group in $groups; do kill -s TERM -- "-$group"; done
for tenth in 1 2 3 4 5 6 7 8 9 10; do
    alive=
    for group in $groups; do kill -s 0 -- "-$group" && alive=1; done
    [ "$alive" ] || exit 0
    sleep 0.1
done
for group in $groups; do kill -s KILL -- "-$group"; done
"#;

/// A handle to the guard process. It lives as long as any handle does, and ends by itself with the last one.
#[derive(Clone, Debug)]
pub struct Guard {
    process: Arc<Process>,
}

/// The process, waited for by whoever drops the last handle.
#[derive(Debug)]
struct Process(Mutex<std::process::Child>);

impl Guard {
    /// Starts the guard.
    ///
    /// # Errors
    /// When `/bin/sh` cannot be started.
    pub fn start() -> io::Result<Guard> {
        let process = std::process::Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Guard {
            process: Arc::new(Process(Mutex::new(process))),
        })
    }

    pub(super) fn watch(&self, group: Pid) {
        self.tell('+', group);
    }

    pub(super) fn forget(&self, group: Pid) {
        self.tell('-', group);
    }

    fn tell(&self, sign: char, group: Pid) {
        let mut process = self
            .process
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(stdin) = &mut process.stdin else {
            return;
        };
        // A few bytes into a pipe that is read at once: this does not block in practice.
        if let Err(error) =
            stdin.write_all(format!("{sign}{}\n", group.as_raw_nonzero()).as_bytes())
        {
            warn!(%error, "the guard process is gone; children may outlive a crash of this process");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let process = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(process.stdin.take());
        // At the end of its stdin, with no group left, it is gone within a moment.
        let _ = process.wait();
    }
}
