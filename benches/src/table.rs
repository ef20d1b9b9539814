//! Rounds and what comes of them: medians, spreads, ratios. Knows nothing of what is measured, nor how it is shown.
//!
//! A row and the floor that it is compared with are measured as pairs, one right after the other and in alternating order, several times
//! a round: what the machine does besides changes within seconds, and a ratio is worth something only if it hit both alike.

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
    /// What was measured in this round, each with a figure a row.
    taken: Vec<Vec<f64>>,
    /// The medians of the rounds, each with a figure a row.
    figures: Vec<Vec<f64>>,
    /// What came of its pairs.
    pairs: Vec<Pair>,
    /// Why there are no more.
    failure: Option<String>,
}

/// Two rows that were measured back to back.
struct Pair {
    row: usize,
    against: String,
    /// Of the times (or memory).
    ratio: f64,
}

/// Which of a pair is measured first.
#[derive(Clone, Copy)]
enum First {
    Entry,
    Other,
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
            taken: Vec::new(),
            figures: Vec::new(),
            pairs: Vec::new(),
            failure: None,
        });
        Table {
            entries: entries.collect(),
        }
    }

    /// Measures every row, in an order that differs from round to round.
    pub async fn measure(&mut self, round: usize, rounds: usize) {
        for index in order(round, rounds, self.entries.len()) {
            if self.entries[index].failure.is_some() {
                continue;
            }
            let others = self.others(index);
            if others.is_empty() && self.is_other(index) {
                // It is measured beside the rows that are compared with it.
                continue;
            }
            let name = &self.entries[index].probe.rows[0].name;
            note(&format!("round {}/{rounds}: {name}", round + 1));
            if others.is_empty() {
                self.take(index).await;
            }
            for other in others {
                for pair in 0..self.entries[index].probe.pairs {
                    let first = match (round + pair) % 2 {
                        0 => First::Other,
                        _ => First::Entry,
                    };
                    self.take_pair(index, other, first).await;
                }
            }
        }
        for entry in &mut self.entries {
            entry.end_round();
        }
    }

    /// What an entry is compared with and can be measured beside: floors, and rows of ours.
    fn others(&self, index: usize) -> Vec<usize> {
        let entry = &self.entries[index];
        let against = entry.probe.rows.iter().flat_map(|row| &row.against);
        let names: BTreeSet<&str> = against.map(|against| against.row.as_str()).collect();
        let others = self.entries.iter().enumerate().filter(|(_, other)| {
            other.failure.is_none()
                && other.probe.whose == Whose::Ours
                && (other.probe.rows.iter()).any(|row| names.contains(row.name.as_str()))
        });
        others.map(|(index, _)| index).collect()
    }

    /// Whether some entry that still works is compared with this one.
    fn is_other(&self, index: usize) -> bool {
        let compared = self.entries.iter().enumerate();
        compared
            .filter(|(_, entry)| entry.failure.is_none())
            .any(|(compared, _)| self.others(compared).contains(&index))
    }

    /// Measures two entries back to back.
    async fn take_pair(&mut self, index: usize, other: usize, first: First) {
        let (ours, theirs) = match first {
            First::Other => {
                let theirs = self.take(other).await;
                (self.take(index).await, theirs)
            }
            First::Entry => {
                let ours = self.take(index).await;
                (ours, self.take(other).await)
            }
        };
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            return;
        };
        let (entry, other) = (&self.entries[index], &self.entries[other]);
        let mut pairs = Vec::new();
        for (row, our) in entry.probe.rows.iter().enumerate() {
            for (their, figure) in other.probe.rows.iter().zip(&theirs) {
                if our.against.iter().any(|against| against.row == their.name) {
                    let ratio = our.unit.cost(ours[row]) / their.unit.cost(*figure);
                    let against = their.name.clone();
                    pairs.push(Pair {
                        row,
                        against,
                        ratio,
                    });
                }
            }
        }
        self.entries[index].pairs.extend(pairs);
    }

    /// Measures one entry; nothing comes of it when it has failed.
    async fn take(&mut self, index: usize) -> Option<Vec<f64>> {
        let entry = &mut self.entries[index];
        if entry.failure.is_some() {
            return None;
        }
        match entry.probe.measure().await {
            Ok(figures) => {
                entry.taken.push(figures.clone());
                Some(figures)
            }
            Err(error) => {
                note(&format!("  failed: {error:#}"));
                entry.failure = Some(format!("{error:#}"));
                None
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

    /// The time (or memory) of a row in terms of another's: of their pairs, or else round by round.
    pub fn ratio(&self, name: &str, against: &str) -> Option<Spread> {
        let paired = self.paired(name, against);
        let paired = paired.or_else(|| {
            let inverse = self.paired(against, name)?;
            Some(inverse.into_iter().map(|ratio| 1.0 / ratio).collect())
        });
        if let Some(ratios) = paired {
            return spread(ratios);
        }
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

    /// The ratios of the pairs of two rows, if there were any.
    fn paired(&self, name: &str, against: &str) -> Option<Vec<f64>> {
        let (entry, index) = self.position(name)?;
        let pairs = entry.pairs.iter();
        let pairs = pairs.filter(|pair| pair.row == index && pair.against == against);
        let ratios: Vec<_> = pairs.map(|pair| pair.ratio).collect();
        (!ratios.is_empty()).then_some(ratios)
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

impl Entry {
    /// Makes one figure a row of what was measured in the round.
    fn end_round(&mut self) {
        let rows = 0..self.probe.rows.len();
        let medians = rows.map(|row| {
            let figures = self.taken.iter().map(|figures| figures[row]);
            Some(spread(figures.collect())?.median)
        });
        if let Some(medians) = medians.collect() {
            self.figures.push(medians);
        }
        self.taken.clear();
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
        .pairs(1)
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
    async fn a_pair_is_measured_back_to_back_and_its_floor_only_there() {
        let floor: Vec<f64> = vec![1.0, 10.0, 100.0, 2.0, 20.0, 200.0];
        let ours: Vec<f64> = vec![3.0, 30.0, 300.0, 8.0, 80.0, 800.0];
        let probe = |name, against, figures: Vec<f64>| {
            measured(name, Unit::Microseconds, against, figures.leak()).pairs(3)
        };
        let probes = vec![
            probe("floor", None, floor),
            probe("ours", Some("floor"), ours),
        ];
        let mut table = Table::new(probes, None);
        for round in 0..2 {
            table.measure(round, 2).await;
        }
        assert_eq!(
            table.failures().count(),
            0,
            "a floor is measured once a pair"
        );
        let ratio = table.ratio("ours", "floor").unwrap();
        let expected = Spread {
            low: 3.0,
            median: 3.5,
            high: 4.0,
        };
        assert_eq!(ratio, expected);
        let inverse = table.ratio("floor", "ours").unwrap();
        assert_eq!((inverse.low, inverse.high), (0.25, 1.0 / 3.0));
        let line = table.find("floor").unwrap();
        assert_eq!(line.figures.unwrap().median, 15.0);
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
