//! Which files are flows. A file that is named is one; in a folder, those that look like one, whether or not they can be
//! read: a flow with a mistake must not pass for something else.

use std::path::Path;
use std::path::PathBuf;

use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::document;
use stepflow_flow::document::Node;
use stepflow_flow::document::Source;

use crate::report::CliError;
use crate::report::words;

/// Folders that hold other people's files.
const FOREIGN: &[&str] = &["node_modules", "target", "venv"];

/// What was found.
#[derive(Debug, Default)]
pub struct Flows {
    /// The flows, in the order of their names.
    pub flows: Vec<PathBuf>,
    /// How many YAML and JSON files are none.
    pub n_skipped: usize,
}

/// The flows at these paths.
pub fn find(paths: &[PathBuf]) -> Result<Flows, CliError> {
    let mut found = Flows::default();
    if paths.is_empty() {
        walk(Path::new("."), &mut found)?;
    }
    for path in paths {
        if path.is_dir() {
            walk(path, &mut found)?;
        } else {
            found.flows.push(path.clone());
        }
    }
    let mut seen = std::collections::HashSet::new();
    found.flows.retain(|path| seen.insert(path.clone()));
    Ok(found)
}

fn walk(folder: &Path, found: &mut Flows) -> Result<(), CliError> {
    let unreadable = |error| words::unreadable("the folder", folder, error);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        entries.push((entry.file_name(), entry.file_type().map_err(unreadable)?));
    }
    entries.sort_by(|left, right| left.0.cmp(&right.0));
    for (name, kind) in entries {
        let text = name.to_string_lossy();
        let path = match folder == Path::new(".") {
            true => PathBuf::from(&name),
            false => folder.join(&name),
        };
        // A link may lead in a circle.
        if kind.is_dir() && !text.starts_with('.') && !FOREIGN.contains(&&*text) {
            walk(&path, found)?;
        } else if is_document(&path) && path.is_file() {
            let text = std::fs::read(&path);
            let text = text.map_err(|error| words::unreadable("the file", &path, error))?;
            match looks_like_a_flow(&String::from_utf8_lossy(&text)) {
                true => found.flows.push(path),
                false => found.n_skipped += 1,
            }
        }
    }
    Ok(())
}

fn is_document(path: &Path) -> bool {
    let extension = path
        .extension()
        .and_then(|it| it.to_str())
        .unwrap_or_default();
    ["yaml", "yml", "json"]
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
}

/// A flow has steps with components, or an output and something else of a flow's. Of what cannot be read, the lines tell.
fn looks_like_a_flow(text: &str) -> bool {
    let source = Source::new("a file", text);
    let mut diagnostics = Diagnostics::new(&source);
    let node = document::read(&source, &mut diagnostics);
    match node.filter(|_| !diagnostics.has_errors()) {
        Some(node) => has_keys_of_a_flow(&node),
        None => {
            let has = |key: &str| text.lines().any(|line| line.starts_with(key));
            has("steps:") && text.contains("component:")
                || has("output:") && (has("steps:") || has("test:"))
        }
    }
}

fn has_keys_of_a_flow(node: &Node) -> bool {
    let Some(object) = node.as_object() else {
        return false;
    };
    let has = |key: &str| object.get(key).is_some();
    let steps = object
        .get("steps")
        .and_then(Node::as_list)
        .unwrap_or_default();
    let mut steps = steps.iter().filter_map(Node::as_object);
    steps.any(|step| step.get("component").is_some())
        || has("output")
            && ["steps", "test", "inputSchema", "input_schema"]
                .iter()
                .any(|key| has(key))
}

#[cfg(test)]
mod tests {
    use super::looks_like_a_flow;

    #[test]
    fn flows_are_told_from_other_files() {
        let check = |text: &str, expected: bool| {
            assert_eq!(looks_like_a_flow(text), expected, "{text}");
        };
        check("steps: [{id: a, component: noop}]\noutput: 1", true);
        check(
            "{\"steps\": [{\"id\": \"a\", \"component\": \"noop\"}]}",
            true,
        );
        check("steps: []\noutput: 1", true);
        check("output: 1\ntest: {cases: []}", true);
        // With a mistake it is a flow all the same.
        check(
            "steps:\n  - id: a\n    component: noop\n   input: 1\noutput: 1",
            true,
        );
        check("plugins: {}\nroutes: {}", false);
        check("on: push\njobs: {a: {steps: [{run: ls}]}}", false);
        check("steps: [{script: ls}]", false);
        check("apiVersion: v1\n---\napiVersion: v1", false);
        check("{{ if .Values.steps }}\nsteps: 1", false);
        check("[1, 2]", false);
        check("", false);
    }
}
