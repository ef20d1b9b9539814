//! Requirements and the tests that carry them, both ways: `spec/requirements.toml` against the `req:` markers. Owns how the two are
//! found; what is required, and what the tests show, is theirs.

use super::{File, Problem};
use std::collections::{BTreeMap, BTreeSet};

const LIST: &str = "spec/requirements.toml";

/// Looks whether every requirement is carried by a test, and whether every marker of a group that the list has names one.
pub fn check(files: &[File]) -> Vec<Problem> {
    let Some(list) = files.iter().find(|file| file.path == LIST) else {
        return Vec::new();
    };
    let required: BTreeMap<&str, usize> = ids(list).collect();
    let groups: BTreeSet<&str> = required.keys().map(|id| group(id)).collect();
    let mut carried = BTreeSet::new();
    let mut problems = Vec::new();
    for file in files {
        for (line, id) in markers(file) {
            carried.insert(id);
            if groups.contains(group(id)) && !required.contains_key(id) {
                let message = format!("{LIST} has no requirement `{id}`");
                problems.push(Problem::at(file, line, message));
            }
        }
    }
    let missing = required.iter().filter(|(id, _)| !carried.contains(*id));
    problems.extend(missing.map(|(id, line)| {
        let message = format!("no test carries `{id}`: say `// req: {id}` above one");
        Problem::at(list, *line, message)
    }));
    problems
}

/// The ids of the list, with their lines.
fn ids(list: &File) -> impl Iterator<Item = (&str, usize)> {
    let lines = list.text.lines().enumerate();
    lines.filter_map(|(line, text)| {
        let id = text.strip_prefix("id = \"")?.strip_suffix('"')?;
        Some((id, line))
    })
}

/// The ids that the markers of a file name, with their lines. One marker may name several.
fn markers(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let is_source = file.path.ends_with(".rs") || file.path.ends_with(".py");
    let lines = file.text.lines().enumerate().filter(move |_| is_source);
    lines.flat_map(|(line, text)| {
        let text = text.trim_start();
        let named = text
            .strip_prefix("// req: ")
            .or_else(|| text.strip_prefix("# req: "));
        let ids = named.into_iter().flat_map(|it| it.split(", "));
        ids.map(move |id| (line, id.trim()))
    })
}

fn group(id: &str) -> &str {
    id.split_once('.').map_or(id, |(group, _)| group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_are_checked() {
        let cases = [
            ("// req: a.one, a.two", 0),
            ("    // req: a.one\n# req: a.two\n// req: other.thing", 0),
            ("// req: a.one", 1),
            ("// req: a.one, a.two, a.three", 1),
            ("", 2),
        ];
        for (text, expected) in cases {
            let file = |path: &str, text: &str| File {
                path: path.into(),
                text: text.into(),
            };
            let list = "[[server]]\nid = \"a.one\"\n[[server]]\nid = \"a.two\"\n";
            let files = [file(LIST, list), file("tests/a.rs", text)];
            assert_eq!(check(&files).len(), expected, "{text:?}");
        }
        assert!(check(&[]).is_empty());
    }
}
