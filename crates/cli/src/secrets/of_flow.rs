//! The secrets of a flow: what its variables declare as such, in it and in the flows inside it. Owns where they are looked
//! for; what is done with them is for [`Secrets`].

use std::sync::Arc;

use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::document;
use stepflow_flow::document::Source;
use stepflow_flow::flow::Flow;
use stepflow_flow::plan::Plan;
use stepflow_flow::value::Value;

use super::MASK;
use super::Secrets;

/// Remembers what stands in the text of a flow: defaults, and the variables of its tests. Its lines may be about to be
/// shown, also where it has mistakes.
pub fn remember_written(source: &Arc<Source>, secrets: &Secrets) {
    if !mentions_secrets(source.text()) {
        return;
    }
    match Flow::read(source, &mut Diagnostics::new(source)) {
        Some(flow) => remember_below(&flow, &[], secrets),
        None => remember_defaults_of_no_flow(source.text(), secrets),
    }
    remember_as_written(source, secrets);
}

/// Remembers what is given for a run of the flow, and the defaults.
pub fn remember_given(plan: &Plan, given: &Value, secrets: &Secrets) {
    let text = plan.flow().as_text();
    if !mentions_secrets(text) {
        return;
    }
    let source = Source::new("the flow", text);
    if let Some(flow) = Flow::read(&source, &mut Diagnostics::new(&source)) {
        remember_below(&flow, &[given], secrets);
    }
}

/// Flows are read again for their secrets, so it is asked first whether they have any.
fn mentions_secrets(text: &str) -> bool {
    text.contains("is_secret") || text.contains("isSecret")
}

/// A run inside sees what the run around it was given.
fn remember_below(flow: &Flow, given: &[&Value], secrets: &Secrets) {
    let cases = flow.test.iter().flat_map(|suite| &suite.cases);
    let cases = cases.map(|case| &case.variables);
    let given: Vec<_> = given.iter().copied().chain(cases).collect();
    if let Some(declared) = &flow.variables {
        let nothing = Value::null();
        for given in given.iter().copied().chain([&nothing]) {
            let found = declared.secrets(given);
            found.iter().for_each(|value| secrets.add_value(value));
        }
    }
    for inner in flow.steps.iter().filter_map(|step| step.subflow.as_ref()) {
        remember_below(inner, &given, secrets);
    }
}

/// Text that cannot be read has no values, only lines with `default:`.
fn remember_defaults_of_no_flow(text: &str, secrets: &Secrets) {
    for (_, after) in text.lines().filter_map(|line| line.split_once("default")) {
        let after = after.trim_start_matches(['"', '\'', ':', ' ']);
        secrets.add(unquoted(after.split([',', '}']).next().unwrap_or_default()));
        secrets.add(unquoted(after));
    }
}

/// Quotes and folds make a text look other than its value does, and it is the text that is shown.
fn remember_as_written(source: &Arc<Source>, secrets: &Secrets) {
    let Some(mut root) = document::read(source, &mut Diagnostics::new(source)) else {
        return;
    };
    root.map_strings(&mut |scalar| {
        let written = source.text().get(scalar.span.start()..scalar.span.end())?;
        let is_as_it_is = written.contains(&**scalar.text);
        if !is_as_it_is && secrets.scrub(scalar.text.trim()) == MASK {
            written.lines().for_each(|line| secrets.add(unquoted(line)));
        }
        None
    });
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches(['"', '\'']).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(flow: &str, text: &str, expected: &str) {
        let secrets = Secrets::default();
        remember_written(&Source::new("f", flow), &secrets);
        assert_eq!(secrets.scrub(text), expected, "{flow}");
    }

    #[test]
    fn what_is_quoted_or_folded_is_hidden_as_it_is_written() {
        let flow = |default: &str| {
            format!(
                "variables:\n  type: object\n  properties:\n    key:\n      is_secret: true\n      default: {default}\noutput: 1\n"
            )
        };
        let check = |default: &str, text: &str, expected: &str| {
            check(&flow(default), text, expected);
        };
        check("sesame-open", "a sesame-open", "a ***");
        check(
            r#""sesame\x2dopen""#,
            r#"sesame-open "sesame\x2dopen""#,
            r#"*** "***""#,
        );
        check("'it''s-sesame'", "it's-sesame 'it''s-sesame'", "*** '***'");
        let folded = ">\n        sesame-open\n        it-now";
        check(
            folded,
            "12 |         sesame-open\n13 |         it-now",
            "12 |         ***\n13 |         ***",
        );
        check(
            "|\n        sesame-open\n        it-now",
            "13 |   it-now",
            "13 |   ***",
        );
    }

    #[test]
    fn flows_inside_and_tests_count() {
        let flow = "\
variables: { properties: { key: { type: string, is_secret: true } } }
steps:
  - id: a
    component: eval
    input: { flow: { variables: { properties: { pin: { isSecret: true, default: inner-default } } }, output: 1 } }
output: 1
test: { cases: [{ name: n, variables: { key: key-of-a-test, pin: pin-of-a-test, open: open-as-it-is }, output: { outcome: success } }] }
";
        check(
            flow,
            "inner-default key-of-a-test pin-of-a-test open-as-it-is",
            "*** *** *** open-as-it-is",
        );
    }

    #[test]
    fn a_default_in_a_text_that_cannot_be_read_is_hidden() {
        let flow = "variables: { properties: { key: { is_secret: true, default: \"sesame-open } } }\noutput: 1\n";
        check(
            flow,
            "1 | default: \"sesame-open } }",
            "1 | default: \"*** } }",
        );
    }
}
