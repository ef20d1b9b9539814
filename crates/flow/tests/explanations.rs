//! Every code is explained, by a flow that gives exactly this code and one that gives none.

use stepflow_flow::diagnostic::Code;
use stepflow_flow::document::Source;
use stepflow_flow::plan;

fn codes(flow: &str) -> Vec<Code> {
    let checked = plan::check(&Source::new("flow.yaml", flow));
    let mut codes: Vec<Code> = checked.diagnostics.iter().map(|it| it.code).collect();
    codes.dedup();
    codes
}

#[test]
fn bad_examples_give_their_code_and_good_ones_none() {
    for code in Code::ALL {
        let explanation = code.explanation();
        assert_eq!(
            codes(explanation.bad),
            [*code],
            "{code}: {}",
            explanation.bad
        );
        assert_eq!(codes(explanation.good), [], "{code}: {}", explanation.good);
        let words = explanation.text.split("```").next().unwrap_or_default();
        assert!(words.split_whitespace().count() >= 10, "{code}: {words}");
    }
}

#[test]
fn the_page_has_the_codes_in_their_order_and_no_others() {
    let page = include_str!("../../../docs/diagnostics.md");
    let headings: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    let known = Code::ALL
        .iter()
        .map(|code| format!("{}: {}", code.name(), code.summary()));
    assert_eq!(headings, known.collect::<Vec<_>>());
}
