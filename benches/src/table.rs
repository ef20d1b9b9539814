//! Rows, rounds and the table. Owns medians and ratios; knows nothing of what is measured.

use futures_util::future::BoxFuture;

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds an operation; less is better.
    Microseconds,
    /// Operations a second; more is better.
    PerSecond,
}

/// One thing that is measured.
pub trait Row: Send {
    /// Its name, unique in the table.
    fn name(&self) -> &str;
    /// What its figure counts.
    fn unit(&self) -> Unit;
    /// The row it is compared with.
    fn floor(&self) -> Option<&str> {
        None
    }
    /// Measures once.
    fn measure(&mut self) -> BoxFuture<'_, anyhow::Result<f64>>;
}

/// A figure from a time and a number of operations.
pub fn figure(unit: Unit, elapsed: std::time::Duration, operations: usize) -> f64 {
    match unit {
        Unit::Microseconds => elapsed.as_secs_f64() * 1e6 / operations as f64,
        Unit::PerSecond => operations as f64 / elapsed.as_secs_f64(),
    }
}

/// All rows and their figures, one a round.
pub struct Table {
    rows: Vec<(Box<dyn Row>, Vec<f64>)>,
}

impl Table {
    /// Keeps the rows whose name contains the text, and what they are compared with.
    pub fn new(rows: Vec<Box<dyn Row>>, only: Option<&str>) -> Self {
        let wanted: Vec<_> = rows
            .iter()
            .filter(|row| only.is_none_or(|only| row.name().contains(only)))
            .collect();
        let mut names: Vec<_> = wanted.iter().map(|row| row.name().to_owned()).collect();
        names.extend(
            wanted
                .iter()
                .filter_map(|row| row.floor().map(str::to_owned)),
        );
        let kept = rows
            .into_iter()
            .filter(|row| names.iter().any(|name| name == row.name()));
        Table {
            rows: kept.map(|row| (row, Vec::new())).collect(),
        }
    }

    /// Measures every row once.
    pub async fn measure(&mut self, round: usize, rounds: usize) -> anyhow::Result<()> {
        for (row, figures) in &mut self.rows {
            note(&format!("round {}/{rounds}: {}", round + 1, row.name()));
            figures.push(row.measure().await?);
        }
        Ok(())
    }

    /// Prints medians, spreads and ratios.
    #[expect(clippy::print_stdout, reason = "the table is the result")]
    pub fn print(&self) {
        println!("| row | median | min … max | compared with | ratio |");
        println!("|---|---|---|---|---|");
        for (row, figures) in &self.rows {
            let (low, median, high) = spread(figures);
            let show = |figure: f64| format_figure(row.unit(), figure);
            let (against, ratio) = self.ratio(row.as_ref(), figures).unwrap_or_default();
            println!(
                "| {} | {} | {} … {} | {against} | {ratio} |",
                row.name(),
                show(median),
                show(low),
                show(high)
            );
        }
    }

    /// The median of the ratios round by round: both figures of a round saw the same machine.
    fn ratio(&self, row: &dyn Row, figures: &[f64]) -> Option<(String, String)> {
        let floor = row.floor()?;
        let (floor_row, floor_figures) =
            self.rows.iter().find(|(other, _)| other.name() == floor)?;
        let comparable = |figure: f64, unit: Unit| match unit {
            Unit::Microseconds => figure,
            Unit::PerSecond => 1e6 / figure,
        };
        let ratios: Vec<_> = figures
            .iter()
            .zip(floor_figures)
            .map(|(ours, floors)| {
                comparable(*ours, row.unit()) / comparable(*floors, floor_row.unit())
            })
            .collect();
        Some((
            floor.to_owned(),
            format!("{:.2} × its time", spread(&ratios).1),
        ))
    }
}

fn spread(figures: &[f64]) -> (f64, f64, f64) {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.as_slice() {
        [] => (f64::NAN, f64::NAN, f64::NAN),
        sorted => (
            sorted[0],
            sorted[sorted.len() / 2],
            sorted[sorted.len() - 1],
        ),
    }
}

fn format_figure(unit: Unit, figure: f64) -> String {
    match unit {
        Unit::Microseconds => format!("{figure:.1} µs"),
        Unit::PerSecond if figure >= 10_000.0 => format!("{:.0} k/s", figure / 1000.0),
        Unit::PerSecond => format!("{figure:.0} /s"),
    }
}

#[expect(clippy::print_stderr, reason = "progress of long work")]
fn note(text: &str) {
    eprintln!("{text}");
}
