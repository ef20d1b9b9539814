//! What happens between the two sides, on stderr while it happens: calls back, progress, timings, and every message where that
//! was asked for. What components print and log is the logs' business.

use std::borrow::Cow;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use stepflow_components::remote::inspection::Event;
use stepflow_components::remote::inspection::Watch;
use stepflow_flow::value::Kind;
use stepflow_flow::value::Value;
use stepflow_rpc::Arrival;
use stepflow_rpc::Message;

use crate::json_text;
use crate::paint::dim;
use crate::report::shortened;
use crate::screen::Screen;
use crate::secrets::Secrets;

/// Longer strings are cut, and so are longer messages.
const LONGEST_STRING: usize = 200;
const LONGEST_MESSAGE: usize = 4000;

/// How much of a call back is shown beside its name.
const LONGEST_DETAIL: usize = 160;

/// Tells people what happens.
pub struct Watcher {
    screen: Screen,
    transcript: AtomicBool,
}

impl Watcher {
    /// A watcher that shows messages, or does not.
    pub fn new(screen: Screen, transcript: bool) -> Watcher {
        Watcher {
            screen,
            transcript: AtomicBool::new(transcript),
        }
    }

    /// Shows messages from now on, or does so no more.
    pub fn set_transcript(&self, on: bool) {
        self.transcript.store(on, Ordering::Relaxed);
    }

    /// Tells that the handshake is complete.
    pub fn connected(&self, took: Duration) {
        self.note(&format!("connected after {}", time(took)));
    }

    /// Tells how long something took.
    pub fn took(&self, what: &str, took: Duration) {
        self.note(&format!("{what} answered after {}", time(took)));
    }

    fn note(&self, text: &str) {
        self.screen.tell(&dim(text));
    }

    fn wire(&self, arrow: &str, text: &str) {
        if self.transcript.load(Ordering::Relaxed) {
            self.screen.say(&format!("{arrow} {text}"));
        }
    }

    fn arrived(&self, arrival: &Arrival) {
        if !self.transcript.load(Ordering::Relaxed) {
            return;
        }
        let text = match arrival {
            Arrival::Message(message) => wire_text(message, &self.screen.secrets),
            Arrival::Malformed(malformed) => format!("(no message) {malformed:?}"),
            Arrival::Lost { id, lost } => format!("(the answer to {id} is lost) {lost}"),
            Arrival::Failed { id, error } => format!("(no answer to {id}) {error}"),
            Arrival::Oversized { id, size, limit } => {
                format!("(the request {id} of {size} bytes is over the limit of {limit})")
            }
            Arrival::Ended(why) => {
                // A process that ended is told with all it said; here one line is enough.
                let why = why.to_string();
                format!("(the end) {}", why.lines().next().unwrap_or_default())
            }
        };
        self.wire("←", &text);
    }
}

impl Watch for Watcher {
    fn happened(&self, event: Event<'_>) {
        let detail = |text: &str| brief(text, LONGEST_DETAIL, &self.screen.secrets);
        match event {
            Event::Sent(message) if self.transcript.load(Ordering::Relaxed) => {
                self.wire("→", &wire_text(message, &self.screen.secrets));
            }
            Event::Sent(_) => {}
            Event::Received(arrival) => self.arrived(arrival),
            Event::CalledBack { method, params } => {
                self.note(&format!("calls back {method} {}", detail(params.as_text())));
            }
            Event::AnsweredBack {
                method,
                result,
                took,
            } => {
                let result = match result {
                    Ok(result) => detail(result),
                    Err(error) => format!("error: {error}"),
                };
                self.note(&format!(
                    "  {method} was answered after {}: {result}",
                    time(took)
                ));
            }
            Event::Progress(progress) => {
                let percent = progress.fraction.map(|it| format!(" {:.0}%", it * 100.0));
                let message = progress.message.unwrap_or_default();
                let text = format!("progress{} {message}", percent.unwrap_or_default());
                self.note(text.trim_end());
            }
        }
    }
}

fn time(took: Duration) -> String {
    let milliseconds = took.as_secs_f64() * 1000.0;
    match milliseconds {
        ..10.0 => format!("{milliseconds:.1} ms"),
        ..1000.0 => format!("{milliseconds:.0} ms"),
        _ => format!("{:.1} s", took.as_secs_f64()),
    }
}

/// A message as one line, without secrets, its long values cut.
fn wire_text(message: &Message, secrets: &Secrets) -> String {
    let mut text = Vec::with_capacity(message.size());
    message.encode(&mut text);
    brief(&String::from_utf8_lossy(&text), LONGEST_MESSAGE, secrets)
}

/// JSON on one line, without secrets, its long values cut. Secrets go first: half of one would not be known again.
fn brief(json: &str, longest: usize, secrets: &Secrets) -> String {
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
