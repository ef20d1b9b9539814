//! The page on writing a server lists the requirements: made here from the list itself, and compared.

use std::fmt::Write;
use std::path::PathBuf;

use stepflow_conformance::Requirement;
use stepflow_conformance::Way;
use stepflow_conformance::requirements;
use stepflow_tests::environment::workspace;

const BEGIN: &str = "<!-- requirements: made from spec/requirements.toml -->\n";
const END: &str = "<!-- end of requirements -->";

fn path() -> PathBuf {
    workspace().join("docs/protocol/write-a-server.md")
}

/// What stands in the heading of a group.
fn title(group: &str) -> &str {
    match group {
        "handshake" => "Handshake",
        "framing" => "Lines",
        "messages" => "Messages",
        "execution" => "Components",
        "callbacks" => "Calls back",
        "cancelling" => "Cancelling",
        "sizes" => "Sizes",
        "shutdown" => "The end",
        "sessions" => "Sessions",
        "posts" => "POSTs",
        "security" => "Security",
        other => panic!("the page has no heading for {other}"),
    }
}

fn over(requirement: &Requirement) -> String {
    let ways = &requirement.over;
    if *ways == Way::all() {
        return String::new();
    }
    let names: Vec<_> = ways.iter().map(|way| way.name()).collect();
    names.join(", ")
}

/// The tables of the page.
fn tables() -> String {
    let all = requirements::of_servers();
    let mut text = String::new();
    let mut groups: Vec<&str> = Vec::new();
    for requirement in all {
        if !groups.contains(&requirement.group()) {
            groups.push(requirement.group());
        }
    }
    for group in groups {
        let _ = writeln!(
            text,
            "\n### {}\n\n| requirement | | over | what is to happen |\n|---|---|---|---|",
            title(group)
        );
        for requirement in all.iter().filter(|it| it.group() == group) {
            let Requirement {
                id,
                section,
                severity,
                behaviour,
                ..
            } = requirement;
            let _ = writeln!(
                text,
                "| [`{id}`]({section}) | {severity} | {} | {behaviour} |",
                over(requirement)
            );
        }
    }
    text + "\n"
}

#[test]
fn the_page_lists_the_requirements_as_they_are() {
    let page = std::fs::read_to_string(path()).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    let expected = tables();
    if shown == expected {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let page = format!("{before}{BEGIN}{expected}{END}{after}");
        std::fs::write(path(), page).unwrap();
        return;
    }
    panic!(
        "{} does not list the requirements as they are; to write them there: UPDATE_DOCS=1 cargo test -p stepflow-tests --test \
         conformance",
        path().display()
    );
}
