//! Where runs begin. Owns what a run needs to start (a store, components, options, a checked
//! request); how it goes on is the driver's.

use std::fmt;
use std::sync::Arc;

use stepflow_flow::blob::BlobId;
use stepflow_flow::plan::Plan;
use stepflow_flow::schema::{Schema, Violation};
use stepflow_flow::value::{Kind, Value};
use stepflow_store::journal::Parent;
use stepflow_store::{RunId, Store};

use crate::component::Components;
use crate::driver;
use crate::outer::Around;
use crate::plans::{self, PlanError, Plans};
use crate::retry::Retry;
use crate::run::{Run, RunError};
use crate::scheduler::variables;
use crate::sub_run::SubFlow;

/// Runs flows on components, with a store as memory. Cheap to clone; clones are the same engine.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::sync::Arc;
///
/// use futures_util::future::BoxFuture;
/// use stepflow_engine::{Completion, Components, Engine, Failure, Invocation, Options, Request};
/// use stepflow_flow::{document::Source, outcome::Outcome, plan, value::Value};
/// use stepflow_store::Store;
///
/// /// Answers every call with its input.
/// struct Echo;
///
/// impl Components for Echo {
///     fn execute(&self, call: Invocation) -> BoxFuture<'static, Result<Completion, Failure>> {
///         Box::pin(async move { Ok(Completion::Output(call.input)) })
///     }
/// }
///
/// let engine = Engine::new(Store::memory(), Arc::new(Echo), Options::default());
/// let text = "{steps: [{id: a, component: /echo, input: {$input: name}}], output: {$step: a}}";
/// let plan = plan::check(&Source::new("flow.yaml", text)).plan.unwrap();
/// let input = Value::parse(r#"{"name": "Ada"}"#).unwrap();
/// let finished = engine.run(Request::new(plan, input)).unwrap().await.unwrap();
/// assert_eq!(finished.outcome, Outcome::Success(Value::string("Ada")));
/// # });
/// ```
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    components: Arc<dyn Components>,
    options: Options,
    plans: Plans,
}

/// How an engine runs.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Bounds of what runs at once and how deep.
    pub limits: Limits,
    /// Retries that flows do not ask for.
    pub retry: Retry,
}

/// Bounds of what runs at once and how deep.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How many attempts of one run may be in flight at once. Waits between attempts do not count,
    /// nor do runs that a step asked for: they have their own.
    pub run: usize,
    /// How many items of one map, or of one batch, may go on at once.
    pub map: usize,
    /// How deep runs may enclose each other.
    pub depth: u32,
    /// How many runs may be alive inside one top-level run, at whatever depth.
    pub alive: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            run: 1024,
            map: 128,
            depth: 32,
            alive: 10_000,
        }
    }
}

/// A run to start.
#[derive(Clone)]
pub struct Request {
    /// The flow, checked and compiled. Store the flow it was compiled from (as a blob) if the run
    /// is to outlive the process: the journal names it by its id only.
    pub plan: Plan,
    /// The content id of the flow as it was given: not the plan's where overrides were applied.
    pub flow_id: BlobId,
    /// The input of the flow.
    pub input: Value,
    /// The variables that are given, as an object; null when none are.
    pub variables: Value,
    /// The overrides that the plan already contains, for the journal; null when there are none.
    pub overrides: Value,
    /// The id of the run, when somebody has promised it already.
    pub run_id: Option<RunId>,
    /// The step that asks for this run, if one does.
    pub parent: Option<Parent>,
    /// The trace this run belongs to; its own id names the trace otherwise.
    pub trace_id: Option<[u8; 16]>,
}

impl Request {
    /// A top-level run of this flow with this input, and nothing special about it.
    pub fn new(plan: Plan, input: Value) -> Request {
        Request {
            flow_id: plan.flow_id(),
            plan,
            input,
            variables: Value::null(),
            overrides: Value::null(),
            run_id: None,
            parent: None,
            trace_id: None,
        }
    }
}

impl fmt::Debug for Request {
    /// Leaves out the input and the variables, which may be large or secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("flow_id", &self.flow_id)
            .field("run_id", &self.run_id)
            .field("parent", &self.parent)
            .finish_non_exhaustive()
    }
}

/// A run was not started: whoever asked for it has to ask differently. Nothing was recorded.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The input or the variables do not fit the flow's schema for them.
    #[error(
        "the {subject} of the flow does not fit its schema: {}",
        listed(violations)
    )]
    Invalid {
        /// What does not fit.
        subject: Subject,
        /// Where and how, by JSON pointers.
        violations: Vec<Violation>,
    },
    /// Too many runs enclose this one; most likely a flow runs itself without end.
    #[error(
        "runs may be nested {limit} deep (`limits.depth`), and this one would be deeper: {chain}; does a flow run itself?"
    )]
    TooDeep {
        /// The limit.
        limit: u32,
        /// The runs around it, each as `flow/step`.
        chain: String,
    },
    /// Too many runs are alive inside one top-level run; most likely a flow runs itself more than once. The top-level run ends
    /// with this error.
    #[error(
        "{limit} runs are alive inside one, as many as there may be (`limits.alive`), and step `{step_id}` asks for one more: \
         {chain}; does a flow run itself more than once? If not, raise the limit"
    )]
    TooMany {
        /// The limit.
        limit: usize,
        /// The step that asked for one more.
        step_id: Arc<str>,
        /// The runs around it, each as `flow/step`.
        chain: String,
    },
}

fn listed(violations: &[Violation]) -> String {
    let texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// What a schema of a flow is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The input.
    Input,
    /// The variables.
    Variables,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Subject::Input => "input",
            Subject::Variables => "variables",
        })
    }
}

impl Engine {
    /// An engine on this store and these components.
    pub fn new(store: Store, components: Arc<dyn Components>, options: Options) -> Engine {
        Engine {
            shared: Arc::new(Shared {
                store,
                components,
                options,
                plans: Plans::default(),
            }),
        }
    }

    /// The store, which also serves the blobs of call backs.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// How this engine runs.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    pub(crate) fn components(&self) -> &dyn Components {
        &*self.shared.components
    }

    /// A stored flow for steps to run, with changes to its steps (null for none).
    ///
    /// # Errors
    /// When there is no such flow, it cannot be run, or the changes do not fit it.
    pub async fn stored_flow(
        &self,
        flow_id: BlobId,
        overrides: &Value,
    ) -> Result<SubFlow, PlanError> {
        let plan = self.shared.plans.stored(self.store(), flow_id).await?;
        plans::overridden(plan, overrides)
    }

    /// A flow as it stands for steps to run, with changes to its steps (null for none).
    ///
    /// # Errors
    /// When it cannot be run, or the changes do not fit it.
    pub async fn given_flow(&self, flow: &Value, overrides: &Value) -> Result<SubFlow, PlanError> {
        let plan = self.shared.plans.given(self.store(), flow).await?;
        plans::overridden(plan, overrides)
    }

    /// Prepares a run. It is recorded and begins when the returned [`Run`] is awaited.
    ///
    /// # Errors
    /// When the input or the variables do not fit their schemas, or runs are nested too deep.
    pub fn run(&self, request: Request) -> Result<Run, StartError> {
        self.check(&request, None)?;
        Ok(driver::start(self.clone(), request, None))
    }

    /// Checks what can be checked before a run begins.
    pub(crate) fn check(
        &self,
        request: &Request,
        around: Option<&Arc<Around>>,
    ) -> Result<(), StartError> {
        let depth = request.parent.as_ref().map_or(0, |parent| parent.depth);
        let limit = self.options().limits.depth;
        if depth > limit {
            let chain = around.map_or_else(|| "it is".to_owned(), Around::describe);
            return Err(StartError::TooDeep { limit, chain });
        }
        check(Subject::Input, request.plan.input_schema(), &request.input)?;
        check_variables(&request.plan, &request.variables)
    }

    /// Takes up a run again that has a journal but no end, from wherever it got to.
    ///
    /// Steps that were in flight run again with the next attempt number and the same idempotency
    /// key, unless they are `atMostOnce`: those fail with -32013. A run that has ended already
    /// resolves at once. `plan` has to be compiled from the run's flow and overrides.
    ///
    /// # Errors
    /// When the journal cannot be read, or does not fit the plan.
    pub async fn resume(&self, run_id: RunId, plan: Plan) -> Result<Run, RunError> {
        let (run, _) = driver::resume(self.clone(), run_id, plan, None).await?;
        Ok(run)
    }
}

fn check(subject: Subject, schema: Option<&Schema>, value: &Value) -> Result<(), StartError> {
    let Some(schema) = schema else { return Ok(()) };
    schema
        .validate(value)
        .map_err(|violations| StartError::Invalid {
            subject,
            violations,
        })
}

/// Checks the variables as the run will see them, defaults included.
fn check_variables(plan: &Plan, given: &Value) -> Result<(), StartError> {
    if !matches!(given.kind(), Kind::Object | Kind::Null) {
        let violation = Violation {
            pointer: String::new(),
            message: format!("variables come as an object, not as {}", given.kind()),
            expected: Some(Kind::Object.name().to_owned()),
        };
        return Err(StartError::Invalid {
            subject: Subject::Variables,
            violations: vec![violation],
        });
    }
    if plan.variables_schema().is_none() {
        return Ok(());
    }
    let variables = variables::effective(plan, given);
    let object = variables.iter().map(|(name, value)| (name, value.clone()));
    check(
        Subject::Variables,
        plan.variables_schema(),
        &Value::object(object),
    )
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}
