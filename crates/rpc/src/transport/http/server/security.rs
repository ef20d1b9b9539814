//! Who may talk to a server: Host, Origin and token. A page in a browser must not reach a server on the same machine.

use axum::http::HeaderMap;
use axum::http::header;

use super::answer::Refusal;

/// The checks that come before anything else.
#[derive(Clone, Default)]
pub struct Security {
    /// Needed as `Authorization: Bearer …`, where given.
    pub token: Option<String>,
    /// Whether the server listens on a loopback address: then only loopback names and `allow_hosts` may be asked for.
    pub is_loopback: bool,
    /// Names besides the loopback ones.
    pub allow_hosts: Vec<String>,
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Security")
            .field("has_token", &self.token.is_some())
            .field("is_loopback", &self.is_loopback)
            .field("allow_hosts", &self.allow_hosts)
            .finish()
    }
}

impl Security {
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let text = |name| {
            headers
                .get(name)
                .and_then(|value: &header::HeaderValue| value.to_str().ok())
        };
        let host = text(header::HOST).unwrap_or_default();
        if self.is_loopback && !self.is_known(host) {
            return Err(Refusal::forbidden(format!(
                "the host {host:?} is not this server; allow it if it should be"
            )));
        }
        if let Some(origin) = text(header::ORIGIN) {
            let origin_host = origin.split_once("://").map_or(origin, |(_, host)| host);
            if origin_host != host && !self.is_known(origin_host) {
                return Err(Refusal::forbidden(format!(
                    "pages of {origin:?} may not talk to this server"
                )));
            }
        }
        match &self.token {
            Some(token)
                if !text(header::AUTHORIZATION).is_some_and(|given| is_token(given, token)) =>
            {
                Err(Refusal::unauthorized())
            }
            _ => Ok(()),
        }
    }

    fn is_known(&self, authority: &str) -> bool {
        let host = match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => authority
                .rsplit_once(':')
                .map_or(authority, |(host, _)| host),
        };
        let is_loopback = host.eq_ignore_ascii_case("localhost")
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        is_loopback
            || self
                .allow_hosts
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(host))
    }
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
