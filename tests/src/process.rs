//! Processes that a test started, directly or not, known by a variable of their environment, which every descendant
//! inherits; and their end, waited for by the kernel's word rather than by looking again and again.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::Signal;

use crate::HANG;

/// The variable that holds a mark.
pub const VARIABLE: &str = "STEPFLOW_TEST_MARK";

/// Marks the processes of one test.
#[derive(Clone, Debug)]
pub struct Mark(String);

/// A process that lives, or did when it was found.
#[derive(Debug)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its command line.
    pub command: String,
    handle: OwnedFd,
}

impl Default for Mark {
    /// A mark that no other test has.
    fn default() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Mark(format!("{}-{number}", std::process::id()))
    }
}

impl Mark {
    /// The value of [`VARIABLE`].
    pub fn value(&self) -> &str {
        &self.0
    }

    /// The processes with this mark that live now.
    pub fn processes(&self) -> Vec<Process> {
        let variable = format!("{VARIABLE}={}", self.0);
        let marked = |folder: &Path| {
            let environment = std::fs::read(folder.join("environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|entry| entry == variable.as_bytes())
        };
        let folders = std::fs::read_dir("/proc").unwrap().flatten();
        folders
            .filter(|entry| marked(&entry.path()))
            .filter_map(|entry| Process::open(entry.file_name().to_str()?.parse().ok()?))
            .collect()
    }

    /// Ends what a failed test left behind; a test that succeeds proves that there is nothing.
    pub(crate) fn clean_up_after_panic(&self) {
        if std::thread::panicking() {
            let left = self.processes();
            left.iter().for_each(|it| try_kill(it.pid, Signal::KILL));
        }
    }

    /// Waits for the end of every process with this mark.
    ///
    /// # Panics
    /// When one goes on living.
    pub async fn all_gone(&self) {
        loop {
            let alive = self.processes();
            if alive.is_empty() {
                return;
            }
            for process in alive {
                process.gone().await;
            }
        }
    }
}

impl Process {
    fn open(pid: u32) -> Option<Process> {
        let number = Pid::from_raw(pid.cast_signed())?;
        let handle = rustix::process::pidfd_open(number, PidfdFlags::NONBLOCK).ok()?;
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        Some(Process {
            pid,
            command,
            handle,
        })
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it goes on living.
    pub async fn gone(self) {
        let Process {
            pid,
            command,
            handle,
        } = self;
        let wait = move || {
            // A handle of a process becomes readable when the process ends.
            let mut ended = [PollFd::new(&handle, PollFlags::IN)];
            rustix::event::poll(&mut ended, Some(&HANG.try_into().unwrap())).unwrap()
        };
        let n_ended = tokio::task::spawn_blocking(wait).await.unwrap();
        assert_eq!(n_ended, 1, "process {pid} lives on: {command}");
    }
}

/// The processes below a process, at any depth.
pub fn descendants(pid: u32) -> Vec<Process> {
    let folders = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = folders.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let with_parents: Vec<_> = pids.filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![pid];
    let mut next = 0;
    while next < found.len() {
        let children = with_parents.iter().filter(|it| it.1 == found[next]);
        found.extend(children.map(|it| it.0).collect::<Vec<_>>());
        next += 1;
    }
    found
        .into_iter()
        .skip(1)
        .filter_map(Process::open)
        .collect()
}

fn parent(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    parent.trim().parse().ok()
}

/// Sends a signal to one process, not to its group.
pub fn kill(pid: u32, signal: Signal) {
    let number = Pid::from_raw(pid.cast_signed()).expect("a process id is not zero");
    rustix::process::kill_process(number, signal).unwrap();
}

/// The same for a process that may be gone already.
pub fn try_kill(pid: u32, signal: Signal) {
    let number = Pid::from_raw(pid.cast_signed()).expect("a process id is not zero");
    let _ = rustix::process::kill_process(number, signal);
}

/// How many file descriptors this process has open.
pub fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
