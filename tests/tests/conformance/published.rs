//! A server on the published SDK, unmodified: what it does otherwise is what the page on the transport says it does.

use std::collections::BTreeSet;

use stepflow_tests::environment::workspace;
use stepflow_tests::http::Server;
use stepflow_tests::program::Folder;
use stepflow_tests::runtime::Program;

use crate::suite;
use crate::suite::Report;

const SERVER: Program = Program::Published("published.py");

/// Where the differences are listed, and the headings of the two lists.
const PAGE: &str = "docs/protocol/transports/stdio.md";
const OVER_STDIO: &str = "**Over stdio**";
const OVER_HTTP: &str = "**Over HTTP**";

/// What depends on how fast we read: it writes to a pipe that does not block, and gives up on what does not fit. What is left of
/// such a message is noise, or comes twice.
const BY_CHANCE: [&str; 5] = [
    "framing.clean",
    "messages.envelope",
    "messages.one-answer",
    "sizes.both-ways",
    "sizes.pipe",
];

/// The requirements that a paragraph of the page names.
fn listed(paragraph: &str) -> BTreeSet<String> {
    let page = std::fs::read_to_string(workspace().join(PAGE)).unwrap();
    let start = page.find(paragraph).unwrap();
    let text = page[start..].split("\n\n").next().unwrap();
    let names = text.split('`').skip(1).step_by(2);
    names
        .filter(|it| it.contains('.'))
        .map(str::to_owned)
        .collect()
}

fn differs_as_listed(report: &Report, paragraph: &str) {
    let steady = |id: &&str| !BY_CHANCE.contains(id);
    let failed = report.failed().into_iter().filter(steady);
    let failed: BTreeSet<_> = failed.map(str::to_owned).collect();
    let mut listed = listed(paragraph);
    listed.retain(|id| steady(&id.as_str()));
    assert_eq!(failed, listed, "{}", report.faults());
    assert_eq!(report.code, Some(1));
}

#[tokio::test]
async fn a_published_server_differs_over_stdio_as_the_page_says() {
    let report = suite::started(SERVER, &["--timeout", "5s"]).await;
    differs_as_listed(&report, OVER_STDIO);
}

#[tokio::test]
async fn a_published_server_differs_over_http_as_the_page_says() {
    let folder = Folder::default();
    let server = Server::start(SERVER, folder.path(), folder.mark()).await;
    let report = suite::reached(&folder, &server.url, &["--timeout", "5s"]).await;
    server.stop().await;
    assert_eq!(report.mode, "streamable");
    differs_as_listed(&report, OVER_HTTP);
    folder.mark().all_gone().await;
}
