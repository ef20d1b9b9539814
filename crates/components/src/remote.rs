//! Component servers: a plugin that lives in another program. Owns its instances, the calls under way and what a call's
//! failure means for the engine.

pub mod callbacks;
mod connector;
pub(crate) mod failure;
pub mod inspection;
mod ready;

use std::sync::Arc;
use std::time::Duration;

use stepflow_engine::Clock;
use stepflow_engine::Completion;
use stepflow_engine::Failure;
use stepflow_engine::Held;
use stepflow_engine::Invocation;
use stepflow_protocol::Observability;
use stepflow_protocol::component::ComponentInfo;
use stepflow_protocol::component::Execute;
use stepflow_protocol::component::ExecuteParams;
use stepflow_protocol::component::ExecuteResult;
use stepflow_protocol::component::List;
use stepflow_protocol::lifecycle::Capabilities;
use stepflow_protocol::lifecycle::Empty;
use stepflow_rpc::link::Tap;
use stepflow_store::Store;

use crate::launch::SharedGuard;
use crate::options::Http;
use crate::options::Limits;
use crate::options::Restart;
use crate::options::Stdio;
use crate::options::Strictness;
use crate::options::Validate;
use crate::pool::Busy;
use crate::pool::Pool;
use crate::schemas;
pub use crate::supervisor::Unavailable;
use callbacks::Execution;
use callbacks::executions::Serving;
use connector::Connector;
use ready::Ready;

/// A plugin made of one or more instances of a component server.
#[derive(Debug)]
pub struct Remote {
    name: Arc<str>,
    limits: Limits,
    validate: Validate,
    pool: Pool<Ready>,
}

/// What all plugins of a runtime share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Where call backs put blobs and find them.
    pub store: Store,
    /// Ends our children when we cannot; started with the first child.
    pub guard: SharedGuard,
    /// What the runtime calls itself.
    pub version: Arc<str>,
    /// What to do about inputs and outputs that do not fit.
    pub validate: Validate,
    /// Sees every message of every connection.
    pub tap: Option<Arc<dyn Tap>>,
}

impl Remote {
    /// A plugin over stdio; nothing is started yet.
    pub fn stdio(name: &str, options: &Stdio, shared: &Shared) -> Remote {
        let name: Arc<str> = name.into();
        let connector =
            || Connector::Stdio(Box::new(connector::Stdio::new(&name, options, shared)));
        let limits = &options.limits;
        let slots = limits.max_in_flight;
        let pool = Pool::new(&name, options.instances, connector, &options.restart, slots);
        Remote::new(name, pool, limits, shared)
    }

    /// A plugin over HTTP; nothing is connected yet.
    pub fn http(name: &str, options: &Http, shared: &Shared) -> Remote {
        let name: Arc<str> = name.into();
        let connector = || Connector::Http(Box::new(connector::Http::new(&name, options, shared)));
        let limits = &options.limits;
        let slots = limits.max_in_flight;
        let restart = Restart::reconnect();
        let pool = Pool::new(&name, options.connections, connector, &restart, slots);
        Remote::new(name, pool, limits, shared)
    }

    fn new(name: Arc<str>, pool: Pool<Ready>, limits: &Limits, shared: &Shared) -> Remote {
        Remote {
            name,
            limits: limits.clone(),
            validate: shared.validate,
            pool,
        }
    }

    /// Whether calls whose outcome is unknown are sent again.
    pub fn resends_unknown(&self) -> bool {
        self.limits.retry_unknown
    }

    /// Makes one attempt of a step.
    ///
    /// # Errors
    /// A [`Failure`] with the class that decides about another attempt.
    pub async fn execute(
        &self,
        component: &str,
        mut invocation: Invocation,
    ) -> Result<Completion, Failure> {
        let time = self
            .limits
            .timeout
            .filter(|_| invocation.deadline.is_none());
        if time.is_some() {
            invocation.clock = Clock::running();
        }
        // The step's time counts from sending, not from waiting for a process or a slot.
        let held = invocation.clock.hold();
        let slot = self.pool.slot().await;
        let (ready, _busy) = self.ready().await?;
        let schemas = self.schemas(&ready).await;
        schemas::check(
            schemas.and_then(|all| all.input(component)),
            &invocation.input,
            self.validate.input,
            "input",
            &invocation.component,
        )?;
        let serving = Serving::new(invocation, slot);
        let invocation = &serving.invocation;
        let result = self.call(&ready, component, &serving, time, held).await?;
        if let ExecuteResult::Output(output) = &result {
            let schema = schemas.and_then(|all| all.output(component));
            schemas::check(
                schema,
                output,
                self.validate.output,
                "output",
                &invocation.component,
            )?;
        }
        Ok(match result {
            ExecuteResult::Output(output) => Completion::Output(output),
            ExecuteResult::Skipped(skipped) => Completion::Skipped {
                reason: skipped.reason,
            },
        })
    }

    async fn call(
        &self,
        ready: &Ready,
        component: &str,
        serving: &Arc<Serving>,
        time: Option<Duration>,
        held: Held,
    ) -> Result<ExecuteResult, Failure> {
        let invocation = &serving.invocation;
        let mut params = params(component, invocation, invocation.deadline.or(time));
        // Without a session any process of the server may get this: it must know all there is to know.
        params.capabilities = ready.is_stateless().then(Capabilities::all);
        let call = ready
            .session
            .peer()
            .prepare::<Execute>(&params)
            .map_err(|error| failure::of_call(&self.name, error))?;
        let _listed = ready.executions.list(call.id(), Execution::of(serving));
        drop(held);
        let answer = match time {
            None => call.send().await,
            Some(time) => tokio::select! {
                biased;
                answer = call.send() => answer,
                () = invocation.clock.timer(time) => {
                    return Err(failure::timed_out(&self.name, time));
                }
            },
        };
        answer.map_err(|error| failure::of_call(&self.name, error))
    }

    async fn ready(&self) -> Result<(Arc<Ready>, Busy<'_>), Failure> {
        let ready = self.pool.ready().await;
        ready.map_err(|why| why.into_failure(&self.name))
    }

    async fn schemas<'a>(&self, ready: &'a Ready) -> Option<&'a schemas::Schemas> {
        if self.validate.input == Strictness::Ignore && self.validate.output == Strictness::Ignore {
            return None;
        }
        ready.schemas(&self.name, self.limits.list_timeout).await
    }

    /// Asks the server what it offers.
    ///
    /// # Errors
    /// [`Unavailable`] when the server cannot be started, a failed call otherwise.
    pub async fn list(&self) -> Result<Vec<ComponentInfo>, Failure> {
        let (ready, _busy) = self.ready().await?;
        let result = ready.session.peer().call::<List>(&Empty {}).await;
        result
            .map(|list| list.components)
            .map_err(|error| failure::of_call(&self.name, error))
    }

    /// Ends all instances and waits until their processes are gone.
    pub async fn shut_down(&self) {
        self.pool.shut_down().await;
    }
}

fn params(component: &str, invocation: &Invocation, deadline: Option<Duration>) -> ExecuteParams {
    let run_id: Arc<str> = invocation.run_id.to_string().into();
    let flow_id: Arc<str> = invocation.flow_id.to_string().into();
    let observability = Observability {
        trace_id: Some(invocation.trace.trace_id_hex().into()),
        span_id: Some(invocation.trace.span_id_hex().into()),
        run_id: Some(Arc::clone(&run_id)),
        flow_id: Some(Arc::clone(&flow_id)),
        step_id: Some(Arc::clone(&invocation.step_id)),
    };
    ExecuteParams {
        component: component.into(),
        input: invocation.input.clone(),
        attempt: Some(invocation.attempt),
        step_id: Some(Arc::clone(&invocation.step_id)),
        run_id: Some(run_id),
        flow_id: Some(flow_id),
        observability: Some(observability),
        idempotency_key: Some(invocation.idempotency_key()),
        deadline_ms: deadline.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        capabilities: None,
    }
}
