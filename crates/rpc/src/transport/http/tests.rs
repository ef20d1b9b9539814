//! Tests of the HTTP client and server against each other: the same calls over a session and without one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;

use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::client;
use super::client::Mode;
use super::client::SessionMode;
use super::server;
use crate::CallError;
use crate::Link;
use crate::Router;
use crate::RpcError;
use crate::peer;
use crate::peer::Connection;

crate::method!(Echo, "echo", [String; 1] => String);
crate::method!(Twice, "twice", [String; 1] => String);
crate::method!(Hang, "hang", [u8; 0] => ());

/// A server that runs a peer on every link it accepts.
#[derive(Clone)]
struct Accepting {
    router: Router<()>,
    sessions: Arc<Mutex<Vec<Connection>>>,
}

impl server::Accept for Accepting {
    fn session(&self, link: Link) {
        self.sessions
            .lock()
            .unwrap()
            .push(peer::connect(link, self.router.clone()));
    }

    fn single(&self, link: Link) {
        let connection = peer::connect(link, self.router.clone());
        tokio::spawn(async move { connection.closed().await });
    }
}

struct Running {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The server's `twice` asks the client to echo, and doubles what comes back.
fn doubling() -> Router<()> {
    Router::new(())
        .method::<Echo, _, _>(|_, [text]| async { Ok(text) })
        .method::<Hang, _, _>(|_, []| std::future::pending())
        .method::<Twice, _, _>(|call, text| async move {
            let back = call
                .peer
                .call::<Echo>(&text)
                .await
                .map_err(|error| RpcError::internal(error.to_string()))?;
            Ok(format!("{back}{back}"))
        })
}

async fn serve(options: server::Options) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = Accepting {
        router: doubling(),
        sessions: Arc::default(),
    };
    let router = server::router(options, accepting);
    let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Running { address, task }
}

async fn connect(server: &Running, session: SessionMode) -> (Connection, Mode) {
    let mut options = client::Options::new(format!("http://{}", server.address).parse().unwrap());
    options.session = session;
    let connected = client::connect(&options).await.unwrap();
    let router = Router::new(()).method::<Echo, _, _>(|_, [text]| async { Ok(text) });
    (peer::connect(connected.link, router), connected.mode)
}

const BOTH: [(SessionMode, Mode); 2] = [
    (SessionMode::Required, Mode::Session),
    (SessionMode::Off, Mode::Direct),
];

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_call_backs_work_with_a_session_and_without() {
    let server = serve(server::Options::default()).await;
    for (wanted, expected) in BOTH {
        let (client, mode) = connect(&server, wanted).await;
        assert_eq!(mode, expected);
        let calls = (0..50).map(|n| {
            let peer = client.peer();
            async move {
                (
                    n,
                    peer.call::<Echo>(&[n.to_string()]).await.unwrap(),
                    peer.call::<Twice>(&[n.to_string()]).await.unwrap(),
                )
            }
        });
        for (n, once, twice) in join_all(calls).await {
            assert_eq!((once, twice), (n.to_string(), format!("{n}{n}")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_come_back_as_they_were() {
    let server = serve(server::Options::default()).await;
    crate::method!(Unknown, "unknown", [u8; 0] => ());
    for (wanted, _) in BOTH {
        let (client, _) = connect(&server, wanted).await;
        let Err(CallError::Remote(error)) = client.peer().call::<Unknown>(&[]).await else {
            panic!("an error")
        };
        assert_eq!(error.code, crate::ErrorCode::METHOD_NOT_FOUND);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_events_is_talked_to_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task =
        tokio::spawn(async move { axum::serve(listener, axum::Router::new()).await.unwrap() });
    let server = Running { address, task };
    let (client, mode) = connect(&server, SessionMode::Auto).await;
    assert_eq!(mode, Mode::Direct);
    let Err(CallError::Http(failure)) = client.peer().call::<Echo>(&["x".into()]).await else {
        panic!("an error")
    };
    assert_eq!(failure.kind, super::Kind::Refused);
    assert!(failure.what.contains("404"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_without_a_session_ends_its_post() {
    let server = serve(server::Options::default()).await;
    let (client, _) = connect(&server, SessionMode::Off).await;
    let peer = client.peer();
    let hanging = tokio::spawn(async move { peer.call::<Hang>(&[]).await });
    assert_eq!(
        client.peer().call::<Echo>(&["x".into()]).await.unwrap(),
        "x"
    );
    hanging.abort();
    assert!(hanging.await.unwrap_err().is_cancelled());
    assert_eq!(
        client.peer().call::<Echo>(&["x".into()]).await.unwrap(),
        "x"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_ends_the_link() {
    let options = server::Options {
        session_grace: std::time::Duration::from_millis(1),
        ..server::Options::default()
    };
    let server = serve(options).await;
    let (client, _) = connect(&server, SessionMode::Required).await;
    let http = reqwest::Client::new();
    assert_eq!(
        client.peer().call::<Echo>(&["x".into()]).await.unwrap(),
        "x"
    );
    let stranger = http
        .post(format!("http://{}/?sessionId=unknown", server.address))
        .header("content-type", "application/json")
        .body(r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":["x"]}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(stranger.status(), 404);
    assert!(stranger.text().await.unwrap().contains("-32010"));
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_a_status_and_a_reason() {
    let security = server::Security {
        token: Some("sentinel".into()),
        is_loopback: true,
        allow_hosts: vec!["ok.test".into()],
    };
    let server = serve(server::Options {
        security,
        max_message_bytes: 100,
        ..server::Options::default()
    })
    .await;
    let http = reqwest::Client::new();
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":["x"]}"#;
    let good = [
        ("content-type", "application/json; charset=utf-8"),
        ("authorization", "Bearer sentinel"),
    ];
    let long = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"echo","params":["{}"]}}"#,
        "x".repeat(100)
    );
    type Headers<'a> = Vec<(&'a str, &'a str)>;
    let cases: [(u16, &str, Headers<'_>); 10] = [
        (200, body, good.to_vec()),
        (
            200,
            body,
            [good.as_slice(), &[("host", "ok.test")]].concat(),
        ),
        (
            200,
            body,
            [good.as_slice(), &[("origin", "http://localhost:3000")]].concat(),
        ),
        (401, body, good[..1].to_vec()),
        (401, body, vec![good[0], ("authorization", "Bearer wrong")]),
        (
            403,
            body,
            [good.as_slice(), &[("host", "evil.test")]].concat(),
        ),
        (
            403,
            body,
            [good.as_slice(), &[("origin", "http://evil.test")]].concat(),
        ),
        (413, &long, good.to_vec()),
        (415, body, vec![("content-type", "text/plain"), good[1]]),
        (400, "{", good.to_vec()),
    ];
    for (status, body, headers) in cases {
        let mut request = http
            .post(format!("http://{}/", server.address))
            .body(body.to_owned());
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{body} {headers:?}");
        let text = response.text().await.unwrap();
        assert!(text.starts_with(r#"{"jsonrpc":"2.0","id":"#), "{text}");
        assert!(!text.contains("sentinel"), "{text}");
    }
}
