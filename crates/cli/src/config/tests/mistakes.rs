//! Mistakes: each with its place and the words that must be said. No text panics.

use proptest::prelude::*;

use super::bad;
use super::lines;
use super::load;

#[test]
fn mistakes_in_plugins() {
    bad(
        "plugins: []",
        &["1:10 & \"plugins\" must be an object & a list"],
    );
    bad(
        "plugins: { p: python }",
        &["1:15 & the plugin \"p\" must be an object & a string"],
    );
    bad(
        "plugins: { p: {} }",
        &["1:15 & needs the key \"type\" & type: …"],
    );
    bad(
        "plugins: { p: { type: stepflo } }",
        &["1:23 & \"stepflo\" is no type & did you mean \"stepflow\""],
    );
    bad(
        "plugins: { p: { type: http, url: x } }",
        &["1:23 & \"http\" is no type & `type: stepflow` and `transport: http`"],
    );
    bad(
        "plugins: { p: { type: 3 } }",
        &["1:23 & \"type\" must be a word"],
    );
    bad(
        "plugins: { p: { tpye: builtin } }",
        &["1:17 & unknown key \"tpye\""],
    );
    bad(
        "plugins: { p: { type: builtin, command: x } }",
        &["1:32 & unknown key \"command\""],
    );
    bad(
        "plugins: { 'a/b': { type: builtin } }",
        &["1:12 & cannot be the name of a plugin & letters"],
    );
    bad(
        "plugins: { '': { type: builtin } }",
        &["1:12 & cannot be the name"],
    );
    bad(
        "plugins: { p: { type: stepflow } }",
        &["1:17 & needs the key \"command\""],
    );
    bad(
        "plugins: { p: { type: stepflow, comand: x } }",
        &["1:33 & unknown key \"comand\" & did you mean \"command\""],
    );
    bad(
        "plugins: { p: { type: stepflow, command: 5 } }",
        &["1:42 & \"command\" must be a string & put it in quotes"],
    );
    bad(
        "plugins: { p: { type: stepflow, command: ' ' } }",
        &["1:42 & the command is empty & command: python"],
    );
    bad(
        "plugins: { p: { type: stepflow, command: x, url: http://h } }",
        &["1:50 & has no `url`"],
    );
    bad(
        "plugins: { p: { type: stepflow, transport: stdoi, command: x } }",
        &["1:44 & \"stdoi\" is no transport & did you mean \"stdio\""],
    );
}

#[test]
fn mistakes_in_the_keys_of_a_server() {
    let server = |rest: &str, expected: &[&str]| {
        bad(
            &format!(
                "plugins:\n  p: {{ type: stepflow, command: x }}\n  q:\n    type: stepflow\n    command: x\n{rest}"
            ),
            expected,
        );
    };
    server("    args: -m x", &["6:11 & \"args\" must be a list & `- `"]);
    server(
        "    args: [[x]]",
        &["6:12 & an argument must be a string & a list"],
    );
    server(
        "    args: [a, null]",
        &["6:15 & an argument must be a string & null"],
    );
    server("    env: [A=b]", &["6:10 & \"env\" must be an object"]);
    server(
        "    env: { A: [b] }",
        &["6:15 & the variable \"A\" must be a string"],
    );
    server(
        "    env: { 'A=B': c }",
        &["6:12 & cannot be the name of an environment variable"],
    );
    server(
        "    inheritEnv: 'yes'",
        &["6:17 & \"inheritEnv\" must be true or false"],
    );
    server(
        "    inherit_evn: true",
        &["6:5 & unknown key \"inherit_evn\" & did you mean \"inheritEnv\""],
    );
    server("    cwd: [x]", &["6:10 & \"cwd\" must be a string"]);
    server("    instances: 0", &["6:16 & from 1 to 1024 & auto"]);
    server(
        "    instances: many",
        &["6:16 & must be auto or a whole number"],
    );
    server(
        "    instances: 1.5",
        &["6:16 & must be auto or a whole number"],
    );
    server(
        "    timeout: soon",
        &["6:14 & \"timeout\" is no duration & 500ms"],
    );
    server("    timeout: -5s", &["6:14 & is no duration"]);
    server("    timeout: 0", &["6:14 & longer than no time"]);
    server("    initializeTimeout: {}", &["6:24 & must be a duration"]);
    server("    maxInFlight: 0", &["6:18 & at least 1"]);
    server("    maxInFlight: -1", &["6:18 & a whole number from 0"]);
    server("    maxMessageBytes: 10", &["6:22 & at least 1024"]);
    server("    maxMessageBytes: 16MiB", &["6:22 & a whole number"]);
    server(
        "    restart: never",
        &["6:14 & `restart` must be an object"],
    );
    server(
        "    restart: { maxRestart: 1 }",
        &["6:16 & unknown key & did you mean \"maxRestarts\""],
    );
    server(
        "    restart: { backoff: { type: linear } }",
        &["6:33 & \"linear\" is no type & exponential"],
    );
    server(
        "    restart: { backoff: { minDelay: 9s, maxDelay: 1s } }",
        &["6:25 & `minDelay` is longer & swap"],
    );
    server("    retryUnknown: 1", &["6:19 & must be true or false"]);
    server(
        "    maxInFlight: 1\n    max_in_flight: 2",
        &["7:5 & are one key"],
    );
    server("    headers: {}", &["6:5 & unknown key \"headers\""]);
}

#[test]
fn plugins_over_http() {
    let http = |keys: &str, words: &[&str]| {
        bad(
            &format!("plugins: {{ p: {{ type: stepflow, {keys} }} }}"),
            words,
        );
    };
    http("transport: http", &["url"]);
    http(
        "transport: http, url: 'http://h', session: never",
        &["never & auto, required, off"],
    );
    http("url: 'h:80'", &["URL & http://"]);
    http("url: 'ftp://h'", &["URL & http://"]);
    http(
        "url: 'http://h', hedders: {}",
        &["1:50 & unknown key \"hedders\" & did you mean \"headers\""],
    );
    http("url: 'http://h', headers: { 'a b': x }", &["header & none"]);
    http("url: 'http://h', headers: { A: [1] }", &["header & string"]);
    http(
        "url: 'http://h', bearerToken: \"a\\nb\"",
        &["token cannot be sent & line break"],
    );
    http(
        "url: 'http://h', connections: 0",
        &["connections & at least 1"],
    );
    http("url: 'http://h', connectTimeout: 0", &["connectTimeout"]);
    http(
        "url: 'http://h', allowedEndpointOrigins: ['10.0.0.0/40']",
        &["10.0.0.0/40 & 10.0.0.0/8"],
    );
    http(
        "url: 'http://h', allowedEndpointOrigins: ['[::1:9000']",
        &["[::1:9000 & [::1]:9000"],
    );
    http(
        "url: 'http://h', allowedEndpointOrigins: ['http://h:1/']",
        &["its host alone & `h:1`"],
    );
    http(
        "url: 'http://h', tls: { ca: no-such.pem }",
        &["no-such.pem & PEM"],
    );
    http(
        "transport: http, url: 'http://h', command: x",
        &["no `command`"],
    );
}

#[test]
fn mistakes_in_mcp_servers() {
    let mcp = |keys: &str, expected: &[&str]| {
        bad(
            &format!("plugins: {{ p: {{ type: mcp, {keys} }} }}"),
            expected,
        );
    };
    mcp(
        "timeout: 1s",
        &["1:15 & needs `command` or `url` & started"],
    );
    mcp(
        "command: npx, url: 'http://h'",
        &["1:47 & either `command` or `url`"],
    );
    mcp(
        "transport: http, command: npx",
        &["either `command` or `url`"],
    );
    mcp(
        "comand: npx",
        &["needs `command`", "1:28 & \"comand\" & \"command\""],
    );
    mcp("command: npx, headers: {}", &["1:42 & \"headers\""]);
    mcp("url: 'http://h', cwd: a", &["1:45 & \"cwd\""]);
    mcp("url: 'h:80'", &["URL & http://"]);
    // What only a component server has.
    mcp("url: 'http://h', session: off", &["\"session\""]);
    mcp(
        "url: 'http://h', negotiationTimeout: 1s",
        &["\"negotiationTimeout\""],
    );
}

#[test]
fn what_is_not_there_yet_says_so() {
    let yet = "is not available in this version";
    bad(
        "stateStore: { type: sqlite, databaseUrl: 'sqlite:a.db' }",
        &[&format!("1:21 & state store \"sqlite\" {yet} & inMemory")],
    );
    bad("state_store: { type: postgres }", &[yet]);
    bad(
        "durability: power",
        &[&format!("1:13 & `durability` {yet}")],
    );
}

#[test]
fn mistakes_in_routes() {
    let plugins = "plugins: { python: { type: builtin } }\n";
    let route = |text: &str, expected: &[&str]| bad(&format!("{plugins}{text}"), expected);
    route("routes: []", &["2:9 & \"routes\" must be an object"]);
    route(
        "routes: { /a: { plugin: python } }",
        &["2:15 & must be a list of rules & an object & - plugin: name"],
    );
    route("routes: { /a: [] }", &["2:15 & has no rules"]);
    route(
        "routes: { /a: [python] }",
        &["2:16 & a rule of a route must be an object"],
    );
    route("routes: { /a: [{}] }", &["2:16 & needs the key \"plugin\""]);
    route(
        "routes: { /a: [{ plugin: pyhton }] }",
        &["2:26 & there is no plugin \"pyhton\" & did you mean \"python\""],
    );
    route(
        "routes: { /a: [{ plugin: other }] }",
        &["2:26 & there is no plugin \"other\" & the plugins are: python"],
    );
    route(
        "routes: { /a: [{ plugin: python, plugins: x }] }",
        &["2:34 & unknown key \"plugins\" & did you mean \"plugin\""],
    );
    route(
        "routes: { a: [{ plugin: python }] }",
        &["2:11 & the route \"a\""],
    );
    route(
        "routes: { '/{*rest}/more': [{ plugin: python }] }",
        &["2:11 & the route \"/{*rest}/more\""],
    );
    route(
        "routes: { '/a{b}': [{ plugin: python }] }",
        &["2:11 & the route \"/a{b}\""],
    );
    route(
        "routes: { /a: [{ plugin: python, conditions: [{ path: '$.a[', value: 1 }] }] }",
        &["2:55 & is no path & $.model"],
    );
    route(
        "routes: { /a: [{ plugin: python, conditions: [{ path: $.a }] }] }",
        &["2:49 & needs the key \"value\""],
    );
    route(
        "routes: { /a: [{ plugin: python, componentAllow: /x }] }",
        &["2:50 & \"componentAllow\" must be a list"],
    );
}

#[test]
fn mistakes_elsewhere() {
    bad(
        "- plugins",
        &["1:1 & the config must be an object & a list"],
    );
    bad(
        "plugin: {}",
        &["1:1 & unknown key \"plugin\" & did you mean \"plugins\""],
    );
    bad("plugins: {}\nplugins: {}", &["2:1 & a second time"]);
    bad("plugins: {", &["E0101"]);
    bad("a: 1\n---\nb: 2", &["2:1 & a second document"]);
    bad("validate: strict", &["1:11 & `validate` must be an object"]);
    bad(
        "validate: { input: fail }",
        &["1:20 & \"fail\" is no input & ignore, warn, error"],
    );
    bad("stateStore: {}", &["1:13 & needs the key \"type\""]);
    bad(
        "stateStore: { type: memory }",
        &["1:21 & \"memory\" is no type"],
    );
    bad(
        "stateStore: { type: inMemory, databaseUrl: x }",
        &["1:31 & unknown key \"databaseUrl\""],
    );
    bad(
        "retry: { transportMaxRetries: -1 }",
        &["1:31 & a whole number from 0"],
    );
    bad(
        "retry: { backoff: 1s }",
        &["1:19 & `backoff` must be an object"],
    );
    bad("limits: { run: 0 }", &["1:16 & at least 1"]);
    bad("limits: { depth: deep }", &["1:18 & a whole number"]);
    bad(
        "loadFile: { allow: data }",
        &["1:20 & \"allow\" must be a list"],
    );
    bad(
        "loadFile: { deny: [] }",
        &["1:13 & unknown key \"deny\" & allow"],
    );
    bad(
        "plugins: { m: { type: mock } }",
        &["1:17 & needs the key \"components\""],
    );
    bad(
        "plugins: { m: { type: mock, components: { /a: {} } } }",
        &["1:47 & needs the key \"behaviors\""],
    );
    bad(
        "plugins: { m: { type: mock, components: { /a: { behaviors: { 'a: 1': { error: x } } } } } }",
        &["1:62 & must be JSON text"],
    );
    bad(
        "plugins: { m: { type: mock, components: { /a: { behaviors: { '1': { outcome: success } } } } } }",
        &["1:67 & no outcome & result"],
    );
    bad(
        "plugins: { m: { type: mock, components: { /a: { behaviors: { '1': {} } } } } }",
        &["1:67 & needs the key \"outcome\""],
    );
    bad(
        "plugins: { m: { type: mock, components: { /a: { inputSchema: { type: 3 }, behaviors: {} } } } }",
        &["1:62 & \"inputSchema\" cannot be used"],
    );
}

#[test]
fn all_mistakes_at_once_in_the_order_of_the_text() {
    bad(
        "plugins:\n  a: { type: stepflow, comand: x }\n  b: { type: mcp }\nroutes:\n  nowhere: [{ plugin: c }]\nvalidat: {}\n",
        &[
            "2:24 & comand",
            "3:6 & `command` or `url`",
            "5:3 & the route",
            "5:23 & no plugin \"c\"",
            "6:1 & validat",
        ],
    );
}

#[test]
fn mistakes_with_variables() {
    let env = |value: &str, expected: &[&str]| {
        bad(
            &format!(
                "plugins: {{ p: {{ type: stepflow, command: x, env: {{ K: \"{value}\" }} }} }}"
            ),
            expected,
        );
    };
    env(
        "${MISSING}",
        &["1:55 & plugins.p.env.K: the environment variable `MISSING` is not set & ${MISSING:-…}"],
    );
    env(
        "${MISSING:?it opens the vault}",
        &["plugins.p.env.K & it opens the vault"],
    );
    env(
        "${EMPTY:?must be there}",
        &["`EMPTY` is not set: must be there"],
    );
    env("${", &["without its `}` & $$"]);
    env("${A-b}", &["not understood & ${A:-default}"]);
    bad(
        "plugins: { p: { type: stepflow, command: x, args: [a, \"${NO}\"] } }",
        &["plugins.p.args[1]: & `NO`"],
    );
    bad(
        "plugins: { p: { type: \"${NO}\" } }",
        &["plugins.p.type & `NO`"],
    );
}

#[test]
fn values_from_the_environment_are_not_shown() {
    let hidden = |text: &str, secret: &str| {
        let (loaded, secrets) = load(text);
        for diagnostic in loaded.found.unwrap().diagnostics {
            let line = diagnostic.to_string();
            assert!(!line.contains(secret), "{line}");
        }
        drop(secrets);
    };
    hidden("plugins: { p: { type: \"${SHORT}\" } }", "abc");
    hidden(
        "plugins: { p: { type: stepflow, command: x, timeout: \"${SHORT}\" } }",
        "abc",
    );
    hidden(
        "plugins: { p: { type: stepflow, command: x, maxInFlight: \"${SHORT}\" } }",
        "abc",
    );
    hidden("routes: { /a: [{ plugin: \"${SHORT}\" }] }", "abc");
    hidden(
        "plugins: { p: { type: stepflow, command: x, retryUnknown: \"${PORT}\" } }",
        "8080",
    );
    let (_, secrets) = load("x-a: ${API_KEY}\nx-b: ${PATH} ${NO:-a-long-default}");
    let text = "sesame-open /bin a-long-default";
    assert_eq!(secrets.scrub(text), "*** /bin a-long-default");
}

#[test]
fn a_token_that_is_not_there_is_no_secret() {
    let scrubbed = |token: &str| {
        let plugin = format!("type: stepflow, url: 'http://h', bearerToken: {token}");
        let headers = format!("headers: {{ x-token: {token} }}");
        let (_, secrets) = load(&format!("plugins: {{ p: {{ {plugin}, {headers} }} }}"));
        secrets.scrub(&format!("token: {token}")).into_owned()
    };
    assert_eq!(scrubbed("'${MISSING}'"), "token: '${MISSING}'");
    assert_eq!(scrubbed("a-real-token"), "token: ***");
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-z{}\\[\\]:,$*&|>'\" \n/-]{0,80}") {
        lines(&text);
    }

    #[test]
    fn no_value_of_a_known_key_panics(
        key in prop::sample::select(vec![
            "type", "command", "args", "env", "cwd", "instances", "timeout", "restart", "transport", "maxInFlight",
        ]),
        value in prop::sample::select(vec![
            "null", "1", "-1", "1e400", "x", "''", "[]", "[[]]", "{}", "{a: b}", "'${NO}'", "'${EMPTY}'", "true", "!!int x",
        ]),
    ) {
        lines(&format!("plugins:\n  p:\n    {key}: {value}\n    type: stepflow\n"));
        lines(&format!("plugins:\n  p:\n    type: stepflow\n    command: x\n    {key}: {value}\n"));
    }
}
