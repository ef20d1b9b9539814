//! Which hosts a server may name for its endpoint besides its own. Owns how such a host is written. Pure: no name is looked up.

use std::net::IpAddr;
use std::str::FromStr;

use url::Host;
use url::Url;

/// Hosts that an endpoint may have: a name, `*.name`, an address, or a network such as `10.0.0.0/8`. A port may follow all but a
/// network, and then an IPv6 address stands in brackets, as in URLs.
///
/// ```
/// use stepflow_rpc::transport::http::client::OriginPattern;
/// let pattern: OriginPattern = "[::1]:9000".parse().unwrap();
/// assert!(pattern.matches(&"http://[::1]:9000/session".parse().unwrap()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern {
    kind: Kind,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// As a URL has it: in lower case and in ASCII, without the root's dot.
    Name(String),
    Below(String),
    Network {
        address: IpAddr,
        bits: u32,
    },
}

impl OriginPattern {
    /// Whether the host and the port of a URL are among those that are meant.
    pub fn matches(&self, url: &Url) -> bool {
        let port_fits = self
            .port
            .is_none_or(|port| url.port_or_known_default() == Some(port));
        let host_fits = match (&self.kind, url.host()) {
            (Kind::Name(name), Some(Host::Domain(host))) => without_root(host) == name,
            (Kind::Below(name), Some(Host::Domain(host))) => without_root(host)
                .strip_suffix(name.as_str())
                .is_some_and(|rest| rest.ends_with('.')),
            (Kind::Network { address, bits }, Some(Host::Ipv4(host))) => {
                contains(*address, *bits, IpAddr::V4(host))
            }
            (Kind::Network { address, bits }, Some(Host::Ipv6(host))) => {
                contains(*address, *bits, IpAddr::V6(host))
            }
            _ => false,
        };
        port_fits && host_fits
    }
}

/// A name may end with the dot of the root, and means the same without.
fn without_root(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
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
        // The same machine by the other family.
        (IpAddr::V4(_), IpAddr::V6(host)) => host
            .to_ipv4_mapped()
            .is_some_and(|host| contains(network, bits, host.into())),
        (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

impl FromStr for OriginPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no host, `*.host`, `host:port`, address or network such as `10.0.0.0/8`"
            )
        };
        if let Some((_, host)) = text.split_once("://") {
            let host = host.trim_end_matches('/');
            return Err(format!(
                "`{text}` is no host but a URL; its host alone is `{host}`"
            ));
        }
        if let Some((address, bits)) = text.split_once('/') {
            let kind = network(address, bits).ok_or_else(wrong)?;
            return Ok(OriginPattern { kind, port: None });
        }
        // An address of IPv6 without brackets has colons of its own, and no port.
        if let Ok(address) = text.parse() {
            let kind = one(address);
            return Ok(OriginPattern { kind, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !text.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| wrong())?))
            }
            _ => (text, None),
        };
        let (is_below, host) = match host.strip_prefix("*.") {
            Some(host) => (true, host),
            None => (false, host),
        };
        if host.contains('*') {
            return Err(wrong());
        }
        // Read as the host of a URL is, since it will be compared with one: `bücher.example` is `xn--bcher-kva.example`.
        let kind = match (Host::parse(host), is_below) {
            (Ok(Host::Domain(name)), false) => Kind::Name(without_root(&name).to_owned()),
            (Ok(Host::Domain(name)), true) => Kind::Below(without_root(&name).to_owned()),
            (Ok(Host::Ipv4(address)), false) => one(address.into()),
            (Ok(Host::Ipv6(address)), false) => one(address.into()),
            _ => return Err(wrong()),
        };
        Ok(OriginPattern { kind, port })
    }
}

fn network(address: &str, bits: &str) -> Option<Kind> {
    let address: IpAddr = address.parse().ok()?;
    let bits = bits.parse().ok().filter(|bits| *bits <= width(address))?;
    Some(Kind::Network { address, bits })
}

fn one(address: IpAddr) -> Kind {
    // A URL may have it in either form.
    let address = address.to_canonical();
    Kind::Network {
        address,
        bits: width(address),
    }
}

fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_hosts_as_urls_write_them() {
        for (pattern, host, expected) in [
            ("fleet.test", "fleet.test:9", true),
            ("Fleet.Test.", "fleet.test", true),
            ("fleet.test", "fleet.test.", true),
            ("fleet.test", "r1.fleet.test", false),
            ("fleet.test:9", "fleet.test:9", true),
            ("fleet.test:80", "fleet.test", true),
            ("fleet.test:9", "fleet.test", false),
            ("*.fleet.test", "r1.fleet.test", true),
            ("*.Fleet.test:9", "a.r1.fleet.test:9", true),
            ("*.fleet.test", "fleet.test", false),
            ("*.fleet.test", "notfleet.test", false),
            ("bücher.example", "xn--bcher-kva.example", true),
            ("xn--bcher-kva.example", "bücher.example", true),
            ("*.BÜCHER.example", "a.bücher.example", true),
            ("*.工人.test:9", "a.工人.test:9", true),
            ("::1", "[::1]:9", true),
            ("[::1]", "[::1]:9", true),
            ("[::1]:9000", "[::1]:9000", true),
            ("[0:0::1]:9000", "[::1]:9000", true),
            ("[::1]:9000", "[::1]:9001", false),
            ("[::1]:9000", "[::2]:9000", false),
            ("fd00::/8", "[fd12::1]", true),
            ("fd00::/8", "[fe80::1]", false),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "[::ffff:10.1.2.3]", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.0.0.7", "10.0.0.7:8080", true),
            ("::ffff:10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7:8080", "10.0.0.7:8080", true),
            ("10.0.0.7:8080", "10.0.0.7", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "[::1]", false),
        ] {
            let url = Url::parse(&format!("http://{host}/s")).unwrap();
            let pattern: OriginPattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(&url), expected, "{pattern:?} {host}");
        }
    }

    #[test]
    fn patterns_that_are_none_are_refused() {
        for text in [
            "",
            "*",
            "*.",
            "*.*.test",
            "a*.test",
            "10.0.0.0/40",
            "[fd00::]/8",
            "*.10.0.0.1",
            "*.[::1]",
            "[::1",
            "[::1]:port",
            "::1]:9000",
            "host:port",
            "host:",
            ":9000",
            "a b",
            "user@host",
            "host/path",
        ] {
            assert!(text.parse::<OriginPattern>().is_err(), "{text}");
        }
        let refusal = "https://host:9/".parse::<OriginPattern>().unwrap_err();
        assert!(refusal.ends_with("`host:9`"), "{refusal}");
    }
}
