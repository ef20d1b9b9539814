//! What is drawn of a flow. Owns which lines there are; knows nothing of how they look.

use std::collections::BTreeMap;

use stepflow_flow::expression::Expression;
use stepflow_flow::expression::Need;
use stepflow_flow::expression::Target;
use stepflow_flow::plan::Plan;
use stepflow_flow::plan::StepIdx;

/// A flow as points and lines. The first point is its input, the last its output.
#[derive(Debug)]
pub struct Graph {
    /// What people call the flow.
    pub name: Option<String>,
    /// Input, steps, output.
    pub points: Vec<Point>,
    /// Who needs whom.
    pub lines: Vec<Line>,
}

/// Something that has a value.
#[derive(Debug)]
pub struct Point {
    /// What it is.
    pub kind: PointKind,
    /// The step's id, or `input` and `output`.
    pub title: String,
    /// The component of a step.
    pub component: String,
}

/// What a point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointKind {
    /// Where the flow starts.
    Input,
    /// A step that runs whenever it is reached.
    Step,
    /// A step that may be skipped, by its own condition.
    Conditional,
    /// Where the flow ends.
    Output,
}

/// A value goes from one point to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The place of the point it comes from.
    pub from: usize,
    /// The place of the point it goes to.
    pub to: usize,
    /// When it is needed.
    pub need: Need,
}

impl Graph {
    /// The graph of a plan.
    pub fn of(plan: &Plan) -> Graph {
        let end = plan.steps().len() + 1;
        let mut points = vec![Point {
            kind: PointKind::Input,
            title: "input".to_owned(),
            component: String::new(),
        }];
        let mut lines = Vec::new();
        for (place, step) in plan.steps().iter().enumerate() {
            points.push(Point {
                kind: match step.skip_if {
                    Some(_) => PointKind::Conditional,
                    None => PointKind::Step,
                },
                title: step.id.to_string(),
                component: step.component.to_string(),
            });
            let default = step.on_error.default_value();
            let mut needs = Needs::default();
            needs.add(&step.input, Need::AtOnce);
            step.skip_if
                .iter()
                .for_each(|it| needs.add(it, Need::AtOnce));
            default
                .iter()
                .for_each(|it| needs.add(it, Need::WhenReached));
            needs.lines_to(place + 1, &mut lines);
        }
        let mut needs = Needs::default();
        needs.add(plan.output(), Need::AtOnce);
        needs.lines_to(end, &mut lines);
        points.push(Point {
            kind: PointKind::Output,
            title: "output".to_owned(),
            component: String::new(),
        });
        Graph {
            name: plan.name().map(str::to_owned),
            points,
            lines,
        }
    }
}

/// The points that one needs, none twice; what is needed at once counts more.
#[derive(Default)]
struct Needs(BTreeMap<usize, Need>);

impl Needs {
    fn add(&mut self, expression: &Expression<StepIdx>, need: Need) {
        expression.visit(need, &mut |reference, need| {
            let from = match &reference.target {
                Target::Input => 0,
                Target::Step { step, .. } => step.place() + 1,
                Target::Variable { .. } => return,
            };
            let known = self.0.entry(from).or_insert(need);
            if need == Need::AtOnce {
                *known = need;
            }
        });
    }

    fn lines_to(self, to: usize, lines: &mut Vec<Line>) {
        let new = self.0.into_iter();
        lines.extend(new.map(|(from, need)| Line { from, to, need }));
    }
}
