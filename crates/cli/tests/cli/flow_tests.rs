//! `stepflow test`: what passes, what fails, and what is written into files.

use insta::assert_snapshot;

use crate::support::Ended;
use crate::support::Sandbox;
use crate::support::ended;

const ORDER: &str = "\
# Prices an order.
inputSchema: { type: object, properties: { items: { type: array } }, required: [items] }
variables: { type: object, properties: { key: { type: string, is_secret: true, default: '' } } }
steps:
  - id: price
    component: /shop/price
    input: { items: { $input: items }, key: { $variable: key } }
    onError: { action: retry, maxRetries: 1, backoff: { minDelay: 1ms }, then: { action: fail } }
  - { id: text, component: noop, input: { $template: \"costs {{ $step.price.total }}\" } }
output: { $step: text }
test:
  cases:
";

const PASSES: &str = "    - name: two items # as customers know it
      input: { items: [1, 2] }
      mocks: { price: { outcome: success, result: { total: 3 } } }
      output: { outcome: success, result: costs 3 }
    - name: the shop is closed
      input: { items: [] }
      mocks: { price: { outcome: failed, error: { code: 7, message: closed } } }
      output: { outcome: failed, error: { code: 7 } }
    - name: no items
      input: {}
      output: { outcome: failed, error: { code: -32003 } }
    - name: nothing is priced
      input: { items: [] }
      mocks: { price: { outcome: skipped } }
      output: { outcome: skipped }
    - name: anything but a failure
      input: { items: [] }
      mocks: { price: { outcome: success, result: { total: 0 } } }
";

const FAILS: &str = "    - name: wrong number
      input: { items: [] }
      mocks: { price: { outcome: success, result: { total: 3 } } }
      output: { outcome: success, result: costs 4 } # not yet
    - name: wrong code
      input: { items: [] }
      mocks: { price: { outcome: failed, error: { code: 7, message: closed } } }
      output:
        # whatever the message is
        outcome: failed
        error:
          code: 8
    - name: not there
      input: { items: [] }
";

fn sandbox(cases: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("order.yaml", &format!("{ORDER}{}", cases.concat()));
    sandbox
}

/// The report, without times.
fn report(ended: &Ended) -> String {
    let mut text = String::new();
    for line in ended.stdout.lines() {
        let line = match line.rsplit_once(" (") {
            Some((line, time)) if time.ends_with(" ms)") => line,
            _ => line,
        };
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[test]
fn what_is_as_expected_passes() {
    let ended = sandbox(&[PASSES]).run(&["test", "order.yaml"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_snapshot!(report(&ended), @r"
    order.yaml
      ok      two items
      ok      the shop is closed
      ok      no items
      ok      nothing is priced
      ok      anything but a failure
    1 flow: 5 passed
    ");
}

#[test]
fn what_is_not_fails_and_says_where_it_differs() {
    let ended = sandbox(&[PASSES, FAILS]).run(&["test"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_snapshot!(report(&ended), @"
    order.yaml
      ok      two items
      ok      the shop is closed
      ok      no items
      ok      nothing is priced
      ok      anything but a failure
      FAILED  wrong number
              /result: expected \"costs 4\", got \"costs 3\"
      FAILED  wrong code
              /error/code: expected 8, got 7
              the step `price` failed
      FAILED  not there
              no failure was expected: no route leads from `/shop/price` to a plugin (plugins: builtin); check `routes` (code -32001)
              the step `price` failed
    1 flow: 5 passed, 3 failed
    ");
}

#[test]
fn one_test_can_be_run_alone_and_shown_in_full() {
    let sandbox = sandbox(&[PASSES, FAILS]);
    let ended = sandbox.run(&["test", "--case", "wrong number", "--diff"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_snapshot!(report(&ended), @r#"
    order.yaml
      FAILED  wrong number
               {
                 "outcome": "success",
              -  "result": "costs 4"
              +  "result": "costs 3"
               }
    1 flow: 0 passed, 1 failed
    "#);
    for names in [
        &["--case", "wrong numbr"][..],
        &["--case", "two items", "--case", "wrong numbr"],
    ] {
        let ended = sandbox.run(&[&["test"], names].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{ended:?}");
        for words in [
            "no test is called \"wrong numbr\"",
            "did you mean \"wrong number\"?",
        ] {
            assert!(ended.stderr.contains(words), "{words}: {ended:?}");
        }
    }
    sandbox.write(
        "broken.yaml",
        "steps: [{ id: a, component: noop, imput: 1 }]\noutput: 1\n",
    );
    let ended = sandbox.run(&["test", "--case", "elsewhere"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("the tests of broken.yaml are not known"),
        "{ended:?}"
    );
}

/// A server that says where it is, and never answers a component.
const SILENT: &str = r#"#!/bin/sh
echo $$ > silent.pid
while IFS= read -r line; do
  id=$(printf '%s\n' "$line" | sed -n 's/.*"id":\("[^"]*"\|[0-9]*\).*/\1/p')
  case $line in
    *'"method":"initialize"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"server_protocol_version":1}}\n' "$id" ;;
  esac
done
"#;

const WAITS: &str = "\
steps:
  - { id: first, component: noop, input: 1 }
  - { id: answer, component: /silent/ask, input: { $step: first } }
output: { $step: answer }
test:
  config: { plugins: { builtin: { type: builtin }, silent: { type: stepflow, command: ./silent.sh } } }
  cases:
    - name: waits
      timeout: 300ms
      output: { outcome: failed }
    - name: goes on
      mocks: { answer: { outcome: success, result: 2 } }
      output: { outcome: success, result: 2 }
";

#[test]
fn a_test_that_never_ends_is_ended_and_the_others_go_on() {
    let sandbox = Sandbox::new();
    sandbox.write_program("silent.sh", SILENT);
    let by_flag = WAITS.replace("      timeout: 300ms\n", "");
    for (flow, args) in [
        (WAITS, &["test"][..]),
        (WAITS, &["test", "--diff"]),
        // What a test says itself counts more.
        (WAITS, &["test", "--timeout", "1h"]),
        (&by_flag, &["test", "--timeout", "300ms"]),
        // Nobody knows what would have come of it.
        (WAITS, &["test", "--update"]),
    ] {
        sandbox.write("flow.yaml", flow);
        let ended = sandbox.run(args);
        assert_eq!(ended.code, 1, "{ended:?}");
        assert_eq!(
            report(&ended),
            "flow.yaml\n  FAILED  waits\n          \
             timed out after 300ms, and this was not at its end: `answer`\n  \
             ok      goes on\n1 flow: 1 passed, 1 failed\n",
            "{args:?}"
        );
        assert_eq!(sandbox.read("flow.yaml"), flow);
        let pid = sandbox.read("silent.pid");
        let process = format!("/proc/{}", pid.trim());
        assert!(!std::path::Path::new(&process).exists(), "it is gone");
    }
    let ended = sandbox.run(&["test", "--timeout", "0"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    sandbox.write("flow.yaml", &WAITS.replace("300ms", "0s"));
    let ended = sandbox.run(&["validate", "flow.yaml"]);
    assert!(
        ended.stderr.contains("\"timeout\" must be longer than"),
        "{ended:?}"
    );
}

#[test]
fn variables_come_from_the_test_then_from_the_environment() {
    let flow = "
variables: { type: object, properties: { place: { type: string, env_var: PLACE, default: nowhere } } }
output: { $variable: place }
test:
  cases:
    - { name: its own, variables: { place: here }, output: { outcome: success, result: here } }
    - { name: not its own, output: { outcome: success, result: RESULT } }
";
    let sandbox = Sandbox::new();
    for (place, result) in [(Some("there"), "there"), (None, "nowhere")] {
        sandbox.write("flow.yaml", &flow.replace("RESULT", result));
        let mut command = sandbox.command(&["test"]);
        command.envs(place.map(|place| ("PLACE", place)));
        let ended = ended(&mut command, &sandbox.path(""));
        assert_eq!(ended.code, 0, "{ended:?}");
    }
}

#[test]
fn what_cannot_be_updated_keeps_nothing_else_from_it() {
    let shared = format!(
        "x-common: &it {{ outcome: success, result: 1 }}\n{ORDER}{FAILS}    - name: shared
      input: {{ items: [] }}
      mocks: {{ price: {{ outcome: success, result: {{ total: 3 }} }} }}
      output: *it\n"
    );
    let sandbox = Sandbox::new();
    sandbox.write("order.yaml", &shared);
    let ended = sandbox.run(&["test", "--update"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_snapshot!(report(&ended), @r#"
    order.yaml
      updated wrong number
      updated wrong code
      updated not there
      FAILED  shared
              /result: expected 1, got "costs 3"
              its expected outcome cannot be written in place: it is shared by an alias or a merge; edit it by hand
    1 flow: 0 passed, 1 failed, 3 updated
    "#);
    let text = sandbox.read("order.yaml");
    assert!(text.contains("costs 3 } # not yet"), "{text}");
    assert!(text.contains("code: 7\n"), "{text}");
    assert!(text.contains("output: *it\n"), "{text}");
    assert!(text.starts_with("x-common: &it { outcome: success, result: 1 }\n"));
}

#[test]
fn update_writes_outcomes_and_keeps_everything_else() {
    let sandbox = sandbox(&[PASSES, FAILS]);
    let before = sandbox.read("order.yaml");
    let ended = sandbox.run(&["test", "--update"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let expected = before
        .replace("costs 4 } # not yet", "costs 3 } # not yet")
        .replace("code: 8", "code: 7")
        + "      output:
        outcome: failed
        error:
          code: -32001
          message: \"no route leads from `/shop/price` to a plugin (plugins: builtin); check `routes`\"
";
    assert_eq!(sandbox.read("order.yaml"), expected);
    let again = sandbox.run(&["test", "--update"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(
        sandbox.read("order.yaml"),
        expected,
        "nothing is left to change"
    );
    let checked = sandbox.run(&["test"]);
    assert_eq!(checked.code, 0, "{checked:?}");
}

#[test]
fn folders_are_searched_and_nothing_is_skipped_in_silence() {
    let sandbox = sandbox(&[PASSES]);
    sandbox.write("flows/deep/none.yml", "steps: []\noutput: 1\n");
    sandbox.write(
        "flows/broken.yaml",
        "steps:\n  - { id: a, component: noop, imput: 1 }\noutput: 1\n",
    );
    sandbox.write(
        "flows/unreadable.yaml",
        "steps:\n  - id: a\n    component: noop\n   input: 1\noutput: 1\n",
    );
    sandbox.write(
        "flows/service.yaml",
        "apiVersion: v1\n---\napiVersion: v1\n",
    );
    sandbox.write(
        "flows/.hidden/flow.yaml",
        "steps: [{ id: a, component: noop, imput: 1 }]\noutput: 1\n",
    );
    sandbox.write("data.json", "[1, 2]");
    let ended = sandbox.run(&["test"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let report = report(&ended);
    for words in [
        "flows/broken.yaml\n  FAILED  the flow cannot be tested",
        "flows/broken.yaml:2:31",
        "did you mean \"input\"?",
        "flows/unreadable.yaml\n  FAILED  the flow cannot be tested",
        "4 flows: 5 passed, 2 flows could not be tested, 1 flow has no tests, 2 files are no flows",
    ] {
        assert!(report.contains(words), "{words}:\n{report}");
    }
    let ended = sandbox.run(&["test", "data.json"]);
    assert_eq!(ended.code, 1, "a file that is named is a flow: {ended:?}");
    let ended = Sandbox::new().run(&["test"]);
    assert_eq!(ended.code, 2, "{ended:?}");
}

#[test]
fn mistakes_in_tests_are_mistakes_of_the_flow() {
    let sandbox = sandbox(&[
        "    - { name: a, inputs: 1 }\n    - { name: a, mocks: { prize: { outcome: sucess } } }\n",
    ]);
    let ended = sandbox.run(&["validate", "order.yaml"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    for words in [
        "order.yaml:13:18",
        "unknown key \"inputs\"",
        "a second test is called \"a\"",
        "did you mean \"price\"?",
        "did you mean \"success\"?",
    ] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
}

#[test]
fn reports_for_programs_hold_the_same() {
    let sandbox = sandbox(&[PASSES, FAILS]);
    sandbox.write(
        "broken.yaml",
        "steps: [{ id: a, component: noop, imput: \"<&\" }]\noutput: 1\n",
    );
    let ended = sandbox.run(&["test", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        (&json["passed"], &json["failed"], &json["broken"]),
        (&5.into(), &3.into(), &1.into())
    );
    let case = &json["flows"][1]["cases"][5];
    assert_eq!(
        case["differences"][0],
        "/result: expected \"costs 4\", got \"costs 3\""
    );
    assert_eq!(case["actual"]["result"], "costs 3");
    let ended = sandbox.run(&["test", "--format", "junit"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    for words in [
        "<testsuites name=\"stepflow\" tests=\"9\" failures=\"3\" errors=\"1\">",
        "<testcase classname=\"order.yaml\" name=\"two items\"",
        "<failure message=\"/result: expected &quot;costs 4&quot;, got &quot;costs 3&quot;\">",
        "imput: &quot;&lt;&amp;&quot;",
    ] {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    }
}

#[test]
fn a_config_for_tests_stands_in_the_flow_or_beside_it() {
    let flow = "steps: [{ id: a, component: /x/one, input: 1 }]\noutput: { $step: a }\n";
    let config = |answer: &str| {
        format!(
            "{{ plugins: {{ x: {{ type: mock, components: {{ /one: {{ behaviors: {{ '1': {{ outcome: success, result: {answer} }} }} }} }} }} }} }}"
        )
    };
    let case = |answer: &str| {
        format!("  cases: [{{ name: it, output: {{ outcome: success, result: {answer} }} }}]\n")
    };
    let sandbox = Sandbox::new();
    sandbox.write("stepflow-config.yml", &config("usual"));
    sandbox.write("flow.yaml", &format!("{flow}test:\n{}", case("usual")));
    assert_eq!(sandbox.run(&["test"]).code, 0);
    sandbox.write("stepflow-config.test.yml", &config("beside"));
    sandbox.write("flow.yaml", &format!("{flow}test:\n{}", case("beside")));
    assert_eq!(sandbox.run(&["test"]).code, 0);
    for key in ["config", "stepflowConfig", "stepflow_config"] {
        sandbox.write(
            "flow.yaml",
            &format!(
                "{flow}test:\n  {key}: {}\n{}",
                config("inside"),
                case("inside")
            ),
        );
        let ended = sandbox.run(&["test"]);
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    sandbox.write("named.yml", &config("named"));
    let ended = sandbox.run(&["test", "--config", "named.yml"]);
    assert!(ended.stdout.contains("got \"named\""), "{ended:?}");
}

const SERVED: &str = r#"
steps: [{ id: a, component: noop, input: [{ $variable: url }, { $input: $ }] }]
output: { $step: a }
test:
  config: { plugins: { builtin: { type: builtin }, py: { type: stepflow, url: "{web.url}" } } }
  servers:
    web:
      command: sh
      args: [-c, 'echo $$ > server.pid; echo {port} {web.url} "$PLACE" > place; HEALTH exec python3 -m http.server {port} --bind 127.0.0.1']
      env: { PLACE: "at {web.port}" }
      workingDirectory: www
      portRange: [20000, 30000]
      healthCheck: { path: /, timeoutMs: 1000, retryDelayMs: 20 }
      startupTimeoutMs: 60000
      shutdownTimeoutMs: 1000
  cases:
    - name: it
      input: ["{web.url}", { "{web.port}": "{port}" }]
      variables: { url: "{web.url}/v1" }
"#;

#[test]
fn servers_run_while_the_tests_do() {
    let sandbox = Sandbox::new();
    sandbox.write("www/index.html", "hello");
    sandbox.write("flow.yaml", &SERVED.replace("HEALTH ", ""));
    let ended = sandbox.run(&["test", "--format", "json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let place = sandbox.read("www/place");
    let port = place.split(' ').next().unwrap();
    assert_eq!(
        place.trim_end(),
        format!("{port} http://127.0.0.1:{port} at {port}")
    );
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let url = format!("http://127.0.0.1:{port}");
    assert_eq!(
        json["flows"][0]["cases"][0]["actual"]["result"],
        serde_json::json!([format!("{url}/v1"), [url, { port: "{port}" }]])
    );
    let pid = sandbox.read("www/server.pid");
    assert!(
        !std::path::Path::new(&format!("/proc/{}", pid.trim())).exists(),
        "it is gone"
    );
}

#[test]
fn a_server_is_found_in_texts_alone_whatever_its_name() {
    let sandbox = Sandbox::new();
    let flow = r#"
output: { $input: $ }
test:
  servers:
    '"b":1,"c': { command: python3, args: [-m, http.server, '{port}', --bind, 127.0.0.1], startupTimeoutMs: 60000 }
  cases:
    - { name: it, input: [{ "b": 1, "c.port}": 2 }, 'at {"b":1,"c.port}'] }
"#;
    sandbox.write("flow.yaml", flow);
    let ended = sandbox.run(&["test", "--format", "json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let seen = &json["flows"][0]["cases"][0]["actual"]["result"];
    assert_eq!(seen[0], serde_json::json!({ "b": 1, "c.port}": 2 }));
    let port = seen[1].as_str().unwrap().strip_prefix("at ");
    assert!(port.unwrap().parse::<u16>().is_ok(), "{seen}");
}

#[test]
fn a_server_that_does_not_start_fails_the_flow() {
    let sandbox = Sandbox::new();
    sandbox.write("www/index.html", "hello");
    sandbox.write(
        "flow.yaml",
        &SERVED.replace("HEALTH ", "echo no disk >&2; exit 3; "),
    );
    let ended = sandbox.run(&["test"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    for words in ["the server `web` did not start", "no disk", "3"] {
        assert!(ended.stdout.contains(words), "{words}: {ended:?}");
    }
}
