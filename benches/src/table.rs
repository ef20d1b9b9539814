//! Rounds and what comes of them: medians, spreads, ratios. Knows nothing of what is measured, nor how it is shown.

use std::collections::BTreeSet;

use crate::row::Against;
use crate::row::Probe;
use crate::row::Row;
use crate::row::Whose;

/// All probes and their figures.
pub struct Table {
    entries: Vec<Entry>,
}

struct Entry {
    probe: Probe,
    /// One a round, each with a figure a row.
    figures: Vec<Vec<f64>>,
    /// Why there are no more.
    failure: Option<String>,
}

/// Lowest, middle and highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The lowest.
    pub low: f64,
    /// Half are lower.
    pub median: f64,
    /// The highest.
    pub high: f64,
}

/// A row with all that is known of it.
pub struct Line<'table> {
    /// The row.
    pub row: &'table Row,
    /// Its figures, or why there are none.
    pub figures: Result<Spread, &'table str>,
    /// Ratios of its time (or memory) to those it is compared with, where both were measured.
    pub ratios: Vec<(&'table Against, f64)>,
}

impl Table {
    /// Keeps the rows whose name contains the text, and what they are compared with.
    pub fn new(probes: Vec<Probe>, only: Option<&str>) -> Self {
        let mut wanted = BTreeSet::new();
        for row in probes.iter().flat_map(|probe| &probe.rows) {
            if only.is_none_or(|only| row.name.contains(only)) {
                wanted.insert(row.name.clone());
                wanted.extend(row.against.iter().map(|against| against.row.clone()));
            }
        }
        let kept = probes
            .into_iter()
            .filter(|probe| probe.rows.iter().any(|row| wanted.contains(&row.name)));
        let entries = kept.map(|probe| Entry {
            probe,
            figures: Vec::new(),
            failure: None,
        });
        Table {
            entries: entries.collect(),
        }
    }

    /// Measures every row once, in an order that differs from round to round.
    pub async fn measure(&mut self, round: usize, rounds: usize) {
        for index in order(round, rounds, self.entries.len()) {
            let entry = &mut self.entries[index];
            if entry.failure.is_some() {
                continue;
            }
            note(&format!(
                "round {}/{rounds}: {}",
                round + 1,
                entry.probe.rows[0].name
            ));
            match entry.probe.measure().await {
                Ok(figures) => entry.figures.push(figures),
                Err(error) => {
                    note(&format!("  failed: {error:#}"));
                    entry.failure = Some(format!("{error:#}"));
                }
            }
        }
    }

    /// Every row.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let rows = self.entries.iter().flat_map(|entry| {
            let indices = 0..entry.probe.rows.len();
            indices.map(move |index| (entry, index))
        });
        rows.map(|(entry, index)| self.line(entry, index))
    }

    /// The row of this name.
    pub fn find(&self, name: &str) -> Option<Line<'_>> {
        let (entry, index) = self.position(name)?;
        Some(self.line(entry, index))
    }

    /// The time (or memory) of a row in terms of another's, round by round: both figures of a round saw the same machine.
    pub fn ratio(&self, name: &str, against: &str) -> Option<Spread> {
        let (entry, index) = self.position(name)?;
        let (other, other_index) = self.position(against)?;
        let (unit, other_unit) = (
            entry.probe.rows[index].unit,
            other.probe.rows[other_index].unit,
        );
        let ratios = entry
            .figures
            .iter()
            .zip(&other.figures)
            .map(|(ours, theirs)| unit.cost(ours[index]) / other_unit.cost(theirs[other_index]));
        spread(ratios.collect())
    }

    /// What went wrong with rows that are not a peer's.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        let ours = self
            .entries
            .iter()
            .filter(|entry| entry.probe.whose == Whose::Ours);
        ours.filter_map(|entry| {
            let failure = entry.failure.as_deref()?;
            Some((entry.probe.rows[0].name.as_str(), failure))
        })
    }

    fn position(&self, name: &str) -> Option<(&Entry, usize)> {
        self.entries.iter().find_map(|entry| {
            let index = entry.probe.rows.iter().position(|row| row.name == name)?;
            Some((entry, index))
        })
    }

    fn line<'table>(&'table self, entry: &'table Entry, index: usize) -> Line<'table> {
        let row = &entry.probe.rows[index];
        let figures = entry.figures.iter().map(|figures| figures[index]);
        let figures = match &entry.failure {
            Some(failure) => Err(failure.as_str()),
            None => spread(figures.collect()).ok_or("not measured"),
        };
        let ratios = row.against.iter().filter_map(|against| {
            let ratio = self.ratio(&row.name, &against.row)?;
            Some((against, ratio.median / f64::from(against.times)))
        });
        Line {
            row,
            figures,
            ratios: ratios.collect(),
        }
    }
}

/// The order of a round: each begins elsewhere, and every other one goes backwards, so that no row always follows the same one.
fn order(round: usize, rounds: usize, count: usize) -> Vec<usize> {
    let first = round * count / rounds.max(1);
    let mut order: Vec<_> = (first..count).chain(0..first).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

fn spread(mut figures: Vec<f64>) -> Option<Spread> {
    figures.sort_by(f64::total_cmp);
    let (low, high) = (*figures.first()?, *figures.last()?);
    let middle = figures.len() / 2;
    let median = match figures.len() % 2 {
        0 => f64::midpoint(figures[middle - 1], figures[middle]),
        _ => figures[middle],
    };
    Some(Spread { low, median, high })
}

/// Tells the progress of long work.
#[expect(clippy::print_stderr, reason = "progress of long work")]
pub fn note(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Unit;

    fn measured(name: &str, unit: Unit, against: Option<&str>, figures: &'static [f64]) -> Probe {
        let mut row = Row::new(name, unit);
        row.against = against
            .map(|row| Against {
                row: row.to_owned(),
                times: 2,
            })
            .into_iter()
            .collect();
        let next = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        Probe::one(row, move || {
            let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async move { figures.get(index).copied().ok_or(anyhow::anyhow!("gone")) }
        })
    }

    async fn three_rounds(probes: Vec<Probe>, only: Option<&str>) -> Table {
        let mut table = Table::new(probes, only);
        for round in 0..3 {
            table.measure(round, 3).await;
        }
        table
    }

    #[tokio::test]
    async fn a_ratio_is_taken_round_by_round_and_by_the_work_of_one_operation() {
        let probes = vec![
            measured("floor", Unit::PerSecond, None, &[1e6, 1e5, 1e4]),
            measured(
                "ours",
                Unit::Microseconds,
                Some("floor"),
                &[4.0, 60.0, 600.0],
            ),
        ];
        let table = three_rounds(probes, None).await;
        let line = table.find("ours").unwrap();
        let expected = Spread {
            low: 4.0,
            median: 60.0,
            high: 600.0,
        };
        assert_eq!(line.figures, Ok(expected));
        let (_, ratio) = line.ratios[0];
        assert!((ratio - 3.0).abs() < 1e-9, "{ratio}");
    }

    #[tokio::test]
    async fn a_selection_brings_what_it_is_compared_with() {
        let probes = vec![
            measured("floor", Unit::PerSecond, None, &[1.0; 3]),
            measured("ours", Unit::PerSecond, Some("floor"), &[1.0; 3]),
            measured("other", Unit::PerSecond, None, &[1.0; 3]),
        ];
        let table = three_rounds(probes, Some("our")).await;
        let names: Vec<_> = table.lines().map(|line| line.row.name.clone()).collect();
        assert_eq!(names, ["floor", "ours"]);
    }

    #[tokio::test]
    async fn a_row_that_fails_costs_itself_alone() {
        let probes = vec![
            measured("ours", Unit::PerSecond, None, &[1.0; 2]),
            measured("peer", Unit::PerSecond, None, &[]).of_peer(),
            measured("floor", Unit::PerSecond, None, &[1.0; 3]),
        ];
        let table = three_rounds(probes, None).await;
        let failed: Vec<_> = table.lines().filter(|line| line.figures.is_err()).collect();
        assert_eq!(failed.len(), 2);
        assert_eq!(table.failures().collect::<Vec<_>>(), [("ours", "gone")]);
    }

    #[test]
    fn every_round_has_every_row_and_begins_elsewhere() {
        let orders: Vec<_> = (0..4).map(|round| order(round, 4, 8)).collect();
        for order in &orders {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..8).collect::<Vec<_>>());
        }
        let first: BTreeSet<_> = orders.iter().map(|order| order[0]).collect();
        assert_eq!(first.len(), 4);
    }
}
