//! One secret, to be found however it is written: as it is, in JSON inside JSON, in XML, in a URL, in debug output.
//!
//! Owns the ways in which a letter may be written. A text may be escaped several times over, so the letters are looked for
//! one by one instead of whole forms. Must not know what is done with what is found.

use std::ops::Range;

/// A secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// A run of backslashes is one: how long it is depends on how often the text was escaped.
    letters: Vec<char>,
    /// Whether the text looks the same wherever it stands.
    is_plain: bool,
}

/// What was found at one place.
enum Found {
    /// All of it, up to here.
    Whole(usize),
    /// So many letters of it, and then the text ends.
    Beginning(usize),
    Nothing,
}

/// How often a text may be escaped.
const MOST_BACKSLASHES: usize = 64;

impl Pattern {
    /// Of this text.
    pub fn new(text: &str) -> Pattern {
        let mut letters: Vec<char> = text.chars().collect();
        letters.dedup_by(|a, b| *a == '\\' && *b == '\\');
        let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        Pattern {
            is_plain: text.bytes().all(is_kept),
            letters,
            text: text.to_owned(),
        }
    }

    /// How long the secret is.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Where it first stands at or after a place.
    pub fn find(&self, text: &str, from: usize) -> Option<Range<usize>> {
        if self.is_plain {
            let start = from + text[from..].find(&self.text)?;
            return Some(start..start + self.text.len());
        }
        let starts = text[from..].char_indices().map(|(at, _)| from + at);
        let mut starts = starts.filter(|start| self.may_start(&text[*start..]));
        starts.find_map(|start| match self.at(text, start, 0) {
            Found::Whole(end) => Some(start..end),
            Found::Beginning(_) | Found::Nothing => None,
        })
    }

    /// How many bytes at the end of the text are the beginning of it, if they are so many letters.
    pub fn beginning_at_end(&self, text: &str, fewest: usize) -> usize {
        // No letter is written longer than this, escaped once or twice.
        let nearest = text.len().saturating_sub(self.text.len() * 12);
        let nearest = text.ceil_char_boundary(nearest);
        let starts = text[nearest..].char_indices().map(|(at, _)| nearest + at);
        let mut starts = starts.filter(|start| self.may_start(&text[*start..]));
        let start = starts.find(
            |start| matches!(self.at(text, *start, 0), Found::Beginning(count) if count >= fewest),
        );
        start.map_or(0, |start| text.len() - start)
    }

    /// How many bytes at the beginning of the text are the end of it, if they are so many letters.
    pub fn end_at_beginning(&self, text: &str, fewest: usize) -> usize {
        let last = self.letters.len().saturating_sub(fewest);
        let ends = (0..=last).map(|first| self.at(text, 0, first));
        let mut ends = ends.filter_map(|found| match found {
            Found::Whole(end) => Some(end),
            Found::Beginning(_) | Found::Nothing => None,
        });
        ends.next().unwrap_or(0)
    }

    fn may_start(&self, rest: &str) -> bool {
        !rest.is_empty() && !self.letters.is_empty() && may_be(self.letters.first().copied(), rest)
    }

    /// What stands at a place of the letters from the first one wanted.
    fn at(&self, text: &str, start: usize, first: usize) -> Found {
        let letters = &self.letters[first..];
        // Most places are told apart by their first letters, and most letters are written as they are.
        let bytes = text.as_bytes()[start..].iter();
        let same = letters.iter().zip(bytes).take_while(|(letter, byte)| {
            letter.is_ascii_alphanumeric() && **letter == char::from(**byte)
        });
        let same = same.count();
        let start = start + same;
        if !may_be(letters.get(same).copied(), &text[start..]) {
            return Found::Nothing;
        }
        let mut places = vec![start];
        let mut next = Vec::new();
        for (count, letter) in letters.iter().enumerate().skip(same) {
            next.clear();
            for place in &places {
                ways(*letter, text, *place, &mut next);
            }
            next.sort_unstable();
            next.dedup();
            if next.is_empty() {
                let ends = places.iter().any(|place| is_cut_off(&text[*place..]));
                return match ends {
                    true => Found::Beginning(count),
                    false => Found::Nothing,
                };
            }
            std::mem::swap(&mut places, &mut next);
        }
        places
            .last()
            .map_or(Found::Nothing, |end| Found::Whole(*end))
    }
}

/// Whether the letter, if there is one, may stand here in some way, or the text end.
fn may_be(letter: Option<char>, rest: &str) -> bool {
    let Some(letter) = letter else { return true };
    rest.is_empty()
        || rest.starts_with(letter)
        || rest.starts_with(['\\', '&', '%', '+', ' '])
        || letter == '\u{200d}'
}

/// Whether a text ends here, or in the middle of an escape.
fn is_cut_off(rest: &str) -> bool {
    const LONGEST_ESCAPE: usize = 12;
    rest.is_empty() || rest.len() < LONGEST_ESCAPE && rest.starts_with(['\\', '&', '%'])
}

/// The places after each way in which the letter is written here.
fn ways(letter: char, text: &str, place: usize, ends: &mut Vec<usize>) {
    let rest = &text[place..];
    if letter == '\\' {
        // The last ones of a run may belong to the next letter.
        let run = rest.bytes().take_while(|byte| *byte == b'\\').count();
        ends.extend((1..=run.min(MOST_BACKSLASHES)).map(|length| place + length));
    } else if rest.starts_with(letter) {
        ends.push(place + letter.len_utf8());
        if letter.is_ascii_alphanumeric() {
            return;
        }
    }
    let is_space = letter == ' ' && rest.starts_with('+');
    let is_wide_tab = letter == '\t' && rest.starts_with("    ");
    if is_space || is_wide_tab {
        ends.push(place + if is_space { 1 } else { 4 });
    }
    // A snippet leaves out what has no width.
    if letter == '\u{200d}' {
        ends.push(place);
    }
    let after = match rest.as_bytes().first() {
        Some(b'\\') => after_backslashes(letter, rest),
        Some(b'&') => after_entity(letter, rest),
        Some(b'%') => after_percent(letter, rest),
        _ => None,
    };
    ends.extend(after.map(|length| place + length));
}

/// `\"`, `\\\"`, `\n`, `\u00e9`, `\u{e9}`, `\x0a`.
fn after_backslashes(letter: char, rest: &str) -> Option<usize> {
    let run = rest.bytes().take_while(|byte| *byte == b'\\').count();
    let run = (1..=MOST_BACKSLASHES).contains(&run).then_some(run)?;
    let after = &rest[run..];
    if letter.is_ascii_punctuation() && after.starts_with(letter) {
        return Some(run + 1);
    }
    let short = match letter {
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\u{8}' => 'b',
        '\u{c}' => 'f',
        '\0' => '0',
        '\u{1b}' => 'e',
        _ => '\\',
    };
    if after.starts_with(short) {
        return Some(run + 1);
    }
    by_number(letter, rest)
}

/// By its number, in one of the notations that begin with a backslash.
fn by_number(letter: char, rest: &str) -> Option<usize> {
    let after = rest.trim_start_matches('\\');
    let start = rest.len() - after.len();
    let code = u32::from(letter);
    if let Some(braced) = after.strip_prefix("u{") {
        let end = braced.find('}')?;
        let is_it = u32::from_str_radix(&braced[..end], 16).ok() == Some(code);
        return is_it.then_some(start + 2 + end + 1);
    }
    if let Some(digits) = after.strip_prefix('x') {
        return (hex(digits, 2)? == code).then_some(start + 3);
    }
    let mut length = 0;
    for unit in letter.encode_utf16(&mut [0; 2]) {
        let after = rest[length..].trim_start_matches('\\');
        let digits = after
            .strip_prefix('u')
            .filter(|_| rest[length..].starts_with('\\'))?;
        if hex(digits, 4)? != u32::from(*unit) {
            return None;
        }
        length = rest.len() - after.len() + 5;
    }
    Some(length)
}

fn hex(text: &str, digits: usize) -> Option<u32> {
    let digits = text.get(..digits)?;
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| are_digits)
}

/// `&amp;`, `&#x27;`, `&#39;`, and `&amp;quot;`.
fn after_entity(letter: char, rest: &str) -> Option<usize> {
    let mut after = rest.strip_prefix('&')?;
    // What was escaped again begins with an ampersand that was.
    while let Some(again) = after.strip_prefix("amp;") {
        if letter == '&' && !again.starts_with(['#', 'a']) {
            return Some(rest.len() - again.len());
        }
        after = again;
    }
    let end = after.find(';').filter(|end| *end <= 8)?;
    let length = rest.len() - after.len() + end + 1;
    let code = match &after[..end] {
        "lt" => u32::from('<'),
        "gt" => u32::from('>'),
        "quot" => u32::from('"'),
        "apos" => u32::from('\''),
        name => match name.strip_prefix("#x").or_else(|| name.strip_prefix("#X")) {
            Some(digits) => u32::from_str_radix(digits, 16).ok()?,
            None => name.strip_prefix('#')?.parse().ok()?,
        },
    };
    (code == u32::from(letter)).then_some(length)
}

/// `%C3%A9`, and `%25C3%25A9`.
fn after_percent(letter: char, rest: &str) -> Option<usize> {
    let mut length = 0;
    for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
        let mut after = rest[length..].strip_prefix('%')?;
        while let Some(again) = after
            .strip_prefix("25")
            .filter(|again| hex(again, 2).is_some())
        {
            after = again;
        }
        if hex(after, 2)? != u32::from(byte) {
            return None;
        }
        length = rest.len() - after.len() + 2;
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a\"<&'\\é/ \n%+🔑";

    fn check(written: &str) {
        let text = format!("é before: {written} after");
        let found = Pattern::new(SECRET).find(&text, 0);
        assert_eq!(found.map(|it| &text[it]), Some(written));
    }

    #[test]
    fn a_secret_is_found_in_every_notation() {
        check(SECRET);
        check(r#"a\"<&'\\é/ \n%+🔑"#);
        check(r#"a\\\"<&'\\\\é\\/ \\n%+🔑"#);
        check(r#"a\"\u003c\u0026\u0027\\\u00e9\/ \n%+\ud83d\udd11"#);
        check(r#"a\\\"\\u003C\\u0026'\\\\\\u00E9/ \\n%+\\ud83d\\udd11"#);
        check(r#"a\"<&\'\\\u{e9}/ \n%+\u{1f511}"#);
        check("a&quot;&lt;&amp;&apos;\\é/ \n%+🔑");
        check("a&#34;&#x3c;&#38;&#39;\\&#233;/ &#10;%+🔑");
        check("a&amp;quot;&amp;lt;&amp;amp;&amp;#x27;\\é/ \n%+🔑");
        check("a%22%3C%26%27%5C%C3%A9%2F%20%0A%25%2B%F0%9F%94%91");
        check("a%22%3c%26'%5c%c3%a9/+%0a%25%2b%f0%9f%94%91");
        check("a%2522%253C%2526%2527%255C%25C3%25A9%252F%2520%250A%2525%252B%25F0%259F%2594%2591");
    }

    #[test]
    fn what_is_another_text_is_not_found() {
        let secret = Pattern::new("open \"it\"");
        for text in [
            "open it",
            "open \"it",
            "open &lt;it&quot;",
            "Open \"it\"",
            "open+'it'",
            "open%21",
            "",
        ] {
            assert_eq!(secret.find(text, 0), None, "{text}");
        }
        let longest = Pattern::new("\\\\n\\");
        assert_eq!(longest.find("x\\n\\", 0), Some(1..4));
    }

    #[test]
    fn parts_at_the_ends_are_found_in_every_notation_too() {
        let secret = Pattern::new("sesame\"öpen it");
        let beginning = |text: &str| secret.beginning_at_end(text, 4);
        assert_eq!(beginning("key=sesame\\\""), 8);
        assert_eq!(beginning("key=sesame\\\\\\u00"), 12);
        assert_eq!(beginning("key=sesame%22%C3"), 12);
        assert_eq!(beginning("key=ses"), 0);
        assert_eq!(beginning("key=sesame\"open"), 0);
        let end = |text: &str| secret.end_at_beginning(text, 4);
        assert_eq!(end("\\u00f6pen it."), 12);
        assert_eq!(end("pen+it."), 6);
        assert_eq!(end(" it."), 0);
    }
}
