//! A graph as a picture. Owns sizes and colours; the order of things is the layout's. Nothing but the text is needed to
//! show it: no scripts, no fonts, no other files.

use std::fmt::Write;

use stepflow_flow::expression::Need;

use super::graph::Graph;
use super::graph::Point;
use super::graph::PointKind;
use super::layout::Layout;
use super::layout::Spot;
use crate::xml_text;

const MARGIN: usize = 20;
const GAP: usize = 28;
const ROW: usize = 100;
const HEIGHT: usize = 46;
/// The width of a letter, on the safe side.
const LETTER: usize = 8;
const LONGEST: usize = 40;
/// How much room a line needs that passes by.
const PASSAGE: usize = 16;

const STYLE: &str = "\
text { font: 13px sans-serif; text-anchor: middle; fill: #1b1b1f } .component { font-size: 11px; fill: #5a5a66 } \
rect { fill: #eef2ff; stroke: #4457b8 } .end { fill: #e9f7ee; stroke: #2f7d4f } .conditional { stroke-dasharray: 6 3 } \
path { fill: none; stroke: #777785; stroke-width: 1.3 } .reached { stroke-dasharray: 5 4 } .head { fill: #777785; stroke: none }";

/// The whole picture.
pub fn print(graph: &Graph) -> String {
    let layout = Layout::of(graph);
    let middles = middles(graph, &layout);
    let width = middles.width;
    let height = 2 * MARGIN + layout.layers.len().saturating_sub(1) * ROW + HEIGHT;
    let title = escaped(graph.name.as_deref().unwrap_or("flow"));
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n\
         <defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
         <path class=\"head\" d=\"M0 0 L8 4 L0 8 z\"/></marker></defs>\n"
    );
    for (line, way) in graph.lines.iter().zip(&layout.ways) {
        let first = layout.layer_of[line.from];
        let class = match line.need {
            Need::AtOnce => "",
            Need::WhenReached => " class=\"reached\"",
        };
        let path = path(way, first, &middles.layers);
        let _ = writeln!(
            text,
            "<path{class} d=\"{path}\" marker-end=\"url(#head)\"/>"
        );
    }
    for (layer, spots) in layout.layers.iter().enumerate() {
        for (place, spot) in spots.iter().enumerate() {
            if let Spot::Point(point) = spot {
                let middle = middles.layers[layer][place];
                write_point(
                    &mut text,
                    &graph.points[*point],
                    middle,
                    MARGIN + layer * ROW,
                );
            }
        }
    }
    text.push_str("</svg>\n");
    text
}

struct Middles {
    layers: Vec<Vec<usize>>,
    width: usize,
}

/// The middle of each spot: side by side, and each layer in the middle of the picture.
fn middles(graph: &Graph, layout: &Layout) -> Middles {
    let room = |spot: &Spot| match spot {
        Spot::Point(point) => room(&graph.points[*point]),
        Spot::Line(_) => PASSAGE,
    };
    let widths: Vec<usize> = layout
        .layers
        .iter()
        .map(|layer| {
            let all: usize = layer.iter().map(room).sum();
            all + layer.len().saturating_sub(1) * GAP
        })
        .collect();
    let widest = widths.iter().max().copied().unwrap_or(0);
    let layers = layout.layers.iter().zip(&widths).map(|(layer, width)| {
        let mut left = MARGIN + (widest - width) / 2;
        let spots = layer.iter().map(|spot| {
            let middle = left + room(spot) / 2;
            left += room(spot) + GAP;
            middle
        });
        spots.collect()
    });
    Middles {
        layers: layers.collect(),
        width: widest + 2 * MARGIN,
    }
}

fn room(point: &Point) -> usize {
    let longest = point
        .title
        .chars()
        .count()
        .max(point.component.chars().count());
    longest.min(LONGEST) * LETTER + 24
}

/// From the bottom of the first spot to the top of the last, through the middle of those between.
fn path(way: &[usize], first: usize, middles: &[Vec<usize>]) -> String {
    let x = |step: usize| middles[first + step][way[step]];
    let y = |step: usize| MARGIN + (first + step) * ROW;
    let mut path = format!("M{} {}", x(0), y(0) + HEIGHT);
    let mut from = y(0) + HEIGHT;
    for step in 1..way.len() {
        let to = y(step);
        let half = (from + to) / 2;
        let _ = write!(
            path,
            " C{} {half} {} {half} {} {to}",
            x(step - 1),
            x(step),
            x(step)
        );
        from = to;
        if step + 1 < way.len() {
            from = to + HEIGHT;
            let _ = write!(path, " L{} {from}", x(step));
        }
    }
    path
}

fn write_point(text: &mut String, point: &Point, middle: usize, top: usize) {
    let width = room(point);
    let (class, radius) = match point.kind {
        PointKind::Input | PointKind::Output => (" class=\"end\"", HEIGHT / 2),
        PointKind::Step => ("", 6),
        PointKind::Conditional => (" class=\"conditional\"", 6),
    };
    let left = middle - width / 2;
    let title = escaped(&shortened(&point.title));
    let _ = write!(
        text,
        "<g><title>{}</title><rect{class} x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{HEIGHT}\" rx=\"{radius}\"/>",
        escaped(&point.title)
    );
    if point.component.is_empty() {
        let _ = write!(
            text,
            "<text x=\"{middle}\" y=\"{}\">{title}</text>",
            top + HEIGHT / 2 + 5
        );
    } else {
        let component = escaped(&shortened(&point.component));
        let _ = write!(
            text,
            "<text x=\"{middle}\" y=\"{}\">{title}</text><text class=\"component\" x=\"{middle}\" y=\"{}\">{component}</text>",
            top + 20,
            top + 36
        );
    }
    text.push_str("</g>\n");
}

fn shortened(text: &str) -> String {
    match text.chars().count() > LONGEST {
        true => text.chars().take(LONGEST - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

fn escaped(text: &str) -> String {
    xml_text::escaped(&text.replace(char::is_control, " "), ' ')
}
