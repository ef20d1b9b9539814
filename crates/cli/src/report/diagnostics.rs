//! Diagnostics as a compiler shows them: the line, what is wrong in it, what to do.

use annotate_snippets::AnnotationKind;
use annotate_snippets::Group;
use annotate_snippets::Level;
use annotate_snippets::Origin;
use annotate_snippets::Renderer;
use annotate_snippets::Snippet;
use stepflow_flow::diagnostic::Diagnostic;
use stepflow_flow::diagnostic::Severity;
use stepflow_flow::document::Source;

use super::Found;

/// A broken file may have thousands; nobody reads them all.
const SHOWN: usize = 50;

/// How many lines of one place are shown.
const LINES: usize = 4;

/// How long a line may be to be shown with its place in it.
const LONGEST_LINE: usize = 1000;

/// All of them, with colours.
pub fn render(found: &Found) -> String {
    let renderer = Renderer::styled();
    let mut text = String::new();
    for diagnostic in found.diagnostics.iter().take(SHOWN) {
        text.push_str(&render_one(&renderer, &found.source, diagnostic));
        text.push_str("\n\n");
    }
    let more = found.diagnostics.len().saturating_sub(SHOWN);
    if more > 0 {
        text.push_str(&format!("… and {more} more\n\n"));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// How many errors and warnings there are, in words.
pub fn count(found: &[Found]) -> String {
    let all = || found.iter().flat_map(|found| &found.diagnostics);
    let some = |severity, one: &str, many: &str| {
        let n = all().filter(|it| it.severity == severity).count();
        (n > 0).then(|| format!("{n} {}", if n == 1 { one } else { many }))
    };
    let errors = some(Severity::Error, "error", "errors");
    let warnings = some(Severity::Warning, "warning", "warnings");
    let notes = some(Severity::Note, "note", "notes");
    let words: Vec<_> = [errors, warnings, notes].into_iter().flatten().collect();
    words.join(", ")
}

fn render_one(renderer: &Renderer, source: &Source, diagnostic: &Diagnostic) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = match &diagnostic.step {
        Some(step) => format!("step {step:?}: {}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    let title = level.primary_title(title).id(diagnostic.code.name());
    let window = Window::around(source, diagnostic);
    let snippet = Snippet::source(window.text)
        .line_start(window.first_line)
        .annotation(AnnotationKind::Primary.span(window.start..window.end));
    let location = &diagnostic.location;
    let mut groups = if window.is_cut {
        // The renderer would count the column from where the window begins.
        let place = Origin::path(&*location.source)
            .line(location.line)
            .char_column(location.column);
        vec![title.element(place).element(snippet)]
    } else {
        vec![title.element(snippet.path(&*location.source))]
    };
    if let Some(hint) = &diagnostic.hint {
        groups.push(Group::with_title(
            Level::HELP.with_name("hint").secondary_title(hint),
        ));
    }
    renderer.render(&groups).to_string()
}

/// The few lines of a text that are shown; a huge text is not walked once for each diagnostic.
struct Window<'s> {
    text: &'s str,
    first_line: usize,
    start: usize,
    end: usize,
    /// Whether the first line has lost its beginning.
    is_cut: bool,
}

impl<'s> Window<'s> {
    fn around(source: &'s Source, diagnostic: &Diagnostic) -> Window<'s> {
        let whole = source.text();
        let span = diagnostic.location.span;
        let at = whole.floor_char_boundary(span.start().min(whole.len()));
        let start_of_line = whole[..at].rfind('\n').map_or(0, |found| found + 1);
        // The mark of the byte order is in no column.
        let first = match whole.strip_prefix('\u{feff}') {
            Some(rest) if start_of_line == 0 => whole.len() - rest.len(),
            _ => start_of_line,
        };
        let beginning = first.max(at.saturating_sub(LONGEST_LINE));
        let beginning = whole.ceil_char_boundary(beginning).min(at);
        let mut lines = whole[at..]
            .char_indices()
            .filter(|(_, letter)| *letter == '\n');
        let length = lines
            .nth(LINES - 1)
            .map_or(whole.len() - at, |(place, _)| place);
        let length = length.min(LINES * LONGEST_LINE);
        let end = whole.floor_char_boundary(at + length);
        let span_end = span.end().clamp(at, end);
        let text = &whole[beginning..end];
        let span_text = whole[at..span_end].trim_end();
        Window {
            text,
            first_line: diagnostic.location.line,
            start: at - beginning,
            end: at - beginning + span_text.len(),
            is_cut: beginning > first,
        }
    }
}
