//! Steps that are changed for one run.

use crate::support::Sandbox;

const FLOW: &str = "\
steps:
  - { id: price, component: /shop/price, input: { item: { $input: item }, tax: 0.2 } }
output: { $step: price }
";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", FLOW);
    let config = "plugins: { builtin: { type: builtin }, shop: { type: mock, components: {} } }\n";
    sandbox.write("stepflow-config.yml", config);
    sandbox
}

const TO_NOOP: &str = r#"{"price": {"$type": "merge_patch", "value": {"component": "noop", "input": {"tax": null}}}}"#;

#[test]
fn a_step_can_be_changed_from_a_file_and_from_text() {
    let sandbox = sandbox();
    sandbox.write("changes.yaml", TO_NOOP);
    for flag in [
        ["--overrides", "changes.yaml"],
        ["--overrides-json", TO_NOOP],
        ["--overrides-yaml", TO_NOOP],
    ] {
        let run = ["run", "flow.yaml", "--input-json", r#"{"item": "pen"}"#];
        let ended = sandbox.run(&[&run[..], &flag[..]].concat());
        let expected = r#"{"outcome":"success","result":{"item":"pen"}}"#;
        assert_eq!(ended.stdout.trim_end(), expected, "{flag:?} {ended:?}");
    }
}

#[test]
fn what_cannot_be_applied_or_does_not_make_a_flow_is_refused() {
    let check = |overrides: &str, expected: &[&str]| {
        let args = ["run", "flow.yaml", "--overrides-yaml", overrides];
        let ended = sandbox().run(&args);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{ended:?}");
        for words in expected {
            assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
        }
    };
    check(
        "prize: { $type: merge_patch, value: {} }",
        &["did you mean \"price\"?"],
    );
    check(
        "price: { $type: merge_patch, value: { imput: 1 } }",
        &[
            "flow.yaml with overrides:",
            "unknown key \"imput\"",
            "did you mean \"input\"?",
        ],
    );
    check(
        "price: { $type: merge_patch, value: { component: /nowhere/at/all } }",
        &["no route leads from /nowhere/at/all"],
    );
}
