//! Our servers, in both languages, over every way to talk: every MUST and every SHOULD.

use std::collections::BTreeSet;

use stepflow_tests::http::Server;
use stepflow_tests::program::Folder;
use stepflow_tests::runtime::Program;

use crate::suite;
use crate::suite::Report;

/// Every requirement is met, but for those that cannot be checked here.
fn meets_all(report: &Report, but: &[&str]) {
    assert!(report.failed().is_empty(), "{}", report.faults());
    let but: BTreeSet<_> = but.iter().copied().collect();
    assert_eq!(report.skipped(), but);
    assert_eq!(report.code, Some(0));
}

async fn over_stdio(server: Program) {
    let report = suite::started(server, &[]).await;
    assert_eq!(report.mode, "stdio");
    meets_all(&report, &["sizes.over-limit"]);
}

async fn over_http(server: Program, mode: &str, but: &[&str]) {
    let folder = Folder::default();
    let server = Server::start(server, folder.path(), folder.mark()).await;
    let report = suite::reached(&folder, &server.url, &["--mode", mode]).await;
    server.stop().await;
    assert_eq!(report.mode, mode);
    meets_all(&report, but);
    folder.mark().all_gone().await;
}

const IN_A_SESSION: [&str; 2] = ["security.token", "sizes.over-limit"];
const WITHOUT_A_SESSION: [&str; 3] = ["posts.slash", "security.token", "sizes.over-limit"];

macro_rules! over_every_way {
    ($($language:ident $server:ident)*) => {
        $(mod $language {
            use super::*;

            #[tokio::test]
            async fn meets_every_requirement_over_stdio() {
                over_stdio(Program::$server).await;
            }

            #[tokio::test]
            async fn meets_every_requirement_in_a_session() {
                over_http(Program::$server, "session", &IN_A_SESSION).await;
            }

            #[tokio::test]
            async fn meets_every_requirement_with_streams() {
                over_http(Program::$server, "streamable", &WITHOUT_A_SESSION).await;
            }

            #[tokio::test]
            async fn meets_every_requirement_with_json_alone() {
                over_http(Program::$server, "plain", &WITHOUT_A_SESSION).await;
            }
        })*
    };
}

over_every_way! {
    rust Rust
    python Python
}
