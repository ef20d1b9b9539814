//! From what passed to the text of a transcript, and from there to the page that shows it.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;

use serde_json::Value;
use stepflow_tests::environment::workspace;

use crate::recorder::Head;
use crate::recorder::Note;
use crate::recorder::What;

/// The fence of a transcript; the heading above it is its name.
const FENCE: &str = "```text transcript";
/// Longer JSON is broken into lines.
const WIDTH: usize = 110;
/// Longer bodies are only counted.
const MOST_SHOWN: usize = 2000;

/// What of a recording is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    /// Headers, in this spelling; others are noise here.
    pub headers: &'static [&'static str],
    /// Requests with these methods are left out, with their answers.
    pub without: &'static [&'static str],
}

/// Writes a transcript. An exchange has one number in all that belongs to it.
pub fn transcript(notes: &[Note], shown: Shown) -> String {
    let notes: Vec<_> = without(notes, shown.without);
    let mut writer = Writer {
        names: Names::of(&notes),
        headers: shown.headers,
        said: HashSet::new(),
        lines: Vec::new(),
    };
    let mut numbers: Vec<usize> = Vec::new();
    let mut done = HashSet::new();
    for (place, note) in notes.iter().enumerate() {
        if matches!(note.what, What::Request(..)) {
            if !numbers.is_empty() {
                writer.lines.push(String::new());
            }
            numbers.push(note.exchange);
        }
        let number = numbers.iter().position(|it| *it == note.exchange);
        let Some(number) = number.map(|place| place + 1) else {
            continue;
        };
        // That a message was taken may be said before or after what the message led to: it is shown beside its message.
        let taken = notes.iter().position(|it| {
            it.exchange == note.exchange
                && matches!(&it.what, What::Answer(head, _) if head.first.contains(" 202 "))
        });
        for place in [Some(place), taken].into_iter().flatten() {
            if done.insert(place) {
                writer.write(number, &notes[place].what);
            }
        }
    }
    writer.lines.join("\n") + "\n"
}

/// The notes but for exchanges whose requests have one of these methods.
fn without<'a>(notes: &'a [Note], methods: &[&str]) -> Vec<&'a Note> {
    let left_out = notes.iter().filter(|note| {
        let What::Request(_, body) = &note.what else {
            return false;
        };
        let message = json(body).unwrap_or_default();
        methods.iter().any(|method| message["method"] == *method)
    });
    let left_out: HashSet<_> = left_out.map(|note| note.exchange).collect();
    let kept = notes.iter().filter(|it| !left_out.contains(&it.exchange));
    kept.collect()
}

struct Writer {
    names: Names,
    headers: &'static [&'static str],
    /// Headers that stand there already, and need not be said again of the next.
    said: HashSet<String>,
    lines: Vec<String>,
}

impl Writer {
    fn write(&mut self, number: usize, what: &What) {
        match what {
            What::Request(head, body) => self.message(&format!("{number} →"), head, body),
            What::Answer(head, body) => self.message(&format!("{number} ←"), head, body),
            What::Stream(head) => self.message(&format!("{number} ←"), head, &[]),
            What::Event(text) => self.event(number, text),
            What::End => {}
        }
    }

    fn message(&mut self, mark: &str, head: &Head, body: &[u8]) {
        let first = head.first.trim_start_matches("HTTP/1.1 ");
        let first = first.trim_end_matches(" HTTP/1.1");
        self.lines.push(format!("{mark} {}", self.names.put(first)));
        let kind = first.split(' ').next().unwrap_or_default();
        for name in self.headers {
            let value = head.header(&name.to_lowercase()).unwrap_or("*/*");
            if value != "*/*" && self.said.insert(format!("{kind} {name} {value}")) {
                let value = self.names.put(value);
                self.lines.push(format!("    {name}: {value}"));
            }
        }
        if body.len() > MOST_SHOWN {
            let size = body.len();
            self.lines.push(format!("    (a message of {size} bytes)"));
        } else if !body.is_empty() {
            let text = self.names.put(&String::from_utf8_lossy(body));
            self.lines.push(format!("    {}", laid_out(&text, 4)));
        }
    }

    fn event(&mut self, number: usize, text: &str) {
        // Keep-alives come by the clock, and say nothing.
        let fields = text.lines().filter(|line| !line.starts_with(':'));
        for (place, line) in fields.enumerate() {
            let mark = match place {
                0 => format!("{number} ←"),
                _ => "   ".to_owned(),
            };
            let line = self.names.put(line);
            let line = match line.strip_prefix("data: ") {
                Some(data) => format!("data: {}", laid_out(data, 4)),
                None => line,
            };
            self.lines.push(format!("{mark} {line}"));
        }
    }
}

fn json(text: &[u8]) -> Option<Value> {
    serde_json::from_slice(text).ok()
}

/// JSON on one line where it fits, else broken into lines.
fn laid_out(text: &str, indent: usize) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(text) else {
        return text.to_owned();
    };
    // What a trace needs is long, the same in every message, and explained elsewhere.
    if let Some(observability) = value.pointer_mut("/params/observability") {
        *observability = Value::from("…");
    }
    broken(&value, indent, indent).replace(r#""observability":"…""#, r#""observability":{…}"#)
}

fn broken(value: &Value, indent: usize, column: usize) -> String {
    let short = value.to_string();
    let Value::Object(members) = value else {
        return short;
    };
    if column + short.chars().count() <= WIDTH {
        return short;
    }
    let inner = indent + 2;
    let members = members.iter().map(|(key, value)| {
        let key = format!("{}:", Value::from(key.as_str()));
        let value = broken(value, inner, inner + key.len());
        format!("{:inner$}{key}{value}", "")
    });
    let members: Vec<_> = members.collect();
    format!("{{\n{}\n{:indent$}}}", members.join(",\n"), "")
}

/// Names for what is different each time.
#[derive(Debug, Default)]
struct Names(Vec<(String, String)>);

impl Names {
    fn of(notes: &[&Note]) -> Names {
        let mut names = Names::default();
        let (mut n_ours, mut n_theirs) = (0, 0);
        for note in notes {
            match &note.what {
                What::Request(_, body) | What::Answer(_, body) => {
                    names.message(json(body), 'r', &mut n_ours);
                }
                What::Event(text) => {
                    let field = |name| text.lines().find_map(|line| line.strip_prefix(name));
                    let id: &str = field("id: ").unwrap_or_default();
                    if let Some((secret, _)) = id.rsplit_once('.') {
                        names.add(secret, "<stream>".to_owned());
                    }
                    let data = field("data: ").unwrap_or_default();
                    if let Some((_, session)) = data.split_once("sessionId=") {
                        let end = session.find(['&', '"']).unwrap_or(session.len());
                        names.add(&session[..end], "<session>".to_owned());
                    }
                    names.message(json(data.as_bytes()), 's', &mut n_theirs);
                }
                What::Stream(_) | What::End => {}
            }
        }
        names
    }

    /// Finds names in a message: its id, where a program made it up; runs and versions.
    fn message(&mut self, message: Option<Value>, side: char, n_before: &mut usize) {
        let Some(message) = message else { return };
        let id = message["id"].as_str().filter(|it| it.len() == 36);
        if let Some(id) = id.filter(|_| message["method"].is_string()) {
            *n_before += usize::from(self.add(id, format!("{side}{}", *n_before + 1)));
        }
        let (params, result) = (&message["params"], &message["result"]);
        if let Some(run) = params["run_id"].as_str() {
            self.add(run, "<run>".to_owned());
        }
        for about in [&params["runtime"], &result["server"]] {
            if let Some(version) = about["version"].as_str() {
                let version = format!(r#""version":"{version}""#);
                self.add(&version, r#""version":"<version>""#.to_owned());
            }
        }
    }

    fn add(&mut self, value: &str, name: String) -> bool {
        let is_new = self.0.iter().all(|known| known.0 != value);
        if is_new {
            self.0.push((value.to_owned(), name));
        }
        is_new
    }

    fn put(&self, text: &str) -> String {
        let put = |text: String, (value, name): &(String, String)| text.replace(value, name);
        self.0.iter().fold(text.to_owned(), put)
    }
}

/// Where the transcripts are shown.
pub fn path() -> PathBuf {
    workspace().join("docs/protocol/transports/http.md")
}

/// A block of the page, by the lines between its fences.
#[derive(Debug)]
struct Block {
    heading: String,
    first: usize,
    end: usize,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let (mut heading, mut first) = (String::new(), None);
    for (number, line) in page.lines().enumerate() {
        match first {
            Some(from) if line == "```" => {
                blocks.push(Block {
                    heading: heading.clone(),
                    first: from,
                    end: number,
                });
                first = None;
            }
            None if line == FENCE => first = Some(number + 1),
            None if line.starts_with('#') => {
                line.trim_start_matches(['#', ' ']).clone_into(&mut heading);
            }
            _ => {}
        }
    }
    blocks
}

/// The headings above the transcripts of the page.
pub fn headings() -> Vec<String> {
    let page = std::fs::read_to_string(path()).unwrap();
    blocks(&page).into_iter().map(|it| it.heading).collect()
}

/// Compares a transcript with the one on the page, or puts it there where `UPDATE_DOCS` is set.
pub fn check(heading: &str, found: &str) {
    // One at a time: each may write the page.
    static PAGE: Mutex<()> = Mutex::new(());
    let _one = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let page = std::fs::read_to_string(path()).unwrap();
    let mut sought = blocks(&page).into_iter().filter(|it| it.heading == heading);
    let (Some(block), None) = (sought.next(), sought.next()) else {
        panic!(
            "{}: there must be one `{FENCE}` below {heading:?}",
            path().display()
        );
    };
    let lines: Vec<_> = page.lines().collect();
    let shown = &lines[block.first..block.end];
    let found: Vec<_> = found.lines().collect();
    if shown == found {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let all = [&lines[..block.first], &found, &lines[block.end..]].concat();
        std::fs::write(path(), all.join("\n") + "\n").unwrap();
        return;
    }
    panic!(
        "{}, below {heading:?}, shows something else than what passes (- page, + found):\n{}\n\
         to take what was found: UPDATE_DOCS=1 cargo test -p stepflow-tests --test transcripts",
        path().display(),
        difference(shown, &found)
    );
}

/// The lines that differ, with two of those around them.
fn difference(shown: &[&str], found: &[&str]) -> String {
    let same = shown.iter().zip(found).take_while(|(a, b)| a == b).count();
    let (shown_rest, found_rest) = (&shown[same..], &found[same..]);
    let pairs = shown_rest.iter().rev().zip(found_rest.iter().rev());
    let tail = pairs.take_while(|(a, b)| a == b).count();
    let mark = |sign: char, lines: &[&str]| {
        let lines = lines.iter().map(|line| format!("{sign} {line}\n"));
        lines.collect::<String>()
    };
    let (removed, after) = shown_rest.split_at(shown_rest.len() - tail);
    [
        mark(' ', &shown[same.saturating_sub(2)..same]),
        mark('-', removed),
        mark('+', &found_rest[..found_rest.len() - tail]),
        mark(' ', &after[..after.len().min(2)]),
    ]
    .concat()
}
