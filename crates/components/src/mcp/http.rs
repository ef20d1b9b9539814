//! The HTTP client that the library's transport sends through: whom it trusts, which proxy it takes, where it may be sent on.

use reqwest::Client;
use reqwest::StatusCode;
use reqwest::redirect;
use stepflow_rpc::transport::http::client::Options;
use stepflow_rpc::transport::http::client::Url;
use stepflow_rpc::transport::http::is_loopback;

use super::failure::chain;
use crate::supervisor::ConnectError;
use crate::web_client;

/// A server that answers only by sending elsewhere is not followed further.
const MOST_REDIRECTS: usize = 3;

/// Makes the client of one plugin.
pub(super) fn client(options: &Options) -> Result<Client, ConnectError> {
    let mut client = web_client::builder().redirect(redirect::Policy::custom(follow));
    if let Some(proxy) = options
        .proxy
        .as_ref()
        .filter(|_| !is_loopback(&options.url))
    {
        let proxy = reqwest::Proxy::all(proxy.clone()).map_err(|error| {
            ConnectError::permanent(format!("the proxy cannot be used: {error}"))
        })?;
        client = client.proxy(proxy);
    }
    for pem in &options.authorities {
        let bundle = reqwest::Certificate::from_pem_bundle(pem).map_err(|error| {
            ConnectError::permanent(format!("the certificate authority cannot be read: {error}"))
        })?;
        client = client.tls_certs_merge(bundle);
    }
    client
        .build()
        .map_err(|error| ConnectError::permanent(chain(&error)))
}

/// Only within the origin, and only where the method stays: a token must reach nobody else, and a POST stay one.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let keeps_method = matches!(
        attempt.status(),
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
    );
    let stays = |from: &Url| from.origin() == attempt.url().origin();
    let is_ours = attempt.previous().first().is_some_and(stays);
    if keeps_method && is_ours && attempt.previous().len() <= MOST_REDIRECTS {
        attempt.follow()
    } else {
        attempt.stop()
    }
}
