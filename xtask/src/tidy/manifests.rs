//! The `Cargo.toml` files: sorted lists, one place for versions, the workspace's lints.

use super::{File, Problem};

/// Looks at every manifest of the workspace.
pub fn check(files: &[File]) -> Vec<Problem> {
    let manifests = files.iter().filter(|file| {
        (file.path == "Cargo.toml" || file.path.ends_with("/Cargo.toml")) && !file.is_test_data()
    });
    manifests.flat_map(check_manifest).collect()
}

fn check_manifest(file: &File) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut section = "";
    let mut previous = "";
    for (index, line) in file.text.lines().enumerate() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
            previous = "";
            continue;
        }
        let Some(key) = dependency_key(section, line) else {
            continue;
        };
        if key < previous {
            problems.push(Problem::at(
                file,
                index,
                format!("`{key}` belongs before `{previous}`"),
            ));
        }
        if section != "workspace.dependencies" && !line.contains("workspace = true") {
            let message = format!(
                "`{key}` has its own version; put it into [workspace.dependencies] and write \
                 `{key}.workspace = true`"
            );
            problems.push(Problem::at(file, index, message));
        }
        previous = key;
    }
    let is_package = file.text.lines().any(|line| line == "[package]");
    if is_package && !file.text.contains("[lints]\nworkspace = true\n") {
        let message = "does not take the workspace's lints: add `[lints]` with `workspace = true`";
        problems.push(Problem::new(&file.path, message));
    }
    problems
}

/// The name at the start of a line of a list of dependencies.
fn dependency_key<'text>(section: &str, line: &'text str) -> Option<&'text str> {
    let is_list = section
        .rsplit('.')
        .next()
        .is_some_and(|last| last.ends_with("dependencies"));
    if !is_list || !line.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return None;
    }
    line.split(['.', '=', ' ']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let file = File {
            path: "Cargo.toml".into(),
            text: text.into(),
        };
        check(&[file]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn sorted_lists_are_fine() {
        let text = "[workspace.dependencies]\nanyhow = \"1\"\n# why\nserde = { version = \"1\", features = [\n    \"a\",\n] }\n\
                    [profile.dev]\na = 1\n";
        assert_eq!(problems(text), [""; 0]);
    }

    #[test]
    fn an_unsorted_list_is_found() {
        let found = problems("[workspace.dependencies]\nserde = \"1\"\nanyhow = \"1\"\n");
        assert_eq!(
            found,
            ["Cargo.toml:3: error: `anyhow` belongs before `serde`"]
        );
    }

    #[test]
    fn a_version_beside_the_workspace_is_found() {
        let found = problems("[dev-dependencies]\nserde = \"1\"\n");
        assert!(
            found[0].contains("`serde` has its own version"),
            "{found:?}"
        );
    }

    #[test]
    fn a_package_takes_the_lints() {
        assert_eq!(problems("[package]\n[lints]\nworkspace = true\n"), [""; 0]);
        assert_eq!(problems("[package]\nname = \"a\"\n").len(), 1);
    }
}
