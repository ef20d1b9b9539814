//! The tables for people: figures, ratios and targets as Markdown, and where they are kept.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;

use crate::plot::Plot;
use crate::row::Against;
use crate::table::Line;
use crate::table::Table;
use crate::targets;

/// Where the tables are kept, from the folder of the workspace.
const RESULTS: &str = "benches/RESULTS.md";
/// The page that shows them too, between two marks.
const PAGE: &str = "docs/performance.md";
const BEGIN: &str = "<!-- figures: written by `cargo xtask bench` -->";
const END: &str = "<!-- end of figures -->";

/// Where the pictures are, and their data; the page names them from its own folder.
const PICTURES: &str = "docs/assets/performance";
const PICTURES_OF_PAGE: &str = "assets/performance";
const CURVES_BEGIN: &str = "<!-- curves: written by `cargo xtask bench --scale` -->";
const CURVES_END: &str = "<!-- end of curves -->";

/// Up to here a slope counts as linear: times are not exact.
const LINEAR: f64 = 1.1;

/// Groups of rows by how their names begin.
const GROUPS: [(&str, &str); 7] = [
    ("floor: ", "Floors: what the machine can do"),
    ("call: ", "One call"),
    ("64 MB there and back: ", "A large message"),
    ("steps: ", "Steps through the whole engine"),
    ("memory of the runtime: ", "Memory of the runtime"),
    ("cold start: ", "Cold start"),
    ("peer: ", "Peers"),
];

const METHOD: &str = "\
Every row is measured once a round, all rows in turn, beginning elsewhere in each round and backwards in every other one. A row with a floor is
measured in pairs: floor and row right after each other, three times a round (large messages once), in alternating order; the ratio is the median of the
ratios of these pairs. Against peers it is the median of the ratios round by round. Ratios are of time (or memory) for one operation: below 1 is
faster than what it is compared with. Figures are medians over the rounds, then the lowest and the highest. Everything runs on one machine, over pipes or loopback; servers are processes of their own; everything in Rust is a release
build. A floor passes 200 bytes to and fro; the bare ASGI application runs under uvicorn alone (h11, asyncio's loop), and again on httptools and uvloop, which the
Python SDK's own server uses; a call of ours carries an input of 27 bytes in a request of about 240, its answer has about 110; peers
carry the same input. Every answer is looked at. Memory is the most that a process had resident; a server over HTTP serves the whole run, so its figure is that of all rounds
so far.";

/// The whole report.
pub fn markdown(table: &Table, machine: &[(&'static str, String)]) -> anyhow::Result<String> {
    let mut text = String::from("| | |\n|---|---|\n");
    for (name, value) in machine {
        writeln!(text, "| {name} | {value} |")?;
    }
    writeln!(text, "\n{METHOD}\n\n## Targets\n")?;
    writeln!(text, "| what | measured | target | |\n|---|---|---|---|")?;
    for target in targets::all() {
        let verdict = target.judge(table);
        let what = target.what;
        writeln!(
            text,
            "| {what} | {} | {} | {verdict} |",
            verdict.measured, verdict.wanted
        )?;
    }
    for (prefix, title) in GROUPS {
        let lines = table
            .lines()
            .filter(|line| line.row.name.starts_with(prefix));
        let lines: Vec<_> = lines.collect();
        if !lines.is_empty() {
            write_group(&mut text, prefix, title, &lines)?;
        }
    }
    Ok(text)
}

fn write_group(
    text: &mut String,
    prefix: &str,
    title: &str,
    lines: &[Line<'_>],
) -> anyhow::Result<()> {
    writeln!(text, "\n## {title}\n")?;
    let is_compared = lines.iter().any(|line| !line.row.against.is_empty());
    match is_compared {
        true => writeln!(
            text,
            "| row | median | lowest to highest | against the floor | against peers |\n|---|--:|--:|---|---|"
        )?,
        false => writeln!(text, "| row | median | lowest to highest |\n|---|--:|--:|")?,
    }
    for line in lines {
        let name = line.row.name.trim_start_matches(prefix);
        let unit = line.row.unit;
        match line.figures {
            Ok(figures) => write!(
                text,
                "| {name} | {} | {} to {} |",
                unit.show(figures.median),
                unit.show(figures.low),
                unit.show(figures.high)
            )?,
            Err(why) => write!(text, "| {name} | – | {} |", one_cell(why))?,
        }
        if is_compared {
            let (peers, floors): (Vec<_>, Vec<_>) = line
                .ratios
                .iter()
                .partition(|(against, _)| against.row.starts_with("peer: "));
            write!(text, " {} | {} |", ratios(&floors), ratios(&peers))?;
        }
        text.push('\n');
    }
    Ok(())
}

fn ratios(ratios: &[&(&Against, f64)]) -> String {
    let shown = ratios.iter().map(|(against, ratio)| {
        let name = against.row.split_once(": ").map_or("", |(_, name)| name);
        let times = match against.times {
            1 => String::new(),
            times => format!("{times} of "),
        };
        let digits = if *ratio < 0.1 { 4 } else { 2 };
        format!("{ratio:.digits$} × {times}{name}")
    });
    shown.collect::<Vec<_>>().join("<br>")
}

/// Text that stays in its cell.
fn one_cell(text: &str) -> String {
    text.replace(['\n', '|'], " ").chars().take(200).collect()
}

/// Prints to stdout.
#[expect(clippy::print_stdout, reason = "the report is the result")]
pub fn print(text: &str) {
    println!("{text}");
}

/// How cost grows with work: what each picture shows, what bounds it, and the slopes of its curves.
pub fn curves(plots: &[Plot]) -> anyhow::Result<String> {
    let mut text = String::new();
    for plot in plots {
        let Plot {
            file, title, bound, ..
        } = plot;
        writeln!(
            text,
            "### {title}\n\n![{title}: {} against {}]({PICTURES_OF_PAGE}/{file}.svg)\n",
            plot.cost, plot.work
        )?;
        writeln!(
            text,
            "{bound} [The figures.]({PICTURES_OF_PAGE}/{file}.csv)\n"
        )?;
        writeln!(
            text,
            "| curve | slope of log cost against log work, last decade | |\n|---|--:|---|"
        )?;
        for curve in &plot.curves {
            let (slope, verdict) = match curve.slope() {
                Some(slope) if slope <= LINEAR => (format!("{slope:.2}"), "linear or better"),
                Some(slope) => (format!("{slope:.2}"), "**worse than linear**"),
                None => ("–".to_owned(), "too few points"),
            };
            writeln!(text, "| {} | {slope} | {verdict} |", curve.name)?;
        }
        text.push('\n');
    }
    Ok(text)
}

/// Keeps a report where it belongs.
pub fn write(report: &str) -> anyhow::Result<()> {
    let results = format!("# Results\n\nWritten by `cargo xtask bench`.\n\n{report}");
    std::fs::write(workspace()?.join(RESULTS), results)
        .with_context(|| format!("cannot write {RESULTS}"))?;
    // The page has its own headings around ours.
    put_into_page(BEGIN, END, &report.replace("\n## ", "\n### "))
}

/// Keeps the pictures, their data, and what is said of them.
pub fn write_curves(plots: &[Plot]) -> anyhow::Result<()> {
    let folder = workspace()?.join(PICTURES);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {PICTURES}"))?;
    for plot in plots {
        for (kind, text) in [("svg", plot.svg()?), ("csv", plot.csv()?)] {
            let name = format!("{}.{kind}", plot.file);
            std::fs::write(folder.join(&name), text)
                .with_context(|| format!("cannot write {PICTURES}/{name}"))?;
        }
    }
    put_into_page(CURVES_BEGIN, CURVES_END, curves(plots)?.trim_end())
}

fn workspace() -> anyhow::Result<&'static Path> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    workspace.context("benches is in the workspace")
}

/// Puts text between two marks of the page.
fn put_into_page(begin: &str, end: &str, new: &str) -> anyhow::Result<()> {
    let page = workspace()?.join(PAGE);
    let text = std::fs::read_to_string(&page).with_context(|| format!("cannot read {PAGE}"))?;
    let text = replaced(&text, (begin, end), new)
        .with_context(|| format!("{PAGE} has no marks: `{begin}` and `{end}`"))?;
    std::fs::write(&page, text).with_context(|| format!("cannot write {PAGE}"))
}

/// The page with other text between two marks.
fn replaced(page: &str, (begin, end): (&str, &str), new: &str) -> Option<String> {
    let (before, rest) = page.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n\n{new}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_keeps_what_is_around_its_figures() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = replaced(&page, (BEGIN, END), "new").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}\n\nnew\n{END}\nafter\n"));
        assert_eq!(replaced(&new, (BEGIN, END), "new").as_ref(), Some(&new));
        assert_eq!(replaced("no marks", (BEGIN, END), "new"), None);
    }
}
