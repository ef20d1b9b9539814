//! Relative links of the Markdown files outside the site. The site's own are checked by its
//! generator, which knows its anchors too.

use super::{File, Problem};
use std::collections::BTreeSet;

/// Looks at every Markdown file that is not a page of the site.
pub fn check(files: &[File]) -> Vec<Problem> {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for file in files {
        let mut path = file.path.as_str();
        while known.insert(path) {
            let Some((folder, _)) = path.rsplit_once('/') else {
                break;
            };
            path = folder;
        }
    }
    let pages = files
        .iter()
        .filter(|file| file.path.ends_with(".md") && !file.is_in("docs") && !file.is_test_data());
    pages.flat_map(|file| check_page(file, &known)).collect()
}

fn check_page(file: &File, known: &BTreeSet<&str>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut in_fence = false;
    for (index, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
        }
        for target in line.split("](").skip(1).filter(|_| !in_fence) {
            let target = target.split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains(':') {
                continue;
            }
            let path = resolve(&file.path, target);
            if !known.contains(path.as_str()) {
                problems.push(Problem::at(
                    file,
                    index,
                    format!("the link to {path} is broken"),
                ));
            }
        }
    }
    problems
}

/// The path from the workspace's folder that a link in a file means.
fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed() {
        let cases = [
            ("[a](docs/a.md)", 0),
            ("[a](docs/a.md#part) and [b](docs)", 0),
            ("[a](https://example.com) [b](#here)", 0),
            ("[a](missing.md)", 1),
            ("```\n[a](missing.md)\n```", 0),
            ("[a](../sdk/a.py)", 0),
        ];
        for (text, expected) in cases {
            let files = [
                File {
                    path: "README.md".into(),
                    text: text.into(),
                },
                File {
                    path: "docs/a.md".into(),
                    text: "[x](nowhere.md)".into(),
                },
                File {
                    path: "sdk/a.py".into(),
                    text: String::new(),
                },
            ];
            assert_eq!(check(&files).len(), expected, "{text:?}");
        }
    }
}
