//! Requests that reach another process than the one they were meant for: it does nothing with them, and they are sent again.

use futures_util::future::join;
use stepflow_rpc::transport::http::client::SessionMode;
use stepflow_tests::gate::Gate;
use stepflow_tests::proxy::Faults;
use stepflow_tests::proxy::Proxy;
use stepflow_tests::proxy::Rewrite;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Setup;
use stepflow_tests::runtime::failure;
use stepflow_tests::runtime::success;
use stepflow_tests::value;

/// What a request says that goes astray: it names a process that is not there.
const ASTRAY: Rewrite = Rewrite {
    from: "instance=r1",
    to: "instance=r9",
    most: 1,
};

// req: http.wrong-instance
#[tokio::test]
async fn a_request_for_another_instance_was_not_sent() {
    for program in [Program::Rust, Program::Python] {
        for session in [SessionMode::Required, SessionMode::Off] {
            let setup = Setup::default();
            let server = setup.replica(program, "r1").await;
            let proxy = Proxy::start(&server.url, Faults::default()).await;
            let gate = Gate::open(setup.home());
            // Without a session, the address alone can name an instance.
            let query = if session == SessionMode::Off {
                "/?instance=r1"
            } else {
                ""
            };
            let runtime = setup
                .http_with("it", &format!("{}{query}", proxy.url), |http| {
                    http.client.session = session
                })
                .start();
            let under_way = runtime.call("/it/gate", gate.input_until("a", 2));
            let astray = async {
                let visitor = gate.next().await;
                proxy.rewrite(ASTRAY);
                // What may run once only may be sent again where it surely has not run.
                let outcome = runtime
                    .call_as("/it/call", "atMostOnce: true", value("{}"))
                    .await;
                let attempt = success(&outcome).get("attempt");
                assert_eq!(attempt, Some(value("2")), "{program:?} {session:?}");
                visitor.release("go on").await;
            };
            let (outcome, ()) = join(under_way, astray).await;
            // A session whose process cannot be reached is given up, with what is under way in it.
            let attempt = if session == SessionMode::Off {
                "1"
            } else {
                "2"
            };
            assert_eq!(
                success(&outcome).get("attempt"),
                Some(value(attempt)),
                "{program:?} {session:?}"
            );
            proxy.rewrite(Rewrite {
                most: usize::MAX,
                ..ASTRAY
            });
            if session == SessionMode::Off {
                let outcome = runtime.call("/it/call", value("{}")).await;
                let error = failure(&outcome);
                assert_eq!(error.code, -32005, "{program:?}: {error}");
                assert!(error.message.contains("r1"), "{program:?}: {error}");
            }
            runtime.shut_down_with(server).await;
        }
    }
}
