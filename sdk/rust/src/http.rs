//! Serving over HTTP: routes to be run or embedded, and a server that ends when its process is told to.
//!
//! Embedded in an application of one's own, with all its layers:
//!
//! ```no_run
//! # use stepflow_sdk::{Context, Error, Server, http};
//! # async fn double(_context: Context, input: i64) -> Result<i64, Error> { Ok(input * 2) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let server = Server::new("numbers").component("/double", "Doubles a number", double);
//! let options = http::Options { root_path: "/steps".into(), ..http::Options::default() };
//! let host = server.http_host(options);
//! let app = axum::Router::new()
//!     .route("/", axum::routing::get(async || "an application of one's own"))
//!     .nest_service("/steps", host.router());
//!
//! let listener = http::Listener::bind("127.0.0.1", 8080).await?;
//! let app = app.into_make_service_with_connect_info::<http::LocalAddress>();
//! axum::serve(listener, app)
//!     .with_graceful_shutdown(async move {
//!         // Whatever tells this application to end; here, Ctrl-C.
//!         let _ = tokio::signal::ctrl_c().await;
//!         host.drain().await;
//!     })
//!     .await
//! # }
//! ```

use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use stepflow_rpc::Link;
use stepflow_rpc::peer;
use stepflow_rpc::transport::http::is_loopback_address;
use stepflow_rpc::transport::http::server;
pub use stepflow_rpc::transport::http::server::Host;
pub use stepflow_rpc::transport::http::server::Listener;
pub use stepflow_rpc::transport::http::server::LocalAddress;
pub use stepflow_rpc::transport::http::server::Options;
pub use stepflow_rpc::transport::http::server::Security;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::oneshot;

use crate::Server;
use crate::connection::Served;
use crate::connection::router;
use crate::say;

/// How long open connections may keep the server from ending once all calls have.
const LAST: Duration = Duration::from_secs(5);

impl Server {
    /// What serves this server's components over HTTP: its routes, and its end.
    pub fn http_host(self, mut options: Options) -> Host {
        options.max_message_bytes = options.max_message_bytes.min(self.max_message_bytes);
        let server = Arc::new(self.max_message_bytes(options.max_message_bytes));
        let table = router(Served::session(Arc::clone(&server)));
        Host::new(options, Accepting { server, table })
    }

    /// The routes of this server, to be run by axum or nested into something larger; see [`Host::router`].
    pub fn http_router(self, options: Options) -> Router {
        self.http_host(options).router()
    }

    /// Serves over HTTP at an address until SIGTERM or SIGINT; says on stderr where, since port 0 picks a free one.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn run_http(self, address: SocketAddr, options: Options) -> io::Result<()> {
        let listener = Listener::bind(&address.ip().to_string(), address.port()).await?;
        self.serve_http(listener, options).await
    }

    /// Serves over HTTP wherever the listener listens, until SIGTERM or SIGINT. Then it begins nothing new, lets calls finish
    /// within `drain_grace`, and returns; a second signal cancels them.
    ///
    /// # Errors
    /// When the system has no signals or addresses for us.
    pub async fn serve_http(self, listener: Listener, options: Options) -> io::Result<()> {
        let addresses = listener.addresses()?;
        if options.security.token.is_none()
            && !addresses.iter().all(|it| is_loopback_address(it.ip()))
        {
            say(
                "WARNING: listening on more than this machine without a token: everyone who reaches this address can \
                 run these components. 0.0.0.0 and :: are all addresses of this machine, 127.0.0.1 and ::1 are this machine \
                 alone. Give --token-file or STEPFLOW_TOKEN, or `Security::token`.",
            );
        }
        let mut told = Told::listen()?;
        let (end, is_end) = oneshot::channel();
        let components = self.components().count();
        let host = self.http_host(options);
        let app = host.app();
        let app = app.into_make_service_with_connect_info::<LocalAddress>();
        let serving = axum::serve(listener, app).with_graceful_shutdown(async {
            let _ = is_end.await;
        });
        let plural = if components == 1 { "" } else { "s" };
        let urls: Vec<_> = addresses.iter().map(|it| reached_at(*it)).collect();
        let urls = urls.join(" and ");
        say(&format!(
            "serving {components} component{plural} over HTTP at {urls}"
        ));
        tokio::select! {
            served = serving => served,
            () = until_told(&mut told, &host, end) => Ok(()),
        }
    }
}

/// Returns when the server is to be gone, whoever still holds a connection.
async fn until_told(told: &mut Told, host: &Host, end: oneshot::Sender<()>) {
    told.next().await;
    say("ending; calls that run may finish, a second signal cancels them");
    tokio::select! {
        () = host.drain() => {}
        () = told.next() => host.end(),
    }
    // From here on nobody is listened to. Before, a component could still get an answer that it waited for.
    let _ = end.send(());
    tokio::select! {
        () = tokio::time::sleep(LAST) => {}
        () = told.next() => {}
    }
}

/// The signals that tell a process to end.
struct Told {
    terminate: Signal,
    interrupt: Signal,
}

impl Told {
    fn listen() -> io::Result<Self> {
        Ok(Told {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        let told = tokio::select! {
            told = self.terminate.recv() => told,
            told = self.interrupt.recv() => told,
        };
        if told.is_none() {
            pending::<()>().await;
        }
    }
}

/// Runs a peer on every link.
struct Accepting {
    server: Arc<Server>,
    table: stepflow_rpc::Router<Served>,
}

impl server::Accept for Accepting {
    fn session(&self, link: Link) {
        self.run(link, Served::session(Arc::clone(&self.server)));
    }

    fn single(&self, link: Link) {
        self.run(link, Served::single(Arc::clone(&self.server)));
    }
}

impl Accepting {
    fn run(&self, link: Link, served: Served) {
        peer::serve(link, self.table.with_state(served));
    }
}
/// Where a server is reached; an address that means all of them is one to listen on, not to write into a configuration.
fn reached_at(mut address: SocketAddr) -> String {
    if !address.ip().is_unspecified() {
        return format!("http://{address}");
    }
    address.set_ip(match address.ip() {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    });
    format!("http://{address} (and by every other address of this machine)")
}
