//! Rust sources: what each module opens with, words that must not be in one, and its length.

use super::{File, Problem};

/// A file longer than this is worth a second look.
const LONG_FILE: usize = 500;

// Split, so that this file does not hold what it forbids.
const FORBIDDEN_WORDS: [(&str, &str); 4] = [
    (
        concat!("un", "safe "),
        "the workspace forbids it; find a library that wraps it",
    ),
    (concat!("to", "do!("), "finish it, or leave the feature out"),
    (concat!("db", "g!("), "remove it, or log with tracing"),
    (
        concat!("unimple", "mented!("),
        "finish it, or leave the feature out",
    ),
];

/// What reads the world; only the command line may (invariant 9).
const ENVIRONMENT: [&str; 4] = ["env::var", "env::args", "env::current_dir", "env::home_dir"];

/// Looks at every Rust source.
pub fn check(files: &[File]) -> Vec<Problem> {
    let sources = files
        .iter()
        .filter(|file| file.path.ends_with(".rs") && !file.is_test_data());
    sources.flat_map(check_source).collect()
}

fn check_source(file: &File) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !file.text.starts_with("//! ") {
        let message = "open the module with `//! ` and what it owns and must not know";
        problems.push(Problem::new(&file.path, message));
    }
    let is_library = file.is_in("crates") && !file.is_in("crates/cli");
    let mut in_tests = file
        .path
        .split('/')
        .any(|part| matches!(part, "tests" | "tests.rs"));
    for (index, line) in file.text.lines().enumerate() {
        in_tests |= line.trim() == "#[cfg(test)]";
        let code = code_of(line);
        for (word, advice) in FORBIDDEN_WORDS {
            if code.contains(word) {
                let message = format!("`{}` is not used here: {advice}", word.trim_end());
                problems.push(Problem::at(file, index, message));
            }
        }
        if is_library && !in_tests && ENVIRONMENT.iter().any(|word| code.contains(word)) {
            let message = "only the cli reads the environment; take the value as a parameter";
            problems.push(Problem::at(file, index, message));
        }
    }
    let length = file.text.lines().count();
    if length > LONG_FILE {
        let message = format!("{length} lines: is it one thing?");
        problems.push(Problem::reminder(&file.path, message));
    }
    problems
}

/// The line without its comment.
fn code_of(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(path: &str, text: &str, expected: &[&str]) {
        let file = File {
            path: path.into(),
            text: text.into(),
        };
        let found: Vec<String> = check(&[file]).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{path}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                found.contains(expected),
                "{found:?} does not say {expected:?}"
            );
        }
    }

    #[test]
    fn sources_are_looked_at() {
        let long = format!("//! A.\n{}", "\n".repeat(LONG_FILE));
        let block = format!("//! A.\n{}{{}}\n", FORBIDDEN_WORDS[0].0);
        let marker = format!("//! A.\n{});\n", FORBIDDEN_WORDS[1].0);
        let comment = format!("//! A.\n// never {}\n", FORBIDDEN_WORDS[1].0);
        let cases: &[(&str, &str, &[&str])] = &[
            ("a.rs", "//! A.\n", &[]),
            ("a.md", "no source", &[]),
            ("a.rs", "use std::fmt;\n", &["open the module"]),
            ("a.rs", &long, &["reminder"]),
            ("a.rs", &block, &["a.rs:2: error"]),
            ("a.rs", &marker, &["a.rs:2: error"]),
            ("a.rs", &comment, &[]),
            ("x/fixtures/a.rs", "use std::fmt;\n", &[]),
            (
                "crates/rpc/src/a.rs",
                "//! A.\nlet a = env::var(\"A\");\n",
                &["only the cli"],
            ),
            (
                "crates/cli/src/a.rs",
                "//! A.\nlet a = env::var(\"A\");\n",
                &[],
            ),
            (
                "crates/rpc/src/a/tests.rs",
                "//! A.\nlet a = env::var(\"A\");\n",
                &[],
            ),
            (
                "crates/rpc/src/a.rs",
                "//! A.\n#[cfg(test)]\nmod t { env::var(\"A\") }\n",
                &[],
            ),
        ];
        for (path, text, expected) in cases {
            check_one(path, text, expected);
        }
    }
}
