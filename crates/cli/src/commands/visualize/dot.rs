//! A graph as text for Graphviz.

use std::fmt::Write;

use stepflow_flow::expression::Need;

use super::graph::Graph;
use super::graph::PointKind;

/// The whole drawing.
pub fn print(graph: &Graph) -> String {
    let name = graph.name.as_deref().unwrap_or("flow");
    let mut text = format!("digraph {} {{\n", quoted(name));
    text.push_str("    rankdir=TB;\n    node [fontname=\"sans-serif\"];\n");
    for (place, point) in graph.points.iter().enumerate() {
        let label = match point.component.as_str() {
            "" => point.title.clone(),
            component => format!("{}\n{component}", point.title),
        };
        let shape = match point.kind {
            PointKind::Input | PointKind::Output => "ellipse",
            PointKind::Step => "box",
            PointKind::Conditional => "hexagon",
        };
        let _ = writeln!(
            text,
            "    n{place} [label={}, shape={shape}];",
            quoted(&label)
        );
    }
    for line in &graph.lines {
        let style = match line.need {
            Need::AtOnce => "",
            Need::WhenReached => " [style=dashed]",
        };
        let _ = writeln!(text, "    n{} -> n{}{style};", line.from, line.to);
    }
    text.push_str("}\n");
    text
}

fn quoted(text: &str) -> String {
    let text = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{text}\"")
}
