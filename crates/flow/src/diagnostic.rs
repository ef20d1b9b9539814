//! What is wrong with a flow or a config, where, and the way forward.
//!
//! Owns the table of diagnostic codes and the collection of what was found. Must not know how it is
//! shown: the one-line form here is for logs and tests, snippets and colours are the command line's.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::document::{Source, Span};

mod explanation;

pub use explanation::Explanation;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Probably a mistake.
    Warning,
    /// The document cannot be used.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

macro_rules! codes {
    ($($variant:ident = $name:literal, $summary:literal;)*) => {
        /// The kinds of problems, one number each, so that documentation and editors can refer to them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(
                #[doc = concat!($name, ": ", $summary, ".")]
                $variant,
            )*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// The code as it is shown, such as `E0201`.
            pub const fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// What kind of problem it is, in a few words.
            pub const fn summary(self) -> &'static str {
                match self { $(Code::$variant => $summary,)* }
            }
        }
    };
}

codes! {
    Syntax = "E0101", "the text is not YAML or JSON";
    DuplicateKey = "E0102", "a key stands twice in one object";
    Number = "E0103", "a number that JSON cannot carry";
    Alias = "E0104", "an alias or a merge key that cannot be followed";
    TooDeep = "E0105", "lists and objects nest too deep";
    TooLarge = "E0106", "aliases expand to too much";
    SeveralDocuments = "E0107", "more than one document in the text";
    Tag = "E0108", "a tag that means nothing here";
    Key = "E0109", "a key that is not a simple value";
    UnknownKey = "E0201", "a key that is not known";
    MissingKey = "E0202", "a key that must be there is missing";
    WrongType = "E0203", "a value of the wrong type";
    BadValue = "E0204", "a value that is not allowed";
    UnknownExpression = "E0301", "an expression that is not known";
    BadPath = "E0302", "a path that cannot be read";
    BadTemplate = "E0303", "a template that cannot be read";
    LooksLikeReference = "E0304", "text that looks like a reference";
    ConstantCondition = "E0305", "a condition that always holds";
    BadId = "E0401", "a step id that cannot be used";
    DuplicateId = "E0402", "two steps with one id";
    UndefinedStep = "E0403", "a reference to a step that does not exist";
    Cycle = "E0404", "steps that wait for each other";
    UndefinedVariable = "E0405", "a reference to a variable that is not declared";
    BadComponent = "E0406", "a component path that cannot be used";
    BadSchema = "E0407", "a schema that cannot be used";
    UnknownField = "E0408", "a field that a schema does not have";
    UnusedResult = "E0409", "a step whose result nothing uses";
    SchemaConflict = "E0410", "a value that does not fit the schema of its place";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where in which text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The text's name, usually a file's.
    pub source: Arc<str>,
    /// The bytes of the text.
    pub span: Span,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source, self.line, self.column)
    }
}

/// One problem.
///
/// Shown as one line: `flow.yaml:3:5: error[E0201]: step "a": unknown key "imput" (hint: did you mean "input"?)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of problem.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// Where.
    pub location: Location,
    /// In which step, if in one.
    pub step: Option<Arc<str>>,
    /// The offending text, shortened.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// Adds the way forward.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Diagnostic {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}[{}]: ", self.location, self.severity, self.code)?;
        if let Some(step) = &self.step {
            write!(f, "step {step:?}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

/// Everything found in one text. Checks add to it and go on; nothing stops at the first problem.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    source: Arc<Source>,
    step: Option<Arc<str>>,
    found: Vec<Diagnostic>,
    n_errors: usize,
}

impl Diagnostics {
    /// How much of the offending text is kept.
    const SHOWN: usize = 80;

    /// Nothing found yet in this text.
    pub fn new(source: &Arc<Source>) -> Diagnostics {
        Diagnostics {
            source: Arc::clone(source),
            step: None,
            found: Vec::new(),
            n_errors: 0,
        }
    }

    /// The text that was checked.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Lets go of the text, of which what was found has kept its own excerpts.
    pub(crate) fn forget_text(&mut self) {
        self.source = Source::new(self.source.name(), "");
    }

    /// Names the step that what follows belongs to.
    pub fn enter_step(&mut self, step: Option<&Arc<str>>) {
        self.step = step.cloned();
    }

    /// The step that what follows belongs to.
    pub fn step(&self) -> Option<&Arc<str>> {
        self.step.as_ref()
    }

    /// Adds an error.
    pub fn error(&mut self, code: Code, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Error, code, span, message)
    }

    /// Adds a warning.
    pub fn warning(
        &mut self,
        code: Code,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(Severity::Warning, code, span, message)
    }

    /// Adds a note.
    pub fn note(&mut self, code: Code, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Note, code, span, message)
    }

    /// Adds a problem of this severity.
    pub fn add(
        &mut self,
        severity: Severity,
        code: Code,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.n_errors += usize::from(severity == Severity::Error);
        let (line, column) = self.source.line_column(span.start());
        let location = Location {
            source: self.source.name().clone(),
            span,
            line,
            column,
        };
        let step = self.step.clone();
        let text = self.source.excerpt(span, Self::SHOWN);
        self.found.push(Diagnostic {
            code,
            severity,
            message: without_middle(message.into()),
            location,
            step,
            text,
            hint: None,
        });
        self.found.last_mut().expect("one was just added")
    }

    /// Whether there is an error among what was found.
    pub fn has_errors(&self) -> bool {
        self.n_errors > 0
    }

    /// What was found, in the order of the text once [`Diagnostics::sort`] was called.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.found.iter()
    }

    /// How many problems were found.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Puts what was found into the order of the text. One mistake that several steps share by an anchor is told once.
    pub fn sort(&mut self) {
        self.found.sort_by_key(|found| found.location.span.start());
        let mut told = HashSet::new();
        self.found
            .retain(|found| told.insert((found.code, found.location.span, found.message.clone())));
        let errors = self.found.iter();
        self.n_errors = errors
            .filter(|found| found.severity == Severity::Error)
            .count();
    }
}

/// A message that quotes much of the document loses its middle: who reads it is shown the place anyway.
fn without_middle(message: String) -> String {
    const HEAD: usize = 300;
    const TAIL: usize = 100;
    if message.len() <= HEAD + TAIL {
        return message;
    }
    let head = &message[..message.floor_char_boundary(HEAD)];
    let tail = &message[message.ceil_char_boundary(message.len() - TAIL)..];
    format!("{head}…{tail}")
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.found.into_iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, found) in self.found.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{found}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
