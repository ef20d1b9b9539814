//! A graph as Mermaid text.

use std::fmt::Write;

use stepflow_flow::expression::Need;

use super::graph::Graph;
use super::graph::PointKind;

/// The whole drawing.
pub fn print(graph: &Graph) -> String {
    let mut text = String::new();
    if let Some(name) = &graph.name {
        let _ = writeln!(
            text,
            "---\ntitle: {}\n---",
            serde_json::Value::from(name.as_str())
        );
    }
    text.push_str("flowchart TD\n");
    for (place, point) in graph.points.iter().enumerate() {
        let title = escaped(&point.title);
        let label = match point.component.as_str() {
            "" => title,
            component => format!("{title}<br/><small>{}</small>", escaped(component)),
        };
        let (open, close) = match point.kind {
            PointKind::Input | PointKind::Output => ("([", "])"),
            PointKind::Step => ("[", "]"),
            PointKind::Conditional => ("{{", "}}"),
        };
        let _ = writeln!(text, "    n{place}{open}\"{label}\"{close}");
    }
    for line in &graph.lines {
        let arrow = match line.need {
            Need::AtOnce => "-->",
            Need::WhenReached => "-.->",
        };
        let _ = writeln!(text, "    n{} {arrow} n{}", line.from, line.to);
    }
    text
}

/// Mermaid takes codes for letters that mean something to it.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            letter if letter.is_alphanumeric() || " /_-.:".contains(letter) => out.push(letter),
            letter => {
                let _ = write!(out, "#{};", letter as u32);
            }
        }
    }
    out
}
