//! Text inside XML. Owns how markup is kept from being taken for some; which elements there are is for those who write them.

/// Text inside an element or an attribute. XML has no way to write most control characters: `instead` stands for each.
pub fn escaped(text: &str, instead: char) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(letter),
            '\u{0}'..'\u{20}' | '\u{fffe}' | '\u{ffff}' => out.push(instead),
            letter => out.push(letter),
        }
    }
    out
}
