//! The sockets of a server program: every address that a host's name stands for, without delay in writing.

use std::io;
use std::net::SocketAddr;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use futures_util::FutureExt;
use futures_util::future::select_all;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

/// Our own address of a connection, which decides whether its `Host` is checked.
///
/// Served with `router.into_make_service_with_connect_info::<LocalAddress>()`, a server on all addresses checks what comes
/// through loopback, where web pages of any origin may have their browser ask, and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct LocalAddress(pub Option<SocketAddr>);

impl Connected<IncomingStream<'_, TcpListener>> for LocalAddress {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        LocalAddress(stream.io().local_addr().ok())
    }
}

impl Connected<IncomingStream<'_, Listener>> for LocalAddress {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        LocalAddress(stream.io().local_addr().ok())
    }
}

/// Listens on one or more addresses.
#[derive(Debug)]
pub struct Listener {
    sockets: Vec<TcpListener>,
}

impl Listener {
    /// Listens on every address that a host's name stands for: `localhost` is two. Port 0 takes a free one.
    ///
    /// # Errors
    /// When the name is unknown or an address cannot be had; the message names it.
    pub async fn bind(host: &str, mut port: u16) -> io::Result<Self> {
        let wrong = |what: String, error: &io::Error| {
            io::Error::new(error.kind(), format!("cannot listen on {what}: {error}"))
        };
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let mut found: Vec<_> = tokio::net::lookup_host((name, port))
            .await
            .map_err(|error| wrong(host.to_owned(), &error))?
            .map(|address| address.ip())
            .collect();
        found.dedup();
        let mut sockets = Vec::new();
        let mut missing = None;
        for ip in found {
            let address = SocketAddr::new(ip, port);
            match TcpListener::bind(address).await {
                Ok(socket) => {
                    port = socket.local_addr()?.port();
                    sockets.push(socket);
                }
                // `localhost` is two addresses even on a machine that has one of them.
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                    missing = Some(wrong(ip.to_string(), &error));
                }
                Err(error) => {
                    return Err(wrong(
                        format!("{ip}, port {port} (0 takes a free one)"),
                        &error,
                    ));
                }
            }
        }
        if sockets.is_empty() {
            let text = format!("cannot listen on {host}: the name stands for no address");
            return Err(missing.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, text)));
        }
        Ok(Listener { sockets })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(TcpListener::local_addr).collect()
    }
}

impl axum::serve::Listener for Listener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        // Each of them waits out errors that pass, such as too many open files.
        let accepting = self
            .sockets
            .iter_mut()
            .map(|socket| axum::serve::Listener::accept(socket).boxed());
        let ((stream, address), ..) = select_all(accepting).await;
        // Answers are small and awaited: they must not wait for more to send.
        let _ = stream.set_nodelay(true);
        (stream, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        let first = self.sockets.first();
        first.ok_or(io::ErrorKind::NotConnected)?.local_addr()
    }
}
