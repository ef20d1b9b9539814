//! Configs as data: what they become, and what is said of each mistake and where.

mod mistakes;

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::sync::LazyLock;

use stepflow_components::options::Behavior;
use stepflow_components::options::Mcp;
use stepflow_components::options::Plugin;
use stepflow_components::options::Stdio;
use stepflow_components::options::Strictness;
use stepflow_flow::diagnostic::Diagnostic;
use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::diagnostic::Severity;
use stepflow_flow::document;
use stepflow_flow::document::Source;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::schema::Schema;
use stepflow_flow::value::Value;

use super::Config;
use super::Loaded;
use super::json_schema;
use super::read_text;
use crate::environment::Environment;
use crate::secrets::Secrets;

fn environment() -> Environment {
    let variables = [
        ("PATH", "/bin"),
        ("LC_ALL", "C"),
        ("API_KEY", "sesame-open"),
        ("PORT", "8080"),
        ("CODE", "0123"),
        ("SHORT", "abc"),
        ("EMPTY", ""),
        ("FLAG", "true"),
    ];
    let variables = variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Environment {
        variables: variables.to_vec(),
        folder: "/work".into(),
        cores: 4,
    }
}

fn load(text: &str) -> (Loaded, Secrets) {
    let secrets = Secrets::default();
    let source = Source::new("c.yml", text);
    let loaded = read_text(
        &source,
        Path::new("/conf"),
        &environment(),
        &secrets,
        |_| {},
    );
    agree(&source, &loaded);
    (loaded, secrets)
}

/// What the schema of configs cannot see, by words of the message, and why.
const UNSEEN: &[(&str, &str)] = &[
    ("there is no plugin", WHOLE),
    ("must start with a slash", GRAMMAR),
    ("has something after `{*…}`", GRAMMAR),
    ("has an empty segment", GRAMMAR),
    ("has a brace inside a segment", GRAMMAR),
    (" is no path", GRAMMAR),
    ("the URL cannot be used", GRAMMAR),
    ("the input of a behavior must be JSON text", GRAMMAR),
    ("is no host", GRAMMAR),
    ("cannot be read: ", "this is about another file"),
    (
        "Schema\" cannot be used",
        "a schema is checked when it is compiled",
    ),
    (
        "is longer than `maxDelay`",
        "a schema compares no two values",
    ),
];
const GRAMMAR: &str = "texts with a grammar of their own are strings to a schema";
const WHOLE: &str = "only the whole file tells";

/// Whether the schema that editors use takes what the reader takes, and the other way round. So each config of these tests
/// is one for the schema too.
fn agree(source: &Arc<Source>, loaded: &Loaded) {
    static SCHEMA: LazyLock<Schema> =
        LazyLock::new(|| Schema::compile(&Value::from_serialize(&json_schema()).unwrap()).unwrap());
    let mut diagnostics = Diagnostics::new(source);
    let Some(node) = document::read(source, &mut diagnostics) else {
        return;
    };
    let text = source.text();
    // What a variable holds, a schema cannot see; one that is empty stands for a missing key.
    let has_variables = text.contains("${");
    if has_variables && (loaded.config.is_none() || text.contains("EMPTY")) {
        return;
    }
    let found = loaded.found.as_ref().unwrap().diagnostics.iter();
    // What is wrong with the text before it is data has the codes below E02, but for a key in both spellings.
    let is_data = |it: &&Diagnostic| it.code.name() > "E02" || it.message.contains("are one key");
    let errors = found
        .filter(|it| it.severity == Severity::Error)
        .filter(is_data);
    let is_seen = |it: &&Diagnostic| !UNSEEN.iter().any(|(words, _)| it.message.contains(words));
    let seen: Vec<_> = errors.filter(is_seen).map(ToString::to_string).collect();
    match SCHEMA.validate(&node.to_value()) {
        Ok(()) => assert!(
            seen.is_empty(),
            "the schema takes what the reader refuses:\n{text}\n{seen:#?}"
        ),
        Err(why) => assert!(
            !seen.is_empty(),
            "the schema refuses what the reader takes:\n{text}\n{why:#?}"
        ),
    }
}

fn good(text: &str) -> Config {
    let loaded = load(text).0;
    let found = loaded.found.unwrap().diagnostics;
    let lines: Vec<_> = found.iter().map(ToString::to_string).collect();
    loaded.config.unwrap_or_else(|| panic!("{lines:#?}"))
}

fn lines(text: &str) -> Vec<String> {
    let loaded = load(text).0;
    let found = loaded.found.unwrap().diagnostics;
    found.iter().map(ToString::to_string).collect()
}

/// The config has exactly these mistakes, in this order, each with these words.
fn bad(text: &str, expected: &[&str]) {
    let found = lines(text);
    assert!(load(text).0.config.is_none(), "{text}");
    assert_eq!(found.len(), expected.len(), "{text}\n{found:#?}");
    for (line, expected) in found.iter().zip(expected) {
        for words in expected.split(" & ") {
            assert!(line.contains(words), "{text}\n{line}\nlacks {words:?}");
        }
    }
}

fn stdio(text: &str) -> Stdio {
    let config = good(&format!("plugins:\n  p:\n    type: stepflow\n{text}"));
    match config.components.plugins.get("p") {
        Some(Plugin::Stdio(stdio)) => (**stdio).clone(),
        other => panic!("{other:?}"),
    }
}

fn variable(stdio: &Stdio, name: &str) -> Option<String> {
    let found = stdio.environment.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.to_string_lossy().into_owned())
}

#[test]
fn mcp_servers_are_started_or_reached() {
    let config = good(
        r#"
plugins:
  files: { type: mcp, command: npx, args: ["-y", server, "."], maxInFlight: 2, instances: 3, restart: { maxRestarts: 1 } }
  far: { type: mcp, url: "https://h/mcp", bearerToken: "${API_KEY}", retryUnknown: false, connectTimeout: 1s }
"#,
    );
    let Some(Plugin::Mcp(Mcp::Stdio(files))) = config.components.plugins.get("files") else {
        panic!("{config:?}")
    };
    assert_eq!(files.arguments, ["-y", "server", "."]);
    assert_eq!((files.instances, files.restart.max_restarts), (3, 1));
    assert_eq!(files.limits.max_in_flight, Some(2));
    let Some(Plugin::Mcp(Mcp::Http(far))) = config.components.plugins.get("far") else {
        panic!("{config:?}")
    };
    assert_eq!(far.client.url.as_str(), "https://h/mcp");
    assert_eq!(far.client.headers["authorization"], "Bearer sesame-open");
    assert_eq!(far.client.connect_timeout.as_secs(), 1);
    assert!(!far.limits.retry_unknown);
}

#[test]
fn nothing_means_the_built_ins() {
    for text in [
        "",
        "# only a comment",
        "{}",
        "plugins: null",
        "x-note: free",
    ] {
        let config = good(text);
        let plugins: Vec<_> = config.components.plugins.keys().collect();
        assert_eq!(plugins, ["builtin"], "{text}");
        assert!(config.components.routes.is_empty());
    }
}

#[test]
fn a_whole_config() {
    let config = good(
        r#"
plugins:
  builtin: { type: builtin }
  python:
    type: stepflow
    transport: stdio
    command: python
    args: ["-m", stepflow_sdk, 8080, true]
    env: { KEY: "${API_KEY}", N: 1.50 }
    cwd: servers
    instances: auto
    timeout: 30s
    initializeTimeout: 2m
    maxInFlight: 8
    maxMessageBytes: 65536
    restart: { maxRestarts: 2, backoff: { type: constant, minDelay: 100ms } }
    retryUnknown: false
routes:
  "/python/{*component}":
    - { plugin: python, componentDeny: [/udf], conditions: [{ path: $.model, value: null }] }
  "/ai/chat": [{ plugin: python, component: /chat, component_allow: ["chat*"] }]
  "/{*component}": [{ plugin: builtin }]
stateStore: { type: inMemory }
retry: { transportMaxRetries: 7 }
validate: { input: warn, output: ignore }
limits: { run: 5, map: 7, depth: 3, alive: 9 }
loadFile: { allow: [data, /abs] }
"#,
    );
    let Some(Plugin::Stdio(python)) = config.components.plugins.get("python") else {
        panic!("{config:?}")
    };
    assert_eq!(python.arguments, ["-m", "stepflow_sdk", "8080", "true"]);
    assert_eq!(python.folder, Path::new("/conf/servers"));
    assert_eq!(python.instances, 4);
    assert_eq!(python.limits.timeout.unwrap().as_secs(), 30);
    assert_eq!(python.limits.initialize_timeout.as_secs(), 120);
    assert_eq!(python.limits.max_in_flight, Some(8));
    assert_eq!(python.limits.max_message_bytes, 65536);
    assert!(!python.limits.retry_unknown);
    assert_eq!(python.restart.max_restarts, 2);
    assert_eq!(python.restart.backoff.min_delay.as_millis(), 100);
    assert_eq!(variable(python, "N").unwrap(), "1.50");
    let routes = &config.components.routes;
    assert_eq!(routes.len(), 3);
    assert!(routes[0].rules[0].conditions[0].value.is_null());
    assert_eq!(routes[1].rules[0].component.as_deref(), Some("/chat"));
    assert_eq!(config.components.validate.input, Strictness::Warn);
    assert_eq!(config.components.validate.output, Strictness::Ignore);
    assert_eq!(config.engine.retry.transport_max_retries, 7);
    let limits = &config.engine.limits;
    assert_eq!((limits.run, limits.map), (5, 7));
    assert_eq!((limits.depth, limits.alive), (3, 9));
    let load_file = &config.components.load_file;
    assert_eq!(load_file.folder, Path::new("/work"));
    assert_eq!(
        load_file.allow,
        [Path::new("/conf/data"), Path::new("/abs")]
    );
}

#[test]
fn keys_in_both_spellings() {
    let snake = stdio(
        "    command: x\n    inherit_env: true\n    initialize_timeout: 1\n    max_in_flight: 1\n    retry_unknown: true\n",
    );
    assert_eq!(snake.limits.initialize_timeout.as_secs(), 1);
    assert_eq!(variable(&snake, "API_KEY").unwrap(), "sesame-open");
    good("state_store: { type: in_memory }\nload_file: {}\nretry: { transport_max_retries: 0 }");
}

#[test]
fn a_child_sees_little_unless_told_otherwise() {
    let child = stdio("    command: x\n    env: { A: b, PATH: /mine, EMPTY: '' }\n");
    let names: Vec<_> = child.environment.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["PATH", "LC_ALL", "A", "EMPTY"]);
    assert_eq!(variable(&child, "PATH").unwrap(), "/mine");
    let child = stdio("    command: x\n    inheritEnv: true\n    env: { SHORT: null }\n");
    assert_eq!(
        variable(&child, "SHORT"),
        None,
        "null takes a variable away"
    );
    assert_eq!(variable(&child, "PORT").unwrap(), "8080");
    assert_eq!(child.folder, Path::new("/conf"));
}

#[test]
fn mocks_have_fixed_answers() {
    let config = good(
        r#"
plugins:
  m:
    type: mock
    components:
      /one:
        input_schema: { type: object }
        behaviors:
          '{"a": 1}': { outcome: success, result: 2 }
          '{}': { error: "no" }
          'null': { outcome: skipped }
"#,
    );
    let Some(Plugin::Mock(mock)) = config.components.plugins.get("m") else {
        panic!("{config:?}")
    };
    let behaviors = &mock.components["/one"].behaviors;
    assert!(
        matches!(&behaviors[0].1, Behavior::Outcome(Outcome::Success(two)) if two.as_i64() == Some(2))
    );
    assert!(matches!(&behaviors[1].1, Behavior::Error(text) if text == "no"));
    assert!(matches!(
        &behaviors[2].1,
        Behavior::Outcome(Outcome::Skipped { .. })
    ));
}

#[test]
fn values_from_the_environment() {
    let check = |value: &str, expected: &str| {
        let child = stdio(&format!("    command: x\n    env: {{ V: {value} }}\n"));
        assert_eq!(variable(&child, "V").as_deref(), Some(expected), "{value}");
    };
    check("'${API_KEY}'", "sesame-open");
    check("'key: ${API_KEY}!'", "key: sesame-open!");
    // A string stays as it is in the environment, whatever it looks like.
    check("'${CODE}'", "0123");
    check("'${FLAG}'", "true");
    check("'${EMPTY}'", "");
    check("'${NO:-}'", "");
    check("'${NO:-/bin/bash}'", "/bin/bash");
    check("'$${PORT}'", "${PORT}");
    check("'$5'", "$5");
    let child = stdio(
        "    command: ${CMD:-run}\n    args: ['${PORT}', '${CODE}']\n    instances: ${N:-2}\n    timeout: ${T:-5s}\n    retryUnknown: ${FLAG}\n",
    );
    assert_eq!(child.command, "run");
    assert_eq!(child.arguments, ["8080", "0123"]);
    assert_eq!(child.instances, 2);
    assert_eq!(child.limits.timeout.unwrap().as_secs(), 5);
    assert!(child.limits.retry_unknown);
}

#[test]
fn a_value_cannot_change_the_structure() {
    let mut around = environment();
    around
        .variables
        .push(("EVIL".into(), "a, type: mock}\n# [x".into()));
    let source = Source::new(
        "c.yml",
        "plugins: { p: { type: stepflow, command: \"${EVIL}\" } }",
    );
    let loaded = read_text(
        &source,
        Path::new("/"),
        &around,
        &Secrets::default(),
        |_| {},
    );
    let config = loaded.config.unwrap();
    let Some(Plugin::Stdio(child)) = config.components.plugins.get("p") else {
        panic!("{config:?}")
    };
    assert_eq!(child.command, "a, type: mock}\n# [x");
}
