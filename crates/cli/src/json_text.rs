//! JSON text laid out anew, token by token: numbers and strings stay as they are written, however large they are.

/// What lies deeper stays on its line: nobody reads such indentation, and it would grow without bound.
const DEEPEST: usize = 100;

/// Without any space between tokens.
pub fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for token in tokens(json) {
        out.push_str(token);
    }
    out
}

/// On one line, with a space where people put one; as YAML it is the same data.
pub fn one_line(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 4);
    let mut last = "";
    for token in tokens(json) {
        let is_apart = match (last, token) {
            ("", _) | ("{", "}") => false,
            ("{" | "," | ":", _) | (_, "}") => true,
            _ => false,
        };
        if is_apart {
            out.push(' ');
        }
        out.push_str(token);
        last = token;
    }
    out
}

/// With a line for each item and key, indented by two.
pub fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut last = "";
    for token in tokens(json) {
        match token {
            "}" | "]" => {
                depth = depth.saturating_sub(1);
                if !matches!(last, "{" | "[") {
                    break_line(&mut out, depth);
                }
            }
            "," | ":" => {}
            _ if matches!(last, "{" | "[" | ",") => break_line(&mut out, depth),
            _ => {}
        }
        out.push_str(token);
        match token {
            "{" | "[" => depth += 1,
            ":" => out.push(' '),
            _ => {}
        }
        last = token;
    }
    out
}

fn break_line(out: &mut String, depth: usize) {
    if depth > DEEPEST {
        return;
    }
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Brackets, commas, colons, strings and words of valid JSON.
fn tokens(json: &str) -> impl Iterator<Item = &str> {
    let mut rest = json;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        let length = match rest.bytes().next()? {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            b'"' => string_length(rest),
            _ => rest
                .find([' ', '\t', '\n', '\r', ',', ':', '}', ']'])
                .unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        Some(token)
    })
}

fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_some_air() {
        let check = |json: &str, expected: &str| assert_eq!(one_line(json), expected);
        check("[ ]", "[]");
        check("{ }", "{}");
        check(
            r#"{"a":[1,{"b":{}}],"c":":,"}"#,
            r#"{ "a": [1, { "b": {} }], "c": ":," }"#,
        );
    }

    #[test]
    fn layout_changes_and_tokens_do_not() {
        let check = |json: &str, small: &str, large: &str| {
            assert_eq!(compact(json), small);
            assert_eq!(indented(json), large);
            assert_eq!(compact(&indented(json)), small);
        };
        check(" 1.50e+3 ", "1.50e+3", "1.50e+3");
        check("[ ]", "[]", "[]");
        check("{ }", "{}", "{}");
        check(r#""a \" , b""#, r#""a \" , b""#, r#""a \" , b""#);
        check(r#""\\""#, r#""\\""#, r#""\\""#);
        check(
            "{\"a\" : [1,\n2],\"b\":{}}",
            r#"{"a":[1,2],"b":{}}"#,
            "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}",
        );
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(compact(&indented(&deep)), deep);
        check(
            r#"[[],{"k":null}]"#,
            r#"[[],{"k":null}]"#,
            "[\n  [],\n  {\n    \"k\": null\n  }\n]",
        );
    }
}
