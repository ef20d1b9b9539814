//! Places that only a JSON pointer names.
//!
//! Owns the way from a pointer back to the text, for messages about data whose nodes are gone. Must not know what the
//! data is.

use std::sync::Arc;

use super::{Kind, Node, Source, Span, read};
use crate::diagnostic::Diagnostics;

/// Where the part of a value stands that a JSON pointer names; `span` is where the value itself stands. Reads the text
/// again, so it is for what has gone wrong.
pub(crate) fn place_below(source: &Arc<Source>, span: Span, pointer: &str) -> Option<Span> {
    let root = read(source, &mut Diagnostics::new(source))?;
    let mut node = find(&root, span)?;
    for part in pointer.split('/').skip(1) {
        node = child(node, &part.replace("~1", "/").replace("~0", "~"))?;
    }
    Some(node.span)
}

/// The outermost node that stands there.
fn find(node: &Node, span: Span) -> Option<&Node> {
    if node.span == span {
        return Some(node);
    }
    // What came by an alias stands elsewhere, so every node is looked into.
    match &node.kind {
        Kind::List(items) => items.iter().find_map(|item| find(item, span)),
        Kind::Object(object) => object.iter().find_map(|(_, entry)| find(&entry.node, span)),
        _ => None,
    }
}

fn child<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    match &node.kind {
        Kind::List(items) => items.get(name.parse::<usize>().ok()?),
        Kind::Object(object) => object.get(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_to_its_place() {
        let text = "x: &x { a/b: [1, { c: here }] }\nschema: *x\nother: { a: 1 }\n";
        let source = Source::new("f", text);
        let at = |part: &str| {
            let start = text.find(part).unwrap();
            Span::new(start, start + part.len())
        };
        let whole = at("{ a/b: [1, { c: here }] }");
        let check = |pointer: &str, expected| {
            assert_eq!(place_below(&source, whole, pointer), expected, "{pointer}");
        };
        check("", Some(whole));
        check("/a~1b/1/c", Some(at("here")));
        check("/a~1b/2", None);
        check("/nothing", None);
        assert_eq!(place_below(&source, Span::new(1, 3), ""), None);
    }
}
