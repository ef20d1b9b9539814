//! Servers on our SDKs as a stranger meets them, byte by byte over stdin and stdout: what is not a message, what is too
//! long, and when they end.

use serde_json::json;
use stepflow_tests::gate::Gate;
use stepflow_tests::pipes::Server;
use stepflow_tests::runtime::Program;
use stepflow_tests::soon;
use stepflow_tests::value;

const PROGRAMS: [Program; 2] = [Program::Rust, Program::Python];

// req: stdio.junk-is-not-answered
#[tokio::test]
async fn what_is_no_message_is_not_answered() {
    for program in PROGRAMS {
        let mut server = Server::greeted(program).await;
        for junk in [
            &b"hello\n"[..],
            b"\n",
            b"\r\n",
            b"   \n",
            b"\xff\xfe\xfd\n",
            b"{\"jsonrpc\":\"2.0\",\"id\":\n",
            b"{\"half\n",
            b"{}\n",
            b"42\n",
            b"null\n",
            b"\0\n",
            b"{\"jsonrpc\":\"2.0\",\"id\":\"nobody\",\"result\":1}\n",
            b"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"?\"}}\n",
            b"{\"jsonrpc\":\"2.0\",\"method\":\"no/such\",\"params\":[1,2]}\n",
        ] {
            server.write(junk).await;
            server.ping().await;
        }
        assert_eq!(server.end().await, Some(0), "{program:?}");
    }
}

// req: stdio.framing
#[tokio::test]
async fn lines_may_end_as_on_other_systems_and_begin_with_a_mark() {
    for program in PROGRAMS {
        let mut server = Server::greeted(program).await;
        let ping = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}";
        for line in [
            format!("{ping}\r\n"),
            format!("\u{feff}{ping}\n"),
            format!("  {ping}  \n"),
            format!("\n\n{ping}\n\n"),
        ] {
            server.write(line.as_bytes()).await;
            let answer = server.read().await;
            assert_eq!(answer.get("id"), Some(value("1")), "{program:?}: {line:?}");
        }
        // In pieces that break a letter.
        let line = "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"components/execute\",\"params\":{\"component\":\"/echo\",\"input\":\"é日🎉\"}}\n";
        for byte in line.as_bytes() {
            server.write(&[*byte]).await;
        }
        let output = server.read().await.get("result").unwrap().get("output");
        assert_eq!(output, Some(value("\"é日🎉\"")));
        server.end().await;
    }
}

// req: rpc.invalid-request
#[tokio::test]
async fn a_wrong_shape_with_an_id_is_an_invalid_request() {
    for program in PROGRAMS {
        let mut server = Server::greeted(program).await;
        for line in [
            r#"{"jsonrpc":"2.0","id":5}"#,
            r#"{"jsonrpc":"2.0","id":5,"method":7}"#,
            r#"{"jsonrpc":"1.0","id":5,"method":"ping"}"#,
        ] {
            server.write(format!("{line}\n").as_bytes()).await;
            let answer = server.read().await;
            assert_eq!(
                answer.get("id"),
                Some(value("5")),
                "{program:?}: {line}: {answer}"
            );
            let code = answer.get("error").unwrap().get("code").unwrap();
            assert_eq!(code.as_i64(), Some(-32600), "{program:?}: {line}: {answer}");
        }
        server.ping().await;
        server.end().await;
    }
}

// req: stdio.slow-reader
#[tokio::test]
async fn answers_wait_whole_for_a_slow_reader() {
    const CALLS: i64 = 100;
    for program in PROGRAMS {
        let mut server = Server::greeted(program).await;
        // Far more than a pipe holds is asked for before anything is read.
        for id in 0..CALLS {
            let request = json!({"jsonrpc": "2.0", "id": id, "method": "components/execute",
                "params": {"component": "/big", "input": {"bytes": 1 << 20}}});
            server.write(format!("{request}\n").as_bytes()).await;
        }
        let mut ids = Vec::new();
        for _ in 0..CALLS {
            let answer = server.read().await;
            let output = answer.get("result").unwrap().get("output").unwrap();
            assert_eq!(output.get("text").unwrap().as_str().unwrap().len(), 1 << 20);
            ids.push(answer.get("id").unwrap().as_i64().unwrap());
        }
        ids.sort_unstable();
        assert_eq!(ids, (0..CALLS).collect::<Vec<_>>(), "{program:?}");
        server.end().await;
    }
}

// req: stdio.end-of-input
#[tokio::test]
async fn a_server_ends_with_its_input_even_while_a_component_works() {
    for program in PROGRAMS {
        let mut server = Server::greeted(program).await;
        let gate = Gate::open(server.home.path());
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "components/execute",
            "params": {"component": "/sleep", "input": {"ms": 3_600_000}}});
        server.write(format!("{request}\n").as_bytes()).await;
        let input = gate.input("a");
        let request = format!(
            r#"{{"jsonrpc":"2.0","id":2,"method":"components/execute","params":{{"component":"/gate","input":{input}}}}}"#
        );
        server.write(format!("{request}\n").as_bytes()).await;
        let visitor = gate.next().await;
        assert_eq!(server.end().await, Some(0), "{program:?}");
        visitor.gone().await;
    }
}

// req: stdio.end-of-input
#[tokio::test]
async fn a_server_ends_with_its_input_even_while_a_thread_is_blocked() {
    let mut server = Server::greeted(Program::Python).await;
    for id in 0..20 {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": "components/execute",
            "params": {"component": "/block", "input": {"ms": 3_600_000}}});
        server.write(format!("{request}\n").as_bytes()).await;
    }
    // Whatever the threads do, it is read and answered.
    server.ping().await;
    assert_eq!(server.end().await, Some(0));
}

// req: stdio.end-of-input
#[tokio::test]
async fn a_server_ends_quietly_when_nobody_reads_any_more() {
    for program in PROGRAMS {
        let mut server = Server::greeted(program).await;
        drop(server.stdout.take());
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "components/execute",
            "params": {"component": "/big", "input": {"bytes": 1 << 20}}});
        server.write(format!("{request}\n").as_bytes()).await;
        let status = soon("the server ends", server.child.wait()).await.unwrap();
        assert_ne!(status.code(), None, "{program:?} ended by itself: {status}");
        server.mark.all_gone().await;
    }
}
