//! Tests of the command line: what is understood, and what is refused and how.

use super::*;

fn parsed(arguments: &str) -> Result<Arguments, clap::Error> {
    let arguments = ["program"].into_iter().chain(arguments.split_whitespace());
    parse(&Server::new("it"), arguments.map(OsString::from))
}

#[test]
fn options_are_those_of_the_other_sdk() {
    let none = parsed("").unwrap();
    assert!(!none.http.http);
    let all = "--http --host ::1 --port 0 --token-file t --allow-host a --allow-host b --root-path /tools \
               --advertise-url http://10.0.0.7:8080/ --instance-id r1 --max-message-bytes 1000";
    let all = parsed(all).unwrap();
    assert_eq!((&*all.http.host, all.http.port), ("::1", 0));
    assert_eq!(all.http.allow_host, ["a", "b"]);
    assert_eq!(all.http.root_path, "/tools");
    assert_eq!(
        all.http.advertise_url.as_deref(),
        Some("http://10.0.0.7:8080")
    );
    assert_eq!(all.http.instance_id.as_deref(), Some("r1"));
    assert_eq!(all.max_message_bytes, Some(1000));
}

#[test]
fn what_cannot_be_meant_is_refused_and_says_why() {
    let cases = [
        ("--nonsense", "unexpected argument '--nonsense'"),
        ("extra", "unexpected argument 'extra'"),
        ("--port 1", "--port is for HTTP: add --http"),
        ("--host 127.0.0.1", "--host is for HTTP: add --http"),
        ("--root-path /x", "--root-path is for HTTP: add --http"),
        ("--http --port x", "invalid value 'x'"),
        ("--http --port 65536", "65536 is not in 0..=65535"),
        ("--max-message-bytes 0", "0 is not in 1.."),
        (
            "--http --instance-id a&b",
            "an instance is named by letters",
        ),
        ("--http --advertise-url r1:8080", "an address like http://"),
        (
            "--http --advertise-url http://r1/?q",
            "an address like http://",
        ),
    ];
    for (arguments, expected) in cases {
        let error = parsed(arguments).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{arguments}");
        let text = error.to_string();
        assert!(text.contains(expected), "{arguments}: {text}");
    }
}

#[test]
fn help_teaches() {
    let error = parsed("--help").unwrap_err();
    assert_eq!(error.exit_code(), 0);
    let text = error.to_string();
    for expected in [
        "over stdin and stdout",
        "--token-file <FILE>",
        "STEPFLOW_TOKEN",
        "[default: 8080]",
        "stepflow-config.yml",
        "Exit codes:",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn a_token_is_visible_text() {
    assert_eq!(checked(" secret\n"), Ok("secret".to_owned()));
    for wrong in ["", " \n", "two words", "schlüssel"] {
        let why = checked(wrong).unwrap_err();
        assert!(!why.contains("words") && !why.contains("schl"), "{why}");
    }
}
