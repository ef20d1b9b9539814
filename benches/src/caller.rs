//! Work that is measured in a process of its own, because its memory is of interest: one task in, one line of figures out.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use serde::Serialize;
use tokio::io::AsyncReadExt;

use crate::child::Other;
use crate::child::peak_memory;
use crate::engine;
use crate::flows::Shape;
use crate::maps;
use crate::place::Place;
use crate::rpc::big;
use crate::serve::Mode;

/// What a caller does.
#[derive(Debug, Serialize, Deserialize)]
pub enum Task {
    /// One large message there and back.
    Big(Place),
    /// Steps that are all ready at once, on built-in components or on a server.
    Parallel {
        /// How many.
        steps: usize,
        /// Where their component is; built in when there is none.
        place: Option<Place>,
    },
    /// One step that runs a flow on each of many items.
    Map {
        /// How many.
        items: usize,
    },
    /// Steps one after the other, on built-in components.
    Chain {
        /// How many.
        steps: usize,
    },
}

/// What it took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// The time, without what came before the work.
    pub elapsed: Duration,
    /// The most memory that the caller had, in megabytes.
    pub memory: f64,
    /// The most memory that a server had which the caller started, in megabytes.
    pub server_memory: Option<f64>,
}

/// Has a task done by a process of its own.
pub async fn have_done(task: &Task) -> anyhow::Result<Figures> {
    let caller = Other::ours(Mode::Caller)?.argument("--task");
    let caller = caller.argument(serde_json::to_string(task)?);
    let mut child = caller.command().stdin(Stdio::null()).spawn()?;
    let mut answer = Vec::new();
    let mut stdout = child.stdout.take().context("stdout is piped")?;
    stdout.read_to_end(&mut answer).await?;
    let status = child.wait().await?;
    anyhow::ensure!(status.success(), "the caller ended with {status}");
    serde_json::from_slice(&answer).context("the caller says no figures")
}

/// Does a task, as the process that was started for it.
#[expect(clippy::print_stdout, reason = "the figures are the result")]
pub async fn perform(task: &str) -> anyhow::Result<()> {
    let task = serde_json::from_str(task).context("a task is JSON")?;
    let (elapsed, server_memory) = match task {
        Task::Big(place) => big::send(&place).await?,
        Task::Parallel { steps, place } => {
            let shape = Shape::Parallel;
            (engine::run_once(shape, steps, place.as_ref()).await?, None)
        }
        Task::Map { items } => (maps::run_once(items).await?, None),
        Task::Chain { steps } => {
            let shape = Shape::Sequential;
            (engine::run_once(shape, steps, None).await?, None)
        }
    };
    let figures = Figures {
        elapsed,
        memory: peak_memory(std::process::id())?,
        server_memory,
    };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
