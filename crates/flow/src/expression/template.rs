//! Templates: `Hello {{ $input.name }}`.
//!
//! Owns the text form of templates. Only paths stand between the braces, never code. `{{{{` is a literal
//! `{{`; of a longer run of braces the last two open a reference if the run's length leaves two or three
//! beyond a multiple of four, so that every text can be written.

use std::sync::Arc;

use super::{OnSkip, Piece, Reference, StepName, Target};
use crate::document::Span;
use crate::path::{Path, Segment};

/// Why a text is not a template.
pub(super) struct TemplateError {
    pub message: String,
    pub hint: &'static str,
    pub span: Span,
}

/// The template as it stands in its source, where quotes and escapes may make it longer than its text.
pub(super) struct Written<'s> {
    source: &'s str,
    whole: Span,
    /// What was not located yet.
    rest: Span,
}

impl<'s> Written<'s> {
    pub fn new(source: &'s str, whole: Span) -> Written<'s> {
        Written {
            source,
            whole,
            rest: whole,
        }
    }

    /// Where a piece of the text stands; pieces are asked for in order. All of it where that cannot be told.
    fn locate(&mut self, piece: &str) -> Span {
        let rest = self.source.get(self.rest.start()..self.rest.end());
        let Some(at) = rest
            .filter(|_| !piece.is_empty())
            .and_then(|rest| rest.find(piece))
        else {
            return self.whole;
        };
        let start = self.rest.start() + at;
        let end = start + piece.len();
        self.rest = Span::new(end, self.rest.end());
        Span::new(start, end)
    }
}

const SHAPES: &str =
    "write {{ $input.path }}, {{ $step.id.path }} or {{ $variable.name }}; a literal {{ is {{{{";

/// What a text says, and every mistake in it.
pub(super) struct Parsed {
    pub pieces: Vec<Piece<StepName>>,
    pub errors: Vec<TemplateError>,
}

pub(super) fn parse(text: &str, written: &mut Written<'_>) -> Parsed {
    let mut pieces = Vec::new();
    let mut errors = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        literal.push_str(&rest[..at]);
        let run = rest[at..].bytes().take_while(|byte| *byte == b'{').count();
        let n_literal = run / 4 * 2 + usize::from(run % 4 % 2 == 1);
        literal.extend(std::iter::repeat_n('{', n_literal));
        rest = &rest[at + run..];
        if run % 4 >= 2 {
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal).into()));
            }
            rest = match reference(rest, written) {
                Ok((reference, after)) => {
                    pieces.push(Piece::Reference(reference));
                    after
                }
                Err(error) => {
                    errors.push(error);
                    // Braces that do not close have swallowed the rest.
                    rest.split_once("}}").map_or("", |(_, after)| after)
                }
            };
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal.into()));
    }
    Parsed { pieces, errors }
}

/// The reference after opening braces, and what follows its closing ones.
fn reference<'t>(
    text: &'t str,
    written: &mut Written<'_>,
) -> Result<(Reference<StepName>, &'t str), TemplateError> {
    let inner = text.trim_start();
    let span = written.locate(shown(text));
    let error = |what| error(text, what, span);
    let Some((path, length)) = Path::parse_prefix(inner.strip_prefix('$').unwrap_or_default()).ok()
    else {
        return Err(error("is no reference"));
    };
    let after = inner[1 + length..].trim_start();
    let Some(after) = after.strip_prefix("}}") else {
        return Err(error("is no path that ends with }}"));
    };
    let is_doubled = inner[1..].starts_with('$');
    let Some((Segment::Field(root), below)) = path.segments().split_first().filter(|_| !is_doubled)
    else {
        return Err(error("is no reference"));
    };
    let (target, below) = match (&**root, below.split_first()) {
        ("input", _) => (Target::Input, below),
        ("step", Some((Segment::Field(step), below))) => (
            Target::Step {
                step: Arc::clone(step),
                on_skip: OnSkip::Skip,
            },
            below,
        ),
        ("variable", Some((Segment::Field(name), below))) => (
            Target::Variable {
                name: Arc::clone(name),
                default: None,
            },
            below,
        ),
        _ => return Err(error("is no reference")),
    };
    Ok((
        Reference {
            target,
            path: Path::new(below),
            span,
            path_span: span,
        },
        after,
    ))
}

/// What stands between the braces.
fn shown(text: &str) -> &str {
    text.find("}}").map_or(text, |end| &text[..end]).trim()
}

fn error(text: &str, what: &str, span: Span) -> TemplateError {
    const LONGEST: usize = 60;
    let whole = shown(text);
    let shown = match whole.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole.to_owned(),
    };
    TemplateError {
        message: format!("in a template, \"{{{{ {shown}\" {what}"),
        hint: SHAPES,
        span,
    }
}

/// The text form of a template.
pub(super) fn print(pieces: &[Piece<StepName>]) -> String {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => push_literal(&mut out, text),
            Piece::Reference(reference) => {
                out.push_str("{{ ");
                out.push_str(&print_reference(reference));
                out.push_str(" }}");
            }
        }
    }
    out
}

/// Text in which every pair of a run of braces is doubled.
fn push_literal(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        out.push_str(&rest[..at]);
        out.push_str("{{{{");
        rest = &rest[at + 2..];
    }
    out.push_str(rest);
}

fn print_reference(reference: &Reference<StepName>) -> String {
    let (root, name) = match &reference.target {
        Target::Input => ("input", None),
        Target::Step { step, .. } => ("step", Some(step)),
        Target::Variable { name, .. } => ("variable", Some(name)),
    };
    let name = name
        .map(|name| Segment::Field(Arc::clone(name)).to_string())
        .unwrap_or_default();
    let path = reference.path.to_string();
    format!("${root}{name}{}", &path[1..])
}
