//! What means this machine alone. Pure: a name is judged by its spelling, and nothing is looked up.

use std::net::IpAddr;

use url::Host;
use url::Url;

/// Whether a URL leads to this machine alone, where no proxy could reach what listens.
///
/// `0.0.0.0` and `::` do not: to listen there is to listen at every address of the machine.
///
/// ```
/// use stepflow_rpc::transport::http::is_loopback;
/// assert!(is_loopback(&"http://localhost:8080/".parse().unwrap()));
/// assert!(!is_loopback(&"http://0.0.0.0:8080/".parse().unwrap()));
/// ```
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_localhost(name),
        Some(Host::Ipv4(address)) => is_loopback_address(address.into()),
        Some(Host::Ipv6(address)) => is_loopback_address(address.into()),
        None => false,
    }
}

/// Whether only this machine reaches an address, an IPv4 one in the clothes of IPv6 included.
pub fn is_loopback_address(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// `localhost` and every name below it are kept for this machine (RFC 6761), with the root's dot or without.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_goes_by_many_names() {
        for (host, expected) in [
            ("localhost", true),
            ("LocalHost", true),
            ("localhost.", true),
            ("a.localhost", true),
            ("a.b.localhost.", true),
            ("127.0.0.1", true),
            ("127.255.255.254", true),
            ("[::1]", true),
            ("[::ffff:127.0.0.1]", true),
            ("0.0.0.0", false),
            ("[::]", false),
            ("128.0.0.1", false),
            ("10.0.0.1", false),
            ("[::ffff:10.0.0.1]", false),
            ("notlocalhost", false),
            ("localhost.example", false),
            ("127.0.0.1.example", false),
        ] {
            let url = Url::parse(&format!("http://{host}:8080/mcp")).unwrap();
            assert_eq!(is_loopback(&url), expected, "{host}");
        }
    }
}
