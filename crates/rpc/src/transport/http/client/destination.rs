//! Where requests go, made ready once: the URL as the HTTP client takes it, and the headers that all requests there share.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use http::HeaderValue;
use http::Uri;
use http::header::ACCEPT;
use http::header::AUTHORIZATION;
use http::header::CONTENT_TYPE;
use http::header::HOST;
use http::header::PROXY_AUTHORIZATION;
use percent_encoding::percent_decode_str;
use url::Url;

use super::endpoint::Target;
use crate::transport::http::ACCEPT as ACCEPTED;
use crate::transport::http::JSON;

/// A URL that requests are sent to.
#[derive(Clone)]
pub(super) struct Destination {
    pub(super) target: Target,
    pub(super) uri: Uri,
    /// What every request carries.
    pub(super) headers: HeaderMap,
    /// What every POST carries.
    pub(super) posting: HeaderMap,
}

impl Destination {
    /// Makes a URL ready, with the headers of the configuration and what a proxy wants to see; an error says why the HTTP
    /// client does not take it.
    pub(super) fn new(
        target: Target,
        headers: &HeaderMap,
        to_proxy: Option<&HeaderValue>,
    ) -> Result<Self, String> {
        let uri = uri(&target.url)?;
        let mut headers = headers.clone();
        if !headers.contains_key(AUTHORIZATION)
            && let Some(authorization) = authorization(&target.url)
        {
            headers.insert(AUTHORIZATION, authorization);
        }
        if target.url.scheme() == "http" {
            // Over TLS it may be HTTP/2, which says it in another way.
            let host = uri
                .authority()
                .map(|host| HeaderValue::from_str(host.as_str()));
            if let Some(Ok(host)) = host {
                headers.entry(HOST).or_insert(host);
            }
            // Over TLS the proxy sees no request, and was told when it opened the tunnel.
            if let Some(to_proxy) = to_proxy {
                headers
                    .entry(PROXY_AUTHORIZATION)
                    .or_insert_with(|| to_proxy.clone());
            }
        }
        let mut posting = headers.clone();
        posting.append(CONTENT_TYPE, HeaderValue::from_static(JSON));
        posting.append(ACCEPT, HeaderValue::from_static(ACCEPTED));
        Ok(Destination {
            target,
            uri,
            headers,
            posting,
        })
    }
}

/// A URL as the HTTP client takes it, without its user.
pub(super) fn uri(url: &Url) -> Result<Uri, String> {
    let mut url = url.clone();
    // Only URLs that have no host refuse this, and those hold no user either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    let uri = Uri::try_from(url.as_str());
    uri.map_err(|error| format!("the URL cannot be asked for: {error}"))
}

/// How the user in a URL is told to its server.
pub(super) fn authorization(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decoded = |text| percent_decode_str(text).decode_utf8().ok();
    let user = decoded(url.username())?;
    let password = decoded(url.password().unwrap_or_default())?;
    let text = format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("{user}:{password}"))
    );
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
