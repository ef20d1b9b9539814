//! Tests of the HTTP client and server against each other: the same calls over a session and without one. The server alone,
//! spoken to in plain HTTP, is tested in the modules.

mod heads;
mod hostile;
mod raw;
mod sessions;

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
    host: server::Host,
    /// The peers of all sessions there were.
    sessions: Arc<Mutex<Vec<Connection>>>,
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
    serve_with(options, doubling()).await
}

async fn serve_with(options: server::Options, router: Router<()>) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sessions = Arc::default();
    let accepting = Accepting {
        router,
        sessions: Arc::clone(&sessions),
    };
    let host = server::Host::new(options, accepting);
    let app = host
        .app()
        .into_make_service_with_connect_info::<server::LocalAddress>();
    let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Running {
        address,
        task,
        host,
        sessions,
    }
}

async fn connect(server: &Running, session: SessionMode) -> (Connection, Mode) {
    connect_to(server.address, session).await
}

async fn connect_to(address: SocketAddr, session: SessionMode) -> (Connection, Mode) {
    let mut options = client::Options::new(format!("http://{address}").parse().unwrap());
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
    let (client, mode) = connect_to(address, SessionMode::Auto).await;
    assert_eq!(mode, Mode::Direct);
    let Err(CallError::Http(failure)) = client.peer().call::<Echo>(&["x".into()]).await else {
        panic!("an error")
    };
    assert_eq!(failure.kind, super::Kind::Refused);
    assert!(failure.what.contains("404"), "{failure}");
    task.abort();
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
