//! Bad flows as their authors see them: the whole of what `validate` prints about each file of `tests/bad_flows`, and
//! about a few texts that no editor would leave as they are. `INSTA_UPDATE=always` writes the expectations anew, to be
//! read before they are committed.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use stepflow_flow::diagnostic::Code;

use crate::support::Sandbox;

/// What the flows can reach: nothing of it is started.
const CONFIG: &str = "\
plugins:
  builtin: { type: builtin }
  py: { type: stepflow, command: python }
  shop:
    type: mock
    components:
      /price:
        inputSchema: { type: object, required: [items], properties: { items: { type: array } }, additionalProperties: false }
        outputSchema: { type: object, properties: { total: { type: number } }, additionalProperties: false }
        behaviors: {}
";

/// A file and its text.
struct Case {
    file: String,
    text: String,
}

fn folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_flows")
}

fn cases() -> Vec<Case> {
    let files = std::fs::read_dir(folder()).unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let flows = files.filter(|file| file.ends_with(".yaml") || file.ends_with(".json"));
    let written = flows.map(|file| Case {
        text: std::fs::read_to_string(folder().join(&file)).unwrap(),
        file,
    });
    let mut cases: Vec<Case> = written.chain(made()).collect();
    cases.sort_by(|a, b| a.file.cmp(&b.file));
    cases
}

/// Texts that are no good to look at.
fn made() -> impl Iterator<Item = Case> {
    let mistakes = "steps:\n  - { id: a, component: noop, imput: 1 }\noutput: { $step: b }\n";
    let aliases =
        (1..12).map(|n| format!("x-{n}: &a{n} [{}]\n", format!("*a{}, ", n - 1).repeat(9)));
    let aliases = format!(
        "x-0: &a0 [1]\n{}output: *a11\n",
        aliases.collect::<String>()
    );
    let nested = format!("output: {}1{}\n", "[".repeat(300), "]".repeat(300));
    let many_lines = "{ a: 1 },\n  ".repeat(500);
    [
        ("made_windows_lines", mistakes.replace('\n', "\r\n")),
        ("made_old_mac_lines", mistakes.replace('\n', "\r")),
        (
            "made_byte_order_mark",
            "\u{feff}output: { $stpe: a }\nnmae: b\n".to_owned(),
        ),
        (
            "made_control_characters",
            "output: { $step: \"\u{1b}[31mred\" }\n".to_owned(),
        ),
        (
            "made_escaped_control_characters",
            "steps: []\noutput: { $step: \"\\e[31mred\\r\\n\\0\" }\n".to_owned(),
        ),
        (
            "made_reversed_text",
            "steps: [{ id: \"a\u{2066}\", component: noop }]\noutput: { $step: \"a\u{202e}b\", c: \"\u{2066}\" }\n".to_owned(),
        ),
        (
            "made_long_line",
            format!(
                "output: {{ a: {:?}, b: {{ $nope: 1 }}, c: {:?} }}\n",
                "x".repeat(9000),
                "y".repeat(9000)
            ),
        ),
        (
            "made_long_wide_line",
            format!(
                "output: {{ a: {:?}, b: {{ $nope: 1 }}, c: {:?} }}\n",
                "注".repeat(3000),
                "👩".repeat(3000)
            ),
        ),
        (
            "made_long_value",
            format!(
                "steps: []\noutput: {{ $step: {:?} }}\n",
                "long ".repeat(2000)
            ),
        ),
        (
            "made_long_key",
            format!("steps: []\noutput: 1\n{}: 1\n", "key_".repeat(300)),
        ),
        ("made_deep", nested),
        ("made_endless_aliases", aliases),
        (
            "made_many_lines",
            format!("output:\n  $if: [\n  {many_lines}]\n  then: 1\n"),
        ),
        ("made_cut_off", "steps:\n  - id: load\n    component: /py/load\n    input:\n      key: [1, 2,".to_owned()),
        ("made_no_line_break", "output: { $stpe: a }".to_owned()),
        ("made_blank", " \n\n\t\n# nothing\n".to_owned()),
    ]
    .into_iter()
    .map(|(name, text)| Case {
        file: format!("{name}.yaml"),
        text,
    })
}

/// One message, as far as every form of the report has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    code: String,
    level: String,
    line: usize,
    column: usize,
}

#[test]
fn every_bad_flow_is_shown_with_its_place_and_a_way_forward() {
    let mut codes = BTreeSet::new();
    let cases = cases();
    assert!(cases.len() >= 60, "{}", cases.len());
    for case in &cases {
        let sandbox = Sandbox::new();
        sandbox.write("stepflow-config.yml", CONFIG);
        sandbox.write(&case.file, &case.text);
        let json = sandbox.run(&["validate", &case.file, "--format", "json"]);
        let sarif = sandbox.run(&["validate", &case.file, "--format", "sarif"]);
        let pretty = sandbox.run(&["validate", &case.file]);
        let told = in_json(case, &json.stdout);
        assert!(!told.is_empty(), "{}: nothing is said", case.file);
        assert_eq!(in_sarif(case, &sarif.stdout), told, "{}", case.file);
        assert_eq!(on_the_screen(case, &pretty.stderr), told, "{}", case.file);
        let is_refused = told.iter().any(|it| it.level == "error");
        for ended in [&json, &sarif, &pretty] {
            assert_eq!(ended.code, if is_refused { 2 } else { 0 }, "{ended:?}");
        }
        assert_eq!(
            (&*json.stderr, &*sarif.stderr, &*pretty.stdout),
            ("", "", "")
        );
        codes.extend(told.into_iter().map(|it| it.code));
        assert_shown(case, &pretty.stderr);
    }
    let all: BTreeSet<String> = Code::ALL
        .iter()
        .map(|code| code.name().to_owned())
        .collect();
    assert_eq!(codes, all, "every code has a flow that shows it");
}

fn assert_shown(case: &Case, shown: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../bad_flows");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let (name, _) = case.file.rsplit_once('.').unwrap();
    // An empty line of a flow is shown with spaces that no file of ours ends with.
    let shown: Vec<_> = shown.lines().map(str::trim_end).collect();
    settings.bind(|| insta::assert_snapshot!(name, shown.join("\n")));
}

/// A place is in the file if its line is, and its column is not past the end of that line.
fn is_inside(case: &Case, line: usize, column: usize) -> bool {
    let mut lines = case.text.trim_start_matches('\u{feff}').split('\n');
    let found = lines.nth(line.wrapping_sub(1));
    found.is_some_and(|found| (1..=found.chars().count() + 1).contains(&column))
}

fn number(json: &Json) -> usize {
    usize::try_from(json.as_u64().unwrap()).unwrap()
}

fn in_json(case: &Case, report: &str) -> Vec<Told> {
    let report: Json = serde_json::from_str(report).unwrap();
    let each = report["diagnostics"].as_array().unwrap().iter();
    each.map(|it| {
        let place = (number(&it["line"]), number(&it["column"]));
        let end = (number(&it["endLine"]), number(&it["endColumn"]));
        assert!(is_inside(case, place.0, place.1), "{}: {it}", case.file);
        assert!(
            is_inside(case, end.0, end.1) && place <= end,
            "{}: {it}",
            case.file
        );
        assert_eq!(it["file"], case.file, "{it}");
        assert!(!it["hint"].as_str().unwrap().trim().is_empty(), "{it}");
        assert!(!it["message"].as_str().unwrap().trim().is_empty(), "{it}");
        Told {
            code: it["code"].as_str().unwrap().to_owned(),
            level: it["severity"].as_str().unwrap().to_owned(),
            line: place.0,
            column: place.1,
        }
    })
    .collect()
}

fn in_sarif(case: &Case, report: &str) -> Vec<Told> {
    let report: Json = serde_json::from_str(report).unwrap();
    let each = report["runs"][0]["results"].as_array().unwrap().iter();
    each.map(|it| {
        let place = &it["locations"][0]["physicalLocation"];
        let region = &place["region"];
        assert_eq!(place["artifactLocation"]["uri"], case.file, "{it}");
        let text = it["message"]["text"].as_str().unwrap();
        assert!(text.contains(" (hint: "), "{text}");
        Told {
            code: it["ruleId"].as_str().unwrap().to_owned(),
            level: it["level"].as_str().unwrap().to_owned(),
            line: number(&region["startLine"]),
            column: number(&region["startColumn"]),
        }
    })
    .collect()
}

/// Reads what a person reads: a title with its code, the place, the line with a mark below it, a hint.
fn on_the_screen(case: &Case, shown: &str) -> Vec<Told> {
    let (blocks, summary) = shown.trim_end().rsplit_once("\n\n").unwrap();
    assert!(summary.contains(&format!("{}: ", case.file)), "{summary}");
    assert!(
        !shown.contains('\u{1b}') && !shown.contains('\r'),
        "{shown:?}"
    );
    let blocks = blocks.split("\n\n");
    let told: Vec<Told> = blocks.map(|block| one_on_the_screen(case, block)).collect();
    let of_level = |level: &str| told.iter().filter(|it| it.level == level).count();
    for (level, many) in [
        ("error", "errors"),
        ("warning", "warnings"),
        ("note", "notes"),
    ] {
        let count = match of_level(level) {
            0 => continue,
            1 => format!("1 {level}"),
            n => format!("{n} {many}"),
        };
        assert!(summary.contains(&count), "{summary}");
    }
    told
}

fn one_on_the_screen(case: &Case, block: &str) -> Told {
    let mut lines = block.lines();
    let title = lines.next().unwrap();
    let (level, rest) = title.split_once('[').unwrap();
    let (code, message) = rest.split_once("]: ").unwrap();
    assert!(!message.is_empty(), "{block}");
    let place = lines
        .find_map(|line| line.trim_start().strip_prefix("--> "))
        .unwrap();
    let place = place.strip_prefix(&format!("{}:", case.file)).unwrap();
    let (line, column) = place.split_once(':').unwrap();
    let numbered = format!("{line} |");
    assert!(
        block
            .lines()
            .any(|it| it.trim_start().starts_with(&numbered)),
        "{block}"
    );
    assert!(
        block
            .lines()
            .any(|it| it.contains('|') && it.ends_with('^')),
        "{block}"
    );
    let hint = block.lines().find_map(|it| it.strip_prefix("hint: "));
    assert!(hint.is_some_and(|hint| !hint.trim().is_empty()), "{block}");
    Told {
        code: code.to_owned(),
        level: level.to_owned(),
        line: line.parse().unwrap(),
        column: column.parse().unwrap(),
    }
}

#[test]
fn of_very_many_mistakes_the_first_are_shown_and_all_are_counted() {
    let sandbox = Sandbox::new();
    let keys: String = (0..300).map(|n| format!("key{n}: 1\n")).collect();
    sandbox.write("flow.yaml", &format!("output: 1\n{keys}"));
    let ended = sandbox.run(&["validate", "flow.yaml"]);
    let end = "\n\n… and 250 more\n\nerror: flow.yaml: 300 errors\n";
    assert!(ended.stderr.ends_with(end), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("error[E0201]").count(), 50);
}

#[test]
fn a_mistake_in_the_config_is_counted_with_the_config() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "stepflow-config.yml",
        "plugins: { py: { type: stepflow, comand: a } }\n",
    );
    sandbox.write(
        "flow.yaml",
        "steps: []\noutput: { $input: \"\" }\nnmae: b\n",
    );
    let ended = sandbox.run(&["validate", "flow.yaml"]);
    let end = "\n\nerror: stepflow-config.yml: 1 error; flow.yaml: 2 errors\n";
    assert!(ended.stderr.ends_with(end), "{}", ended.stderr);
    sandbox.write("flow.yaml", "output: 1\n");
    let ended = sandbox.run(&["validate", "flow.yaml"]);
    assert!(
        ended
            .stderr
            .ends_with("\n\nerror: stepflow-config.yml: 1 error\n"),
        "{}",
        ended.stderr
    );
}
