//! What all our HTTP clients that are made by reqwest have in common: their cryptography, and that the environment names no proxy
//! for them. Must not know what is sent.

use std::time::Duration;

use reqwest::Client;
use reqwest::ClientBuilder;

/// How long one connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client to be, which follows redirects as reqwest does until it is told otherwise.
pub(crate) fn builder() -> ClientBuilder {
    // The library takes the provider of the process. A second installation is refused, and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        // The environment is for the command line to read.
        .no_proxy()
}
