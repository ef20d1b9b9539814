//! Who may talk to the server, and in which form: what a request's head alone decides. Never sees a body, and knows
//! nothing of sessions.

use std::net::IpAddr;

use axum::extract::ConnectInfo;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::header;
use axum::http::request::Parts;
use url::Url;

use super::LocalAddress;
use super::Options;
use super::answer::Refusal;
use crate::transport::http;

impl Options {
    /// Refuses pages of other sites, and names that other sites may have pointed at this machine.
    pub(super) fn check_source(&self, head: &Parts) -> Result<(), Refusal> {
        let host = text(&head.headers, &header::HOST)
            .or_else(|| Some(head.uri.authority()?.as_str()))
            .unwrap_or_default();
        if self.is_loopback(head) && !self.is_own_name(host_name(host)) {
            let name = if host.is_empty() {
                "(no Host header)"
            } else {
                host
            };
            return Err(Refusal::forbidden(format!(
                "this server is not known as {name} on this machine: a proxy's name for it is allowed by `allow_hosts` \
                 or --allow-host"
            )));
        }
        match head.headers.get(header::ORIGIN) {
            Some(origin)
                if !origin
                    .to_str()
                    .is_ok_and(|origin| self.is_own_origin(origin, host)) =>
            {
                Err(Refusal::forbidden(
                    "requests of web pages from elsewhere are not served (Origin)",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Refuses requests without the token.
    pub(super) fn check_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(token) = &self.security.token else {
            return Ok(());
        };
        let is_right =
            text(headers, &header::AUTHORIZATION).is_some_and(|given| is_token(given, token));
        if is_right {
            Ok(())
        } else {
            Err(Refusal::unauthorized())
        }
    }

    fn is_loopback(&self, head: &Parts) -> bool {
        let connection = head.extensions.get::<ConnectInfo<LocalAddress>>();
        match connection {
            Some(ConnectInfo(LocalAddress(Some(address)))) => {
                http::is_loopback_address(address.ip())
            }
            _ => self.security.is_loopback,
        }
    }

    fn is_own_name(&self, name: &str) -> bool {
        if name.eq_ignore_ascii_case("localhost")
            || address(name).is_some_and(http::is_loopback_address)
        {
            return true;
        }
        let advertised = self.advertise_url.as_deref().and_then(|url| {
            let url = Url::parse(url).ok()?;
            url.host_str().map(str::to_owned)
        });
        if advertised.is_some_and(|advertised| host_name(&advertised).eq_ignore_ascii_case(name)) {
            return true;
        }
        let mut allowed = self.security.allow_hosts.iter();
        allowed.any(|allowed| match allowed.strip_prefix('*') {
            Some("") => true,
            Some(suffix) => name
                .len()
                .checked_sub(suffix.len())
                .and_then(|at| name.get(at..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix)),
            None => allowed.trim_end_matches('.').eq_ignore_ascii_case(name),
        })
    }

    /// Whether a page came from here: by the very name and port that the request is for, and a name that nobody else may
    /// have pointed here later.
    fn is_own_origin(&self, origin: &str, host: &str) -> bool {
        let Ok(origin) = Url::parse(origin) else {
            return false;
        };
        let Ok(at) = Url::parse(&format!("{}://{host}", origin.scheme())) else {
            return false;
        };
        let Some(name) = origin.host_str() else {
            return false;
        };
        let name = host_name(name);
        origin.host_str() == at.host_str()
            && origin.port_or_known_default() == at.port_or_known_default()
            && (self.is_own_name(name) || address(name).is_some())
    }
}

/// Refuses POSTs that are no JSON, or whose answer could not be.
pub(super) fn check_form(headers: &HeaderMap) -> Result<(), Refusal> {
    let content_type = text(headers, &header::CONTENT_TYPE).unwrap_or_default();
    // What a runtime of ours says needs no reading.
    let is_known = content_type == http::JSON && says(headers, http::ACCEPT);
    if is_known && !headers.contains_key(header::CONTENT_ENCODING) {
        return Ok(());
    }
    let encoding = text(headers, &header::CONTENT_ENCODING).unwrap_or("identity");
    if !is_json(content_type) || !encoding.eq_ignore_ascii_case("identity") {
        return Err(Refusal::unsupported_media_type());
    }
    if !accepts(headers, "application/json") {
        return Err(Refusal::not_acceptable(
            "answers may be JSON: send Accept: application/json, text/event-stream",
        ));
    }
    Ok(())
}

/// Whether the sender takes answers of a type; one that does not say takes everything.
pub(super) fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let of_kind = kind.split_once('/').map_or(kind, |(first, _)| first);
    let wildcards = [&format!("{of_kind}/*"), "*/*"];
    if !headers.contains_key(header::ACCEPT) {
        return true;
    }
    let named = quality(headers, kind);
    named
        .or_else(|| wildcards.into_iter().find_map(|it| quality(headers, it)))
        .is_some_and(|quality| quality > 0.0)
}

/// Whether the sender can read a stream, which a wildcard does not promise.
pub(super) fn takes_streams(headers: &HeaderMap) -> bool {
    says(headers, http::ACCEPT)
        || quality(headers, http::EVENT_STREAM).is_some_and(|quality| quality > 0.0)
}

/// Whether `Accept` is this very text and nothing else.
fn says(headers: &HeaderMap, accept: &str) -> bool {
    let mut values = headers.get_all(header::ACCEPT).into_iter();
    values.next().is_some_and(|value| value == accept) && values.next().is_none()
}

/// How much a media range is wanted, where it stands in `Accept` ([RFC 9110, 12.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1)).
fn quality(headers: &HeaderMap, range: &str) -> Option<f32> {
    let values = headers.get_all(header::ACCEPT).into_iter();
    let ranges = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let found = ranges.filter_map(|it| {
        let mut parts = it.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(range) {
            return None;
        }
        let given = parts.find_map(|it| {
            let (name, value) = it.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then_some(value)
        });
        Some(given.map_or(1.0, |value| value.trim().parse().unwrap_or(0.0)))
    });
    found.reduce(f32::max)
}

fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    is_json
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => {
                let charset = charset.trim_matches([' ', '"']);
                ["utf-8", "utf8"]
                    .iter()
                    .any(|it| it.eq_ignore_ascii_case(charset))
            }
            _ => true,
        })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The name in a `Host`, without its port and the root's dot.
fn host_name(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host
            .split(':')
            .next()
            .unwrap_or_default()
            .trim_end_matches('.'),
    }
}

fn address(name: &str) -> Option<IpAddr> {
    name.parse().ok()
}

fn is_token(given: &str, token: &str) -> bool {
    let Some((scheme, given)) = given.split_once(' ') else {
        return false;
    };
    scheme.eq_ignore_ascii_case("bearer")
        && equal_in_constant_time(given.trim().as_bytes(), token.as_bytes())
}

/// Takes as long for a token that is nearly right as for one that is all wrong.
fn equal_in_constant_time(given: &[u8], expected: &[u8]) -> bool {
    let differences = given
        .iter()
        .zip(expected)
        .fold(0, |sum, (left, right)| sum | (left ^ right));
    given.len() == expected.len() && std::hint::black_box(differences) == 0
}
