//! Opens connections: TCP, TLS, and the way through a proxy. Knows nothing of the requests that travel on them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::HeaderValue;
use http::Uri;
use http::uri::Scheme;
use hyper::rt;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::Connected;
use hyper_util::client::legacy::connect::Connection;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use tower_service::Service;

use super::ConnectError;
use super::Options;
use super::destination;
use super::tls::Tls;

/// How long a connection may take to be there, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// After how long the system asks whether the other side is still there, then again, and how often.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVES: u32 = 3;
/// How long bytes may go unacknowledged.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Opens the connections of one client. Cheap to clone, as is done for every request.
#[derive(Clone)]
pub(super) struct Connector(Arc<Ways>);

struct Ways {
    tcp: HttpConnector,
    tls: Tls,
    proxy: Option<Proxy>,
}

struct Proxy {
    uri: Uri,
    authorization: Option<HeaderValue>,
}

impl Connector {
    pub(super) fn new(options: &Options) -> Result<Self, ConnectError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_keepalive_interval(Some(KEEP_ALIVE));
        tcp.set_keepalive_retries(Some(KEEP_ALIVES));
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        let proxy = options.proxy.as_ref();
        let proxy = proxy.filter(|_| !crate::transport::http::is_loopback(&options.url));
        let proxy = proxy.map(|url| {
            let uri = destination::uri(url).map_err(|why| {
                ConnectError::permanent(format!("the proxy cannot be used: {why}"))
            })?;
            let authorization = destination::authorization(url);
            Ok(Proxy { uri, authorization })
        });
        let tls = Tls::new(options)?;
        let proxy = proxy.transpose()?;
        Ok(Connector(Arc::new(Ways { tcp, tls, proxy })))
    }

    /// What a proxy wants to see on requests that it passes on itself.
    pub(super) fn proxy_authorization(&self) -> Option<&HeaderValue> {
        self.0.proxy.as_ref()?.authorization.as_ref()
    }
}

impl Ways {
    async fn connect(&self, to: Uri) -> Result<Socket, BoxError> {
        let is_secure = to.scheme() == Some(&Scheme::HTTPS);
        let Some(proxy) = &self.proxy else {
            if !is_secure {
                return Ok(Socket::new(self.tcp.clone().call(to).await?));
            }
            let mut server = HttpsConnector::from((self.tcp.clone(), self.tls.config()?));
            return Ok(Socket::new(server.call(to).await?));
        };
        // A proxy is spoken to in HTTP/1.1.
        let mut tls = (*self.tls.config()?).clone();
        tls.alpn_protocols.clear();
        let mut through = HttpsConnector::from((self.tcp.clone(), tls));
        if !is_secure {
            let mut socket = Socket::new(through.call(proxy.uri.clone()).await?);
            socket.is_proxied = true;
            return Ok(socket);
        }
        let mut tunnel = Tunnel::new(proxy.uri.clone(), through);
        if let Some(authorization) = &proxy.authorization {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        let mut server = HttpsConnector::from((tunnel, self.tls.config()?));
        Ok(Socket::new(server.call(to).await?))
    }
}

impl Service<Uri> for Connector {
    type Response = Socket;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Socket, BoxError>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let ways = Arc::clone(&self.0);
        Box::pin(async move {
            let connecting = tokio::time::timeout(CONNECT_TIMEOUT, ways.connect(to));
            connecting.await.unwrap_or_else(|_| {
                let error = io::Error::new(io::ErrorKind::TimedOut, "operation timed out");
                Err(error.into())
            })
        })
    }
}

/// Whatever bytes travel on.
trait Carrier: rt::Read + rt::Write + Connection + Send + Unpin {}

impl<T: rt::Read + rt::Write + Connection + Send + Unpin> Carrier for T {}

/// An open connection.
pub(super) struct Socket {
    carrier: Box<dyn Carrier>,
    /// Whether a proxy reads the requests, and passes them on by the URL that they name.
    is_proxied: bool,
}

impl Socket {
    fn new(carrier: impl Carrier + 'static) -> Self {
        Socket {
            carrier: Box::new(carrier),
            is_proxied: false,
        }
    }

    fn carrier(self: Pin<&mut Self>) -> Pin<&mut dyn Carrier> {
        Pin::new(&mut *self.get_mut().carrier)
    }
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        self.carrier.connected().proxy(self.is_proxied)
    }
}

impl rt::Read for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.carrier().poll_read(context, into)
    }
}

impl rt::Write for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.carrier().poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.carrier().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.carrier().poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.carrier.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.carrier().poll_write_vectored(context, pieces)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::header::AUTHORIZATION;
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use crate::transport::http::Failure;
    use crate::transport::http::Kind;
    use crate::transport::http::client::Options;
    use crate::transport::http::client::exchange::Answer;
    use crate::transport::http::client::exchange::Exchange;

    /// Posts something; gives what a listener saw of it, which answers so, and what came of it.
    async fn posted(
        options: impl FnOnce(u16) -> Options,
        answer: &str,
    ) -> (String, Result<Answer, Failure>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = options(listener.local_addr().unwrap().port());
        let listening = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(head).unwrap()
        };
        let exchange = Exchange::new(&options).unwrap();
        let single = exchange.single();
        let posting = exchange.post(&single, None, Bytes::from_static(b""));
        let both = async { tokio::join!(listening, posting) };
        let both = tokio::time::timeout(Duration::from_secs(60), both).await;
        both.expect("nobody came to the listener")
    }

    fn through(url: &str, proxy: &str) -> Options {
        let mut options = Options::new(url.parse().unwrap());
        options.proxy = Some(proxy.parse().unwrap());
        options
    }

    fn line<'a>(head: &'a str, name: &str) -> Option<&'a str> {
        head.lines().find_map(|line| line.strip_prefix(name))
    }

    #[tokio::test]
    async fn a_proxy_is_asked_for_the_whole_url() {
        let (head, posted) = posted(
            |port| {
                through(
                    "http://server.test:81/a?b=c",
                    &format!("http://me:a%20b@127.0.0.1:{port}"),
                )
            },
            "202 Accepted",
        )
        .await;
        assert!(matches!(posted, Ok(Answer::Nothing)));
        assert!(
            head.starts_with("POST http://server.test:81/a?b=c HTTP/1.1\r\n"),
            "{head}"
        );
        assert_eq!(line(&head, "host: "), Some("server.test:81"));
        // me:a b
        assert_eq!(line(&head, "proxy-authorization: "), Some("Basic bWU6YSBi"));
    }

    #[tokio::test]
    async fn a_proxy_opens_a_tunnel_where_the_server_speaks_tls() {
        let (head, posted) = posted(
            |port| {
                through(
                    "https://server.test/a",
                    &format!("http://me:a%20b@127.0.0.1:{port}"),
                )
            },
            "403 Forbidden",
        )
        .await;
        assert!(
            head.starts_with("CONNECT server.test:443 HTTP/1.1\r\n"),
            "{head}"
        );
        assert_eq!(line(&head, "Proxy-Authorization: "), Some("Basic bWU6YSBi"));
        assert_eq!(posted.err().map(|it| it.kind), Some(Kind::NotSent));
    }

    #[tokio::test]
    async fn this_machine_is_reached_without_the_proxy() {
        let (head, posted) = posted(
            |port| through(&format!("http://localhost:{port}/a"), "http://127.0.0.1:1"),
            "202 Accepted",
        )
        .await;
        assert!(matches!(posted, Ok(Answer::Nothing)));
        assert!(head.starts_with("POST /a HTTP/1.1\r\n"), "{head}");
        assert_eq!(line(&head, "proxy-authorization: "), None);
    }

    #[tokio::test]
    async fn a_proxy_of_an_unknown_kind_is_not_passed_by() {
        let options = through("http://server.test/", "socks5://127.0.0.1:1");
        let exchange = Exchange::new(&options).unwrap();
        let posted = exchange.post(&exchange.single(), None, Bytes::new()).await;
        let Err(failure) = posted else {
            panic!("it was posted");
        };
        assert_eq!(failure.kind, Kind::NotSent);
        assert!(
            failure.what.contains("unsupported scheme socks5"),
            "{failure}"
        );
    }

    #[tokio::test]
    async fn the_user_of_a_url_is_told_to_the_server_unless_a_header_says_another() {
        let of_user = |port| {
            Options::new(
                format!("http://me:a%20b@127.0.0.1:{port}/")
                    .parse()
                    .unwrap(),
            )
        };
        let (head, _) = posted(of_user, "202 Accepted").await;
        assert_eq!(line(&head, "authorization: "), Some("Basic bWU6YSBi"));
        assert!(line(&head, "host: ").is_some_and(|host| host.starts_with("127.0.0.1:")));
        let with_token = |port| {
            let mut options = of_user(port);
            options
                .headers
                .insert(AUTHORIZATION, "Bearer token".parse().unwrap());
            options
        };
        let (head, _) = posted(with_token, "202 Accepted").await;
        assert_eq!(line(&head, "authorization: "), Some("Bearer token"));
        assert_eq!(head.matches("authorization").count(), 1, "{head}");
    }
}
