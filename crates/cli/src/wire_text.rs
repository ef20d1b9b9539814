//! Messages as one line for people: without secrets, their long values cut. Owns the cutting; who shows them is for the commands.

use std::borrow::Cow;

use stepflow_flow::value::Kind;
use stepflow_flow::value::Value;

use crate::json_text;
use crate::report::shortened;
use crate::secrets::Secrets;

/// Longer strings are cut, and so are longer messages.
const LONGEST_STRING: usize = 200;
pub const LONGEST_MESSAGE: usize = 4000;

/// JSON on one line, without secrets, its long values cut. Secrets go first: half of one would not be known again.
pub fn brief(json: &str, longest: usize, secrets: &Secrets) -> String {
    let text = match Value::parse(json) {
        Ok(value) => {
            let mut text = String::new();
            write_brief(&mut text, &value, secrets);
            Cow::Owned(text)
        }
        // A message that was read is JSON, so this is not.
        Err(_) => secrets.scrub(json),
    };
    shortened(&text, longest)
}

fn write_brief(out: &mut String, value: &Value, secrets: &Secrets) {
    match value.kind() {
        Kind::String => write_string(out, &value.as_str().unwrap_or_default(), secrets),
        Kind::List => {
            out.push('[');
            for (n, item) in value.items().iter().enumerate() {
                out.push_str(if n > 0 { "," } else { "" });
                write_brief(out, item, secrets);
            }
            out.push(']');
        }
        Kind::Object => {
            out.push('{');
            for (n, (key, item)) in value.entries().enumerate() {
                out.push_str(if n > 0 { "," } else { "" });
                write_string(out, key, secrets);
                out.push(':');
                write_brief(out, item, secrets);
            }
            out.push('}');
        }
        Kind::Null | Kind::Bool | Kind::Number => {
            let word = json_text::compact(value.as_text());
            out.push_str(&secrets.scrub(&word));
        }
    }
}

fn write_string(out: &mut String, text: &str, secrets: &Secrets) {
    let clean = secrets.scrub(text);
    out.push_str(Value::string(&shortened(&clean, LONGEST_STRING)).as_text());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: &str) {
        let secrets = Secrets::default();
        secrets.add("sesame-öpen");
        secrets.add(&"long-secret ".repeat(100));
        secrets.add("12345678");
        assert_eq!(brief(json, LONGEST_MESSAGE, &secrets), expected);
    }

    #[test]
    fn long_values_are_cut_and_say_how_long_they_were() {
        let long = "x".repeat(1000);
        let cut = format!("{}… (1000 bytes)", "x".repeat(LONGEST_STRING));
        check(
            &format!("{{\"a\": [\"{long}\", 1.50]}}"),
            &format!("{{\"a\":[\"{cut}\",1.50]}}"),
        );
        let many = format!("[{}0]", "0,".repeat(5000));
        let secrets = Secrets::default();
        let text = brief(&many, LONGEST_MESSAGE, &secrets);
        assert!(
            text.ends_with("… (10003 bytes)") && text.len() < 4100,
            "{text}"
        );
    }

    #[test]
    fn secrets_go_however_they_are_written_and_before_anything_is_cut() {
        check(r#"{"a":"the sesame-\u00f6pen"}"#, r#"{"a":"the ***"}"#);
        check(r#"{"sesame-öpen":12345678}"#, r#"{"***":***}"#);
        let long = "long-secret ".repeat(100);
        check(&format!("[\"{long}\"]"), r#"["***"]"#);
    }
}
