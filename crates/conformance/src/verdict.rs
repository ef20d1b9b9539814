//! What a check says: it passes, or it stops because the server failed or because there is nothing to check.

use serde_json::Value;

/// How a check ends.
pub type Verdict = Result<(), Stop>;

/// Why a check did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The server does something else than what is required.
    Fail(Box<Fault>),
    /// It cannot be checked here.
    Skip(String),
}

/// What a server did instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In words.
    pub reason: String,
    /// What had to come.
    pub expected: String,
    /// What came.
    pub seen: String,
}

impl Stop {
    /// The server does something else.
    pub fn fail(
        reason: impl Into<String>,
        expected: impl Into<String>,
        seen: impl Into<String>,
    ) -> Stop {
        Stop::Fail(Box::new(Fault {
            reason: reason.into(),
            expected: expected.into(),
            seen: seen.into(),
        }))
    }

    /// There is nothing to check.
    pub fn skip(reason: impl Into<String>) -> Stop {
        Stop::Skip(reason.into())
    }
}

/// Fails unless the two are the same.
pub fn same(what: &str, expected: &Value, seen: &Value) -> Verdict {
    if expected == seen {
        return Ok(());
    }
    Err(Stop::fail(
        format!("{what} is another one"),
        brief(&expected.to_string()),
        brief(&seen.to_string()),
    ))
}

/// Fails unless something holds.
pub fn ensure(
    holds: bool,
    reason: impl Into<String>,
    expected: impl Into<String>,
    seen: impl Into<String>,
) -> Verdict {
    match holds {
        true => Ok(()),
        false => Err(Stop::fail(reason, expected, seen)),
    }
}

/// A text that may be long, for an error.
pub fn brief(text: &str) -> String {
    const LONGEST: usize = 300;
    match text.len() {
        ..=LONGEST => text.to_owned(),
        size => {
            let start = &text[..text.floor_char_boundary(LONGEST)];
            format!("{start}… ({size} bytes)")
        }
    }
}
