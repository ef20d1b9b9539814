//! Every text file: white space, and places that mean something on one machine only.

use super::{File, Problem};

// Split, so that this file does not hold what it forbids.
const FORBIDDEN_TEXT: [(&str, &str); 9] = [
    (concat!("/wo", "rk/"), LOCAL_PATH),
    (concat!("/ro", "ot/"), LOCAL_PATH),
    (concat!("crates", ".io"), REGISTRY),
    (concat!("pypi", ".org"), REGISTRY),
    (concat!("python", "hosted.org"), REGISTRY),
    (concat!("registry.npm", "js.org"), REGISTRY),
    (concat!("registry.yarn", "pkg.com"), REGISTRY),
    (concat!("deb.deb", "ian.org"), REGISTRY),
    (concat!("proxy.go", "lang.org"), REGISTRY),
];

const LOCAL_PATH: &str = "a path of one machine; use one relative to the checkout";
const REGISTRY: &str = "a registry's host; packages are named, and the client knows where they are";

/// Files that tools write, and that name where each package came from.
const LOCK_FILES: [&str; 2] = ["Cargo.lock", "benches/peers/Cargo.lock"];

/// Looks at every text file.
pub fn check(files: &[File]) -> Vec<Problem> {
    let ours = files
        .iter()
        .filter(|file| !LOCK_FILES.contains(&file.path.as_str()));
    ours.flat_map(|file| {
        let mut problems = check_words(file);
        if !file.is_test_data() {
            problems.extend(check_space(file));
        }
        problems
    })
    .collect()
}

fn check_words(file: &File) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for (word, reason) in FORBIDDEN_TEXT {
            if line.contains(word) {
                problems.push(Problem::at(file, index, format!("`{word}` is {reason}")));
            }
        }
    }
    problems
}

fn check_space(file: &File) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, line) in file.text.split('\n').enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            problems.push(Problem::at(
                file,
                index,
                "white space at the end of the line",
            ));
        }
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        problems.push(Problem::new(
            &file.path,
            "no newline at the end of the file",
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_looked_at() {
        let local = format!("see {}notes\n", FORBIDDEN_TEXT[0].0);
        let host = format!("from {}\n", FORBIDDEN_TEXT[3].0);
        let cases = [
            ("a.md", "fine\n", 0),
            ("a.md", "", 0),
            ("a.md", "end \n", 1),
            ("a.md", "carriage\r\n", 1),
            ("a.md", "no newline", 1),
            ("a.md", &local, 1),
            ("a.md", &host, 1),
            ("Cargo.lock", &host, 0),
            ("tests/fixtures/a.txt", "end \n", 0),
            ("tests/fixtures/a.txt", &host, 1),
        ];
        for (path, text, expected) in cases {
            let file = File {
                path: path.into(),
                text: text.into(),
            };
            assert_eq!(check(&[file]).len(), expected, "{path}: {text:?}");
        }
    }
}
