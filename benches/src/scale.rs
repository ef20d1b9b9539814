//! How cost grows with work: steps, sizes, calls in flight, sessions. Each point is measured by itself and the least of several times
//! is taken; what counts is the shape.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use futures_util::StreamExt;
use futures_util::stream;
use stepflow_flow::value::Value;
use stepflow_protocol::component::Execute;
use stepflow_protocol::component::ExecuteResult;

use crate::child::Other;
use crate::child::Web;
use crate::child::peak_memory;
use crate::effort::Effort;
use crate::engine;
use crate::flows::Shape;
use crate::maps;
use crate::place;
use crate::place::Place;
use crate::place::Reached;
use crate::place::Server;
use crate::plot::Curve;
use crate::plot::Plot;
use crate::rpc;
use crate::rpc::Servers;
use crate::serve::Mode;
use crate::table::note;

/// How often a point is measured.
const TIMES: usize = 3;

/// How many sessions are opened at once: fewer than a server lets wait.
const OPENED_AT_ONCE: usize = 32;

/// Measures all curves.
pub async fn plots(servers: &Servers, effort: Effort) -> anyhow::Result<Vec<Plot>> {
    let mut plots = vec![
        steps(servers, effort).await?,
        sizes(servers, effort).await?,
        in_flight(servers, effort).await?,
    ];
    plots.extend(sessions(effort).await?);
    Ok(plots)
}

/// One, two and five of every decade, as far as the effort goes.
fn works(from: usize, to: usize, effort: Effort) -> impl Iterator<Item = usize> {
    let to = to / effort.scale_share();
    let decades = std::iter::successors(Some(from), |it| Some(it * 10));
    decades
        .flat_map(|it| [it, 2 * it, 5 * it])
        .take_while(move |it| *it <= to)
}

/// The least of several measurements.
async fn least(measure: impl AsyncFn() -> anyhow::Result<Duration>) -> anyhow::Result<f64> {
    let mut least = Duration::MAX;
    for _ in 0..TIMES {
        least = least.min(measure().await?);
    }
    Ok(least.as_secs_f64())
}

/// A curve of times.
async fn curve(
    name: &str,
    works: impl Iterator<Item = usize>,
    measure: impl AsyncFn(usize) -> anyhow::Result<Duration>,
) -> anyhow::Result<Curve> {
    let mut points = Vec::new();
    for work in works {
        note(&format!("scale: {name}, {work}"));
        let seconds = least(async || measure(work).await).await;
        let seconds = seconds.with_context(|| format!("{name}, {work}"))?;
        points.push((work as f64, seconds * 1e3));
    }
    Ok(Curve {
        name: name.to_owned(),
        points,
    })
}

async fn steps(servers: &Servers, effort: Effort) -> anyhow::Result<Plot> {
    let python = Server::Stdio(servers.python.clone()).place().await?;
    let shapes = [
        (Shape::Sequential, "sequential"),
        (Shape::Parallel, "parallel"),
    ];
    let mut curves = Vec::new();
    for (name, most, place) in [
        ("built-in", 100_000, None),
        ("Python, stdio", 10_000, Some(&python)),
    ] {
        for (shape, word) in shapes {
            let name = format!("{name}, {word}");
            let run = async |n_steps| engine::run_once(shape, n_steps, place).await;
            curves.push(curve(&name, works(10, most, effort), run).await?);
        }
    }
    let map = async |n_items| maps::run_once(n_items).await;
    let works_of_map = works(10, 1_000_000, effort);
    curves.push(curve("map, built-in", works_of_map, map).await?);
    let read = async |n_steps| engine::read_once(Shape::Sequential, n_steps);
    let works_of_read = works(10, 100_000, effort);
    curves.push(curve("read and compiled", works_of_read, read).await?);
    Ok(Plot {
        file: "steps",
        title: "A run by its steps or items",
        work: "steps or items",
        cost: "milliseconds a run",
        bound: "Built-in steps are bounded by the engine, which works on one core for a run; sequential steps on a server by one round trip each, and parallel ones by how fast Python reads and writes lines. A map has a run for each item, on the core of the run around them. Reading is bounded by the YAML parser.",
        curves,
    })
}

async fn sizes(servers: &Servers, effort: Effort) -> anyhow::Result<Plot> {
    let mut curves = Vec::new();
    for (name, other) in [
        ("Rust, stdio", &servers.rust),
        ("Python, stdio", &servers.python),
    ] {
        let reached = place::reach(&Server::Stdio(other.clone()).place().await?).await?;
        let send = async |size| echo(&reached, size).await;
        // The last is as large as a message may be by default, and a round number.
        let most = [256_000_000]
            .into_iter()
            .filter(|_| effort.scale_share() == 1);
        let works = works(100, 64_000_000, effort).chain(most);
        curves.push(curve(name, works, send).await?);
        reached.close().await;
    }
    Ok(Plot {
        file: "sizes",
        title: "A message there and back by its size",
        work: "bytes",
        cost: "milliseconds a call",
        bound: "Small messages cost the waking of two processes; large ones the copying through pipes of 64 KB, and the reading of text.",
        curves,
    })
}

async fn echo(reached: &Reached, size: usize) -> anyhow::Result<Duration> {
    // What is small is sent again and again: a clock does not see one.
    let repeats = (1_000_000 / size).clamp(1, 500);
    let params = rpc::params("/echo", Value::string(&"x".repeat(size)));
    let peer = reached.peer();
    let work = async move {
        let start = Instant::now();
        for _ in 0..repeats {
            let result = peer.call::<Execute>(&params).await?;
            let ExecuteResult::Output(output) = result else {
                anyhow::bail!("the component skipped itself");
            };
            let length = output.as_text().len();
            anyhow::ensure!(length == size + 2, "{length} bytes came back");
        }
        Ok(start.elapsed() / repeats as u32)
    };
    tokio::spawn(work).await?
}

async fn in_flight(servers: &Servers, effort: Effort) -> anyhow::Result<Plot> {
    let mut curves = Vec::new();
    for (name, server) in [
        ("Rust, stdio", Server::Stdio(servers.rust.clone())),
        ("Python, stdio", Server::Stdio(servers.python.clone())),
        (
            "Rust, HTTP session",
            Server::Session(servers.rust_web.clone()),
        ),
        (
            "Python, HTTP session",
            Server::Session(servers.python_web.clone()),
        ),
    ] {
        let reached = place::reach(&server.place().await?).await?;
        let calls = async |in_flight: usize| {
            let operations = (1000 / in_flight).max(2) * in_flight;
            let calls = rpc::calls(reached.peer(), "/echo", operations, in_flight);
            let elapsed = tokio::spawn(calls).await??;
            anyhow::Ok(elapsed * in_flight as u32 / operations as u32)
        };
        curves.push(curve(name, works(1, 1000, effort), calls).await?);
        reached.close().await;
    }
    Ok(Plot {
        file: "in-flight",
        title: "Calls by how many are in flight",
        work: "calls in flight",
        cost: "milliseconds until so many are answered",
        bound: "Few calls wait for the other process to wake; many are bounded by what one core of the slower end can read and write, so that the curve becomes a line.",
        curves,
    })
}

async fn sessions(effort: Effort) -> anyhow::Result<[Plot; 2]> {
    let (mut times, mut memories) = (Vec::new(), Vec::new());
    for sessions in works(1, 1000, effort) {
        note(&format!("scale: sessions, {sessions}"));
        // A server of its own, because its memory is the most that it ever had.
        let web = Web::new(Other::ours(Mode::HttpServer)?);
        let server = Server::Session(web.clone());
        let place = server.place().await?;
        let elapsed = all_sessions(&place, sessions).await;
        let elapsed = elapsed.with_context(|| format!("{sessions} sessions"))?;
        times.push((sessions as f64, elapsed.as_secs_f64() * 1e3));
        memories.push((sessions as f64, peak_memory(web.pid().await?)?));
    }
    let plot = |file, title, cost, bound, points| Plot {
        file,
        title,
        work: "sessions",
        cost,
        bound,
        curves: vec![Curve {
            name: "Rust SDK".to_owned(),
            points,
        }],
    };
    Ok([
        plot(
            "sessions",
            "Sessions on one server: opened, greeted, one call each",
            "milliseconds for all",
            "Each session opens two connections and has a handshake, so it costs what the system takes for these.",
            times,
        ),
        plot(
            "sessions-memory",
            "Memory of a server by its sessions",
            "megabytes",
            "A base, and the buffers of two connections a session.",
            memories,
        ),
    ])
}

/// Opens so many sessions, makes a call on each, and ends them when all were open together.
async fn all_sessions(place: &Place, sessions: usize) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let open = |_| async {
        let reached = place::reach(place).await?;
        rpc::calls(reached.peer(), "/echo", 1, 1).await?;
        anyhow::Ok(reached)
    };
    let opened = stream::iter((0..sessions).map(open)).buffer_unordered(OPENED_AT_ONCE);
    let opened: Vec<_> = opened.collect().await;
    let elapsed = start.elapsed();
    for reached in opened {
        reached?.close().await;
    }
    Ok(elapsed)
}
