//! The page for newcomers, followed to the letter: its files are written, its commands run, and what they print is what it
//! shows.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

use stepflow_tests::environment::workspace;
use stepflow_tests::program::Folder;

/// Where the page's author worked.
const AUTHORS_FOLDER: &str = "/home/ada/invoices";

/// A code block and what was said before it.
struct Block {
    prose: String,
    fence: String,
    text: String,
}

/// The blocks from the first own file on; what comes before installs programs, which tests have.
fn blocks() -> Vec<Block> {
    let page = std::fs::read_to_string(workspace().join("docs/getting-started.md")).unwrap();
    let (_, page) = page.split_once("\n## A function\n").unwrap();
    let parts: Vec<_> = page.split("```").collect();
    let pairs = parts.chunks_exact(2);
    pairs
        .map(|pair| {
            let (fence, text) = pair[1].split_once('\n').unwrap();
            Block {
                prose: pair[0].trim().to_owned(),
                fence: fence.to_owned(),
                text: text.to_owned(),
            }
        })
        .collect()
}

/// Puts a block into the file that is named just before it.
fn write(folder: &Folder, block: &Block) {
    let last = block.prose.rsplit("\n\n").next().unwrap();
    let said = |word: &str| {
        let (_, after) = last.split_once(word)?;
        after.split('`').next()
    };
    if let Some(name) = said("Write `") {
        std::fs::write(folder.path().join(name), &block.text).unwrap();
    } else {
        let name = said("Add to `").unwrap_or_else(|| panic!("which file? {last}"));
        let path = folder.path().join(name);
        let before = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, format!("{before}\n\n{}", block.text)).unwrap();
    }
}

/// What a line of shell prints, but for an outcome that failed: the page shows that one apart.
fn printed(folder: &Folder, line: &str) -> String {
    let output = folder.shell(&format!("{{ {line}\n}} 2>&1")).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let here = folder.path().canonicalize().unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.starts_with(r#"{"outcome":"failed","error":{"code":-32"#));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    text.replace(here.to_str().unwrap(), AUTHORS_FOLDER)
}

// req: docs.getting-started
#[tokio::test]
async fn the_first_steps_lead_where_the_page_says() {
    let folder = Folder::default();
    let blocks = blocks();
    let mut n_run = 0;
    for (at, block) in blocks.iter().enumerate() {
        match block.fence.as_str() {
            "python" | "yaml config" | "yaml flow" => write(&folder, block),
            "sh" => {
                let next = blocks.get(at + 1).filter(|next| next.fence == "text");
                let next = next.unwrap_or_else(|| panic!("what does it print? {}", block.text));
                assert_eq!(printed(&folder, &block.text), next.text, "{}", block.text);
                n_run += 1;
            }
            "text" => {}
            other => panic!("what is to be done with {other:?}?"),
        }
    }
    assert!(n_run >= 7, "only {n_run} blocks of commands were found");
    folder.mark().all_gone().await;
}

// req: docs.getting-started
#[tokio::test]
async fn the_mistake_is_found_as_the_page_says() {
    let folder = Folder::default();
    let blocks = blocks();
    let find = |what: &dyn Fn(&Block) -> bool| blocks.iter().find(|it| what(it)).unwrap();
    let shown = find(&|it| it.text.starts_with("error[E"));
    let flow = find(&|it| it.fence == "yaml flow");
    let config = find(&|it| it.fence == "yaml config");
    let text = flow.text.replace("step: invoice,", "step: inovice,");
    let folder = folder.file("flow.yaml", &text);
    let folder = folder.file("stepflow-config.yml", &config.text);
    for command in ["validate", "run"] {
        let printed = printed(&folder, &format!("stepflow {command} flow.yaml"));
        assert!(printed.contains(&shown.text), "{printed}");
    }
}
