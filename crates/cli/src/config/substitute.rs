//! `${VAR}`, `${VAR:-default}`, `${VAR:?message}` and `$$` in one string. Knows text only; where variables come from and
//! where the string stands is for the caller.
//!
//! A `$` before anything else is itself, so that paths such as `$.model` need no care.

/// A string after substitution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Substituted {
    /// The new text.
    pub text: String,
    /// Whether the string was nothing but one `${…}`, so that its value may be a number or a boolean.
    pub is_whole: bool,
    /// The variables whose values went into the text, with these values.
    pub used: Vec<(String, String)>,
}

/// Why a string cannot be substituted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// How a variable is looked up: `None` when it is not set.
pub type Lookup<'l> = dyn Fn(&str) -> Option<String> + 'l;

/// How deep defaults may stand in defaults.
const MAX_DEPTH: usize = 16;

/// The string with its variables put in; `None` if there is nothing to do.
pub fn substitute(text: &str, lookup: &Lookup<'_>) -> Result<Option<Substituted>, Problem> {
    if !text.contains("${") && !text.contains("$$") {
        return Ok(None);
    }
    let mut reader = Reader {
        lookup,
        used: Vec::new(),
    };
    let is_whole = text
        .strip_prefix("${")
        .and_then(|rest| Some((rest, end_of(rest)?)));
    let is_whole = is_whole.is_some_and(|(rest, end)| end + 1 == rest.len());
    let text = reader.expand(text, 0)?;
    Ok(Some(Substituted {
        text,
        is_whole,
        used: reader.used,
    }))
}

struct Reader<'l> {
    lookup: &'l Lookup<'l>,
    used: Vec<(String, String)>,
}

impl Reader<'_> {
    fn expand(&mut self, text: &str, depth: usize) -> Result<String, Problem> {
        if depth > MAX_DEPTH {
            let message = format!("defaults stand in defaults more than {MAX_DEPTH} deep");
            return Err(Problem {
                message,
                hint: "take some of them out".to_owned(),
            });
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some(inside) = after.strip_prefix('{') {
                let Some(end) = end_of(inside) else {
                    return Err(Problem {
                        message: "a `${` without its `}`".to_owned(),
                        hint: "close it, or write `$$` for a `$`".to_owned(),
                    });
                };
                out.push_str(&self.reference(&inside[..end], depth)?);
                rest = &inside[end + 1..];
            } else {
                out.push('$');
                rest = after;
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    /// What stands between the braces.
    fn reference(&mut self, inside: &str, depth: usize) -> Result<String, Problem> {
        let end = inside.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let (name, rest) = inside.split_at(end.unwrap_or(inside.len()));
        if name.is_empty() || name.starts_with(|letter: char| letter.is_ascii_digit()) {
            return Err(Problem {
                message: format!("`${{{inside}}}` has no name of a variable"),
                hint: "write ${NAME}, ${NAME:-default} or ${NAME:?message}; write `$$` for a `$`"
                    .to_owned(),
            });
        }
        let value = (self.lookup)(name);
        if rest.is_empty() {
            let value = value.ok_or_else(|| Problem {
                message: format!("the environment variable `{name}` is not set"),
                hint: format!("set it, or give a default: ${{{name}:-…}}"),
            })?;
            return Ok(self.take(name, value));
        }
        let value = value.filter(|value| !value.is_empty());
        if let Some(default) = rest.strip_prefix(":-") {
            return match value {
                Some(value) => Ok(self.take(name, value)),
                None => self.expand(default, depth + 1),
            };
        }
        if let Some(message) = rest.strip_prefix(":?") {
            let value = value.ok_or_else(|| Problem {
                message: format!("the environment variable `{name}` is not set: {message}"),
                hint: "set it to something".to_owned(),
            })?;
            return Ok(self.take(name, value));
        }
        Err(Problem {
            message: format!("`${{{inside}}}` is not understood"),
            hint: format!("write ${{{name}}}, ${{{name}:-default}} or ${{{name}:?message}}"),
        })
    }

    fn take(&mut self, name: &str, value: String) -> String {
        self.used.push((name.to_owned(), value.clone()));
        value
    }
}

/// Where the brace closes that was open before this text.
fn end_of(inside: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut before = ' ';
    for (at, letter) in inside.char_indices() {
        match letter {
            '{' if before == '$' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
        before = letter;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "A" => Some("alpha".to_owned()),
            "EMPTY" => Some(String::new()),
            "TRICKY" => Some("${A} $$ }".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn what_is_put_in() {
        let check = |text: &str, expected: &str| {
            let found = substitute(text, &lookup).unwrap();
            assert_eq!(
                found.map_or(text.to_owned(), |it| it.text),
                expected,
                "{text}"
            );
        };
        check("plain", "plain");
        check("$.model $A $ $", "$.model $A $ $");
        check("${A}", "alpha");
        check("a-${A}-b-${A}", "a-alpha-b-alpha");
        check("$${A}", "${A}");
        check("$$$${A}", "$${A}");
        check("$$${A}", "$alpha");
        check("100$$", "100$");
        check("${EMPTY}", "");
        check("${EMPTY:-x}", "x");
        check("${NO:-}", "");
        check("${NO:-/bin/bash}", "/bin/bash");
        check("${NO:--1}", "-1");
        check("${NO:-a:-b}", "a:-b");
        check("${NO:-${A}}", "alpha");
        check("${NO:-${NO:-deep}}!", "deep!");
        check("${NO:-{}}", "{}");
        check("${A:?needed}", "alpha");
        // A value is never read again.
        check("${TRICKY}", "${A} $$ }");
        check("é${A}é", "éalphaé");
    }

    #[test]
    fn what_is_refused() {
        let check = |text: &str, expected: &str| {
            let problem = substitute(text, &lookup).unwrap_err();
            assert!(
                problem.message.contains(expected),
                "{text}: {}",
                problem.message
            );
        };
        check("${NO}", "`NO` is not set");
        check(
            "${NO:?it opens the vault}",
            "`NO` is not set: it opens the vault",
        );
        check("${EMPTY:?x}", "`EMPTY` is not set: x");
        check("${", "without its `}`");
        check("${A", "without its `}`");
        check("${}", "no name");
        check("${1A}", "no name");
        check("${ A }", "no name");
        check("${A-x}", "not understood");
        check("${A:+x}", "not understood");
        check("${A.b}", "not understood");
        check("${NO:-${ALSO_NO}}", "`ALSO_NO` is not set");
    }

    #[test]
    fn one_reference_alone_is_whole() {
        let check = |text: &str, expected: bool| {
            assert_eq!(
                substitute(text, &lookup).unwrap().unwrap().is_whole,
                expected,
                "{text}"
            );
        };
        check("${A}", true);
        check("${NO:-${A}}", true);
        check("${A}${A}", false);
        check(" ${A}", false);
        check("$$", false);
    }

    proptest! {
        #[test]
        fn no_text_panics_and_none_is_lost(text in "[$A{}:?x-]{0,24}") {
            let _ = substitute(&text, &lookup);
            let doubled = text.replace('$', "$$");
            let back = substitute(&doubled, &lookup).unwrap().map_or(doubled.clone(), |it| it.text);
            prop_assert_eq!(back, text);
        }
    }
}
