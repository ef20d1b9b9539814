//! Bytes of others as text of a sensible length. Must not know where it is shown.

use std::borrow::Cow;

/// Stands where there was more: who hides secrets must know that half of one may stand before it.
const MARK: char = '…';

/// The bytes as text of at most so many bytes.
pub(super) fn cut(bytes: &[u8], longest: usize) -> Cow<'_, str> {
    if bytes.len() <= longest {
        return String::from_utf8_lossy(bytes);
    }
    let kept = &bytes[..longest.saturating_sub(MARK.len_utf8())];
    // The last character may be half there.
    let kept = match std::str::from_utf8(kept) {
        Err(error) if error.error_len().is_none() => &kept[..error.valid_up_to()],
        _ => kept,
    };
    format!("{}{MARK}", String::from_utf8_lossy(kept)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_marked_and_goes_through_no_character() {
        let check = |text: &str, expected: &str| assert_eq!(cut(text.as_bytes(), 8), expected);
        check("", "");
        check("12345678", "12345678");
        check("123456789", "12345…");
        check("1234é6789", "1234…");
        assert_eq!(cut(b"12\xff456789", 8), "12\u{fffd}45…");
    }
}
