//! The verbs that look at flows and start nothing: `validate --format`, `explain`, `visualize`, `completions`, `init`.

use insta::assert_snapshot;

use stepflow_flow::error::ErrorCode;

use crate::support::Sandbox;

const FLOW: &str = "\
name: \"An <order> & \\\"more\\\"\"
variables: { type: object, properties: { key: { type: string, is_secret: true, default: sesame-open-it } } }
steps:
  - { id: price, component: /shop/price, input: { $input: items } }
  - { id: check, component: noop, input: [{ $step: price }, { $variable: key }], skipIf: { $input: trusted } }
  - { id: pay, component: /bank/pay, input: { $coalesce: [{ $step: check }, { $step: price }] } }
output: { paid: { $step: pay }, price: { $step: price } }
";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", FLOW);
    sandbox
}

#[test]
fn a_flow_as_mermaid() {
    let ended = sandbox().run(&["visualize", "flow.yaml"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_snapshot!(ended.stdout, @r#"
    ---
    title: "An <order> & \"more\""
    ---
    flowchart TD
        n0(["input"])
        n1["price<br/><small>/shop/price</small>"]
        n2{{"check<br/><small>/builtin/noop</small>"}}
        n3["pay<br/><small>/bank/pay</small>"]
        n4(["output"])
        n0 --> n1
        n0 --> n2
        n1 --> n2
        n1 -.-> n3
        n2 --> n3
        n1 --> n4
        n3 --> n4
    "#);
}

#[test]
fn a_flow_for_graphviz() {
    let ended = sandbox().run(&["visualize", "flow.yaml", "--format", "dot"]);
    assert_snapshot!(ended.stdout, @r#"
    digraph "An <order> & \"more\"" {
        rankdir=TB;
        node [fontname="sans-serif"];
        n0 [label="input", shape=ellipse];
        n1 [label="price\n/shop/price", shape=box];
        n2 [label="check\n/builtin/noop", shape=hexagon];
        n3 [label="pay\n/bank/pay", shape=box];
        n4 [label="output", shape=ellipse];
        n0 -> n1;
        n0 -> n2;
        n1 -> n2;
        n1 -> n3 [style=dashed];
        n2 -> n3;
        n1 -> n4;
        n3 -> n4;
    }
    "#);
}

#[test]
fn a_flow_as_a_picture() {
    let sandbox = sandbox();
    let ended = sandbox.run(&["visualize", "flow.yaml", "--output", "flow.svg"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{ended:?}");
    let picture = sandbox.read("flow.svg");
    assert!(
        picture.starts_with("<svg ") && picture.ends_with("</svg>\n"),
        "{picture}"
    );
    assert!(picture.contains("<title>An &lt;order&gt; &amp; &quot;more&quot;</title>"));
    // One box a point, one line a line, and each within the picture.
    assert_eq!(picture.matches("<rect ").count(), 5);
    assert_eq!(picture.matches("marker-end").count(), 7);
    assert_eq!(picture.matches("class=\"reached\"").count(), 1);
    let tops: Vec<_> = picture
        .split(" y=\"")
        .skip(1)
        .filter_map(|it| it.split('"').next())
        .collect();
    assert!(
        tops.iter()
            .all(|top| top.parse::<u32>().is_ok_and(|top| top < 600)),
        "{tops:?}"
    );
    assert!(!picture.contains("sesame"), "values are not drawn");
}

#[test]
fn the_ending_of_a_drawing_says_how_it_is_drawn() {
    let sandbox = sandbox();
    for (name, part) in [
        ("flow.mmd", "flowchart"),
        ("flow.gv", "digraph"),
        ("flow.SVG", "<svg "),
    ] {
        let ended = sandbox.run(&["visualize", "flow.yaml", "--output", name]);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(sandbox.read(name).contains(part), "{name}");
    }
    for name in ["flow.png", "flow"] {
        let command = ["visualize", "flow.yaml", "--output", name];
        let ended = sandbox.run(&command);
        assert_eq!(ended.code, 2, "{ended:?}");
        for known in [name, ".svg", ".mmd", ".dot", "--format"] {
            assert!(ended.stderr.contains(known), "{known}: {ended:?}");
        }
        assert!(!sandbox.path(name).exists());
        let ended = sandbox.run(&[&command[..], &["--format", "dot"]].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
    }
}

#[test]
fn explanations_are_for_every_code() {
    let sandbox = Sandbox::new();
    let all = sandbox.run(&["explain"]).stdout;
    assert!(all.lines().count() >= 28, "{all}");
    for line in all.lines().filter(|line| line.starts_with('E')) {
        let code = line.split(' ').next().unwrap();
        let ended = sandbox.run(&["explain", code]);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(
            ended.stdout.contains("\nMended:\n\n    "),
            "{}",
            ended.stdout
        );
        assert!(!ended.stdout.contains("```"), "{}", ended.stdout);
    }
    assert_snapshot!(sandbox.run(&["explain", "e0302"]).stdout, @r#"
    E0302: a path that cannot be read

    A path leads to one value: `$`, then `.name`, `["any key"]` or `[0]`. There are no wildcards, filters or conditions; a component can do what they would.

        output: { $input: "$.items[*].price" }

    Mended:

        output: { $input: "$.items[0].price" }
    "#);
    assert_snapshot!(sandbox.run(&["explain", "-32003"]).stdout, @"
    -32003 (invalid_input): the input does not fit its schema

    The message has the place in the input and what was expected there. `stepflow list-components --schemas` shows what a component takes.
    ");
    for code in ErrorCode::ALL {
        let number = code.number().to_string();
        assert!(all.contains(&format!("\n{number}  ")), "{number}: {all}");
        let by_number = sandbox.run(&["explain", "--", &number]);
        let by_name = sandbox.run(&["explain", code.name()]);
        assert_eq!(by_number.code, 0, "{by_number:?}");
        assert_eq!(by_number.stdout, by_name.stdout);
        assert!(by_number.stdout.lines().count() >= 3, "{by_number:?}");
    }
    let ended = sandbox.run(&["explain", "4242"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{ended:?}");
    assert!(ended.stderr.contains("the component's own"), "{ended:?}");
    let ended = sandbox.run(&["explain", "E0304x"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{ended:?}");
    assert!(ended.stderr.contains("did you mean E0304?"), "{ended:?}");
}

#[test]
fn what_is_found_is_there_for_programs_too() {
    let sandbox = Sandbox::new();
    let flow = "steps:\n  - { id: ä, component: noop, imput: 1 }\noutput: { $step: ä }\n";
    sandbox.write("a flow.yaml", flow);
    let ended = sandbox.run(&["validate", "a flow.yaml", "--format", "json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (2, ""), "{ended:?}");
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["errors"], 1);
    let expected = serde_json::json!({
        "code": "E0201", "severity": "error", "message": "unknown key \"imput\" in a step", "file": "a flow.yaml",
        "line": 2, "column": 31, "endLine": 2, "endColumn": 36, "text": "imput", "step": "ä",
        "hint": "did you mean \"input\"?",
    });
    assert_eq!(report["diagnostics"], serde_json::json!([expected]));
    let ended = sandbox.run(&["validate", "a flow.yaml", "--format", "sarif"]);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["version"], "2.1.0");
    let result = &report["runs"][0]["results"][0];
    assert_eq!(
        (&result["ruleId"], &result["level"]),
        (&"E0201".into(), &"error".into())
    );
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "a%20flow.yaml");
    assert_eq!(place["region"]["startColumn"], 31);
    sandbox.write("good.yaml", "output: 1\n");
    let ended = sandbox.run(&["validate", "good.yaml", "--format", "json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn completions_know_every_verb() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = Sandbox::new().run(&["completions", shell]);
        assert_eq!(ended.code, 0, "{ended:?}");
        for verb in ["run", "validate", "test", "visualize", "explain"] {
            assert!(ended.stdout.contains(verb), "{shell} {verb}");
        }
        assert!(ended.stdout.contains("log-level"), "{shell}");
        let hidden = "conformance-server";
        assert!(
            !ended.stdout.contains(hidden),
            "{shell}: it is for programs"
        );
    }
}

#[test]
fn what_init_writes_is_sound_and_nothing_is_overwritten() {
    let sandbox = Sandbox::new();
    let ended = sandbox.run(&["init", "a project"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{ended:?}");
    assert!(ended.stderr.contains("cd 'a project'"), "{ended:?}");
    assert!(
        ended.stderr.contains("/sdk/python"),
        "the SDK comes from a folder: {ended:?}"
    );
    let checked = sandbox.run(&["validate", "a project/flow.yaml"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(checked.stderr.contains("no problems"), "{checked:?}");
    let tested = sandbox.run(&["test", "a project"]);
    assert_eq!(tested.code, 0, "{tested:?}");
    let again = sandbox.run(&["init", "a project"]);
    assert_eq!(again.code, 2, "{again:?}");
    let elsewhere = sandbox.run(&["init", "b", "--sdk", "a project"]);
    assert_eq!(elsewhere.code, 2, "{elsewhere:?}");
    assert!(
        elsewhere
            .stderr
            .contains("is not the folder of the Python SDK"),
        "{elsewhere:?}"
    );
}

#[test]
fn types_stand_above_what_they_are_of() {
    let sandbox = Sandbox::new();
    let flow = "\
inputSchema: { type: object, properties: { name: { type: string }, n: { type: integer } }, required: [name] }
steps:
  - id: store # a blob
    component: put_blob
    input: { data: { $input: name } }
  - { id: nap, component: sleep, input: { duration_ms: { $input: name } } }
output:
  a: { $if: { $input: n }, then: { $step: store, path: blub_id }, else: 3 }
  b: { $coalesce: [{ $input: n }, \"none\"] }
";
    sandbox.write("flow.yaml", flow);
    let ended = sandbox.run(&["infer", "flow.yaml"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_snapshot!(ended.stdout, @r#"
    inputSchema: { type: object, properties: { name: { type: string }, n: { type: integer } }, required: [name] }
    steps:
      # store: {data: string} → {blob_id: string, …}
      - id: store # a blob
        component: put_blob
        input: { data: { $input: name } }
      # nap: {duration_ms: string} → {duration_ms: integer, …}
      - { id: nap, component: sleep, input: { duration_ms: { $input: name } } }
    # output: {a: any, b: integer | string | null}
    output:
      a: { $if: { $input: n }, then: { $step: store, path: blub_id }, else: 3 }
      b: { $coalesce: [{ $input: n }, "none"] }
    "#);
    for words in [
        "flow.yaml:6:66",
        "the input is of type string at $.duration_ms, and its schema wants integer",
        "did you mean \"blob_id\"?",
    ] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    // A flow inside is there to be read.
    sandbox.write("map.yaml", "steps:\n  - { id: m, component: map, input: { items: [1], flow: { output: { $input: $ } } } }\noutput: { $step: m, path: failed }\n");
    let ended = sandbox.run(&["infer", "map.yaml"]);
    let shown = "# m: {items: integer[], flow: object} → ";
    assert!(ended.stdout.contains(shown), "{ended:?}");
    // A text that no comment can stand in.
    sandbox.write("one.yaml", "steps: [{ id: \"a\n  b\", component: noop, input: 1 }, { id: c,\n component: noop }]\noutput: 1\n");
    let ended = sandbox.run(&["infer", "one.yaml"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.starts_with("# "), "{ended:?}");
    let ended = sandbox.run(&["infer", "one.yaml", "--format", "json"]);
    let types: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(types["steps"]["a b"]["input"], "integer");
}

#[test]
fn components_of_flows_inside_steps_are_looked_for_too() {
    for (component, inner) in [
        ("map", "flow: FLOW"),
        ("eval", "flow: { $literal: FLOW }"),
        ("iterate", "workflow: FLOW"),
    ] {
        let flow = "{ steps: [{ id: inner, component: noopp, input: { $input: \"$\" } }], output: { $step: inner } }";
        let inner = inner.replace("FLOW", flow);
        let sandbox = Sandbox::new();
        let text = format!(
            "steps:\n  - id: outer\n    component: {component}\n    input: {{ {inner} }}\noutput: {{ $step: outer }}\n"
        );
        sandbox.write("flow.yaml", &text);
        let ended = sandbox.run(&["validate", "flow.yaml", "--format", "json"]);
        assert_eq!(ended.code, 2, "{ended:?}");
        let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        let errors: Vec<_> = report["diagnostics"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|it| it["severity"] == "error")
            .collect();
        assert_eq!(errors.len(), 1, "{report:#}");
        assert_eq!(
            (&errors[0]["code"], &errors[0]["step"], &errors[0]["line"]),
            (&"E0406".into(), &"inner".into(), &4.into())
        );
        assert_eq!(errors[0]["hint"], "did you mean \"noop\"?");
    }
}
