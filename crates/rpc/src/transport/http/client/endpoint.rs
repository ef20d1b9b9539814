//! Where messages go: the URL rules, and how an endpoint that a server names is resolved. Pure.

use serde::Deserialize;
use url::Url;

use super::origin::OriginPattern;

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
}
