//! The page on this SDK shows the example and the documentation of the module `http` as they are: what compiles is what
//! people read.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

use std::path::Path;

fn read(path: &str) -> String {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(package.join(path)).unwrap()
}

#[test]
fn the_page_shows_the_example() {
    let (page, example) = (read("../../docs/rust-sdk.md"), read("examples/server.rs"));
    for name in ["types", "ends", "calls", "main"] {
        let marker = format!("// [{name}]\n");
        let pieces: Vec<_> = example.split(&marker).collect();
        let [_, piece, _] = pieces.as_slice() else {
            panic!("`{name}` is not marked at its start and its end");
        };
        let block = format!("```text\n{}\n```", piece.trim_end());
        assert!(page.contains(&block), "`{name}` is another one on the page");
    }
}

#[test]
fn the_page_embeds_as_the_documentation_does() {
    let (page, module) = (read("../../docs/rust-sdk.md"), read("src/http.rs"));
    let (_, rest) = page
        .split_once("next to other routes:\n\n```text\n")
        .unwrap();
    let (block, _) = rest.split_once("```").unwrap();
    let documented: Vec<_> = module
        .lines()
        .filter_map(|line| line.strip_prefix("//! "))
        .collect();
    assert!(block.lines().count() > 5);
    for line in block.lines() {
        assert!(documented.contains(&line), "{line}");
    }
}
