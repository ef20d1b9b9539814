//! The language of flows: what a person, or a program, writes.

use std::str::FromStr;
use std::sync::Arc;

use stepflow_flow::blob::BlobId;
use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::document;
use stepflow_flow::document::Source;
use stepflow_flow::expression;
use stepflow_flow::path::Path;
use stepflow_flow::plan;
use stepflow_flow::value::Value;

/// A value keeps its text but for line breaks between tokens, and has the same id however often it is read.
pub fn value(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(value) = Value::parse(text) else {
        return;
    };
    if !text.contains(['\n', '\r']) {
        assert_eq!(value.as_text(), text.trim(), "the text is kept");
    }
    assert_eq!(
        Value::parse(value.as_text())
            .expect("it is JSON still")
            .as_text(),
        value.as_text()
    );
    walk(&value, 0);
    if let Ok(id) = BlobId::of(&value) {
        let canonical = stepflow_flow::blob::canonical(&value).expect("it has an id");
        let again = Value::parse(&canonical).expect("a canonical form is JSON");
        assert_eq!(BlobId::of(&again), Ok(id), "{canonical}");
        assert_eq!(BlobId::from_str(&id.to_string()), Ok(id));
    }
}

/// Looks at everything there is to a value.
fn walk(value: &Value, depth: usize) {
    let _ = (
        value.as_bool(),
        value.as_str(),
        value.as_i64(),
        value.as_f64(),
    );
    let parts = value.entries().map(|entry| entry.1).chain(value.items());
    if depth < 200 {
        parts.for_each(|part| walk(part, depth + 1));
    }
}

/// A path that was understood is printed so that it is understood the same way, and leads somewhere or nowhere.
pub fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(path) = Path::parse(text) else {
        return;
    };
    let printed = path.to_string();
    assert_eq!(
        Path::parse(&printed).as_ref(),
        Ok(&path),
        "{text:?} printed {printed:?}"
    );
    for data in [
        "null",
        "[[1],{\"a\":[2]}]",
        "{\"a\":{\"b\":[{\"c\":1}]},\"\":0}",
    ] {
        let data = Value::parse(data).expect("it is JSON");
        if let Err(missing) = path.select(&data) {
            assert!(!missing.to_string().is_empty());
        }
    }
}

/// A document is read or refused with a reason; what was read is JSON, and JSON is read as itself.
pub fn document(bytes: &[u8]) {
    let Some((source, diagnostics, node)) = read(bytes) else {
        return;
    };
    check_places(&source, &diagnostics);
    let Some(node) = node else {
        assert!(diagnostics.has_errors(), "refused without a reason");
        return;
    };
    let value = node.to_value();
    assert!(
        Value::parse(value.as_text()).is_ok(),
        "no JSON: {}",
        value.as_text()
    );
    if let Ok(json) = Value::parse(source.text())
        && !diagnostics.has_errors()
    {
        assert_eq!(value, json, "JSON is YAML");
    }
}

/// An expression that was understood is printed so that it prints the same again.
pub fn expression(bytes: &[u8]) {
    let Some((source, mut diagnostics, Some(node))) = read(bytes) else {
        return;
    };
    let parsed = expression::parse(&node, &mut diagnostics);
    check_places(&source, &diagnostics);
    if diagnostics.has_errors() {
        return;
    }
    let printed = expression::print(&parsed);
    let Some((_, mut diagnostics, Some(node))) = read(printed.as_text().as_bytes()) else {
        panic!("the print of an expression is no document: {printed}");
    };
    let again = expression::parse(&node, &mut diagnostics);
    assert!(!diagnostics.has_errors(), "{printed}: {diagnostics}");
    assert_eq!(expression::print(&again), printed);
}

/// A flow is checked to the end whatever is wrong with it; one without errors is the same flow when written as JSON.
pub fn flow(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let source = Source::new("fuzz", text);
    let checked = plan::check(&source);
    check_places(&source, &checked.diagnostics);
    let Some(plan) = checked.plan else {
        assert!(checked.diagnostics.has_errors(), "refused without a reason");
        return;
    };
    let json = plan.flow().as_text().to_owned();
    let again = plan::check(&Source::new("fuzz", json.clone())).plan;
    let again = again.unwrap_or_else(|| panic!("the flow as JSON is refused: {json}"));
    assert_eq!(again.flow_id(), plan.flow_id(), "{json}");
}

fn read(bytes: &[u8]) -> Option<(Arc<Source>, Diagnostics, Option<document::Node>)> {
    let source = Source::new("fuzz", std::str::from_utf8(bytes).ok()?);
    let mut diagnostics = Diagnostics::new(&source);
    let node = document::read(&source, &mut diagnostics);
    Some((source, diagnostics, node))
}

/// Every problem has its place in the text, and words.
fn check_places(source: &Source, diagnostics: &Diagnostics) {
    for problem in diagnostics.iter() {
        let shown = problem.to_string();
        let place = &problem.location;
        assert!(place.line >= 1 && place.column >= 1, "{shown}");
        let span = place.span;
        assert!(
            span.start() <= span.end() && span.end() <= source.text().len(),
            "{shown}"
        );
        assert!(source.text().is_char_boundary(span.start()), "{shown}");
        assert!(source.text().is_char_boundary(span.end()), "{shown}");
    }
}
