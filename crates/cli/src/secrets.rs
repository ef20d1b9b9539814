//! Values that must not be shown. Owns the list of them and their removal from text; who may not see them is decided at
//! the sinks: the screen and the log file. A flow's own result is exempt.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;

use stepflow_flow::value::Kind;
use stepflow_flow::value::Value;

/// What stands where a secret stood.
const MASK: &str = "***";

/// Shorter values would take harmless words with them.
const SHORTEST: usize = 6;

/// The secrets known so far. Clones share them.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Longest first, so that a secret that contains another goes as a whole.
    texts: Arc<RwLock<Vec<String>>>,
}

impl Secrets {
    /// Remembers a text, as it is and as it looks inside JSON, and each of its lines.
    pub fn add(&self, secret: &str) {
        let quoted = Value::string(secret);
        let quoted = &quoted.as_text()[1..quoted.as_text().len() - 1];
        let mut texts = self.texts.write().unwrap_or_else(PoisonError::into_inner);
        for text in [secret, quoted].into_iter().chain(secret.lines()) {
            if text.len() >= SHORTEST && !texts.iter().any(|known| known == text) {
                texts.push(text.to_owned());
            }
        }
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
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
        for secret in self
            .texts
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            if clean.contains(secret.as_str()) {
                clean = Cow::Owned(clean.replace(secret.as_str(), MASK));
            }
        }
        clean
    }
}

// Never the secrets themselves.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.texts.read().map_or(0, |texts| texts.len());
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
