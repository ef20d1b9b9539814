//! Counts that were written down, and the comparison with new ones. Knows nothing of how they are had.

use anyhow::{Context, Result, bail};
use std::fmt;

/// How far a count may be from the one written down, in percent.
const TOLERANCE: f64 = 5.0;

/// The same where another version of the compiler made the code.
const TOLERANCE_OTHER_COMPILER: f64 = 25.0;

/// How far two counts of one run may be apart, in percent: more would make the comparison a matter of luck.
const STEADY: f64 = 3.5;

const HEADER: &str = "\
# Instructions per operation, counted by valgrind. `cargo xtask instructions` compares, and with `--update` writes this file.
# Counts depend on the compiler; those of another architecture say nothing.
";

/// What made the code that was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiler {
    /// Its version.
    pub rustc: String,
    /// What it made code for.
    pub target: String,
}

impl Compiler {
    /// Reads what `rustc -vV` says.
    pub fn parse(said: &str) -> Option<Self> {
        let host = said.lines().find_map(|line| line.strip_prefix("host: "));
        Some(Compiler {
            rustc: said.lines().next()?.strip_prefix("rustc ")?.to_owned(),
            target: host?.to_owned(),
        })
    }
}

/// A workload that was counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    name: String,
    instructions: f64,
    /// How far two counts are apart, in percent.
    variation: f64,
}

impl Count {
    /// The mean of two.
    pub fn of_two(name: &str, one: f64, other: f64) -> Self {
        Count {
            name: name.to_owned(),
            instructions: f64::midpoint(one, other),
            variation: difference(one.min(other), one.max(other)),
        }
    }
}

/// How much more the second is, in percent of the first.
fn difference(first: f64, second: f64) -> f64 {
    (second / first - 1.0) * 100.0
}

/// What is written down.
#[derive(Debug, PartialEq)]
pub struct Baseline {
    /// What made the code.
    pub compiler: Compiler,
    /// Names and instructions per operation.
    counts: Vec<(String, f64)>,
}

impl Baseline {
    /// Of counts just made.
    pub fn new(compiler: Compiler, counts: &[Count]) -> Self {
        let counts = counts.iter();
        Baseline {
            compiler,
            counts: counts
                .map(|count| (count.name.clone(), count.instructions.round()))
                .collect(),
        }
    }

    /// Reads the part of TOML that [`Display`](fmt::Display) writes: text in quotes, numbers, one table.
    pub fn parse(text: &str) -> Result<Self> {
        let (mut rustc, mut target, mut counts) = (None, None, Vec::new());
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') || line == "[instructions]" {
                continue;
            }
            let wrong = || format!("line {}: {line}", index + 1);
            let (key, value) = line.rsplit_once(" = ").with_context(wrong)?;
            match key {
                "rustc" => rustc = unquoted(value),
                "target" => target = unquoted(value),
                _ => {
                    let name = unquoted(key).with_context(wrong)?;
                    let instructions: f64 = value.parse().with_context(wrong)?;
                    if instructions <= 0.0 {
                        bail!("{}: nothing takes no instructions", wrong());
                    }
                    counts.push((name, instructions));
                }
            }
        }
        let compiler = Compiler {
            rustc: rustc.context("`rustc` is missing")?,
            target: target.context("`target` is missing")?,
        };
        Ok(Baseline { compiler, counts })
    }

    /// Puts new counts beside these.
    pub fn compare(&self, compiler: &Compiler, counts: &[Count]) -> Comparison {
        let is_same = self.compiler == *compiler;
        let lines = counts.iter().map(|count| {
            let before = self.counts.iter().find(|(name, _)| *name == count.name);
            Line {
                count: count.clone(),
                before: before.map(|(_, before)| *before),
            }
        });
        let gone = self
            .counts
            .iter()
            .map(|(name, _)| name)
            .filter(|name| counts.iter().all(|count| count.name != **name));
        Comparison {
            lines: lines.collect(),
            gone: gone.cloned().collect(),
            tolerance: match is_same {
                true => TOLERANCE,
                false => TOLERANCE_OTHER_COMPILER,
            },
            other_compilers: (!is_same).then(|| [&self.compiler, compiler].map(Compiler::clone)),
        }
    }
}

fn unquoted(text: &str) -> Option<String> {
    let text = text.strip_prefix('"')?.strip_suffix('"')?;
    Some(text.to_owned())
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}\nrustc = \"{}\"", self.compiler.rustc)?;
        writeln!(f, "target = \"{}\"\n\n[instructions]", self.compiler.target)?;
        for (name, instructions) in &self.counts {
            writeln!(f, "\"{name}\" = {instructions:.0}")?;
        }
        Ok(())
    }
}

/// New counts beside those written down.
#[derive(Debug)]
pub struct Comparison {
    lines: Vec<Line>,
    gone: Vec<String>,
    tolerance: f64,
    other_compilers: Option<[Compiler; 2]>,
}

#[derive(Debug)]
struct Line {
    count: Count,
    before: Option<f64>,
}

impl Line {
    fn difference(&self) -> Option<f64> {
        Some(difference(self.before?, self.count.instructions))
    }
}

impl Comparison {
    /// What has to be looked at, a line each.
    pub fn problems(&self) -> Vec<String> {
        let lines = self.lines.iter().filter_map(|line| self.problem(line));
        let gone = self.gone.iter();
        let gone = gone.map(|name| format!("{name}: written down, and counted no more"));
        lines.chain(gone).collect()
    }

    fn problem(&self, line: &Line) -> Option<String> {
        let (count, tolerance) = (&line.count, self.tolerance);
        let what = match line.difference() {
            _ if count.variation > STEADY => format!(
                "two counts differ by {:.1} %: it does not do the same work each time",
                count.variation
            ),
            None => "not written down yet".to_owned(),
            Some(more) if more > tolerance => {
                format!("{more:.1} % more instructions, where {tolerance} % may be")
            }
            Some(more) if more < -tolerance => format!("{:.1} % fewer instructions", -more),
            Some(_) => return None,
        };
        Some(format!("{}: {what}", count.name))
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some([before, now]) = &self.other_compilers {
            writeln!(
                f,
                "WARNING: written down with rustc {} for {}, and this is rustc {} for {}: {} % either way pass instead of {TOLERANCE} %",
                before.rustc, before.target, now.rustc, now.target, self.tolerance
            )?;
        }
        let names = self.lines.iter().map(|line| line.count.name.len());
        let width = names.max().unwrap_or_default();
        writeln!(
            f,
            "{:<width$}  {:>11} {:>11} {:>10}  between two runs",
            "instructions per operation", "baseline", "now", "difference"
        )?;
        for line in &self.lines {
            let (name, now) = (&line.count.name, line.count.instructions);
            let before = line
                .before
                .map_or("–".to_owned(), |before| format!("{before:.0}"));
            let difference = line.difference();
            let difference = difference.map_or_else(String::new, |it| format!("{it:+.1} %"));
            let variation = line.count.variation;
            writeln!(
                f,
                "{name:<width$}  {before:>11} {now:>11.0} {difference:>10}  {variation:.2} %"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiler(rustc: &str) -> Compiler {
        Compiler {
            rustc: rustc.to_owned(),
            target: "x86_64-unknown-linux-gnu".to_owned(),
        }
    }

    fn problems(before: f64, rustc: &str, now: Count) -> Vec<String> {
        let before = Count::of_two("call", before, before);
        let baseline = Baseline::new(compiler("1.95.0"), &[before]);
        baseline.compare(&compiler(rustc), &[now]).problems()
    }

    #[test]
    fn the_compiler_says_what_it_is() {
        let said =
            "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\n";
        assert_eq!(
            Compiler::parse(said),
            Some(compiler("1.95.0 (59807616e 2026-04-14)"))
        );
        assert_eq!(Compiler::parse("cargo 1.95.0\n"), None);
    }

    #[test]
    fn what_is_written_is_read() {
        let counts = [
            Count::of_two("call, memory = fast", 100.0, 100.8),
            Count::of_two("decode", 7.0, 7.0),
        ];
        let baseline = Baseline::new(compiler("1.95.0 (5980 2026-04-14)"), &counts);
        assert_eq!(Baseline::parse(&baseline.to_string()).unwrap(), baseline);
    }

    #[test]
    fn a_broken_file_is_told_with_its_line() {
        let check = |rest: &str, expected: &str| {
            let text = format!("rustc = \"1\"\ntarget = \"t\"\n{rest}");
            let error = Baseline::parse(&text).unwrap_err();
            assert!(format!("{error:#}").contains(expected), "{error:#}");
        };
        check("\"call\" 100", "line 3");
        check("\"call\" = many", "line 3");
        check("call = 100", "line 3");
        check("\"call\" = 0", "line 3");
        assert!(Baseline::parse("rustc = \"1\"\n").is_err());
    }

    #[test]
    fn more_and_fewer_than_the_tolerance_are_problems() {
        let count = |instructions| Count::of_two("call", instructions, instructions);
        assert!(problems(1000.0, "1.95.0", count(1049.0)).is_empty());
        assert!(problems(1000.0, "1.95.0", count(951.0)).is_empty());
        assert_eq!(
            problems(1000.0, "1.95.0", count(1051.0)),
            ["call: 5.1 % more instructions, where 5 % may be"]
        );
        assert_eq!(
            problems(1000.0, "1.95.0", count(940.0)),
            ["call: 6.0 % fewer instructions"]
        );
    }

    #[test]
    fn another_compiler_widens_the_tolerance_and_is_told() {
        let count = |instructions| Count::of_two("call", instructions, instructions);
        assert!(problems(1000.0, "1.96.0", count(1240.0)).is_empty());
        assert_eq!(problems(1000.0, "1.96.0", count(1260.0)).len(), 1);
        let baseline = Baseline::new(compiler("1.95.0"), &[]);
        let shown = baseline.compare(&compiler("1.96.0"), &[]).to_string();
        assert!(shown.starts_with("WARNING: "), "{shown}");
    }

    #[test]
    fn what_is_new_or_gone_or_unsteady_is_a_problem() {
        let new = Count::of_two("other", 10.0, 10.0);
        let [first, second] = &problems(1000.0, "1.95.0", new)[..] else {
            panic!("one is new and one is gone");
        };
        assert!(first.contains("not written down yet"), "{first}");
        assert!(second.contains("counted no more"), "{second}");
        let unsteady = Count::of_two("call", 970.0, 1030.0);
        assert_eq!(problems(1000.0, "1.95.0", unsteady).len(), 1);
    }
}
