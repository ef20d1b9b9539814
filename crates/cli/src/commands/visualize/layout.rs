//! Where points stand in a picture: in layers from top to bottom, so that lines lead down. Owns the order within a layer;
//! knows no colours and no text.

use super::graph::Graph;
use super::graph::Line;

/// How often each layer is put in the order of its neighbours.
const SWEEPS: usize = 8;

/// The layers, and the way of each line through them.
#[derive(Debug)]
pub struct Layout {
    /// From top to bottom, each from left to right.
    pub layers: Vec<Vec<Spot>>,
    /// For each line the spots it leads through, from its start to its end, by layer.
    pub ways: Vec<Vec<usize>>,
    /// The layer of each point.
    pub layer_of: Vec<usize>,
}

/// What stands in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// A point of the graph.
    Point(usize),
    /// A line that passes through.
    Line(usize),
}

impl Layout {
    /// Lays the graph out.
    pub fn of(graph: &Graph) -> Layout {
        let layer_of = layers(graph);
        let n_layers = layer_of.iter().max().map_or(0, |last| last + 1);
        let mut layers = vec![Vec::new(); n_layers];
        for (point, layer) in layer_of.iter().enumerate() {
            layers[*layer].push(Spot::Point(point));
        }
        for (place, line) in graph.lines.iter().enumerate() {
            for layer in &mut layers[layer_of[line.from] + 1..layer_of[line.to]] {
                layer.push(Spot::Line(place));
            }
        }
        for sweep in 0..SWEEPS {
            sort(&mut layers, graph, sweep % 2 == 0);
        }
        let ways = graph.lines.iter().enumerate();
        let ways = ways
            .map(|(place, line)| way(&layers, &layer_of, place, line))
            .collect();
        Layout {
            layers,
            ways,
            layer_of,
        }
    }
}

/// One below the lowest of those a point needs; the output is at the bottom.
fn layers(graph: &Graph) -> Vec<usize> {
    let n_points = graph.points.len();
    let mut waits = vec![0_usize; n_points];
    let mut next = vec![Vec::new(); n_points];
    for line in &graph.lines {
        waits[line.to] += 1;
        next[line.from].push(line.to);
    }
    let mut layer_of = vec![0; n_points];
    let mut ready: Vec<usize> = (0..n_points).filter(|point| waits[*point] == 0).collect();
    while let Some(point) = ready.pop() {
        for to in &next[point] {
            layer_of[*to] = layer_of[*to].max(layer_of[point] + 1);
            waits[*to] -= 1;
            if waits[*to] == 0 {
                ready.push(*to);
            }
        }
    }
    // What needs nothing stands beside what follows the input.
    for layer in layer_of.iter_mut().skip(1) {
        *layer = (*layer).max(1);
    }
    settle(graph, &mut layer_of);
    let lowest = layer_of[..n_points - 1].iter().max().copied().unwrap_or(0);
    layer_of[n_points - 1] = lowest + 1;
    layer_of
}

/// Pushes down what the last change has overtaken.
fn settle(graph: &Graph, layer_of: &mut [usize]) {
    let mut lines: Vec<&Line> = graph.lines.iter().collect();
    loop {
        lines.sort_by_key(|line| layer_of[line.from]);
        let mut is_settled = true;
        for line in &lines {
            if layer_of[line.to] <= layer_of[line.from] {
                layer_of[line.to] = layer_of[line.from] + 1;
                is_settled = false;
            }
        }
        if is_settled {
            return;
        }
    }
}

/// Puts each layer in the order of the middle of its neighbours, above or below, so that fewer lines cross.
fn sort(layers: &mut [Vec<Spot>], graph: &Graph, is_downwards: bool) {
    let n_layers = layers.len();
    let order: Vec<usize> = match is_downwards {
        true => (1..n_layers).collect(),
        false => (0..n_layers.saturating_sub(1)).rev().collect(),
    };
    for here in order {
        let beside = if is_downwards { here - 1 } else { here + 1 };
        let mut place_of_point = vec![None; graph.points.len()];
        let mut place_of_line = vec![None; graph.lines.len()];
        for (place, spot) in layers[beside].iter().enumerate() {
            match spot {
                Spot::Point(point) => place_of_point[*point] = Some(place),
                Spot::Line(line) => place_of_line[*line] = Some(place),
            }
        }
        let mut middles = vec![(0, 0); graph.points.len()];
        let mut of_lines = vec![None; graph.lines.len()];
        for (place, line) in graph.lines.iter().enumerate() {
            let (near, far) = if is_downwards {
                (line.to, line.from)
            } else {
                (line.from, line.to)
            };
            let beside = place_of_line[place].or(place_of_point[far]);
            of_lines[place] = beside;
            if let Some(beside) = beside {
                let middle = &mut middles[near];
                *middle = (middle.0 + beside, middle.1 + 1);
            }
        }
        let mut keyed: Vec<_> = layers[here]
            .iter()
            .enumerate()
            .map(|(place, spot)| {
                let (sum, count) = match spot {
                    Spot::Point(point) => middles[*point],
                    Spot::Line(line) => of_lines[*line].map_or((0, 0), |beside| (beside, 1)),
                };
                // In thousandths, to stay with whole numbers.
                let key = (sum * 1000_usize)
                    .checked_div(count)
                    .unwrap_or(place * 1000);
                (key, place, *spot)
            })
            .collect();
        keyed.sort_by_key(|(key, place, _)| (*key, *place));
        layers[here] = keyed.into_iter().map(|(_, _, spot)| spot).collect();
    }
}

fn way(layers: &[Vec<Spot>], layer_of: &[usize], place: usize, line: &Line) -> Vec<usize> {
    let (first, last) = (layer_of[line.from], layer_of[line.to]);
    let spots = (first..=last).map(|layer| {
        let wanted = match layer {
            layer if layer == first => Spot::Point(line.from),
            layer if layer == last => Spot::Point(line.to),
            _ => Spot::Line(place),
        };
        let found = layers[layer].iter().position(|spot| *spot == wanted);
        found.unwrap_or_default()
    });
    spots.collect()
}
