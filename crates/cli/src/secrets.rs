//! Values that must not be shown. Owns the list of them and their removal from text; who may not see them is decided at
//! the sinks: the screen and the log file. A flow's own result is exempt.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;

use stepflow_flow::value::Kind;
use stepflow_flow::value::Value;
use stepflow_rpc::transport::http::client::Url;

pub mod of_flow;
mod pattern;

use pattern::Pattern;

/// What stands where a secret stood.
const MASK: &str = "***";

/// Shorter values would take harmless words with them.
const SHORTEST: usize = 6;

/// As much of a secret beside the mark of a cut is taken for a part of it.
const SHORTEST_PART: usize = 4;

/// What stands where a text was cut: ours, and that of the snippets.
const CUTS: [&str; 2] = ["…", "..."];

/// The secrets known so far. Clones share them.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Longest first, so that a secret that contains another goes as a whole.
    known: Arc<RwLock<Vec<Pattern>>>,
}

impl Secrets {
    /// Remembers a text and each of its lines.
    pub fn add(&self, secret: &str) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let lines = secret.lines().map(str::trim);
        for part in [secret].into_iter().chain(lines) {
            let pattern = Pattern::new(part);
            if part.len() >= SHORTEST && !known.contains(&pattern) {
                known.push(pattern);
            }
        }
        known.sort_by_key(|pattern| std::cmp::Reverse(pattern.len()));
    }

    /// Remembers what a header says, and the token alone: `Bearer TOKEN`.
    pub fn add_header(&self, value: &str) {
        self.add(value);
        let (_, token) = value.split_once(' ').unwrap_or_default();
        self.add(token.trim());
    }

    /// Remembers what a URL may hold beside the name of a place: the password, and the query with its values.
    pub fn add_url(&self, url: &Url) {
        url.password().into_iter().for_each(|it| self.add(it));
        url.query_pairs().for_each(|(_, value)| self.add(&value));
        url.query().into_iter().for_each(|it| self.add(it));
    }

    /// Remembers every string and number of a value.
    pub fn add_value(&self, value: &Value) {
        match value.kind() {
            Kind::Null | Kind::Bool => {}
            Kind::Number => self.add(value.as_text()),
            Kind::String => self.add(&value.as_str().unwrap_or_default()),
            Kind::List => value.items().iter().for_each(|item| self.add_value(item)),
            Kind::Object => value.entries().for_each(|(_, item)| self.add_value(item)),
        }
    }

    /// The text without them.
    pub fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut clean = Cow::Borrowed(text);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        for secret in known.iter() {
            if let Some(without) = without(&clean, secret) {
                clean = Cow::Owned(without);
            }
        }
        for cut in CUTS {
            if !known.is_empty() && clean.contains(cut) {
                clean = Cow::Owned(without_parts(&clean, cut, &known));
            }
        }
        clean
    }
}

/// The text without a secret, if it is there.
fn without(text: &str, secret: &Pattern) -> Option<String> {
    let mut found = secret.find(text, 0)?;
    let mut clean = String::with_capacity(text.len());
    let mut done = 0;
    loop {
        clean.push_str(&text[done..found.start]);
        clean.push_str(MASK);
        done = found.end;
        match secret.find(text, done) {
            Some(next) => found = next,
            None => break,
        }
    }
    clean.push_str(&text[done..]);
    Some(clean)
}

/// The text without what is left of secrets before and after each cut.
fn without_parts(text: &str, cut: &str, known: &[Pattern]) -> String {
    let mut pieces: Vec<Cow<'_, str>> = text.split(cut).map(Cow::Borrowed).collect();
    let last = pieces.len() - 1;
    for (place, piece) in pieces.iter_mut().enumerate() {
        if place < last {
            let parts = known
                .iter()
                .map(|it| it.beginning_at_end(piece, SHORTEST_PART));
            let longest = parts.max().unwrap_or(0);
            if longest > 0 {
                let start = piece.len() - longest;
                *piece = Cow::Owned(format!("{}{MASK}", &piece[..start]));
            }
        }
        if place > 0 {
            let parts = known
                .iter()
                .map(|it| it.end_at_beginning(piece, SHORTEST_PART));
            let longest = parts.max().unwrap_or(0);
            if longest > 0 {
                *piece = Cow::Owned(format!("{MASK}{}", &piece[longest..]));
            }
        }
    }
    pieces.join(cut)
}

// Never the secrets themselves.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.known.read().map_or(0, |known| known.len());
        write!(f, "Secrets({count})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(secret: &str, text: &str, expected: &str) {
        let secrets = Secrets::default();
        secrets.add(secret);
        assert_eq!(secrets.scrub(text), expected);
    }

    #[test]
    fn secrets_go_in_every_form() {
        check("hunter22", "the key is hunter22.", "the key is ***.");
        check("short", "a short word stays", "a short word stays");
        check(
            "with \"quotes\"",
            r#"{"a":"with \"quotes\""}"#,
            r#"{"a":"***"}"#,
        );
        check("line one\nline two", "| line two", "| ***");
    }

    #[test]
    fn what_a_cut_leaves_of_a_secret_goes_too() {
        check(
            "sesame-open-it",
            "key=sesame-o… (99 bytes)",
            "key=***… (99 bytes)",
        );
        check(
            "sesame-open-it",
            "12 | ...open-it\", x...",
            "12 | ...***\", x...",
        );
        check("sesame-open-it", "\"sesa...n-it\"", "\"***...***\"");
        check("sesame-open-it", "ses… it… … ...", "ses… it… … ...");
        check("öööööö-secret", "öööö… ööö…ö-secret…", "***… ööö…***…");
        check("sesame-open-it", "… and 300 more", "… and 300 more");
    }

    #[test]
    fn a_header_is_one_with_its_scheme_and_without() {
        let secrets = Secrets::default();
        secrets.add_header("Bearer sesame-open");
        assert_eq!(secrets.scrub("Bearer sesame-open, sesame-open"), "***, ***");
    }

    #[test]
    fn a_secret_is_found_in_json_xml_and_urls() {
        let secret = "p\"w<&/é x";
        check(secret, r#"{"key":"p\"w<&/é x"}"#, r#"{"key":"***"}"#);
        check(
            secret,
            r#"{"key":"p\"w\u003c\u0026/\u00e9 x"}"#,
            r#"{"key":"***"}"#,
        );
        check(
            secret,
            r#""{\"key\":\"p\\\"w<&/é x\"}""#,
            r#""{\"key\":\"***\"}""#,
        );
        check(secret, "<a>p&quot;w&lt;&amp;/é x</a>", "<a>***</a>");
        check(
            secret,
            "http://h/?k=p%22w%3C%26%2F%C3%A9+x",
            "http://h/?k=***",
        );
    }

    #[test]
    fn the_longer_one_goes_first() {
        let secrets = Secrets::default();
        secrets.add("secret");
        secrets.add("secret-and-more");
        assert_eq!(secrets.scrub("secret-and-more"), "***");
    }

    #[test]
    fn every_leaf_of_a_value_is_one() {
        let secrets = Secrets::default();
        secrets.add_value(&Value::parse(r#"{"a":["sesame-open"],"pin":12345678}"#).unwrap());
        assert_eq!(secrets.scrub("sesame-open 12345678 true"), "*** *** true");
        assert_eq!(format!("{secrets:?}"), "Secrets(2)");
    }
}
