//! The examples, as their pages tell: each command of a `README.md` is run in a copy of its folder, and prints what the page shows.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

use std::path::Path;

use stepflow_tests::environment;
use stepflow_tests::program::Folder;
use stepflow_tests::program::Ran;

/// Examples that need more than a folder and a shell; tests that have the rest run them.
const ELSEWHERE: [&str; 4] = ["component-server", "hello", "load-balancer", "mcp"];

/// A command of a page, and what it prints if the page says so.
struct Shown {
    command: String,
    printed: Option<String>,
}

fn shown(page: &str) -> Vec<Shown> {
    let blocks: Vec<_> = page.split("```").skip(1).step_by(2).collect();
    let mut shown: Vec<Shown> = Vec::new();
    for block in blocks {
        match block.split_once('\n') {
            Some(("sh", text)) => shown.push(Shown {
                command: text.to_owned(),
                printed: None,
            }),
            Some(("text", text)) => {
                let before = shown.last_mut().expect("output stands below its command");
                before.printed = Some(text.to_owned());
            }
            _ => panic!("a block is a command or what it prints: {block}"),
        }
    }
    shown
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Follows the page of one example; answers with what is not as it says.
async fn follow(name: &str) -> Result<(), String> {
    let folder = Folder::default();
    copy(&environment::example(name), folder.path());
    let page = std::fs::read_to_string(folder.path().join("README.md"))
        .map_err(|error| format!("its README.md: {error}"))?;
    let all = shown(&page);
    for needed in ["stepflow run", "stepflow test"] {
        if !all.iter().any(|it| it.command.contains(needed)) {
            return Err(format!("its page does not show `{needed}`"));
        }
    }
    for Shown { command, printed } in all {
        let ran = Ran::from(folder.shell(&command).output().unwrap());
        let is_as_shown = printed.is_none_or(|printed| printed == ran.stdout);
        if ran.code != Some(0) || !is_as_shown {
            return Err(format!("{command}: {ran:#?}"));
        }
    }
    folder.mark().all_gone().await;
    Ok(())
}

// req: docs.examples
#[tokio::test]
async fn the_examples_do_what_their_pages_say() {
    let folders = std::fs::read_dir(environment::workspace().join("examples")).unwrap();
    let names = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut problems = Vec::new();
    for name in names.filter(|name| !ELSEWHERE.contains(&name.as_str())) {
        let followed = follow(&name).await;
        problems.extend(followed.err().map(|why| format!("{name}: {why}")));
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
