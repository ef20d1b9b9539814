//! What happens between the two sides, on stderr while it happens: calls back, progress, timings, and every message where that
//! was asked for. What components print and log is the logs' business.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use stepflow_components::remote::inspection::Event;
use stepflow_components::remote::inspection::Watch;
use stepflow_rpc::Arrival;
use stepflow_rpc::Message;

use crate::paint::dim;
use crate::screen::Screen;
use crate::secrets::Secrets;
use crate::wire_text::LONGEST_MESSAGE;
use crate::wire_text::brief;

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
