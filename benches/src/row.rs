//! Rows and probes: what a figure is, and how it is had. Knows nothing of rounds or of tables.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds an operation; less is better.
    Microseconds,
    /// Milliseconds for all of it; less is better.
    Milliseconds,
    /// Operations a second; more is better.
    PerSecond,
    /// Megabytes a second; more is better.
    MegabytesPerSecond,
    /// Megabytes of memory; less is better.
    Megabytes,
}

impl Unit {
    /// What one operation takes at most and one at a time, and what many at once come to.
    pub fn of(in_flight: usize) -> Unit {
        match in_flight {
            1 => Unit::Microseconds,
            _ => Unit::PerSecond,
        }
    }

    /// A figure from a time and a number of operations.
    pub fn figure(self, elapsed: Duration, operations: usize) -> f64 {
        let (seconds, operations) = (elapsed.as_secs_f64(), operations as f64);
        match self {
            Unit::Microseconds => seconds * 1e6 / operations,
            Unit::Milliseconds => seconds * 1e3 / operations,
            Unit::PerSecond | Unit::MegabytesPerSecond => operations / seconds,
            Unit::Megabytes => f64::NAN,
        }
    }

    /// The figure as something of which less is better: microseconds an operation, or megabytes.
    pub fn cost(self, figure: f64) -> f64 {
        match self {
            Unit::Microseconds | Unit::Megabytes => figure,
            Unit::Milliseconds => figure * 1e3,
            Unit::PerSecond | Unit::MegabytesPerSecond => 1e6 / figure,
        }
    }

    /// The figure for people.
    pub fn show(self, figure: f64) -> String {
        match self {
            Unit::Microseconds if figure >= 1000.0 => format!("{:.2} ms", figure / 1000.0),
            Unit::Microseconds => format!("{figure:.1} µs"),
            Unit::Milliseconds => format!("{figure:.1} ms"),
            Unit::PerSecond if figure >= 1e6 => format!("{:.2} M/s", figure / 1e6),
            Unit::PerSecond if figure >= 10_000.0 => format!("{:.0} k/s", figure / 1000.0),
            Unit::PerSecond if figure >= 1000.0 => format!("{:.1} k/s", figure / 1000.0),
            Unit::PerSecond => format!("{figure:.0} /s"),
            Unit::MegabytesPerSecond => format!("{figure:.0} MB/s"),
            Unit::Megabytes => format!("{figure:.1} MB"),
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// Unique in the table.
    pub name: String,
    /// What its figure counts.
    pub unit: Unit,
    /// The rows it is compared with.
    pub against: Vec<Against>,
}

/// A row to compare with.
#[derive(Clone, Debug)]
pub struct Against {
    /// Its name.
    pub row: String,
    /// How many of its operations do the work of one: a call with a call back takes two exchanges.
    pub times: u32,
}

impl Row {
    /// A row that is compared with none.
    pub fn new(name: impl Into<String>, unit: Unit) -> Self {
        Row {
            name: name.into(),
            unit,
            against: Vec::new(),
        }
    }

    /// Compares it with another, operation by operation.
    pub fn against(self, row: impl Into<String>) -> Self {
        self.against_times(1, row)
    }

    /// Compares one of its operations with several of another.
    pub fn against_times(mut self, times: u32, row: impl Into<String>) -> Self {
        let row = row.into();
        self.against.push(Against { row, times });
        self
    }
}

/// What fills rows: one measurement, and as many figures as it has rows.
pub struct Probe {
    /// The rows it fills.
    pub rows: Vec<Row>,
    /// Whose figures they are.
    pub whose: Whose,
    /// How often a round it is measured beside what it is compared with.
    pub pairs: usize,
    measure: Box<Measure>,
}

/// How often what is quickly measured is, beside its floor.
const PAIRS: usize = 3;

type Measure = dyn Fn() -> BoxFuture<'static, anyhow::Result<Vec<f64>>> + Send;

/// Whose figures a probe brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The machine's, or our own: a failure is an error.
    Ours,
    /// A peer's, which may not be there: a failure is a note.
    Peers,
}

impl Probe {
    /// A measurement with one figure.
    pub fn one<F>(row: Row, measure: impl Fn() -> F + Send + 'static) -> Self
    where
        F: Future<Output = anyhow::Result<f64>> + Send + 'static,
    {
        Probe::many(vec![row], move || measure().map(|it| Ok(vec![it?])))
    }

    /// A measurement with several figures, in the order of the rows.
    pub fn many<F>(rows: Vec<Row>, measure: impl Fn() -> F + Send + 'static) -> Self
    where
        F: Future<Output = anyhow::Result<Vec<f64>>> + Send + 'static,
    {
        Probe {
            rows,
            whose: Whose::Ours,
            pairs: PAIRS,
            measure: Box::new(move || measure().boxed()),
        }
    }

    /// The same as a peer's.
    pub fn of_peer(mut self) -> Self {
        self.whose = Whose::Peers;
        self
    }

    /// The same with another number of pairs a round.
    pub fn pairs(mut self, pairs: usize) -> Self {
        self.pairs = pairs;
        self
    }

    /// Measures once.
    pub async fn measure(&self) -> anyhow::Result<Vec<f64>> {
        let figures = (self.measure)().await?;
        anyhow::ensure!(
            figures.len() == self.rows.len(),
            "{} figures for {} rows",
            figures.len(),
            self.rows.len()
        );
        Ok(figures)
    }
}
