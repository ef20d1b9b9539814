//! What a component server does, whoever wrote it and however it is reached: each behaviour is written once and run in
//! memory, and over stdio and HTTP against the Rust server and the Python server.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

mod components;
mod conversation;

use components::*;
use conversation::*;
use stepflow_flow::value::Value;
use stepflow_rpc::CallError;
use stepflow_tests::gate::Gate;
use stepflow_tests::soon;
use stepflow_tests::value;
use stepflow_tests::wire::Raw;
use stepflow_tests::wire::Session;
use stepflow_tests::wire::Transport;

/// Makes a test of each behaviour for each transport. Those of the first two lists start after the handshake, those of the
/// others say every word themselves. Where a server cannot call back, the second list is left out; where there is no session
/// the last is, since no request knows of another.
macro_rules! over_every_transport {
    (@whole { $([$module:ident $transport:ident])* } $connected:tt $raw:tt) => {
        $(over_every_transport! { @one $module $transport $connected $raw })*
    };
    (@one $module:ident $transport:ident { $($connected:ident)* } { $($raw:ident)* }) => {
        mod $module {
            use stepflow_tests::wire::Transport;
            $(#[tokio::test] async fn $connected() {
                super::run(Transport::$transport, super::$connected).await;
            })*
            $(#[tokio::test] async fn $raw() {
                super::run_raw(Transport::$transport, super::$raw).await;
            })*
        }
    };
    (
        connected { $($connected:ident)* } calling_back { $($calling_back:ident)* }
        raw { $($raw:ident)* } in_a_session { $($in_a_session:ident)* }
    ) => {
        over_every_transport! { @whole {
            [memory Memory]
            [rust_over_stdio RustOverStdio]
            [python_over_stdio PythonOverStdio]
            [rust_over_session RustOverSession]
            [python_over_session PythonOverSession] }
            { $($connected)* $($calling_back)* } { $($raw)* $($in_a_session)* }
        }
        over_every_transport! { @whole {
            [rust_over_streams RustOverStreams]
            [python_over_streams PythonOverStreams] }
            { $($connected)* $($calling_back)* } { $($raw)* }
        }
        over_every_transport! { @whole {
            [rust_over_posts RustOverPosts]
            [python_over_posts PythonOverPosts] }
            { $($connected)* } { $($raw)* }
        }
    };
}

over_every_transport! {
    connected {
        an_output_comes_back_as_it_is
        numbers_keep_their_kind_and_digits
        each_of_ten_thousand_calls_gets_its_own_answer
        components_are_listed_with_their_schemas
        a_component_is_found_with_and_without_slash_and_prefix
        an_unknown_component_is_told_with_those_there_are
        invalid_input_names_the_place
        a_component_may_skip_itself
        a_code_of_the_components_own_arrives_untouched
        a_failure_without_a_code_is_a_component_failure
        a_dropped_call_is_cancelled_at_the_component
        a_component_knows_its_attempt_and_key
        megabytes_go_both_ways
        ping_is_answered
    }
    calling_back {
        equal_blobs_have_equal_ids
        an_unknown_blob_is_told_to_the_component
        many_components_call_back_at_once
        logs_and_progress_arrive_in_order_before_the_answer
    }
    raw {
        another_version_is_refused_with_both_versions
        an_id_keeps_its_type
        an_unknown_method_costs_that_message_only
        an_unknown_notification_is_ignored
        only_component_and_input_are_required
        cancelling_what_is_done_changes_nothing
    }
    in_a_session {
        components_wait_for_the_handshake
        a_cancelled_request_is_answered
    }
}

async fn run(transport: Transport, behaviour: impl AsyncFnOnce(&Session)) {
    let session = transport.open().await.connect().await;
    behaviour(&session).await;
    session.end().await;
}

async fn run_raw(transport: Transport, behaviour: impl AsyncFnOnce(&mut Raw)) {
    let mut raw = transport.open().await.raw();
    behaviour(&mut raw).await;
    raw.end().await;
}

fn from(tree: serde_json::Value) -> Value {
    value(&tree.to_string())
}

// req: rpc.closed-wakes-callers
#[tokio::test]
async fn the_end_of_a_connection_wakes_its_callers() {
    let session = Transport::Memory.open().await.connect().await;
    let gate = Gate::open(session.home());
    let call = session.execute("/gate", gate.input("a"));
    let end = async {
        let visitor = gate.next().await;
        session.peer().close();
        visitor
    };
    let (result, visitor) = soon("the caller wakes", async { tokio::join!(call, end) }).await;
    assert!(matches!(result, Err(CallError::Unknown(_))), "{result:?}");
    visitor.gone().await;
    session.end().await;
}

// req: http.no-back-channel
#[tokio::test]
async fn where_there_is_no_way_back_a_call_back_fails_at_once() {
    for transport in [Transport::RustOverPosts, Transport::PythonOverPosts] {
        let session = transport.open().await.connect().await;
        let error = session.error("/blob", value(r#"{"data":1}"#)).await;
        assert!(
            error.message.contains("back channel"),
            "{transport:?}: {error}"
        );
        let told = session.output("/tell", value(r#"{"count":3}"#)).await;
        assert_eq!(told, value("3"));
        assert_eq!(session.told(), Vec::<String>::new());
        session.end().await;
    }
}
