//! Walks JSON text once and checks it on the way: where a value ends, what the members of an object are.
//! Accepts and refuses what serde_json does; builds nothing, and says only where text stops being JSON.

use std::ops::Range;

/// How much of a long string is looked at together.
const BLOCK: usize = 64;
/// So many words of a string are looked at one by one before it counts as long.
const WORDS: usize = 8;
/// A one in each byte of a word.
const ONES: u64 = u64::MAX / 255;

/// The text stops being JSON here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJson {
    /// The byte that fits nowhere, or the end of the text.
    pub at: usize,
}

/// Text that was seen to be one JSON value, without white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    /// Checks a text.
    ///
    /// # Errors
    /// [`NotJson`] where it is none.
    pub fn parse(text: &'a str) -> Result<Self, NotJson> {
        let bytes = text.as_bytes();
        let start = skip_space(bytes, 0);
        let end = value(bytes, start)?;
        match skip_space(bytes, end) {
            at if at == bytes.len() => Ok(Raw(&text[start..end])),
            at => Err(NotJson { at }),
        }
    }

    /// The text.
    pub fn get(self) -> &'a str {
        self.0
    }
}

impl<'a> From<&'a serde_json::value::RawValue> for Raw<'a> {
    fn from(raw: &'a serde_json::value::RawValue) -> Self {
        Raw(raw.get())
    }
}

/// One member of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The key between its quotes, with its escapes.
    pub key: &'a str,
    /// The value.
    pub value: Raw<'a>,
}

/// The members of an object, in order, each checked when it is reached. The text is JSON when all came without an error.
#[derive(Debug)]
pub struct Members<'a> {
    text: &'a str,
    at: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    First,
    Later,
    Over,
}

impl<'a> Members<'a> {
    /// Of a text that starts with `{`; `None` for any other.
    pub fn of(text: &'a str) -> Option<Self> {
        let start = skip_space(text.as_bytes(), 0);
        (text.as_bytes().get(start) == Some(&b'{')).then_some(Members {
            text,
            at: start + 1,
            state: State::First,
        })
    }

    fn step(&mut self) -> Result<Option<Member<'a>>, NotJson> {
        let bytes = self.text.as_bytes();
        let at = skip_space(bytes, self.at);
        let key_at = match (bytes.get(at), self.state) {
            (Some(b'}'), _) => {
                return match skip_space(bytes, at + 1) {
                    at if at == bytes.len() => Ok(None),
                    at => Err(NotJson { at }),
                };
            }
            (Some(b','), State::Later) => skip_space(bytes, at + 1),
            (_, State::First) => at,
            _ => return Err(NotJson { at }),
        };
        let start = key(bytes, key_at)?;
        let end = value(bytes, start.value)?;
        self.at = end;
        self.state = State::Later;
        Ok(Some(Member {
            key: &self.text[start.key],
            value: Raw(&self.text[start.value..end]),
        }))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, NotJson>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Over {
            return None;
        }
        let step = self.step();
        if !matches!(step, Ok(Some(_))) {
            self.state = State::Over;
        }
        step.transpose()
    }
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

struct Key {
    key: Range<usize>,
    /// Where the value starts.
    value: usize,
}

/// `"key" :` and the white space after it.
fn key(bytes: &[u8], at: usize) -> Result<Key, NotJson> {
    if bytes.get(at) != Some(&b'"') {
        return Err(NotJson { at });
    }
    let end = string(bytes, at + 1)?;
    let colon = skip_space(bytes, end);
    if bytes.get(colon) != Some(&b':') {
        return Err(NotJson { at: colon });
    }
    Ok(Key {
        key: at + 1..end - 1,
        value: skip_space(bytes, colon + 1),
    })
}

/// The brackets that are open: one bit each, so that nesting of any depth costs next to nothing.
#[derive(Default)]
struct Open {
    depth: usize,
    /// The innermost 64; a set bit is an object.
    inner: u64,
    outer: Vec<u64>,
}

impl Open {
    fn push(&mut self, is_object: u64) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.inner);
        }
        self.inner = self.inner << 1 | is_object;
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.inner >>= 1;
        if self.depth.is_multiple_of(64)
            && let Some(outer) = self.outer.pop()
        {
            self.inner = outer;
        }
    }

    fn is_object(&self) -> bool {
        self.inner & 1 == 1
    }
}

/// The end of the value that starts at `at`.
fn value(bytes: &[u8], at: usize) -> Result<usize, NotJson> {
    match bytes.get(at) {
        Some(b'{' | b'[') => nested(bytes, at),
        _ => scalar(bytes, at),
    }
}

fn nested(bytes: &[u8], mut at: usize) -> Result<usize, NotJson> {
    let mut open = Open::default();
    loop {
        let (opens, closes) = match bytes.get(at) {
            Some(b'{') => (1, b'}'),
            Some(b'[') => (0, b']'),
            _ => {
                at = scalar(bytes, at)?;
                match after_value(bytes, at, &mut open)? {
                    After::Value(next) => at = next,
                    After::End(end) => return Ok(end),
                }
                continue;
            }
        };
        let inside = skip_space(bytes, at + 1);
        if bytes.get(inside) == Some(&closes) {
            match after_value(bytes, inside + 1, &mut open)? {
                After::Value(next) => at = next,
                After::End(end) => return Ok(end),
            }
            continue;
        }
        open.push(opens);
        at = match opens {
            1 => key(bytes, inside)?.value,
            _ => inside,
        };
    }
}

enum After {
    /// Another value starts here.
    Value(usize),
    /// The outermost value ended here.
    End(usize),
}

/// Closes what ends after a value, and goes to the next one.
fn after_value(bytes: &[u8], mut at: usize, open: &mut Open) -> Result<After, NotJson> {
    while open.depth > 0 {
        at = skip_space(bytes, at);
        match (bytes.get(at), open.is_object()) {
            (Some(b','), true) => {
                return key(bytes, skip_space(bytes, at + 1)).map(|key| After::Value(key.value));
            }
            (Some(b','), false) => return Ok(After::Value(skip_space(bytes, at + 1))),
            (Some(b'}'), true) | (Some(b']'), false) => open.pop(),
            _ => return Err(NotJson { at }),
        }
        at += 1;
    }
    Ok(After::End(at))
}

fn scalar(bytes: &[u8], at: usize) -> Result<usize, NotJson> {
    match bytes.get(at) {
        Some(b'"') => string(bytes, at + 1),
        Some(b'-' | b'0'..=b'9') => number(bytes, at),
        Some(b't') => word(bytes, at, b"true"),
        Some(b'f') => word(bytes, at, b"false"),
        Some(b'n') => word(bytes, at, b"null"),
        _ => Err(NotJson { at }),
    }
}

fn word(bytes: &[u8], at: usize, word: &[u8]) -> Result<usize, NotJson> {
    match bytes[at..].starts_with(word) {
        true => Ok(at + word.len()),
        false => Err(NotJson { at }),
    }
}

fn number(bytes: &[u8], at: usize) -> Result<usize, NotJson> {
    let digits = |at: usize| {
        let count = bytes.get(at..).unwrap_or_default().iter();
        at + count.take_while(|byte| byte.is_ascii_digit()).count()
    };
    let some_digits = |at: usize| match digits(at) {
        end if end > at => Ok(end),
        at => Err(NotJson { at }),
    };
    let start = at + usize::from(bytes[at] == b'-');
    let mut at = match bytes.get(start) {
        Some(b'0') => start + 1,
        _ => some_digits(start)?,
    };
    if bytes[start] == b'0' && bytes.get(at).is_some_and(u8::is_ascii_digit) {
        return Err(NotJson { at });
    }
    if bytes.get(at) == Some(&b'.') {
        at = some_digits(at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        at = some_digits(at)?;
    }
    Ok(at)
}

/// What a string cannot hold as it is.
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// The end of a string whose opening quote stands before `at`.
fn string(bytes: &[u8], mut at: usize) -> Result<usize, NotJson> {
    loop {
        at = plain(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = escape(bytes, at + 1)?,
            _ => return Err(NotJson { at }),
        }
    }
}

/// The next byte of a string that is special, or its end. Short strings go by in words, long ones in blocks.
fn plain(bytes: &[u8], mut at: usize) -> usize {
    loop {
        for _ in 0..WORDS {
            let Some(word) = bytes[at..].first_chunk() else {
                let rest = bytes[at..].iter();
                return at + rest.take_while(|&&byte| !is_special(byte)).count();
            };
            let special = special(u64::from_le_bytes(*word));
            if special != 0 {
                return at + special.trailing_zeros() as usize / 8;
            }
            at += word.len();
        }
        let is_plain = |block: &&[u8]| {
            !block
                .iter()
                .fold(false, |any, &byte| any | is_special(byte))
        };
        at += bytes[at..].chunks_exact(BLOCK).take_while(is_plain).count() * BLOCK;
    }
}

/// Whether a text can stand between quotes as it is.
pub fn is_plain(text: &str) -> bool {
    plain(text.as_bytes(), 0) == text.len()
}

/// The high bit of each byte that is special. Above the lowest of them, borrows may set others.
fn special(word: u64) -> u64 {
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = is_zero(word ^ (ONES * u64::from(b'"')));
    let backslash = is_zero(word ^ (ONES * u64::from(b'\\')));
    (control | quote | backslash) & (ONES << 7)
}

/// Half of a surrogate pair is taken: the text is passed on, and only who wants a string of it can mind.
fn escape(bytes: &[u8], at: usize) -> Result<usize, NotJson> {
    match bytes.get(at) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 1),
        Some(b'u') => {
            let digits = bytes.get(at + 1..at + 5).ok_or(NotJson { at })?;
            match digits.iter().all(u8::is_ascii_hexdigit) {
                true => Ok(at + 5),
                false => Err(NotJson { at }),
            }
        }
        _ => Err(NotJson { at }),
    }
}

#[cfg(test)]
mod tests;
