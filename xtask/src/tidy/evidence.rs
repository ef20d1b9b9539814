//! The page that says what happens when something goes wrong names tests that show it. Owns how the page names them and
//! where tests are found; what they show is theirs.

use super::{File, Problem};
use std::collections::BTreeSet;

const PAGE: &str = "docs/robustness.md";

/// The last column of the page's tables.
const COLUMN: &str = "tests";

/// Looks whether every test that the page names exists, and whether every row of its tables names one.
pub fn check(files: &[File]) -> Vec<Problem> {
    let Some(page) = files.iter().find(|file| file.path == PAGE) else {
        return Vec::new();
    };
    let tests: BTreeSet<&str> = files.iter().flat_map(tests_of).collect();
    let mut problems = Vec::new();
    let mut in_table = false;
    for (index, line) in page.text.lines().enumerate() {
        let cell = last_cell(line);
        in_table = cell.is_some() && (in_table || cell == Some(COLUMN));
        let is_row = in_table && cell != Some(COLUMN) && !line.starts_with("|-");
        let names = match cell.filter(|_| is_row) {
            Some(cell) => quoted(cell).collect(),
            None => quoted(line)
                .filter(|word| reads_as_test(word))
                .collect::<Vec<_>>(),
        };
        if is_row && names.is_empty() {
            problems.push(Problem::at(page, index, "the row names no test"));
        }
        let missing = names.iter().filter(|name| !tests.contains(**name));
        problems.extend(
            missing.map(|name| Problem::at(page, index, format!("there is no test `{name}`"))),
        );
    }
    problems
}

/// The text of a row's last cell, if the line is a row.
fn last_cell(line: &str) -> Option<&str> {
    let row = line.strip_prefix('|')?.strip_suffix('|')?;
    row.rsplit('|').next().map(str::trim)
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether a word outside of the tables is a test's name: those are sentences, and other names are not.
fn reads_as_test(word: &str) -> bool {
    let is_name =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    word.chars().all(is_name) && word.matches('_').count() > 1
}

/// The functions of a file that holds tests, or of the part of it that does.
fn tests_of(file: &File) -> impl Iterator<Item = &str> {
    let is_whole =
        file.is_in("tests") || file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
    let text = match file.path.rsplit_once('.') {
        Some((_, "rs" | "py")) if is_whole => file.text.as_str(),
        Some((_, "rs")) => file
            .text
            .split_once("#[cfg(test)]")
            .map_or("", |(_, tests)| tests),
        _ => "",
    };
    text.lines().filter_map(function)
}

/// The name of the function that a line begins.
fn function(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let line = line.strip_prefix("async ").unwrap_or(line);
    let rest = line
        .strip_prefix("fn ")
        .or_else(|| line.strip_prefix("def "))?;
    let end = rest.find(['(', '<'])?;
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up() {
        let table = |row: &str| format!("| a | tests |\n|---|---|\n{row}\n");
        let cases = [
            (table("| x | `it_works` |"), 0),
            (
                table("| x | `it_works` `test_it` `inside` `a_behaviour` |"),
                0,
            ),
            (table("| `x` | `it_works` |"), 0),
            (table("| x | |"), 1),
            (table("| x | none |"), 1),
            (table("| x | `it_works` `gone` |"), 1),
            (table("| x | `not_a_test` |"), 1),
            (
                table("| x | `it_works` |\n\nNot in a table: `x`, `a_key`"),
                0,
            ),
            ("`a_test_that_is_gone`".to_owned(), 1),
            ("`a_key`, `sys.exit()`, `maxInFlight`".to_owned(), 0),
            ("| key | default |\n|---|---|\n| `a` | `b` |".to_owned(), 0),
        ];
        let sources = [
            (
                "tests/tests/a.rs",
                "#[test]\nfn it_works() {}\npub async fn a_behaviour(x: u8) {}",
            ),
            ("sdk/python/tests/test_a.py", "    def test_it(self):"),
            (
                "crates/a/src/lib.rs",
                "fn not_a_test() {}\n#[cfg(test)]\nmod tests { \nfn inside() {} }",
            ),
            ("tests/a.md", "fn gone()"),
        ];
        for (text, expected) in cases {
            let page = (PAGE, text.as_str());
            let files: Vec<File> = sources
                .iter()
                .chain([&page])
                .map(|(path, text)| File {
                    path: (*path).into(),
                    text: (*text).into(),
                })
                .collect();
            assert_eq!(check(&files).len(), expected, "{text:?}");
        }
        assert!(check(&[]).is_empty());
    }
}
