//! What we want the figures to be, and whether they are.

use std::fmt;

use crate::cold;
use crate::engine;
use crate::floors::http;
use crate::floors::pipes;
use crate::flows::Shape;
use crate::maps;
use crate::peers;
use crate::rpc::big;
use crate::table::Table;

/// One thing that is wanted.
pub struct Target {
    /// In words.
    pub what: &'static str,
    /// The row it is about.
    row: String,
    wanted: Wanted,
}

enum Wanted {
    /// The figure itself, in the unit of its row: no more than this.
    AtMost(f64),
    /// The figure itself: no less than this.
    AtLeast(f64),
    /// Its time in terms of another row's, of which several do the work of one.
    Times {
        row: &'static str,
        operations: u32,
        limit: f64,
    },
    /// So many times as fast as each of these, where they were measured.
    FasterThan(Vec<&'static str>, f64),
    /// So much of another row's throughput.
    Share(&'static str, f64),
}

/// What came of a target.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What was measured.
    pub measured: String,
    /// What was wanted.
    pub wanted: String,
    /// Whether it is met; `None` where it could not be measured.
    pub met: Option<bool>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.met {
            Some(true) => "met",
            Some(false) => "**not met**",
            None => "not measured",
        })
    }
}

impl Target {
    /// What came of it.
    pub fn judge(&self, table: &Table) -> Verdict {
        match &self.wanted {
            Wanted::AtMost(limit) => self.judge_figure(table, "at most", *limit, |it| it <= *limit),
            Wanted::AtLeast(limit) => {
                self.judge_figure(table, "at least", *limit, |it| it >= *limit)
            }
            Wanted::Times {
                row,
                operations,
                limit,
            } => {
                let ratio = table.ratio(&self.row, row);
                let ratio = ratio.map(|it| it.median / f64::from(*operations));
                verdict(ratio, |it| format!("{it:.2} × its time"), |it| it <= *limit)
                    .wants(format!("at most {limit} ×"))
            }
            Wanted::FasterThan(rows, factor) => {
                let ratios = rows.iter().filter_map(|row| table.ratio(row, &self.row));
                let least = ratios.map(|it| it.median).min_by(f64::total_cmp);
                verdict(least, |it| format!("{it:.1} × as fast"), |it| it >= *factor)
                    .wants(format!("at least {factor} × as fast"))
            }
            Wanted::Share(row, share) => {
                let ratio = table.ratio(row, &self.row).map(|it| it.median);
                let percent = |it: f64| format!("{:.0} % of it", it * 100.0);
                verdict(ratio, percent, |it| it >= *share)
                    .wants(format!("at least {:.0} %", share * 100.0))
            }
        }
    }

    fn judge_figure(
        &self,
        table: &Table,
        words: &str,
        limit: f64,
        is_met: impl Fn(f64) -> bool,
    ) -> Verdict {
        let Some(line) = table.find(&self.row) else {
            return verdict(None, |_| String::new(), is_met).wants(format!("{words} {limit}"));
        };
        let unit = line.row.unit;
        let figure = line.figures.ok().map(|it| it.median);
        verdict(figure, |it| unit.show(it), is_met).wants(format!("{words} {}", unit.show(limit)))
    }
}

fn verdict(
    figure: Option<f64>,
    show: impl Fn(f64) -> String,
    is_met: impl Fn(f64) -> bool,
) -> Verdict {
    Verdict {
        measured: figure.map(show).unwrap_or_else(|| "–".to_owned()),
        wanted: String::new(),
        met: figure.map(is_met),
    }
}

impl Verdict {
    fn wants(mut self, wanted: String) -> Self {
        self.wanted = wanted;
        self
    }
}

/// Everything that is wanted.
pub fn all() -> Vec<Target> {
    let mut all = calls();
    all.extend(web());
    all.extend(steps());
    all.extend(rest());
    all
}

fn target(what: &'static str, row: impl Into<String>, wanted: Wanted) -> Target {
    Target {
        what,
        row: row.into(),
        wanted,
    }
}

fn times(row: &'static str, limit: f64) -> Wanted {
    Wanted::Times {
        row,
        operations: 1,
        limit,
    }
}

fn calls() -> Vec<Target> {
    let rust = "call: stdio, Rust SDK, round trip";
    vec![
        target(
            "A call over stdio, Rust server, against the blocking ping-pong",
            rust,
            times(pipes::BLOCKING, 1.6),
        ),
        target(
            "The same against rmcp over stdio",
            rust,
            Wanted::FasterThan(vec![peers::RMCP_STDIO[0]], 3.0),
        ),
        target(
            "Calls a second over stdio, 64 in flight, Rust server",
            "call: stdio, Rust SDK, 64 in flight",
            Wanted::AtLeast(300_000.0),
        ),
        target(
            "The same with the Python SDK",
            "call: stdio, Python SDK, 64 in flight",
            Wanted::AtLeast(100_000.0),
        ),
    ]
}

fn web() -> Vec<Target> {
    let two = |row, limit| Wanted::Times {
        row,
        operations: 2,
        limit,
    };
    let row = |way: &str, sdk: &str| format!("call: HTTP {way}, {sdk} SDK, round trip");
    let called_back = "streamable with a call back";
    let mcp = vec![peers::MCP_SSE[0], peers::MCP_HTTP[0]];
    vec![
        target(
            "A call over an HTTP session, Rust server, against reqwest to axum",
            row("session", "Rust"),
            times(http::AXUM, 1.25),
        ),
        target(
            "The same over plain HTTP",
            row("plain", "Rust"),
            times(http::AXUM, 1.25),
        ),
        target(
            "The same over streamable HTTP, with a call back: two exchanges against two",
            row(called_back, "Rust"),
            two(http::AXUM, 1.25),
        ),
        target(
            "A call over an HTTP session, Python SDK, against a bare ASGI echo under uvicorn alone",
            row("session", "Python"),
            times(http::ASGI, 1.5),
        ),
        target(
            "The same over plain HTTP",
            row("plain", "Python"),
            times(http::ASGI, 1.5),
        ),
        target(
            "The same over streamable HTTP, with a call back: two exchanges against two",
            row(called_back, "Python"),
            two(http::ASGI, 1.5),
        ),
        target(
            "A call over an HTTP session, Python SDK, against grpcio with a Python server",
            row("session", "Python"),
            Wanted::FasterThan(vec![peers::GRPC[0]], 1.0),
        ),
        target(
            "The same over plain HTTP",
            row("plain", "Python"),
            Wanted::FasterThan(vec![peers::GRPC[0]], 1.0),
        ),
        target(
            "Calls over an HTTP session, 32 in flight, Python SDK, against grpcio with a Python server",
            "call: HTTP session, Python SDK, 32 in flight",
            Wanted::FasterThan(vec![peers::GRPC[1]], 1.0),
        ),
        target(
            "The same over plain HTTP",
            "call: HTTP plain, Python SDK, 32 in flight",
            Wanted::FasterThan(vec![peers::GRPC[1]], 1.0),
        ),
        target(
            "A call over an HTTP session, Python SDK, against the MCP SDK for Python over HTTP",
            row("session", "Python"),
            Wanted::FasterThan(mcp, 5.0),
        ),
    ]
}

fn steps() -> Vec<Target> {
    let row = |place: &str, how: &str| format!("steps: {place}, 1 000 {how}");
    let workers = vec![peers::ORCHESTRATOR[0], peers::ORCHESTRATOR_NODELAY[0]];
    let flow = engine::text_len(Shape::Sequential, 100_000) as f64 / 1e6;
    vec![
        target(
            "1 000 sequential steps, Python SDK over stdio, against the blocking Python ping-pong",
            row("stdio, Python SDK", "sequential"),
            times(pipes::PYTHON, 2.5),
        ),
        target(
            "The same against the best peer with a worker process",
            row("stdio, Python SDK", "sequential"),
            Wanted::FasterThan(workers, 5.0),
        ),
        target(
            "1 000 parallel steps, Python SDK over stdio",
            row("stdio, Python SDK", "parallel"),
            Wanted::AtLeast(60_000.0),
        ),
        target(
            "Memory of the runtime for 1 000 parallel steps, Python SDK over stdio",
            "memory of the runtime: stdio, Python SDK, 1 000 parallel",
            Wanted::AtMost(30.0),
        ),
        target(
            "Built-in steps, sequential",
            row("built-in", "sequential"),
            Wanted::AtLeast(500_000.0),
        ),
        target(
            "Built-in steps, parallel",
            row("built-in", "parallel"),
            Wanted::AtLeast(500_000.0),
        ),
        target(
            "A flow of 100 000 steps: time of a step against that in one of 1 000",
            "steps: built-in, 100 000 sequential",
            times("steps: built-in, 1 000 sequential", 1.5),
        ),
        target(
            "Memory of the runtime for a flow of 100 000 steps: four times its text and 50 MB",
            "memory of the runtime: built-in, 100 000 sequential",
            Wanted::AtMost(4.0 * flow + 50.0),
        ),
        target(
            "A map over 1 000 000 items: time of an item against that in one of 10 000",
            maps::MANY,
            times(maps::SOME, 1.5),
        ),
        target(
            "Memory of the runtime for a map over 1 000 000 items: four times the texts that go in and come out, and 50 MB",
            maps::MEMORY,
            Wanted::AtMost(4.0 * maps::texts_megabytes() + 50.0),
        ),
    ]
}

fn rest() -> Vec<Target> {
    let big = "64 MB there and back: stdio, Rust SDK";
    let peak = 4.0 * big::BYTES as f64 / 1e6;
    vec![
        target(
            "`stepflow run` of a built-in flow, cold",
            cold::TIME,
            Wanted::AtMost(10.0),
        ),
        target("Its memory", cold::MEMORY, Wanted::AtMost(15.0)),
        target(
            "64 MB to a server and back over stdio, against `cat`",
            big,
            Wanted::Share(pipes::CAT, 0.5),
        ),
        target(
            "Memory of the runtime meanwhile: four times the message",
            format!("{big}, memory of the caller"),
            Wanted::AtMost(peak),
        ),
        target(
            "Memory of the server meanwhile: four times the message",
            format!("{big}, memory of the server"),
            Wanted::AtMost(peak),
        ),
    ]
}

/// The rows that targets speak of.
#[cfg(test)]
pub fn rows(targets: &[Target]) -> Vec<&str> {
    let mut rows = Vec::new();
    for target in targets {
        rows.push(target.row.as_str());
        match &target.wanted {
            Wanted::AtMost(_) | Wanted::AtLeast(_) => {}
            Wanted::Times { row, .. } | Wanted::Share(row, _) => rows.push(row),
            Wanted::FasterThan(peers, _) => rows.extend(peers),
        }
    }
    rows
}
