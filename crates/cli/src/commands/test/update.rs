//! Outcomes back into the text of a flow. Owns the places that change: comments, order and the look of everything else
//! stay. What was written is read again and compared before it takes the place of the file.

use std::ops::Range;

use indexmap::IndexMap;
use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::document;
use stepflow_flow::document::Kind;
use stepflow_flow::document::Node;
use stepflow_flow::document::Object;
use stepflow_flow::document::Source;
use stepflow_flow::document::Style;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Kind as ValueKind;
use stepflow_flow::value::Value;

use super::case::Verdict;
use super::compare;
use super::shown;
use super::suite::Ran;
use crate::json_text;
use crate::report::CliError;
use crate::report::words;
use crate::secrets::Secrets;
use crate::yaml_text;

/// What is said of a test whose expected outcome stays as it is.
const BY_HAND: &str = "its expected outcome cannot be written in place: it is shared by an alias or a merge; edit it by hand";

/// The same, where writing it would put a secret into a file that others read.
const SECRET: &str = "its outcome is not written, because it tells a secret (shown as `***`); expect its `code` or `outcome` alone";

/// Writes the outcomes of failed tests into their flow. What a test would have come to, had it had more time, nobody knows.
pub fn update(ran: &mut Ran, secrets: &Secrets) -> Result<(), CliError> {
    let mut outputs = IndexMap::new();
    for case in &mut ran.cases {
        if case.verdict != Verdict::Failed || case.timed_out.is_some() {
            continue;
        }
        let actual = compare::actual_value(&case.outcome, case.expected.as_ref());
        if tells_secret(&case.outcome, &actual, secrets) {
            case.not_updated = Some(SECRET);
        } else {
            outputs.insert(case.place, actual);
        }
    }
    let Some(source) = ran.source.as_ref().filter(|_| !outputs.is_empty()) else {
        return Ok(());
    };
    let (text, written) = as_many_as_possible(source.text(), &outputs);
    if !written.is_empty() {
        std::fs::write(&ran.path, text)
            .map_err(|error| words::unwritable(&shown(&ran.path), error))?;
    }
    for case in &mut ran.cases {
        if written.contains(&case.place) {
            case.verdict = Verdict::Updated;
        } else if outputs.contains_key(&case.place) {
            case.not_updated = Some(BY_HAND);
        }
    }
    Ok(())
}

/// Whether a secret would be written. What a flow returns is its author's business; how it failed or was skipped is told by others.
fn tells_secret(outcome: &Outcome, written: &Value, secrets: &Secrets) -> bool {
    let text = written.as_text();
    !matches!(outcome, Outcome::Success(_)) && *secrets.scrub(text) != *text
}

/// The text with all of these changed, or where that cannot be, one by one; and which are.
fn as_many_as_possible(text: &str, outputs: &IndexMap<usize, Value>) -> (String, Vec<usize>) {
    if let Some(all) = rewritten(text, outputs) {
        return (all, outputs.keys().copied().collect());
    }
    let mut text = text.to_owned();
    let mut written = Vec::new();
    for (place, output) in outputs {
        let one = IndexMap::from([(*place, output.clone())]);
        if let Some(changed) = rewritten(&text, &one) {
            text = changed;
            written.push(*place);
        }
    }
    (text, written)
}

/// The text with the expected outcomes of these cases changed; `None` if that cannot be done safely.
fn rewritten(text: &str, outputs: &IndexMap<usize, Value>) -> Option<String> {
    let document = read(text)?;
    let cases = cases(&document)?;
    let mut edits = Edits {
        text,
        edits: Vec::new(),
    };
    for (place, output) in outputs {
        let case = cases.get(*place)?.as_object()?;
        match entry(case, "output") {
            Some(_) => edits.entry(case, "output", output),
            None => edits.add(cases.get(*place)?, "output", output),
        }
    }
    let changed = edits.apply();
    let found = read(&changed)?.to_value();
    (found == with_outputs(&document.to_value(), outputs)).then_some(changed)
}

fn read(text: &str) -> Option<Node> {
    let source = Source::new("the flow", text);
    let mut diagnostics = Diagnostics::new(&source);
    document::read(&source, &mut diagnostics).filter(|_| !diagnostics.has_errors())
}

fn cases(document: &Node) -> Option<&[Node]> {
    let test = document.as_object()?.get("test")?;
    test.as_object()?.get("cases")?.as_list()
}

/// What the document is to be after the change.
fn with_outputs(document: &Value, outputs: &IndexMap<usize, Value>) -> Value {
    let replaced = |object: &Value, name: &str, value: Value| {
        let mut entries: IndexMap<&str, Value> = object
            .entries()
            .map(|(key, item)| (key, item.clone()))
            .collect();
        entries.insert(name, value);
        Value::object(entries)
    };
    let test = document.get("test").unwrap_or_default();
    let cases = test.get("cases").unwrap_or_default();
    let cases = cases.items().iter().enumerate().map(|(place, case)| {
        let output = outputs.get(&place);
        output.map_or_else(
            || case.clone(),
            |output| replaced(case, "output", output.clone()),
        )
    });
    let test = replaced(&test, "cases", Value::list(cases));
    replaced(document, "test", test)
}

fn entry<'o>(object: &'o Object, name: &str) -> Option<&'o document::Entry> {
    let mut entries = object.iter();
    entries
        .find(|(key, _)| &***key == name)
        .map(|(_, entry)| entry)
}

/// Changes of a text, by the bytes they replace.
struct Edits<'t> {
    text: &'t str,
    edits: Vec<(Range<usize>, String)>,
}

impl Edits<'_> {
    /// Changes as little as possible of the value of a key.
    fn entry(&mut self, object: &Object, name: &str, wanted: &Value) {
        let Some(entry) = entry(object, name) else {
            return;
        };
        let node = &entry.node;
        if self.inside(node, wanted) {
            return;
        }
        let indent = self.column(entry.key_span.start());
        // A block of text starts with a mark before it, and nothing at all stands nowhere.
        let is_placeless = matches!(node.kind, Kind::String(_, Style::Block))
            || node.span.start() == node.span.end();
        let (start, before) = match is_placeless {
            true => (self.after_colon(entry.key_span.end()), " "),
            false => (node.span.start(), ""),
        };
        let range = start..self.end(node).max(start);
        let written = self.written(node, wanted, indent);
        self.edits.push((range, format!("{before}{written}")));
    }

    /// Changes a node from the inside where that will do.
    fn inside(&mut self, node: &Node, wanted: &Value) -> bool {
        if node.to_value() == *wanted {
            return true;
        }
        match (&node.kind, wanted.kind()) {
            (Kind::Object(object), ValueKind::Object) => {
                let same = object.len() == wanted.len()
                    && object.iter().all(|(key, _)| wanted.get(key).is_some());
                if same {
                    for (key, wanted) in wanted.entries() {
                        self.entry(object, key, wanted);
                    }
                }
                same
            }
            (Kind::List(items), ValueKind::List) if items.len() == wanted.len() => {
                let marks = self.edits.len();
                let pairs = items.iter().zip(wanted.items());
                for (item, wanted) in pairs {
                    if !self.item(item, wanted) {
                        self.edits.truncate(marks);
                        return false;
                    }
                }
                true
            }
            _ => false,
        }
    }

    fn item(&mut self, item: &Node, wanted: &Value) -> bool {
        if self.inside(item, wanted) {
            return true;
        }
        if matches!(item.kind, Kind::String(_, Style::Block))
            || item.span.start() == item.span.end()
        {
            return false;
        }
        let range = item.span.start()..self.end(item);
        let written = self.written(item, wanted, self.column(item.span.start()));
        self.edits.push((range, written));
        true
    }

    /// A new key after the last one of an object.
    fn add(&mut self, node: &Node, name: &str, wanted: &Value) {
        let Some((_, first)) = node.as_object().and_then(|object| object.iter().next()) else {
            return;
        };
        let start = node.span.start();
        let end = self.end(node);
        if self.text[start..].starts_with('{') {
            let is_json = self.text[..first.key_span.end()].ends_with('"');
            let name = if is_json {
                format!("\"{name}\"")
            } else {
                name.to_owned()
            };
            let close = end - 1;
            let close = self.text[..close].trim_end().len();
            let comma = if self.text[..close].ends_with(',') {
                " "
            } else {
                ", "
            };
            let text = format!("{comma}{name}: {}", json_text::one_line(wanted.as_text()));
            self.edits.push((close..close, text));
        } else {
            // The line may go on with a comment.
            let end = self.text[end..]
                .find('\n')
                .map_or(self.text.len(), |found| end + found);
            let indent = self.column(first.key_span.start());
            let spaces = " ".repeat(indent);
            let text = format!("\n{spaces}{name}:{}", block(wanted, indent + 2));
            self.edits.push((end..end, text));
        }
    }

    /// A value in the place of a node: over several lines where the node was, else in one.
    fn written(&self, node: &Node, wanted: &Value, indent: usize) -> String {
        let is_container =
            matches!(wanted.kind(), ValueKind::Object | ValueKind::List) && !wanted.is_empty();
        let old = &self.text[node.span.start()..self.end(node)];
        let is_flow_style = old.starts_with(['{', '[']);
        let was_container = matches!(node.kind, Kind::Object(_) | Kind::List(_));
        if is_container && was_container && !is_flow_style {
            let indent = self.column(node.span.start()).max(indent);
            let text = yaml_text::print(wanted);
            return text
                .trim_end()
                .replace('\n', &format!("\n{}", " ".repeat(indent)));
        }
        let is_json = is_flow_style || old.starts_with('"');
        match is_json || is_container {
            true => json_text::one_line(wanted.as_text()),
            false => yaml_text::print(wanted).trim_end().to_owned(),
        }
    }

    /// Where a node ends, without the white space and comments that follow it.
    fn end(&self, node: &Node) -> usize {
        let last = match &node.kind {
            Kind::List(items) => items.last().map(|item| self.end(item)),
            Kind::Object(object) => {
                let entries = object.iter();
                let ends =
                    entries.map(|(_, entry)| self.end(&entry.node).max(entry.key_span.end()));
                ends.last()
            }
            _ => None,
        };
        let start = node.span.start();
        let own = start + self.text[start..node.span.end()].trim_end().len();
        let is_flow_style = self.text[start..].starts_with(['{', '[']);
        match last.filter(|_| !is_flow_style) {
            Some(last) => last.min(own),
            None => own,
        }
    }

    /// Past the colon that follows a key.
    fn after_colon(&self, key_end: usize) -> usize {
        let colon = self.text[key_end..].find(':');
        colon.map_or(key_end, |found| key_end + found + 1)
    }

    fn column(&self, at: usize) -> usize {
        let line = self.text[..at].rfind('\n').map_or(0, |found| found + 1);
        self.text[line..at].chars().count()
    }

    fn apply(mut self) -> String {
        self.edits
            .sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
        let mut text = self.text.to_owned();
        for (range, new) in self.edits {
            text.replace_range(range, &new);
        }
        text
    }
}

/// What follows a key and its colon: a block below it, or a word beside it.
fn block(value: &Value, indent: usize) -> String {
    let text = yaml_text::print(value);
    let text = text.trim_end();
    if matches!(value.kind(), ValueKind::Object | ValueKind::List) && !value.is_empty() {
        let spaces = " ".repeat(indent);
        let lines = text.lines().map(|line| format!("\n{spaces}{line}"));
        lines.collect()
    } else {
        format!(" {text}")
    }
}

#[cfg(test)]
mod tests;
