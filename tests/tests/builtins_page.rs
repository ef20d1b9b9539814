//! The page on built-in components: each flow on it is run, and gives what its own test cases say.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

use stepflow_flow::document::Source;
use stepflow_flow::flow::Flow;
use stepflow_tests::environment::workspace;
use stepflow_tests::runtime::Setup;

/// The flows on the page, each with its heading.
fn flows() -> Vec<(String, String)> {
    let page = std::fs::read_to_string(workspace().join("docs/builtins.md")).unwrap();
    let mut heading = String::new();
    let mut flows = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim().to_owned();
        } else if line == "```yaml flow" {
            let text = lines.by_ref().take_while(|line| *line != "```");
            let text: Vec<_> = text.collect();
            flows.push((heading.clone(), text.join("\n")));
        }
    }
    flows
}

// req: builtins.page
#[tokio::test]
async fn the_flows_on_the_page_give_what_it_says() {
    let setup = Setup::default();
    std::fs::write(setup.home().join("data.json"), "[1, 2]").unwrap();
    let runtime = setup.start();
    let flows = flows();
    assert!(flows.len() >= 7, "the page has examples");
    for (heading, text) in flows {
        let flow = Flow::parse(&Source::new("flow.yaml", &text)).unwrap();
        let cases = flow.test.map(|test| test.cases).unwrap_or_default();
        assert!(!cases.is_empty(), "{heading}: an example has a case");
        for case in cases {
            let outcome = runtime.run(&text, case.input).await.outcome;
            let expected = case.output.unwrap();
            assert!(
                expected.is_met_by(&outcome),
                "{heading}, {}:\n{}",
                case.name,
                serde_json::to_string(&outcome).unwrap()
            );
        }
    }
}
