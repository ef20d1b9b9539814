//! Which config is taken, and where its relative paths start.

use crate::support::GREET;
use crate::support::SERVER;
use crate::support::Sandbox;

/// A config with a plugin of this name; its mock knows one component.
fn named(plugin: &str) -> String {
    format!(
        "plugins:\n  {plugin}:\n    type: mock\n    components: {{ /c: {{ behaviors: {{ 'null': {{ outcome: success, result: {plugin} }} }} }} }}\n"
    )
}

fn plugins(sandbox: &Sandbox, args: &[&str]) -> String {
    let mut args = args.to_vec();
    args.insert(0, "-v");
    let ended = sandbox.run(&args);
    ended.stdout + &ended.stderr
}

#[test]
fn the_named_one_then_beside_the_flow_then_here() {
    let sandbox = Sandbox::new();
    for folder in ["beside", "elsewhere", "."] {
        let plugin = if folder == "." { "here" } else { folder };
        let flow =
            format!("steps: [{{ id: a, component: /{plugin}/c }}]\noutput: {{ $step: a }}\n");
        sandbox.write(&format!("{folder}/stepflow-config.yml"), &named(plugin));
        sandbox.write(&format!("flows/{plugin}.yaml"), &flow);
    }
    std::fs::copy(
        sandbox.path("flows/beside.yaml"),
        sandbox.path("beside/flow.yaml"),
    )
    .unwrap();
    let check = |args: &[&str], expected: &str| {
        let text = plugins(&sandbox, &[args, &["--input-json", "null"]].concat());
        assert!(
            text.contains(&format!("\"result\":\"{expected}\"")),
            "{args:?} {text}"
        );
    };
    check(&["run", "beside/flow.yaml"], "beside");
    check(&["run", "flows/here.yaml"], "here");
    let elsewhere = ["--config", "elsewhere/stepflow-config.yml"];
    check(
        &[&["run", "flows/elsewhere.yaml"], elsewhere.as_slice()].concat(),
        "elsewhere",
    );
}

#[test]
fn each_of_the_four_names_is_found_and_two_are_one_too_many() {
    let names = [
        "stepflow-config.yml",
        "stepflow-config.yaml",
        "stepflow_config.yml",
        "stepflow_config.yaml",
    ];
    for (place, name) in names.iter().enumerate() {
        let sandbox = Sandbox::new();
        sandbox.write(name, &named("p"));
        let listed = sandbox.run(&["list-components"]).stdout;
        assert!(
            listed.starts_with("p\n  /p/c\nbuiltin\n"),
            "{name}: {listed}"
        );
        let other = names[(place + 1) % names.len()];
        sandbox.write(other, &named("q"));
        let ended = sandbox.run(&["list-components"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
        assert!(
            ended.stderr.contains("there are two configs") && ended.stderr.contains("--config"),
            "{ended:?}"
        );
        assert_eq!(sandbox.run(&["list-components", "--config", name]).code, 0);
    }
}

#[test]
fn without_a_config_there_are_the_built_ins() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", GREET);
    let listed = sandbox.run(&["list-components"]).stdout;
    assert!(
        listed.starts_with("builtin\n") && listed.contains("  /builtin/noop "),
        "{listed}"
    );
    assert_eq!(
        sandbox
            .run(&["run", "flow.yaml", "--input-json", r#"{"name":"x"}"#])
            .code,
        0
    );
}

#[test]
fn relative_paths_start_at_the_config() {
    let sandbox = Sandbox::new();
    sandbox.write_program("conf/bin/server.sh", SERVER);
    let check = |server: &str| {
        let config = format!("plugins:\n  sh: {{ type: stepflow, {server} }}\n");
        sandbox.write("conf/stepflow-config.yml", &config);
        let ended = sandbox.run(&[
            "call",
            "/sh/echo",
            "1",
            "--config",
            "conf/stepflow-config.yml",
        ]);
        assert_eq!(ended.code, 0, "{ended:?}");
    };
    check("command: bin/server.sh");
    check("command: ./server.sh, cwd: bin");
    check("command: sh, args: [bin/server.sh]");
    check(&format!(
        "command: {}",
        sandbox.path("conf/bin/server.sh").display()
    ));
    check("command: server.sh, cwd: bin, env: { PATH: '.:/usr/bin:/bin' }");
}

#[test]
fn children_see_what_the_config_says() {
    let sandbox = Sandbox::new();
    let server = SERVER.replace(
        "reply '\"result\":{\"output\":\"echo\"}'",
        "reply \"\\\"result\\\":{\\\"output\\\":\\\"$A/$B/$C\\\"}\"",
    );
    sandbox.write_program("server.sh", &server);
    let check = |options: &str, expected: &str| {
        let config =
            format!("plugins:\n  sh: {{ type: stepflow, command: ./server.sh, {options} }}\n");
        sandbox.write("stepflow-config.yml", &config);
        let mut command = sandbox.command(&["call", "/sh/echo", "1"]);
        let ended = crate::support::ended(command.env("A", "a").env("B", "b"), &sandbox.path(""));
        let result = format!("{{\"outcome\":\"success\",\"result\":\"{expected}\"}}\n");
        assert_eq!(ended.stdout, result, "{ended:?}");
    };
    check("env: {}", "//");
    check("env: { C: c, B: '${A}-${B}' }", "/a-b/c");
    check("inheritEnv: true", "a/b/");
    check("inheritEnv: true, env: { A: null }", "/b/");
}

#[test]
fn a_config_need_not_name_the_built_ins() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", GREET);
    sandbox.write("stepflow-config.yml", &named("p"));
    let ended = sandbox.run(&["run", "flow.yaml", "--input-json", r#"{"name": "Ada"}"#]);
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn routes_that_leave_out_the_built_ins_say_so() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", GREET);
    let routes = "routes: { '/p/{*component}': [{ plugin: p }] }\n";
    sandbox.write("stepflow-config.yml", &format!("{}\n{routes}", named("p")));
    let ended = sandbox.run(&["run", "flow.yaml", "--input-json", r#"{"name": "Ada"}"#]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("`routes`"), "{ended:?}");
}
