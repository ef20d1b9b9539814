//! The arrows between our crates: the table in `ARCHITECTURE.md` against every `Cargo.toml`.

use super::Problem;
use crate::metadata::Metadata;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Opens the block that holds the table.
const MARKER: &str = "```text arrows";

/// What each crate may use.
type Table = BTreeMap<String, Allowed>;

#[derive(Debug, PartialEq, Eq)]
enum Allowed {
    /// Any crate that itself may not use everything.
    Anything,
    These(Vec<String>),
}

/// Compares the manifests of a workspace with the table in its `ARCHITECTURE.md`.
pub fn check_workspace(root: &Path) -> Result<Vec<Problem>> {
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md"))
        .context("cannot read ARCHITECTURE.md, which holds the table of arrows")?;
    let table = parse(&architecture)?;
    Ok(check(&table, &Metadata::of_manifests(root)?))
}

fn parse(architecture: &str) -> Result<Table> {
    let mut lines = architecture.lines();
    lines
        .find(|line| line.trim() == MARKER)
        .with_context(|| format!("ARCHITECTURE.md has no block that opens with {MARKER}"))?;
    let mut table = Table::new();
    for line in lines.take_while(|line| !line.starts_with("```")) {
        let (from, to) = line
            .split_once('→')
            .with_context(|| format!("this line has no arrow: {line:?}"))?;
        let to: Vec<String> = to.split_whitespace().map(str::to_owned).collect();
        let allowed = if to == ["*"] {
            Allowed::Anything
        } else {
            Allowed::These(to)
        };
        let previous = table.insert(from.trim().to_owned(), allowed);
        anyhow::ensure!(previous.is_none(), "two lines for {}", from.trim());
    }
    Ok(table)
}

fn check(table: &Table, manifests: &Metadata) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in &manifests.packages {
        let from = short_name(&package.name);
        let Some(allowed) = table.get(from) else {
            let message = format!("ARCHITECTURE.md's table of arrows has no line for {from}");
            problems.push(Problem::new(&package.name, message));
            continue;
        };
        let ours = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.path.is_some());
        for to in ours.map(|dependency| short_name(&dependency.name)) {
            // A crate may name itself, to turn on a feature for its own tests.
            if to != from && !allows(table, allowed, to) {
                let message = format!(
                    "{from} must not depend on {to}; if it should, change the table of arrows in \
                     ARCHITECTURE.md and say why"
                );
                problems.push(Problem::new(&package.name, message));
            }
        }
    }
    problems
}

fn allows(table: &Table, allowed: &Allowed, to: &str) -> bool {
    match allowed {
        Allowed::These(names) => names.iter().any(|name| name == to),
        Allowed::Anything => to != "xtask" && matches!(table.get(to), Some(Allowed::These(_))),
    }
}

/// The name in the table: `stepflow-flow` is `flow`, and `stepflow`, the program, is `cli`.
fn short_name(package: &str) -> &str {
    match package.strip_prefix("stepflow-") {
        Some(short) => short,
        None if package == "stepflow" => "cli",
        None => package,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_arrow_is_caught() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/forbidden-arrow");
        let messages: Vec<String> = check_workspace(&fixture)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert!(messages[0].starts_with("stepflow-flow: error: flow must not depend on rpc"));
    }

    #[test]
    fn a_table_is_read_from_its_block() {
        let table = parse("# A\n```text arrows\na →\nb → a\ncli → *\n```\nc → b\n").unwrap();
        assert_eq!(table["a"], Allowed::These(vec![]));
        assert_eq!(table["b"], Allowed::These(vec!["a".into()]));
        assert_eq!(table["cli"], Allowed::Anything);
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn anything_means_no_crate_that_uses_anything() {
        let table = parse("```text arrows\na →\ncli → *\ntests → *\nxtask →\n```\n").unwrap();
        let cases = [
            ("a", true),
            ("cli", false),
            ("tests", false),
            ("xtask", false),
        ];
        for (to, expected) in cases {
            assert_eq!(allows(&table, &Allowed::Anything, to), expected, "{to}");
        }
    }

    #[test]
    fn a_document_without_the_block_is_an_error() {
        assert!(parse("# Architecture\n").is_err());
    }
}
