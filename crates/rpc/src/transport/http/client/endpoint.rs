//! Where messages go: the URL rules, and which endpoints a server may name. Pure.

use std::net::IpAddr;
use std::str::FromStr;

use serde::Deserialize;
use url::Host;
use url::Url;

/// The URL that messages are posted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) url: Url,
    /// Whether it lies outside of the path that was configured: a prefix may have been lost on the way.
    pub(super) leaves_prefix: bool,
}

impl Target {
    pub(super) fn direct(url: Url) -> Self {
        Target {
            url,
            leaves_prefix: false,
        }
    }

    /// Without the query, which names the session.
    pub(super) fn shown(&self) -> String {
        shown(&self.url)
    }
}

/// A URL without what may be secret in it.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    // Only URLs that have no host refuse this, and those hold no user either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// The configured URL without one trailing slash; its query is kept.
pub(super) fn base(url: &Url) -> Url {
    let mut base = url.clone();
    let path = base.path();
    if let Some(path) = path.strip_suffix('/').filter(|path| !path.is_empty()) {
        let path = path.to_owned();
        base.set_path(&path);
    }
    base
}

/// Whether a URL means this machine alone, where no proxy could reach what listens.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            name.eq_ignore_ascii_case("localhost") || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Where the server streams its events.
pub(super) fn events(base: &Url) -> Url {
    let mut events = base.clone();
    let path = format!(
        "{}{}",
        base.path().trim_end_matches('/'),
        super::super::EVENTS_PATH
    );
    events.set_path(&path);
    events
}

#[derive(Deserialize)]
struct Named {
    endpoint: String,
}

/// The endpoint that a server named: JSON `{"endpoint": …}` or a bare URI, resolved against the events' URL (RFC 3986).
pub(super) fn resolve(base: &Url, data: &str, allowed: &[OriginPattern]) -> Result<Target, String> {
    let reference = match serde_json::from_str::<Named>(data) {
        Ok(named) => named.endpoint,
        Err(_) => serde_json::from_str::<String>(data).unwrap_or_else(|_| data.trim().to_owned()),
    };
    let url = events(base)
        .join(&reference)
        .map_err(|error| format!("the server named an endpoint that is no URL: {error}"))?;
    let is_allowed =
        url.origin() == base.origin() || allowed.iter().any(|pattern| pattern.matches(&url));
    if !is_allowed || !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "the server named an endpoint of another origin, {}; list its host under `allowedEndpointOrigins` if that is right",
            url.origin().ascii_serialization()
        ));
    }
    let prefix = base.path().trim_end_matches('/');
    let leaves_prefix = !url
        .path()
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    Ok(Target { url, leaves_prefix })
}

/// Hosts that an endpoint may have: a name, `*.name`, an address, or a network such as `10.0.0.0/8`; a port may follow a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern {
    kind: PatternKind,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PatternKind {
    Name(String),
    Below(String),
    Network { address: IpAddr, bits: u32 },
}

impl OriginPattern {
    fn matches(&self, url: &Url) -> bool {
        let port_fits = self
            .port
            .is_none_or(|port| url.port_or_known_default() == Some(port));
        let host_fits = match (&self.kind, url.host()) {
            (PatternKind::Name(name), Some(Host::Domain(host))) => host.eq_ignore_ascii_case(name),
            (PatternKind::Below(name), Some(Host::Domain(host))) => host
                .to_ascii_lowercase()
                .strip_suffix(name.as_str())
                .is_some_and(|rest| rest.ends_with('.')),
            (PatternKind::Network { address, bits }, Some(Host::Ipv4(host))) => {
                contains(*address, *bits, IpAddr::V4(host))
            }
            (PatternKind::Network { address, bits }, Some(Host::Ipv6(host))) => {
                contains(*address, *bits, IpAddr::V6(host))
            }
            _ => false,
        };
        port_fits && host_fits
    }
}

fn contains(network: IpAddr, bits: u32, host: IpAddr) -> bool {
    match (network, host) {
        (IpAddr::V4(network), IpAddr::V4(host)) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(network) & mask == u32::from(host) & mask
        }
        (IpAddr::V6(network), IpAddr::V6(host)) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            u128::from(network) & mask == u128::from(host) & mask
        }
        _ => false,
    }
}

impl FromStr for OriginPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no host, `*.host`, address or network such as `10.0.0.0/8`");
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.parse().map_err(|_| wrong())?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits
                .parse()
                .ok()
                .filter(|bits| *bits <= most)
                .ok_or_else(wrong)?;
            return Ok(OriginPattern {
                kind: PatternKind::Network { address, bits },
                port: None,
            });
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            return Ok(OriginPattern {
                kind: PatternKind::Network { address, bits },
                port: None,
            });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(wrong());
        }
        if let Ok(address) = host.parse::<IpAddr>() {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            return Ok(OriginPattern {
                kind: PatternKind::Network { address, bits },
                port,
            });
        }
        let host = host.to_ascii_lowercase();
        let kind = match host.strip_prefix("*.") {
            Some(name) => PatternKind::Below(name.to_owned()),
            None => PatternKind::Name(host),
        };
        Ok(OriginPattern { kind, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, data: &str, expected: &str) {
        let base = base(&url.parse().unwrap());
        let found = match resolve(
            &base,
            data,
            &[
                "*.fleet.test".parse().unwrap(),
                "10.0.0.0/8".parse().unwrap(),
            ],
        ) {
            Ok(target) if target.leaves_prefix => format!("{} (leaves prefix)", target.url),
            Ok(target) => target.url.to_string(),
            Err(error) => error.split(',').next().unwrap().to_owned(),
        };
        assert_eq!(found, expected, "{url} {data}");
    }

    #[test]
    fn endpoints_resolve_by_the_rules_for_references() {
        let foreign = "the server named an endpoint of another origin";
        check(
            "http://h:1",
            r#"{"endpoint": "/?sessionId=a"}"#,
            "http://h:1/?sessionId=a",
        );
        check(
            "http://h:1/",
            r#"{"endpoint": "/session/abc123"}"#,
            "http://h:1/session/abc123",
        );
        check("http://h:1/", "/?sessionId=a", "http://h:1/?sessionId=a");
        check("http://h:1", "\"/s\"", "http://h:1/s");
        check(
            "http://h:1/api",
            "/api/?sessionId=a",
            "http://h:1/api/?sessionId=a",
        );
        check(
            "http://h:1/api/",
            "/?sessionId=a",
            "http://h:1/?sessionId=a (leaves prefix)",
        );
        check(
            "http://h:1/api",
            "/apiary",
            "http://h:1/apiary (leaves prefix)",
        );
        check(
            "http://h:1/api",
            "?sessionId=a",
            "http://h:1/api/runtime/events?sessionId=a",
        );
        check(
            "http://h:1/api",
            "../?sessionId=a",
            "http://h:1/api/?sessionId=a",
        );
        check("http://h:1", "http://h:1/s", "http://h:1/s");
        check("http://h:80", "http://H/s", "http://h/s");
        check("http://h:1", "http://h:2/s", foreign);
        check("http://h:1", "//evil.test/s", foreign);
        check("https://h", "http://h/s", foreign);
        check(
            "http://h:1",
            "http://r1.fleet.test:9/s",
            "http://r1.fleet.test:9/s",
        );
        check("http://h:1", "http://10.1.2.3:9/s", "http://10.1.2.3:9/s");
        check("http://h:1", "http://11.1.2.3:9/s", foreign);
        check("http://h:1", "file:///etc/passwd", foreign);
    }

    #[test]
    fn the_events_lie_below_the_path_and_keep_the_query() {
        for (url, expected) in [
            ("http://h", "http://h/runtime/events"),
            ("http://h/", "http://h/runtime/events"),
            ("http://h/a/", "http://h/a/runtime/events"),
            ("http://h/a?k=v", "http://h/a/runtime/events?k=v"),
        ] {
            assert_eq!(events(&base(&url.parse().unwrap())).as_str(), expected);
        }
    }

    #[test]
    fn patterns_that_are_none_are_refused() {
        for text in ["", "10.0.0.0/40", "host:port", "a b", "user@host"] {
            assert!(text.parse::<OriginPattern>().is_err(), "{text}");
        }
        assert!("fe80::/10".parse::<OriginPattern>().is_ok());
    }
}
