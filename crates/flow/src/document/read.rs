//! From YAML events to the tree.
//!
//! Owns duplicate keys, tags, aliases, merge keys and the budgets that keep hostile text harmless. A loop
//! over events with a stack of its own: no text makes it recurse.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, StructureStyle, Tag};
use indexmap::{IndexMap, map};

use super::scalar::{self, Refused};
use super::shared::SharedTexts;
use super::{Entry, Kind, MAX_DEPTH, Node, Object, Source, Span, Style, shortened};
use crate::diagnostic::{Code, Diagnostics};

/// How much of a number is shown that cannot be one.
const LONGEST_NUMBER: usize = 40;

/// What aliases may add to a document, in bytes or so, however small the text is.
const ALIAS_BUDGET: usize = 64 << 20;

/// What a node costs beside the text of its strings.
const NODE_WEIGHT: usize = 64;

/// How long a key may be when it stands on one line with its value.
const LONGEST_KEY: usize = 64 << 10;

/// Reads one YAML or JSON document. What is wrong goes to `diagnostics`; without a tree there is an error
/// among them. Empty text is null.
///
/// ```
/// use stepflow_flow::{diagnostic::Diagnostics, document::{self, Source}};
/// let source = Source::new("a.yaml", "a: 1.50\nb: [no, yes]\n");
/// let mut diagnostics = Diagnostics::new(&source);
/// let node = document::read(&source, &mut diagnostics).unwrap();
/// assert_eq!(node.to_value().as_text(), r#"{"a":1.50,"b":["no","yes"]}"#);
/// assert!(diagnostics.is_empty());
/// ```
pub fn read(source: &Arc<Source>, diagnostics: &mut Diagnostics) -> Option<Node> {
    let options = granit_parser::options! {
        simple_key_max_lookahead: LONGEST_KEY,
        emit_unresolved_aliases: true,
        emit_comments: false,
    };
    let mut parser = Parser::new_from_str_with_options(source.text(), options);
    let mut tree = Tree::new(source.text().len(), diagnostics);
    while let Some(event) = parser.next_event() {
        let (event, span) = match event {
            Ok((event, span)) => (event, tree.span(&span)),
            Err(error) => {
                tree.syntax_error(source, &error);
                return None;
            }
        };
        if tree.on_event(event, span).is_err() {
            return None;
        }
    }
    Some(tree.root.unwrap_or(Node {
        span: Span::default(),
        kind: Kind::Null,
    }))
}

/// The document cannot be read on; the reason is among the diagnostics.
struct Stop;

/// What a node costs, and how many levels it has.
#[derive(Clone, Copy)]
struct Size {
    weight: usize,
    height: usize,
}

/// A list or an object that is not complete yet.
struct Open {
    anchor: usize,
    span: Span,
    style: StructureStyle,
    size: Size,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Object {
        entries: IndexMap<Arc<str>, Entry>,
        key: Option<Key>,
        /// What `<<` names, and where `<<` stands.
        merged: Vec<(Node, Span)>,
    },
}

struct Key {
    text: Arc<str>,
    span: Span,
    role: Role,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Plain,
    Merge,
    /// It was reported; its value is dropped.
    Refused,
}

struct Tree<'d> {
    diagnostics: &'d mut Diagnostics,
    text_length: usize,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, Size)>,
    alias_weight: usize,
    n_documents: usize,
    texts: SharedTexts,
    root: Option<Node>,
}

impl<'d> Tree<'d> {
    fn new(text_length: usize, diagnostics: &'d mut Diagnostics) -> Tree<'d> {
        Tree {
            diagnostics,
            text_length,
            open: Vec::new(),
            anchors: HashMap::new(),
            alias_weight: 0,
            n_documents: 0,
            texts: SharedTexts::default(),
            root: None,
        }
    }

    fn span(&self, span: &granit_parser::Span) -> Span {
        let range = span.byte_range().unwrap_or_default();
        Span::new(
            range.start.min(self.text_length),
            range.end.min(self.text_length),
        )
    }

    fn syntax_error(&mut self, source: &Source, error: &ScanError) {
        let start = error
            .marker()
            .byte_offset()
            .unwrap_or(0)
            .min(self.text_length);
        let line_end = source.text().as_bytes()[start..]
            .iter()
            .position(|byte| *byte == b'\n');
        let line_length = line_end.unwrap_or(self.text_length - start);
        let span = Span::new(start, start + line_length);
        if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
            self.too_deep(span);
            return;
        }
        let message = error.info();
        let hint = syntax_hint(&message, source.text(), start);
        self.diagnostics
            .error(Code::Syntax, span, message)
            .hint(hint);
    }

    fn on_event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(..) => self.start_document(span),
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref(), span)
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", span);
                self.open(style, anchor, span, Content::List(Vec::new()))
            }
            Event::MappingStart(style, anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", span);
                let content = Content::Object {
                    entries: IndexMap::new(),
                    key: None,
                    merged: Vec::new(),
                };
                self.open(style, anchor, span, content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::UnresolvedAlias(name) => {
                self.diagnostics
                    .error(Code::Alias, span, format!("nothing has the anchor &{name}"))
                    .hint("an alias refers to an anchor above it; quote the text if it is none");
                self.node(
                    Node {
                        span,
                        kind: Kind::Null,
                    },
                    SCALAR_SIZE,
                    None,
                )
            }
            _ => Ok(()),
        }
    }

    fn start_document(&mut self, span: Span) -> Result<(), Stop> {
        self.n_documents += 1;
        if self.n_documents == 1 {
            return Ok(());
        }
        self.diagnostics
            .error(
                Code::SeveralDocuments,
                span,
                "a second document starts here",
            )
            .hint("keep one document in a file and remove the `---` before the others");
        Err(Stop)
    }

    fn check_tag(&mut self, tag: Option<&Tag>, expected: &str, span: Span) {
        if let Some(tag) =
            tag.filter(|tag| !is_unspecific(tag) && tag.core_suffix() != Some(expected))
        {
            self.unknown_tag(tag, span);
        }
    }

    fn unknown_tag(&mut self, tag: &Tag, span: Span) {
        self.diagnostics
            .error(
                Code::Tag,
                span,
                format!("the tag {} means nothing here", tag.original()),
            )
            .hint("remove the tag; data is what JSON can say");
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Stop> {
        let span = self.place_of_empty(text, style, span);
        let kind = self.scalar_kind(text, style, tag, span);
        let node = Node { span, kind };
        let size = Size {
            weight: NODE_WEIGHT + text.len(),
            height: 0,
        };
        self.keep_anchor(anchor, &node, size);
        let is_merge = style == ScalarStyle::Plain && tag.is_none() && text == "<<";
        let role = if is_merge { Role::Merge } else { Role::Plain };
        self.node(node, size, Some((text, role)))
    }

    /// A value that is not there stands where its key does.
    fn place_of_empty(&self, text: &str, style: ScalarStyle, span: Span) -> Span {
        match self.open.last().map(|open| &open.content) {
            Some(Content::Object { key: Some(key), .. })
                if text.is_empty() && style == ScalarStyle::Plain =>
            {
                key.span
            }
            _ => span,
        }
    }

    fn scalar_kind(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
    ) -> Kind {
        let written = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
            ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
        };
        let Some(tag) = tag else {
            return match written {
                // Keys are strings whatever they look like.
                Style::Plain if !self.expects_key() => self.resolved(text, span),
                _ => self.string(text, written),
            };
        };
        match tag.core_suffix() {
            Some("str") => self.string(text, written),
            _ if is_unspecific(tag) => self.string(text, written),
            Some(name @ ("null" | "bool" | "int" | "float")) => {
                let kind = self.resolved(text, span);
                self.check_scalar_tag(kind, name, span)
            }
            _ => {
                self.unknown_tag(tag, span);
                self.string(text, written)
            }
        }
    }

    fn string(&mut self, text: &str, written: Style) -> Kind {
        Kind::String(self.texts.share(text), written)
    }

    fn check_scalar_tag(&mut self, kind: Kind, name: &str, span: Span) -> Kind {
        match (&kind, name) {
            (Kind::Null, "null") | (Kind::Bool(_), "bool") => kind,
            (Kind::Number(token), "int") if !token.contains(['.', 'e']) => kind,
            (Kind::Number(token), "float") if token.contains(['.', 'e']) => kind,
            (Kind::Number(token), "float") => Kind::Number(format!("{token}.0").into()),
            _ => {
                self.diagnostics
                    .error(
                        Code::Tag,
                        span,
                        format!("this is not what its tag !!{name} says"),
                    )
                    .hint("remove the tag");
                kind
            }
        }
    }

    fn resolved(&mut self, text: &str, span: Span) -> Kind {
        let (message, hint) = match scalar::resolve(text, |text| self.texts.share(text)) {
            Ok(kind) => return kind,
            Err(Refused::NotFinite) => (
                format!("JSON has no number {text}"),
                "use null, or quote it to make it a string",
            ),
            Err(Refused::Range) => (
                format!(
                    "the number {} is out of range",
                    shortened(text, LONGEST_NUMBER)
                ),
                "quote it to make it a string",
            ),
        };
        self.diagnostics
            .error(Code::Number, span, message)
            .hint(hint);
        Kind::Null
    }

    fn expects_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open {
                content: Content::Object { key: None, .. },
                ..
            })
        )
    }

    fn keep_anchor(&mut self, anchor: usize, node: &Node, size: Size) {
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
    }

    fn open(
        &mut self,
        style: StructureStyle,
        anchor: usize,
        span: Span,
        content: Content,
    ) -> Result<(), Stop> {
        if self.open.len() == MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        let size = Size {
            weight: NODE_WEIGHT,
            height: 1,
        };
        self.open.push(Open {
            anchor,
            span,
            style,
            size,
            content,
        });
        Ok(())
    }

    fn too_deep(&mut self, span: Span) -> Stop {
        self.diagnostics
            .error(
                Code::TooDeep,
                span,
                format!("lists and objects nest deeper than {MAX_DEPTH} levels"),
            )
            .hint("flatten the data, or pass it as a blob");
        Stop
    }

    fn close(&mut self, span: Span) -> Result<(), Stop> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let (last, kind) = match open.content {
            Content::List(items) => (
                items.last().map(|item| item.span),
                Kind::List(items.into_boxed_slice()),
            ),
            Content::Object {
                mut entries,
                merged,
                ..
            } => {
                let last = entries.last().map(|(_, entry)| entry.node.span);
                self.merge(&mut entries, merged);
                (last, Kind::Object(Object(entries.into_iter().collect())))
            }
        };
        let node = Node {
            span: whole(open.style, last, open.span, span),
            kind,
        };
        self.keep_anchor(open.anchor, &node, open.size);
        self.node(node, open.size, None)
    }

    fn merge(&mut self, object: &mut IndexMap<Arc<str>, Entry>, merged: Vec<(Node, Span)>) {
        for (source, key_span) in merged {
            let sources = match source.kind {
                Kind::List(items) => items.into_vec(),
                _ => vec![source],
            };
            for source in sources {
                let Kind::Object(entries) = source.kind else {
                    let message =
                        format!("`<<` merges objects, and this holds {}", source.type_name());
                    self.diagnostics
                        .error(Code::Alias, key_span, message)
                        .hint("write `<<: *anchor` or `<<: [*one, *two]`, or quote \"<<\" to use it as a key");
                    break;
                };
                for (key, entry) in entries.0 {
                    object.entry(key).or_insert(entry);
                }
            }
        }
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            self.diagnostics
                .error(
                    Code::Alias,
                    span,
                    "this alias stands inside the value it refers to",
                )
                .hint("data cannot contain itself; write the inner value out");
            return self.node(
                Node {
                    span,
                    kind: Kind::Null,
                },
                SCALAR_SIZE,
                None,
            );
        };
        let size = *size;
        self.alias_weight = self.alias_weight.saturating_add(size.weight);
        if self.alias_weight > ALIAS_BUDGET.max(self.text_length.saturating_mul(8)) {
            self.diagnostics
                .error(
                    Code::TooLarge,
                    span,
                    "the aliases of this document expand to too much data",
                )
                .hint("write the data out, or pass it as a blob");
            return Err(Stop);
        }
        if self.open.len() + size.height > MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        let node = node.clone();
        let text = match &node.kind {
            Kind::String(text, _) | Kind::Number(text) => Some(Arc::clone(text)),
            _ => None,
        };
        self.node(node, size, text.as_deref().map(|text| (text, Role::Plain)))
    }

    /// Puts a complete node into its place. `as_key` is its text if it can be a key.
    fn node(&mut self, node: Node, size: Size, as_key: Option<(&str, Role)>) -> Result<(), Stop> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.size.weight += size.weight;
        open.size.height = open.size.height.max(size.height + 1);
        let (entries, key, merged) = match &mut open.content {
            Content::List(items) => {
                items.push(node);
                return Ok(());
            }
            Content::Object {
                entries,
                key,
                merged,
            } => (entries, key, merged),
        };
        let Some(taken) = key.take() else {
            let as_key = as_key.map(|(text, role)| (self.texts.share(text), role));
            *key = Some(read_key(self.diagnostics, node.span, as_key));
            return Ok(());
        };
        match taken.role {
            Role::Refused => {}
            Role::Merge => merged.push((node, taken.span)),
            Role::Plain => insert(self.diagnostics, entries, taken, node),
        }
        Ok(())
    }
}

const SCALAR_SIZE: Size = Size {
    weight: NODE_WEIGHT,
    height: 0,
};

/// What is probably wrong, by what the parser says and what stands there.
fn syntax_hint(message: &str, text: &str, start: usize) -> &'static str {
    let is_conflict = |line: &str| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ");
    if text.lines().any(is_conflict) {
        "a merge has left its marks: choose one side, and remove the lines <<<<<<<, ======= and >>>>>>>"
    } else if message.contains("tab") {
        "YAML is indented with spaces"
    } else if message.contains("mapping values are not allowed") && text[start..].starts_with(':') {
        "text in which a colon is followed by a space must be in quotes"
    } else if message.contains("illegal placement of ':'") {
        "a comma, or the bracket that closes a list or an object, is missing before this place"
    } else {
        "the text must be YAML 1.2 or JSON; look at the indentation, quotes and brackets before this place"
    }
}

fn is_unspecific(tag: &Tag) -> bool {
    tag.original() == "!"
}

/// Brackets end where they close; a block ends with its last part.
fn whole(style: StructureStyle, last: Option<Span>, start: Span, close: Span) -> Span {
    let end = match (style, last) {
        (StructureStyle::Block, Some(last)) => last.end().max(start.end()),
        (StructureStyle::Block, None) => start.end(),
        _ => close.end().max(start.end()),
    };
    Span::new(start.start(), end)
}

fn read_key(diagnostics: &mut Diagnostics, span: Span, text: Option<(Arc<str>, Role)>) -> Key {
    let Some((text, role)) = text else {
        diagnostics
            .error(
                Code::Key,
                span,
                "a key must be a simple value, not a list or an object",
            )
            .hint("quote it; a value from elsewhere is written `{ $template: \"{{ $input.name }}\" }`");
        return Key {
            text: Arc::from(""),
            span,
            role: Role::Refused,
        };
    };
    Key { text, span, role }
}

fn insert(
    diagnostics: &mut Diagnostics,
    entries: &mut IndexMap<Arc<str>, Entry>,
    key: Key,
    node: Node,
) {
    match entries.entry(key.text) {
        map::Entry::Vacant(place) => {
            place.insert(Entry {
                key_span: key.span,
                node,
            });
        }
        map::Entry::Occupied(place) => {
            let first = place.get().key_span.start();
            let (line, _) = diagnostics.source().line_column(first);
            let message = format!("the key {:?} stands here a second time", place.key());
            diagnostics
                .error(Code::DuplicateKey, key.span, message)
                .hint(format!("keep this one or the one in line {line}"));
        }
    }
}
