//! Pages made of flows: each flow on them gives what its own test cases say, and a command below a flow prints what the page shows,
//! as does the check of a flow with a mistake.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

use stepflow_flow::document::Source;
use stepflow_flow::flow::Flow;
use stepflow_tests::environment::workspace;
use stepflow_tests::program::Folder;
use stepflow_tests::program::Ran;

/// Where the component leads that flows with a mistake have besides.
const CONFIG: &str = "plugins: { web: { type: mock, components: { /fetch: { behaviors: {} } } } }";

/// A code block, and the heading it stands below.
struct Block<'page> {
    heading: &'page str,
    fence: &'page str,
    text: &'page str,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut heading = "";
    let mut blocks = Vec::new();
    let parts: Vec<_> = page.split("\n```").collect();
    for pair in parts.chunks_exact(2) {
        let mut headings = pair[0].lines().filter_map(|line| line.strip_prefix('#'));
        heading = headings
            .next_back()
            .unwrap_or(heading)
            .trim_start_matches('#');
        let (fence, text) = pair[1].split_once('\n').unwrap();
        blocks.push(Block {
            heading: heading.trim(),
            fence,
            text,
        });
    }
    blocks
}

/// Whether a flow shows a result: each of its cases says what comes out. One without steps has nothing to show.
fn is_shown(text: &str) -> bool {
    let flow = Flow::parse(&Source::new("flow.yaml", text)).unwrap();
    let cases = flow.test.map(|test| test.cases).unwrap_or_default();
    let is_tested = !cases.is_empty() && cases.iter().all(|case| case.output.is_some());
    is_tested || flow.steps.is_empty()
}

/// Runs the cases of all flows of a page, the commands that stand between a flow and what they print,
/// and the check of a flow with a mistake that has its report below.
async fn follow(name: &str, at_least: usize) {
    let page = std::fs::read_to_string(workspace().join("docs").join(name)).unwrap();
    let blocks = blocks(&page);
    let flows = Folder::default().file("data.json", "[1, 2]");
    let commands = Folder::default().file("stepflow-config.yml", CONFIG);
    let mut n_flows = 0;
    for (at, block) in blocks.iter().enumerate() {
        let heading = block.heading;
        match block.fence {
            "yaml flow" => {
                assert!(is_shown(block.text), "{heading}: a flow has cases");
                n_flows += 1;
                let file = format!("{n_flows:02} {}.yaml", heading.replace(['/', '?'], ""));
                std::fs::write(flows.path().join(file), block.text).unwrap();
                std::fs::write(commands.path().join("flow.yaml"), block.text).unwrap();
            }
            "sh" => {
                let next = blocks.get(at + 1).filter(|next| next.fence == "text");
                let Some(expected) = next else { continue };
                let ran = Ran::from(commands.shell(block.text).output().unwrap());
                assert_eq!(
                    ran.stdout,
                    format!("{}\n", expected.text),
                    "{heading}: {ran:#?}"
                );
            }
            "yaml flow-fails" => {
                let next = blocks.get(at + 1).filter(|next| next.fence == "text");
                let Some(expected) = next else { continue };
                std::fs::write(commands.path().join("flow.yaml"), block.text).unwrap();
                let ran = commands.run(&["validate", "flow.yaml"]);
                let expected = format!("{}\n", expected.text);
                assert_eq!(ran.stderr, expected, "{heading}: {ran:#?}");
            }
            _ => {}
        }
    }
    assert!(n_flows >= at_least, "{name} has {n_flows} flows only");
    let ran = flows.run(&["test", "--diff"]);
    assert_eq!(ran.code, Some(0), "{name}:\n{}{}", ran.stdout, ran.stderr);
    flows.mark().all_gone().await;
    commands.mark().all_gone().await;
}

// req: builtins.page
#[tokio::test]
async fn the_page_of_built_in_components_is_right() {
    follow("builtins.md", 7).await;
}

// req: docs.cookbook
#[tokio::test]
async fn the_cookbook_is_right() {
    follow("cookbook.md", 12).await;
}

// req: docs.language
#[tokio::test]
async fn the_page_of_the_language_is_right() {
    follow("flows.md", 12).await;
}
