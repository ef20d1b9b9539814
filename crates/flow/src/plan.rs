//! A checked flow, compiled for running.
//!
//! Owns the checks that need the whole flow (ids, references, cycles, schemas) and the tables a scheduler
//! reads: who needs whom, and what starts. Must not know how steps are run or where values are kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::blob::BlobId;
use crate::diagnostic::Diagnostics;
use crate::document::Source;
use crate::expression::Expression;
use crate::flow::{DeclaredVariables, Flow, OnError};
use crate::schema::Schema;
use crate::value::Value;

mod compile;
mod cycles;
mod fit;
mod infer;
mod known_fields;

pub use infer::{FlowTypes, StepTypes, infer};

/// A step's place in its plan.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct StepIdx(u32);

impl StepIdx {
    /// The step at this place.
    ///
    /// # Panics
    ///
    /// Past 4 billion steps, which no plan has.
    pub fn new(place: usize) -> StepIdx {
        StepIdx(u32::try_from(place).expect("a plan has fewer than 2^32 steps"))
    }

    /// The place, for tables with one row a step.
    pub fn place(self) -> usize {
        self.0 as usize
    }
}

/// An expression whose steps have been looked up.
pub type CompiledExpression = Expression<StepIdx>;

/// A flow that can be run. Cheap to clone.
///
/// ```
/// use stepflow_flow::{document::Source, plan};
/// let source = Source::new("a.yaml", "
/// steps:
///   - { id: b, component: /py/b, input: { $step: a } }
///   - { id: a, component: /py/a, input: { $input: x } }
/// output: { $step: b }
/// ");
/// let checked = plan::check(&source);
/// let plan = checked.plan.expect("the flow is sound");
/// let b = plan.step_idx("b").unwrap();
/// assert_eq!(plan.roots(), [b]);
/// assert_eq!(*plan.step(b).input_needs, [plan.step_idx("a").unwrap()]);
/// ```
#[derive(Clone, Debug)]
pub struct Plan(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    flow_id: BlobId,
    flow: Value,
    name: Option<Arc<str>>,
    steps: Vec<PlannedStep>,
    by_id: HashMap<Arc<str>, StepIdx>,
    output: CompiledExpression,
    output_needs: Box<[StepIdx]>,
    roots: Vec<StepIdx>,
    input_schema: Option<Schema>,
    output_schema: Option<Schema>,
    variables: Option<DeclaredVariables>,
    variables_schema: Option<Schema>,
    warnings: Diagnostics,
}

/// A step, ready to be run.
#[derive(Clone, Debug)]
pub struct PlannedStep {
    /// Its id.
    pub id: Arc<str>,
    /// The component that does it: an absolute path.
    pub component: Arc<str>,
    /// Whether to leave it out.
    pub skip_if: Option<Box<CompiledExpression>>,
    /// The steps whose outcomes `skip_if` needs at once; sorted, none twice.
    pub skip_if_needs: Box<[StepIdx]>,
    /// What goes into it.
    pub input: CompiledExpression,
    /// The steps whose outcomes `input` needs at once; sorted, none twice.
    pub input_needs: Box<[StepIdx]>,
    /// What to do when it fails.
    pub on_error: OnError<StepIdx>,
    /// How long one attempt may take, from sending.
    pub timeout: Option<Duration>,
    /// Whether an attempt whose outcome is unknown must not be repeated.
    pub at_most_once: bool,
    /// Whether it runs though only places that are not reached refer to it.
    pub must_execute: bool,
    /// The schema of its input.
    pub input_schema: Option<Schema>,
    /// The schema of its output.
    pub output_schema: Option<Schema>,
}

impl Plan {
    /// Checks a flow and compiles it. Warnings and notes are kept in [`Plan::warnings`].
    pub fn compile(flow: &Flow) -> Result<Plan, Diagnostics> {
        let mut diagnostics = Diagnostics::new(&flow.source);
        compile::compile(flow, &|_| None, &mut diagnostics).ok_or_else(|| {
            diagnostics.sort();
            diagnostics
        })
    }

    /// The id of the flow: the hash of its data as it was written.
    pub fn flow_id(&self) -> BlobId {
        self.0.flow_id
    }

    /// The flow's data, whose hash is its id.
    pub fn flow(&self) -> &Value {
        &self.0.flow
    }

    /// What people call the flow.
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// The steps, in the order of the text, which means nothing.
    pub fn steps(&self) -> &[PlannedStep] {
        &self.0.steps
    }

    /// A step by its place.
    pub fn step(&self, idx: StepIdx) -> &PlannedStep {
        &self.0.steps[idx.place()]
    }

    /// A step's place by its id.
    pub fn step_idx(&self, id: &str) -> Option<StepIdx> {
        self.0.by_id.get(id).copied()
    }

    /// What the flow's result is made from.
    pub fn output(&self) -> &CompiledExpression {
        &self.0.output
    }

    /// The steps whose outcomes the output needs at once; sorted, none twice.
    pub fn output_needs(&self) -> &[StepIdx] {
        &self.0.output_needs
    }

    /// The steps that run whatever happens: those the output needs at once, those nothing refers to, and those
    /// with `mustExecute`; sorted. What they need follows when they are activated.
    pub fn roots(&self) -> &[StepIdx] {
        &self.0.roots
    }

    /// The schema of the flow's input.
    pub fn input_schema(&self) -> Option<&Schema> {
        self.0.input_schema.as_ref()
    }

    /// The schema of the flow's output.
    pub fn output_schema(&self) -> Option<&Schema> {
        self.0.output_schema.as_ref()
    }

    /// The variables the flow declares.
    pub fn variables(&self) -> Option<&DeclaredVariables> {
        self.0.variables.as_ref()
    }

    /// The schema of the flow's variables, all together.
    pub fn variables_schema(&self) -> Option<&Schema> {
        self.0.variables_schema.as_ref()
    }

    /// What may be wrong with the flow, though it can run. The text that it was found in is not kept.
    pub fn warnings(&self) -> &Diagnostics {
        &self.0.warnings
    }
}

/// What a check of a flow's text found.
#[derive(Debug)]
pub struct Checked {
    /// The plan, if there is no error.
    pub plan: Option<Plan>,
    /// Errors, warnings and notes, in the order of the text.
    pub diagnostics: Diagnostics,
}

/// What a component says of itself.
#[derive(Clone, Debug, Default)]
pub struct ComponentSchemas {
    /// The schema of its input.
    pub input: Option<Value>,
    /// The schema of its output.
    pub output: Option<Value>,
}

/// What is known of components before anything runs, by their absolute paths.
pub type Known<'k> = dyn Fn(&str) -> Option<ComponentSchemas> + 'k;

/// Reads, checks and compiles a flow, and reports all problems of all kinds at once.
pub fn check(source: &Arc<Source>) -> Checked {
    check_with(source, &|_| None)
}

/// The same where something is known of the components. Their schemas count for what is said of the flow, and not for how
/// it runs: the plan has the schemas that stand in the flow.
pub fn check_with(source: &Arc<Source>, known: &Known<'_>) -> Checked {
    let mut diagnostics = Diagnostics::new(source);
    let flow = Flow::read(source, &mut diagnostics);
    let plan = flow.and_then(|flow| compile::compile(&flow, known, &mut diagnostics));
    diagnostics.sort();
    Checked { plan, diagnostics }
}
