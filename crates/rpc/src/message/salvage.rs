//! Finds the id of a message that cannot be read whole: too long, cut, or not UTF-8.
//! Sees only its first and last bytes; answers only what is certain, since a wrong id would fail the wrong call.

use super::Id;
use super::MAX_ID_BYTES;

/// How many bytes of each end of an unreadable message are kept for the search.
pub const EDGE_BYTES: usize = 4096;

/// What an unreadable message was, as far as its ends tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Salvaged {
    /// An answer to the call with this id.
    Answer(Id),
    /// A request with this id.
    Request(Id),
}

/// Looks for the id among the top-level members at the start of a message, then at its end.
///
/// `head` and `tail` are the message's first and last bytes; they may overlap or be the same.
pub fn salvage(head: &[u8], tail: &[u8]) -> Option<Salvaged> {
    let front = scan_front(head);
    let id = front.id.or_else(|| scan_back(tail))?;
    Some(if front.is_call {
        Salvaged::Request(id)
    } else {
        Salvaged::Answer(id)
    })
}

#[derive(Default)]
struct Front {
    id: Option<Id>,
    is_call: bool,
}

/// Walks `{"key": value, …` as far as the bytes go, skipping values it can see the end of.
fn scan_front(bytes: &[u8]) -> Front {
    let mut front = Front::default();
    let Some(mut rest) = trim(bytes).strip_prefix(b"{") else {
        return front;
    };
    loop {
        let Some((key, after_key)) = take_string(trim(rest)) else {
            return front;
        };
        let Some(value) = trim(after_key).strip_prefix(b":") else {
            return front;
        };
        match key {
            b"\"method\"" => front.is_call = true,
            b"\"id\"" => front.id = front.id.or_else(|| take_id(trim(value))),
            _ => {}
        }
        let Some(after_value) = skip_value(trim(value)) else {
            return front;
        };
        let Some(next) = trim(after_value).strip_prefix(b",") else {
            return front;
        };
        rest = next;
    }
}

/// Finds `"id": <scalar>` followed by nothing but flat members and the closing brace: such an id is the message's own.
fn scan_back(bytes: &[u8]) -> Option<Id> {
    const KEY: &[u8] = b"\"id\"";
    let end = bytes.iter().rposition(|byte| !byte.is_ascii_whitespace())?;
    let body = bytes.get(..end).filter(|_| bytes[end] == b'}')?;
    let at = body.windows(KEY.len()).rposition(|window| window == KEY)?;
    let value = trim(trim(&body[at + KEY.len()..]).strip_prefix(b":")?);
    let mut rest = trim(skip_scalar(value)?);
    while !rest.is_empty() {
        let (_, after_key) = take_string(trim(rest.strip_prefix(b",")?))?;
        rest = trim(skip_scalar(trim(trim(after_key).strip_prefix(b":")?))?);
    }
    // With the closing brace in sight, even a number's end can be seen.
    take_id(&bytes[end - value.len()..=end])
}

fn trim(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii_start()
}

/// The id at the start, if its end can be seen: `12` at the very end might be the start of `123`.
fn take_id(bytes: &[u8]) -> Option<Id> {
    let rest = skip_scalar(bytes)?;
    let text = &bytes[..bytes.len() - rest.len()];
    let whole = text.starts_with(b"\"") || !rest.is_empty();
    if whole && text.len() <= MAX_ID_BYTES {
        serde_json::from_slice(text).ok()
    } else {
        None
    }
}

fn take_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut escaped = false;
    for (at, &byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(bytes.split_at(at + 1)),
            _ => {}
        }
    }
    None
}

/// The bytes after a string, number or word; `None` where its end cannot be seen.
fn skip_scalar(bytes: &[u8]) -> Option<&[u8]> {
    if let Some((_, rest)) = take_string(bytes) {
        return Some(rest);
    }
    let in_word = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let length = bytes.iter().take_while(in_word).count();
    (length > 0).then(|| &bytes[length..])
}

fn skip_value(bytes: &[u8]) -> Option<&[u8]> {
    if !matches!(bytes.first(), Some(b'{' | b'[')) {
        return skip_scalar(bytes);
    }
    let mut rest = bytes;
    let mut depth = 0usize;
    while let Some(&byte) = rest.first() {
        match byte {
            b'"' => {
                rest = take_string(rest)?.1;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        rest = &rest[1..];
        if depth == 0 {
            return Some(rest);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<Salvaged>) {
        let bytes = text.as_bytes();
        let head = &bytes[..bytes.len().min(EDGE_BYTES)];
        let tail = &bytes[bytes.len().saturating_sub(EDGE_BYTES)..];
        assert_eq!(salvage(head, tail), expected, "{text:.80}");
    }

    #[test]
    fn finds_ids_at_either_end_and_nowhere_else() {
        let long = "x".repeat(3 * EDGE_BYTES);
        let answer = |id: &str| Some(Salvaged::Answer(id.into()));
        check(
            &format!(r#"{{"jsonrpc":"2.0","id":"a","result":"{long}"}}"#),
            answer("a"),
        );
        check(
            &format!(r#"{{"result":"{long}","id":"b","jsonrpc":"2.0"}}"#),
            answer("b"),
        );
        check(&format!(r#"{{"result":{{"x":"{long}","id":"no"}}}}"#), None);
        check(
            &format!(r#"{{"result":[{{"id":"no"}},"{long}"],"id" : 7 }}"#),
            Some(Salvaged::Answer(7.into())),
        );
        check(
            &format!(r#"{{"id":3,"method":"m","params":{{"x":"{long}"}}}}"#),
            Some(Salvaged::Request(3.into())),
        );
        check(&format!(r#"{{"result":{{"id":"no","x":"{long}"#), None);
        check(r#"{"id":"cut"#, None);
        check(r#"{"id":12"#, None);
        check(r#"{"id":12,"res"#, Some(Salvaged::Answer(12.into())));
        check("", None);
        check("]}\"", None);
        check("{]}", None);
    }
}
