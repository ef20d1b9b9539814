//! What was found in documents, for programs: JSON of our own, and SARIF for code hosts and editors.

use serde_json::Value as Json;
use serde_json::json;
use stepflow_flow::diagnostic::Code;
use stepflow_flow::diagnostic::Diagnostic;
use stepflow_flow::diagnostic::Severity;

use super::Found;
use crate::secrets::Secrets;

/// Everything as one JSON object.
pub fn json(all: &[Found], secrets: &Secrets) -> String {
    let count = |severity| {
        let diagnostics = all.iter().flat_map(|found| &found.diagnostics);
        diagnostics.filter(|it| it.severity == severity).count()
    };
    let report = json!({
        "errors": count(Severity::Error),
        "warnings": count(Severity::Warning),
        "notes": count(Severity::Note),
        "files": all.iter().map(|found| &**found.source.name()).collect::<Vec<_>>(),
        "diagnostics": each(all, one),
    });
    text(&report, secrets)
}

fn one(found: &Found, diagnostic: &Diagnostic) -> Json {
    let location = &diagnostic.location;
    let (end_line, end_column) = found.source.line_column(location.span.end());
    let mut one = json!({
        "code": diagnostic.code.name(),
        "severity": diagnostic.severity.to_string(),
        "message": diagnostic.message,
        "file": &*location.source,
        "line": location.line,
        "column": location.column,
        "endLine": end_line,
        "endColumn": end_column,
        "text": diagnostic.text,
    });
    if let Some(step) = &diagnostic.step {
        one["step"] = Json::from(&**step);
    }
    if let Some(hint) = &diagnostic.hint {
        one["hint"] = Json::from(hint.as_str());
    }
    one
}

/// Everything as SARIF 2.1.0.
pub fn sarif(all: &[Found], secrets: &Secrets) -> String {
    let rules: Vec<Json> = Code::ALL
        .iter()
        .map(|code| {
            json!({
                "id": code.name(),
                "shortDescription": { "text": code.summary() },
                "help": { "text": code.explanation().text, "markdown": code.explanation().text },
            })
        })
        .collect();
    let report = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "stepflow", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": each(all, result),
        }],
    });
    text(&report, secrets)
}

fn result(found: &Found, diagnostic: &Diagnostic) -> Json {
    let location = &diagnostic.location;
    let (end_line, end_column) = found.source.line_column(location.span.end());
    let step = diagnostic.step.as_ref();
    let step = step.map_or_else(String::new, |step| format!("step {step:?}: "));
    let hint = diagnostic.hint.as_ref();
    let hint = hint.map_or_else(String::new, |hint| format!(" (hint: {hint})"));
    json!({
        "ruleId": diagnostic.code.name(),
        "level": diagnostic.severity.to_string(),
        "message": { "text": format!("{step}{}{hint}", diagnostic.message) },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": uri(&location.source) },
                "region": {
                    "startLine": location.line,
                    "startColumn": location.column,
                    "endLine": end_line,
                    "endColumn": end_column,
                },
            },
        }],
    })
}

/// A path as a relative URI: what is not plain is written by its bytes.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte))
            }
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

fn each(all: &[Found], write: impl Fn(&Found, &Diagnostic) -> Json) -> Vec<Json> {
    let write = &write;
    let diagnostics = all.iter().flat_map(|found| {
        let diagnostics = found.diagnostics.iter();
        diagnostics.map(move |diagnostic| write(found, diagnostic))
    });
    diagnostics.collect()
}

fn text(report: &Json, secrets: &Secrets) -> String {
    format!("{}\n", secrets.scrub(&format!("{report:#}")))
}
