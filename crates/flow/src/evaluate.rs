//! What an expression's value is.
//!
//! Owns the table of values, nulls, missing paths and skipped steps from the flow language's page. Pure:
//! outcomes are asked for, and one that is not there yet is an answer too. Must not know how a step is
//! brought to run.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Serialize, Serializer};

use crate::error::{ErrorCode, FlowError};
use crate::expression::{Expression, OnSkip, Reference, Target};
use crate::outcome::Outcome;
use crate::path::{MissingPath, Segment, There};
use crate::plan::{CompiledExpression, Plan, StepIdx};
use crate::value::Value;

mod template;

/// What references lead to.
pub trait Scope {
    /// The flow's input.
    fn input(&self) -> &Value;
    /// The value of a variable, if it has one.
    fn variable(&self, name: &str) -> Option<&Value>;
    /// The outcome of a step, if it has ended.
    fn outcome(&self, step: StepIdx) -> Option<&Outcome>;
    /// A step's id, for messages.
    fn step_id(&self, step: StepIdx) -> &str;
}

/// The variables of a run, by name.
#[derive(Clone, Default)]
pub struct Variables(Arc<IndexMap<Arc<str>, Value>>);

impl Variables {
    /// The value of a variable, if it has one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }
}

impl FromIterator<(Arc<str>, Value)> for Variables {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Value)>>(entries: I) -> Variables {
        Variables(Arc::new(entries.into_iter().collect()))
    }
}

/// Variables may be secrets, so only their names are shown.
impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A scope whose outcomes come from a function.
pub struct RunScope<'a, F> {
    /// The plan that is run.
    pub plan: &'a Plan,
    /// The flow's input.
    pub input: &'a Value,
    /// The run's variables.
    pub variables: &'a Variables,
    /// The outcome of a step, if it has ended.
    pub outcomes: F,
}

impl<'a, F: Fn(StepIdx) -> Option<&'a Outcome>> Scope for RunScope<'a, F> {
    fn input(&self) -> &Value {
        self.input
    }

    fn variable(&self, name: &str) -> Option<&Value> {
        self.variables.get(name)
    }

    fn outcome(&self, step: StepIdx) -> Option<&Outcome> {
        (self.outcomes)(step)
    }

    fn step_id(&self, step: StepIdx) -> &str {
        &self.plan.step(step).id
    }
}

/// What came of evaluating an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Evaluated {
    /// It has a value.
    Value(Value),
    /// It refers to a step that was skipped, and nothing covers that.
    Skipped {
        /// The step that was skipped.
        step: StepIdx,
    },
    /// It cannot be computed before this step has ended.
    Pending(StepIdx),
    /// It has no value; the error is `-32009` and says why.
    Failed(FlowError),
}

/// Computes an expression.
///
/// ```
/// use stepflow_flow::document::Source;
/// use stepflow_flow::evaluate::{Evaluated, RunScope, Variables, evaluate};
/// use stepflow_flow::{outcome::Outcome, plan, value::Value};
///
/// let text = "{steps: [{id: a, component: /py/a}], output: {sum: {$step: a, path: n}, of: {$input: $}}}";
/// let plan = plan::check(&Source::new("a.yaml", text)).plan.unwrap();
/// let input = Value::parse("[1, 2]").unwrap();
/// let done = Outcome::Success(Value::parse(r#"{"n": 3}"#).unwrap());
/// let scope = RunScope { plan: &plan, input: &input, variables: &Variables::default(), outcomes: |_| Some(&done) };
/// let expected = Value::parse(r#"{"sum": 3, "of": [1, 2]}"#).unwrap();
/// assert_eq!(evaluate(plan.output(), &scope), Evaluated::Value(expected));
/// ```
pub fn evaluate(expression: &CompiledExpression, scope: &impl Scope) -> Evaluated {
    match resolve(expression, scope) {
        Ok(tree) => Evaluated::Value(tree.into_value()),
        Err(Stop::Skipped(step)) => Evaluated::Skipped { step },
        Err(Stop::Pending(step)) => Evaluated::Pending(step),
        Err(Stop::Missing(error) | Stop::Failed(error)) => Evaluated::Failed(*error),
    }
}

/// Why there is no value.
enum Stop {
    Skipped(StepIdx),
    Pending(StepIdx),
    Missing(Box<FlowError>),
    Failed(Box<FlowError>),
}

/// A value before it is written: whole values are shared, and the text is made once at the end.
enum Tree<'e> {
    Value(Value),
    List(Vec<Tree<'e>>),
    Object(Vec<(&'e str, Tree<'e>)>),
}

impl Tree<'_> {
    fn into_value(self) -> Value {
        match self {
            Tree::Value(value) => value,
            tree => Value::trusted(&tree),
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Tree::Value(value) if value.is_null())
    }

    fn is_truthy(&self) -> bool {
        !matches!(self, Tree::Value(value) if !value.is_truthy())
    }
}

impl Serialize for Tree<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Tree::Value(value) => value.serialize(serializer),
            Tree::List(items) => serializer.collect_seq(items),
            Tree::Object(entries) => {
                serializer.collect_map(entries.iter().map(|(key, entry)| (key, entry)))
            }
        }
    }
}

fn resolve<'e>(expression: &'e CompiledExpression, scope: &impl Scope) -> Result<Tree<'e>, Stop> {
    match expression {
        Expression::Literal(value) => Ok(Tree::Value(value.clone())),
        Expression::Reference(reference) => resolve_reference(reference, scope),
        Expression::List(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| resolve(item, scope)).collect();
            items.map(Tree::List)
        }
        Expression::Object(entries) => {
            let entries: Result<Vec<_>, _> = entries
                .iter()
                .map(|(key, entry)| resolve(entry, scope).map(|entry| (&**key, entry)))
                .collect();
            entries.map(Tree::Object)
        }
        Expression::If(parts) => {
            let branch = match resolve(&parts.condition, scope)?.is_truthy() {
                true => &parts.then,
                false => &parts.otherwise,
            };
            resolve(branch, scope)
        }
        Expression::Coalesce(items) => coalesce(items, scope),
        Expression::Template(pieces) => template::render(pieces, scope).map(Tree::Value),
    }
}

/// The first item that has a value. With none left: null if any was null or missing, else skipped.
fn coalesce<'e>(items: &'e [CompiledExpression], scope: &impl Scope) -> Result<Tree<'e>, Stop> {
    let mut skipped = None;
    let mut has_null = false;
    for item in items {
        match resolve(item, scope) {
            Ok(tree) if !tree.is_null() => return Ok(tree),
            Ok(_) | Err(Stop::Missing(_)) => has_null = true,
            Err(Stop::Skipped(step)) => skipped = Some(step),
            Err(stop @ (Stop::Pending(_) | Stop::Failed(_))) => return Err(stop),
        }
    }
    match skipped {
        Some(step) if !has_null => Err(Stop::Skipped(step)),
        _ => Ok(Tree::Value(Value::null())),
    }
}

fn resolve_reference<'e>(
    reference: &'e Reference<StepIdx>,
    scope: &impl Scope,
) -> Result<Tree<'e>, Stop> {
    match &reference.target {
        Target::Input => select(reference, scope.input(), scope),
        Target::Variable { name, default } => match (scope.variable(name), default) {
            (Some(value), _) => select(reference, value, scope),
            (None, Some(default)) => resolve(default, scope),
            (None, None) => Err(missing_variable(name)),
        },
        Target::Step { step, on_skip } => match (scope.outcome(*step), on_skip) {
            (None, _) => Err(Stop::Pending(*step)),
            (Some(Outcome::Success(value)), _) => select(reference, value, scope),
            (Some(Outcome::Skipped { .. }), OnSkip::Skip) => Err(Stop::Skipped(*step)),
            (Some(Outcome::Skipped { .. }), OnSkip::UseDefault(default)) => resolve(default, scope),
            // A failure ends the run or becomes a skip or a value before anything refers to it.
            (Some(Outcome::Failed(error)), _) => Err(Stop::Failed(Box::new(error.clone()))),
        },
    }
}

fn select<'e>(
    reference: &Reference<StepIdx>,
    value: &Value,
    scope: &impl Scope,
) -> Result<Tree<'e>, Stop> {
    match reference.path.select(value) {
        Ok(found) => Ok(Tree::Value(found)),
        Err(missing) => Err(Stop::Missing(Box::new(missing_path(
            reference, value, &missing, scope,
        )))),
    }
}

fn missing_path(
    reference: &Reference<StepIdx>,
    value: &Value,
    missing: &MissingPath,
    scope: &impl Scope,
) -> FlowError {
    let (whose, target) = match &reference.target {
        Target::Input => ("the input".to_owned(), ("input", Value::string("$"))),
        Target::Variable { name, .. } => (
            format!("the variable {name:?}"),
            ("variable", Value::string(name)),
        ),
        Target::Step { step, .. } => {
            let id = scope.step_id(*step);
            (
                format!("the result of step {id:?}"),
                ("step", Value::string(id)),
            )
        }
    };
    let mut data = vec![target, ("path", Value::string(&missing.path.to_string()))];
    data.push(("found", Value::string(&missing.found().to_string())));
    data.push(("type", Value::string(missing.kind.name())));
    match &missing.there {
        There::Keys { first, .. } => {
            data.push((
                "keys",
                Value::list(first.iter().map(|key| Value::string(key))),
            ));
        }
        There::Length(length) => {
            data.push(("length", Value::from(serde_json::Value::from(*length))))
        }
        There::Scalar => {}
    }
    let hint = failure(value, missing).unwrap_or_else(|| suggestion(missing));
    ErrorCode::EXPRESSION_FAILED
        .error(format!("in {whose} {missing}{hint}"))
        .with_data(Value::object(data))
}

/// Why there is no result, where the path leads into the outcome of a run inside that failed.
fn failure(value: &Value, missing: &MissingPath) -> Option<String> {
    let found = missing.found().select(value).ok()?;
    let is_failed = found.get("outcome")?.as_str()? == "failed";
    let error = found.get("error").filter(|_| is_failed)?;
    let (code, message) = (error.get("code")?, error.get("message")?);
    let (code, message) = (code.as_text().to_owned(), message.as_str()?.into_owned());
    Some(format!("; the run inside failed: {message} ({code})"))
}

fn suggestion(missing: &MissingPath) -> String {
    let (Some(Segment::Field(wanted)), There::Keys { first, .. }) =
        (missing.path.segments().get(missing.depth), &missing.there)
    else {
        return String::new();
    };
    let near = crate::document::nearest(wanted, first.iter().map(String::as_str));
    near.map(|near| format!("; did you mean {near:?}?"))
        .unwrap_or_default()
}

fn missing_variable(name: &str) -> Stop {
    let message =
        format!("the variable {name:?} has no value; give it one, or give the reference a default");
    let data = Value::object([("variable", Value::string(name))]);
    Stop::Missing(Box::new(
        ErrorCode::EXPRESSION_FAILED.error(message).with_data(data),
    ))
}
