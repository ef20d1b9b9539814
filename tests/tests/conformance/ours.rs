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

// Every requirement is shown here to be met by two servers; that its check can fail is for the mutants.
// req: handshake.initialize, handshake.described, handshake.null-fields, handshake.unknown-fields, handshake.version
// req: handshake.before-initialize, handshake.before-initialized, handshake.initialized-silent, handshake.patient
// req: handshake.again, handshake.stateless
// req: framing.line-ends, framing.blank-lines, framing.byte-order-mark, framing.pieces, framing.together, framing.one-line
// req: framing.not-json, framing.invalid-utf8, framing.clean
// req: messages.ids, messages.typed-ids, messages.unknown-method, messages.unknown-notification, messages.unknown-fields
// req: messages.missing-params, messages.invalid-request, messages.batch, messages.unknown-answer, messages.null-id
// req: messages.duplicate-keys, messages.unicode, messages.nesting, messages.ping, messages.one-answer, messages.envelope
// req: messages.unwanted
// req: execution.list, execution.info, execution.info-unknown, execution.echo, execution.null-value, execution.numbers
// req: execution.names, execution.unknown-component, execution.minimal, execution.optional-fields
// req: execution.missing-component, execution.invalid-params, execution.invalid-input, execution.failure
// req: execution.failure-code, execution.own-codes, execution.concurrent, execution.many
// req: callbacks.blob, callbacks.params, callbacks.execution, callbacks.observability, callbacks.ids, callbacks.concurrent
// req: callbacks.refused, callbacks.answered-twice, callbacks.no-back-channel
// req: cancelling.answered, cancelling.unknown, cancelling.typed
// req: sizes.pipe, sizes.half-megabyte, sizes.megabytes, sizes.both-ways, sizes.over-limit, sizes.runtime-limit
// req: shutdown.end-of-input, shutdown.busy, shutdown.status, shutdown.before-greeting
// req: sessions.endpoint, sessions.own, sessions.isolated, sessions.callbacks, sessions.unknown, sessions.greeted-each
// req: sessions.ended, sessions.resumed, sessions.unguessable
// req: posts.content-type, posts.accepted, posts.errors, posts.parse-error, posts.invalid-request, posts.media-type
// req: posts.charset, posts.method, posts.slash, posts.json-alone, posts.side-by-side, posts.refusals
// req: posts.events-refused, posts.stream-headers
// req: security.origin, security.host, security.token, security.cors
over_every_way! {
    rust Rust
    python Python
}
