//! Serving over HTTP: an axum router to be run or embedded, and the arguments of a server program.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use stepflow_rpc::Link;
use stepflow_rpc::peer;
use stepflow_rpc::transport::http::server;
pub use stepflow_rpc::transport::http::server::Options;
pub use stepflow_rpc::transport::http::server::Security;

use crate::Server;
use crate::server::Served;
use crate::server::router;

impl Server {
    /// The routes of this server, to be run by axum or nested into something larger.
    pub fn http_router(self, options: Options) -> Router {
        let server = Arc::new(self);
        let table = router(Served::session(Arc::clone(&server)));
        server::router(options, Accepting { server, table })
    }

    /// Serves over HTTP at an address until the process ends; says on stderr where, since port 0 picks a free one.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn run_http(self, address: SocketAddr, mut options: Options) -> io::Result<()> {
        let listener = tokio::net::TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        options.security.is_loopback = address.ip().is_loopback();
        if options.security.token.is_none() && !options.security.is_loopback {
            say(&format!(
                "warning: anybody who reaches {address} can run components; set a token"
            ));
        }
        say(&format!("serving on http://{address}"));
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            // Answers are small and awaited: they must not wait for more to send.
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, self.http_router(options)).await
    }
}

#[expect(clippy::print_stderr, reason = "a server program tells where it is")]
fn say(text: &str) {
    eprintln!("{text}");
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
        let connection = peer::connect(link, self.table.with_state(served));
        tokio::spawn(async move { connection.closed().await });
    }
}
