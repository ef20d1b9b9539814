//! `stepflow conformance`: which requirements are chosen, and the forms of its report. Must not know what the checks are.

use insta::assert_snapshot;

use crate::support::Ended;
use crate::support::Sandbox;

/// A requirement that the server of the sandbox meets, one of each severity that it does not, and one that does not
/// apply to it.
const CHOSEN: [&str; 8] = [
    "--only",
    "handshake.patient",
    "--only",
    "handshake.version",
    "--only",
    "handshake.described",
    "--only",
    "messages.ping",
];

fn conformance(args: &[&str]) -> Ended {
    let sandbox = Sandbox::with_server();
    let server = ["--timeout", "60s", "--", "./server.sh"];
    sandbox.run(&[&["conformance"], args, &server[..]].concat())
}

fn list(args: &[&str]) -> Ended {
    Sandbox::new().run(&[&["conformance", "--list"], args].concat())
}

/// The names at the front of the lines of a list.
fn names(ended: &Ended) -> Vec<&str> {
    let lines = ended.stdout.lines();
    lines.filter_map(|line| line.split(' ').next()).collect()
}

#[test]
fn all_requirements_are_listed_or_those_that_are_chosen() {
    let all = list(&[]);
    assert_eq!(all.code, 0, "{all:?}");
    assert!(names(&all).len() > 90, "{all:?}");
    let chosen = list(&["--only", "messages.ping", "--only", "handshake.version"]);
    assert_snapshot!(chosen.stdout, @r"
    handshake.version                  MUST    A version of the protocol that the server does not speak is answered with -32002 and a message that names both versions.
    messages.ping                      MUST    A server that names the capability `ping` answers it with `{}`.
    ");
    let group = list(&["--only", "shutdown"]);
    assert!(names(&group).len() > 1, "{group:?}");
    let of_group = |name: &&str| name.starts_with("shutdown.");
    assert!(names(&group).iter().all(of_group), "{group:?}");
    let of_runtimes = list(&["--runtime"]);
    let of_runtime = |name: &&str| name.starts_with("runtime.");
    assert!(
        names(&of_runtimes).iter().all(of_runtime),
        "{of_runtimes:?}"
    );
    let json = list(&["--only", "messages.ping", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json[0]["id"], "messages.ping");
    assert_eq!(json[0]["severity"], "MUST");
    let junit = list(&["--format", "junit"]);
    assert_eq!((junit.code, junit.stdout.as_str()), (2, ""), "{junit:?}");
}

#[test]
fn a_name_that_chooses_nothing_is_a_mistake() {
    for (args, unknown, hint) in [
        (
            &["--only", "handshak.version"][..],
            "handshak.version",
            "did you mean \"handshake.version\"?",
        ),
        (
            &["--only", "messages", "--only", "mesages"],
            "mesages",
            "did you mean \"messages\"?",
        ),
        (&["--only", "qqqqqq"], "qqqqqq", "--list shows them all"),
    ] {
        for ended in [list(args), conformance(args)] {
            assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{ended:?}");
            let message = format!("no requirement has a name that begins with {unknown:?}");
            assert!(ended.stderr.contains(&message), "{ended:?}");
            assert!(ended.stderr.contains(hint), "{ended:?}");
        }
    }
}

#[test]
fn the_table_says_what_was_said_where_something_fails() {
    let ended = conformance(&CHOSEN);
    assert_eq!(ended.code, 1, "{ended:?}");
    let table: Vec<&str> = ended.stdout.lines().collect();
    let rows = |word: &str| -> Vec<&str> {
        let rows = table.iter().filter_map(|line| line.strip_prefix("  "));
        let rows = rows.filter_map(|line| line.strip_prefix(word));
        rows.filter_map(|row| row.split_whitespace().next())
            .collect()
    };
    assert_eq!(rows("pass  "), ["handshake.patient"], "{ended:?}");
    assert_eq!(rows("FAIL  "), ["handshake.described", "handshake.version"]);
    assert_eq!(rows("skip  "), ["messages.ping"]);
    for words in [
        "\nhandshake\n",
        "\nmessages\n",
        "        the server does not name the capability ping\n",
        "        expected  the error -32002\n",
        "\"method\":\"initialize\"",
        "\nthe server over stdio: 1 passed, 1 failed, 1 not as recommended, 1 skipped\n",
    ] {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    }
    // What is only recommended is no failure.
    let ended = conformance(&CHOSEN[4..]);
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn reports_for_programs_hold_the_same() {
    let ended = conformance(&[&CHOSEN[..], &["--format", "json"]].concat());
    assert_eq!(ended.code, 1, "{ended:?}");
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(json["mode"], "stdio");
    let counts =
        serde_json::json!({ "passed": 1, "failed": 1, "notAsRecommended": 1, "skipped": 1 });
    assert_eq!(json["counts"], counts);
    let findings = json["findings"].as_array().unwrap();
    let outcome = |id: &str| {
        let finding = findings.iter().find(|it| it["id"] == id);
        finding.map(|it| it["outcome"].as_str().unwrap())
    };
    assert_eq!(outcome("handshake.patient"), Some("pass"));
    assert_eq!(outcome("handshake.version"), Some("fail"));
    assert_eq!(outcome("messages.ping"), Some("skip"));
    assert_eq!(findings.len(), 4);

    let ended = conformance(&[&CHOSEN[..], &["--format", "junit"]].concat());
    assert_eq!(ended.code, 1, "{ended:?}");
    for words in [
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"stepflow conformance\" tests=\"4\" failures=\"1\" skipped=\"1\" time=\"",
        "<testcase classname=\"handshake\" name=\"handshake.version\" time=\"",
        "\"><failure message=\"the answer is a result\">",
        "&quot;method&quot;:&quot;initialize&quot;",
        "\"><skipped message=\"the server does not name the capability ping\"/></testcase>\n",
        // What is only recommended is told, and is no failure.
        "\"><system-out>the server does not say its name\n",
    ] {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    }
    assert_eq!(ended.stdout.matches("<testcase ").count(), 4);
    assert!(ended.stdout.ends_with("</testsuite>\n"));
}
