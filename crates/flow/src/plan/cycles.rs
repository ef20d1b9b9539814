//! Steps that wait for each other.
//!
//! Owns the search: strongly connected components, then one shortest cycle in each. Linear, and no flow
//! makes it recurse.

use std::collections::VecDeque;

use super::StepIdx;
use crate::document::Span;

type Edges = [Vec<(StepIdx, Span)>];

/// One cycle for each group of steps that wait for each other: each step with the place of its reference
/// to the next.
pub(super) fn find(edges: &Edges) -> Vec<Vec<(StepIdx, Span)>> {
    let groups = groups(edges);
    let mut first_of = vec![usize::MAX; edges.len()];
    let mut size_of = vec![0_usize; edges.len()];
    for (place, group) in groups.iter().enumerate() {
        first_of[*group] = first_of[*group].min(place);
        size_of[*group] += 1;
    }
    let mut cycles = Vec::new();
    for (place, group) in groups.iter().enumerate() {
        let is_first = first_of[*group] == place;
        let refers_to_itself = || edges[place].iter().any(|(to, _)| to.place() == place);
        if is_first && (size_of[*group] > 1 || refers_to_itself()) {
            cycles.push(shortest(edges, &groups, place));
        }
    }
    cycles
}

/// The group of every step, by Tarjan's algorithm with a stack of its own.
fn groups(edges: &Edges) -> Vec<usize> {
    const UNSEEN: usize = usize::MAX;
    let n_steps = edges.len();
    let (mut order, mut lowest) = (vec![UNSEEN; n_steps], vec![0; n_steps]);
    let (mut group, mut n_groups, mut n_seen) = (vec![UNSEEN; n_steps], 0, 0);
    let mut ungrouped = Vec::new();
    let mut visits: Vec<(usize, usize)> = Vec::new();
    for start in 0..n_steps {
        if order[start] != UNSEEN {
            continue;
        }
        visits.push((start, 0));
        while let Some((at, next)) = visits.pop() {
            if next == 0 {
                (order[at], lowest[at]) = (n_seen, n_seen);
                n_seen += 1;
                ungrouped.push(at);
            } else {
                let came_back_from = edges[at][next - 1].0.place();
                if group[came_back_from] == UNSEEN {
                    lowest[at] = lowest[at].min(lowest[came_back_from]);
                }
            }
            if let Some((to, _)) = edges[at].get(next) {
                visits.push((at, next + 1));
                if order[to.place()] == UNSEEN {
                    visits.push((to.place(), 0));
                }
                continue;
            }
            if lowest[at] == order[at] {
                while let Some(member) = ungrouped.pop() {
                    group[member] = n_groups;
                    if member == at {
                        break;
                    }
                }
                n_groups += 1;
            }
        }
    }
    group
}

/// The shortest way from a step back to itself inside its group.
fn shortest(edges: &Edges, groups: &[usize], start: usize) -> Vec<(StepIdx, Span)> {
    let mut came_from: std::collections::HashMap<usize, (usize, Span)> =
        std::collections::HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for (to, span) in &edges[at] {
            let to = to.place();
            if groups[to] != groups[start] || came_from.contains_key(&to) {
                continue;
            }
            came_from.insert(to, (at, *span));
            if to == start {
                return trace(&came_from, start);
            }
            queue.push_back(to);
        }
    }
    Vec::new()
}

fn trace(
    came_from: &std::collections::HashMap<usize, (usize, Span)>,
    start: usize,
) -> Vec<(StepIdx, Span)> {
    let mut cycle = Vec::new();
    let mut at = start;
    while let Some((before, span)) = came_from.get(&at) {
        cycle.push((StepIdx::new(*before), *span));
        at = *before;
        if at == start {
            break;
        }
    }
    cycle.reverse();
    cycle
}
