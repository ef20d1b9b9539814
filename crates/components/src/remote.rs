//! Component servers: a plugin that lives in another program. Owns its instances, the calls under way and what a call's
//! failure means for the engine.

pub mod callbacks;
mod connector;
mod failure;
pub mod inspection;
mod supervisor;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use stepflow_engine::Completion;
use stepflow_engine::Failure;
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
use stepflow_rpc::transport::child::Guard;
use stepflow_store::Store;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;

use crate::options::Http;
use crate::options::Limits;
use crate::options::Restart;
use crate::options::Stdio;
use crate::options::Strictness;
use crate::options::Validate;
use crate::schemas;
use connector::Connector;
pub use failure::Unavailable;
use supervisor::Ready;
use supervisor::Supervisor;

/// A plugin made of one or more instances of a component server.
#[derive(Debug)]
pub struct Remote {
    name: Arc<str>,
    limits: Limits,
    validate: Validate,
    instances: Vec<Instance>,
    slots: Option<Semaphore>,
}

#[derive(Debug)]
struct Instance {
    supervisor: Supervisor,
    in_flight: AtomicUsize,
}

/// What all plugins of a runtime share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Where call backs put blobs and find them.
    pub store: Store,
    /// Ends our children when we cannot; started with the first child.
    pub guard: Arc<std::sync::OnceLock<Option<Guard>>>,
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
        let instances = instances(&name, options.instances, connector, &options.restart);
        Remote::new(&name, instances, &options.limits, shared)
    }

    /// A plugin over HTTP; nothing is connected yet.
    pub fn http(name: &str, options: &Http, shared: &Shared) -> Remote {
        let name: Arc<str> = name.into();
        let connector = || Connector::Http(Box::new(connector::Http::new(&name, options, shared)));
        let instances = instances(&name, options.connections, connector, &Restart::reconnect());
        Remote::new(&name, instances, &options.limits, shared)
    }

    fn new(name: &Arc<str>, instances: Vec<Instance>, limits: &Limits, shared: &Shared) -> Remote {
        Remote {
            name: Arc::clone(name),
            limits: limits.clone(),
            validate: shared.validate,
            instances,
            slots: limits.max_in_flight.map(Semaphore::new),
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
        invocation: Invocation,
    ) -> Result<Completion, Failure> {
        // The step's time counts from sending, not from waiting for a process or a slot.
        let held = invocation.clock.hold();
        let _slot = self.slot().await;
        let (ready, _busy) = self.ready().await?;
        let schemas = self.schemas(&ready).await;
        schemas::check(
            schemas.and_then(|all| all.input(component)),
            &invocation.input,
            self.validate.input,
            "input",
            &invocation.component,
        )?;
        let result = self.call(&ready, component, &invocation, held).await?;
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
        invocation: &Invocation,
        held: stepflow_engine::Held,
    ) -> Result<ExecuteResult, Failure> {
        let time = self
            .limits
            .timeout
            .filter(|_| invocation.deadline.is_none());
        let mut params = params(component, invocation, invocation.deadline.or(time));
        // Without a session any process of the server may get this: it must know all there is to know.
        params.capabilities = ready.is_stateless().then(Capabilities::all);
        let call = ready
            .session
            .peer()
            .prepare::<Execute>(&params)
            .map_err(|error| failure::of_call(&self.name, error))?;
        let _listed = ready.executions.list(call.id(), invocation.into());
        drop(held);
        let answer = match time {
            None => call.send().await,
            Some(time) => tokio::time::timeout(time, call.send())
                .await
                .map_err(|_| failure::timed_out(&self.name, time))?,
        };
        answer.map_err(|error| failure::of_call(&self.name, error))
    }

    async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        match &self.slots {
            None => None,
            Some(slots) => Some(
                slots
                    .acquire()
                    .await
                    .expect("the semaphore is never closed"),
            ),
        }
    }

    /// A server that takes calls: an instance that has failed fails calls only when all have.
    async fn ready(&self) -> Result<(Arc<Ready>, Busy<'_>), Failure> {
        loop {
            let instance = self.least_busy();
            let busy = Busy::on(&instance.in_flight);
            match instance.supervisor.ready().await {
                Ok(ready) => return Ok((ready, busy)),
                Err(why) if self.instances.iter().all(|it| it.supervisor.has_failed()) => {
                    return Err(why.into_failure(&self.name));
                }
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    /// An instance that fails at once is never busy: it comes last all the same.
    fn least_busy(&self) -> &Instance {
        let rank = |it: &Instance| {
            (
                it.supervisor.trouble(),
                it.in_flight.load(Ordering::Relaxed),
            )
        };
        let least = self.instances.iter().min_by_key(|it| rank(it));
        least.expect("there is at least one instance")
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
        futures_util::future::join_all(self.instances.iter().map(|it| it.supervisor.shut_down()))
            .await;
    }
}

fn instances(
    name: &Arc<str>,
    count: usize,
    connector: impl Fn() -> Connector,
    restart: &Restart,
) -> Vec<Instance> {
    let instance = |_| Instance {
        supervisor: Supervisor::start(Arc::clone(name), connector(), restart.clone()),
        in_flight: AtomicUsize::new(0),
    };
    (0..count.max(1)).map(instance).collect()
}

fn params(
    component: &str,
    invocation: &Invocation,
    deadline: Option<std::time::Duration>,
) -> ExecuteParams {
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

/// Counts a call for as long as it lives.
struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn on(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Busy(count)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
