//! A flow as it is written: steps, schemas, output.
//!
//! Owns the keys of the flow language and what each may hold. Must not know whether references lead
//! anywhere ([`crate::plan`] checks that) nor how steps are run.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use crate::diagnostic::Diagnostics;
use crate::document::{self, Node, Source, Span};
use crate::expression::{Expression, StepName};
use crate::value::Value;

mod component;
mod read;
mod read_step;
mod secret;
mod shapes;
mod suite;

pub use component::normalize as normalize_component;
pub use read_step::read_backoff;
pub use shapes::{BACKOFF, json_schema};
pub use suite::{Case, Expected, HealthCheck, Server, Suite};

/// A flow that could be read. Whether it can be run is for [`crate::plan::Plan::compile`] to say.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The text it was read from.
    pub source: Arc<Source>,
    /// The flow as data, as it was written; its hash is the flow's id.
    pub value: Value,
    /// What people call it.
    pub name: Option<Arc<str>>,
    /// What it is for.
    pub description: Option<Arc<str>>,
    /// The version its author gave it.
    pub version: Option<Arc<str>>,
    /// The schema of its input.
    pub input_schema: Option<LocatedSchema>,
    /// The schema of its output.
    pub output_schema: Option<LocatedSchema>,
    /// The variables it declares.
    pub variables: Option<DeclaredVariables>,
    /// Its steps, in the order of the text, which means nothing.
    pub steps: Vec<Step>,
    /// What its result is made from.
    pub output: Expression<StepName>,
    /// Where the output stands.
    pub output_span: Span,
    /// Inputs to try it with.
    pub examples: Vec<Example>,
    /// Its tests.
    pub test: Option<Suite>,
    /// Whatever its author noted.
    pub metadata: Option<Value>,
}

/// A JSON Schema and where it stands.
#[derive(Clone, Debug)]
pub struct LocatedSchema {
    /// The schema.
    pub value: Value,
    /// Where it stands.
    pub span: Span,
}

/// The variables a flow declares.
#[derive(Clone, Debug)]
pub struct DeclaredVariables {
    /// Where they are declared.
    pub span: Span,
    /// The JSON Schema of all of them together.
    pub schema: Value,
    /// One by one.
    pub each: IndexMap<Arc<str>, DeclaredVariable>,
}

/// One declared variable.
#[derive(Clone, Debug)]
pub struct DeclaredVariable {
    /// The value it has where none is given.
    pub default: Option<Value>,
    /// Whether its value must not be shown.
    pub is_secret: bool,
    /// The environment variable its value is read from.
    pub env_var: Option<Arc<str>>,
}

/// An input to try a flow with.
#[derive(Clone, Debug)]
pub struct Example {
    /// What it is called.
    pub name: Arc<str>,
    /// What it shows.
    pub description: Option<Arc<str>>,
    /// The input.
    pub input: Value,
}

/// A step as it is written.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its id.
    pub id: StepName,
    /// Where the id stands.
    pub id_span: Span,
    /// The component that does it: an absolute path.
    pub component: Arc<str>,
    /// Where the component stands.
    pub component_span: Span,
    /// What goes into it.
    pub input: Expression<StepName>,
    /// Where the input stands, or the component where there is none.
    pub input_span: Span,
    /// Whether to leave it out.
    pub skip_if: Option<Box<Expression<StepName>>>,
    /// What to do when it fails.
    pub on_error: OnError<StepName>,
    /// How long one attempt may take, from sending.
    pub timeout: Option<Duration>,
    /// Whether an attempt whose outcome is unknown must not be repeated.
    pub at_most_once: bool,
    /// Whether it runs though only places that are not reached refer to it.
    pub must_execute: bool,
    /// The schema of its input.
    pub input_schema: Option<LocatedSchema>,
    /// The schema of its output.
    pub output_schema: Option<LocatedSchema>,
    /// Whatever its author noted.
    pub metadata: Option<Value>,
    /// A flow written inside its input, for the built-ins that run flows.
    pub subflow: Option<Box<Flow>>,
}

/// What to do when a step fails.
#[derive(Clone, Debug)]
pub enum OnError<R> {
    /// The run fails.
    Fail,
    /// The step counts as skipped.
    Skip,
    /// The step succeeds with this value.
    UseDefault(Box<Expression<R>>),
    /// The step is tried again.
    Retry(Box<Retry<R>>),
}

/// How a failed step is tried again.
#[derive(Clone, Debug)]
pub struct Retry<R> {
    /// How many times after the first.
    pub max_retries: u32,
    /// How long to wait in between.
    pub backoff: Backoff,
    /// What to do when all have failed; never a retry.
    pub then: OnError<R>,
}

impl<R> OnError<R> {
    /// The same with its steps looked up; see [`Expression::map_steps`].
    pub fn map_steps<S>(&self, find: &mut impl FnMut(&R, Span) -> Option<S>) -> Option<OnError<S>> {
        Some(match self {
            OnError::Fail => OnError::Fail,
            OnError::Skip => OnError::Skip,
            OnError::UseDefault(default) => OnError::UseDefault(Box::new(default.map_steps(find)?)),
            OnError::Retry(retry) => OnError::Retry(Box::new(Retry {
                max_retries: retry.max_retries,
                backoff: retry.backoff,
                then: retry.then.map_steps(find)?,
            })),
        })
    }

    /// The value to use in the end, if there is one.
    pub fn default_value(&self) -> Option<&Expression<R>> {
        match self {
            OnError::UseDefault(default) => Some(default),
            OnError::Retry(retry) => retry.then.default_value(),
            OnError::Fail | OnError::Skip => None,
        }
    }
}

/// How long to wait before each retry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// How the waits grow.
    pub growth: Growth,
    /// The first wait.
    pub min_delay: Duration,
    /// The longest wait.
    pub max_delay: Duration,
    /// How much longer each wait is, if they grow exponentially.
    pub factor: f64,
    /// Whether waits are shortened at random, so that many who failed at once do not return at once.
    pub jitter: bool,
}

/// How the waits between retries grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// Each is a multiple of the one before.
    Exponential,
    /// All are the same.
    Constant,
    /// Each is the sum of the two before.
    Fibonacci,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff {
            growth: Growth::Exponential,
            min_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(10),
            factor: 2.0,
            jitter: true,
        }
    }
}

impl Backoff {
    /// The wait before a retry, counted from 1, without jitter.
    ///
    /// ```
    /// use std::time::Duration;
    /// use stepflow_flow::flow::Backoff;
    /// let waits: Vec<u64> = (1..=5).map(|retry| Backoff::default().delay(retry).as_secs()).collect();
    /// assert_eq!(waits, [1, 2, 4, 8, 10]);
    /// ```
    pub fn delay(&self, retry: u32) -> Duration {
        let step = retry.saturating_sub(1);
        let times = match self.growth {
            Growth::Constant => 1.0,
            Growth::Exponential => self.factor.powf(f64::from(step)),
            Growth::Fibonacci => fibonacci(step),
        };
        let seconds = self.min_delay.as_secs_f64() * times;
        let longest = self.max_delay.max(self.min_delay);
        if seconds < longest.as_secs_f64() {
            Duration::from_secs_f64(seconds)
        } else {
            longest
        }
    }
}

/// 1, 1, 2, 3, 5, …; as a float it grows past any wait rather than over a limit.
fn fibonacci(step: u32) -> f64 {
    let (mut this, mut next) = (1.0_f64, 1.0);
    for _ in 0..step.min(1000) {
        (this, next) = (next, this + next);
    }
    this
}

impl Flow {
    /// Reads a flow from YAML or JSON text; every problem is in the error.
    ///
    /// ```
    /// use stepflow_flow::{document::Source, flow::Flow};
    /// let source = Source::new("a.yaml", "steps: [{id: a, component: /python/add}]\noutput: {$step: a}");
    /// let flow = Flow::parse(&source).unwrap();
    /// assert_eq!(&*flow.steps[0].id, "a");
    /// ```
    pub fn parse(source: &Arc<Source>) -> Result<Flow, Diagnostics> {
        let mut diagnostics = Diagnostics::new(source);
        match Flow::read(source, &mut diagnostics) {
            Some(flow) if !diagnostics.has_errors() => Ok(flow),
            _ => {
                diagnostics.sort();
                Err(diagnostics)
            }
        }
    }

    /// Reads as much of a flow as can be read, so that the checks that follow find their problems too.
    pub fn read(source: &Arc<Source>, diagnostics: &mut Diagnostics) -> Option<Flow> {
        let node = document::read(source, diagnostics)?;
        Flow::from_node(node, diagnostics)
    }

    /// Reads as much of a flow as can be read from a part of a document.
    pub fn from_node(node: Node, diagnostics: &mut Diagnostics) -> Option<Flow> {
        read::flow(node, diagnostics)
    }
}
