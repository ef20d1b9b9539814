//! One component server, looked at closely: connect, ask what it is and offers, run a component, and tell what happens
//! meanwhile. Supervises and calls as for a run, but checks nothing and sends nothing twice: what the server does is the point.
//!
//! What is told is for a [`Watch`]; the words for people, and where they go, are none of this module's business.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::time::Duration;

use stepflow_engine::Class;
use stepflow_engine::Completion;
use stepflow_engine::Failure;
use stepflow_flow::blob::BlobId;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::value::Kind;
use stepflow_flow::value::Value;
use stepflow_protocol::Observability;
use stepflow_protocol::PROTOCOL_VERSION;
use stepflow_protocol::component::ComponentInfo;
use stepflow_protocol::component::Execute;
use stepflow_protocol::component::ExecuteParams;
use stepflow_protocol::component::ExecuteResult;
use stepflow_protocol::component::List;
use stepflow_protocol::lifecycle::Capabilities;
use stepflow_protocol::lifecycle::Empty;
use stepflow_protocol::lifecycle::Implementation;
use stepflow_protocol::notice::Progress;
use stepflow_protocol::notice::ProgressParams;
use stepflow_rpc::Arrival;
use stepflow_rpc::CallError;
use stepflow_rpc::Id;
use stepflow_rpc::Message;
use stepflow_rpc::Notice;
use stepflow_rpc::RpcError;
use stepflow_rpc::link::Tap;
use stepflow_store::RunId;
use stepflow_store::Store;
use tokio::time::Instant;

use super::Remote;
use super::Shared;
use super::Unavailable;
use super::callbacks::Execution;
use super::failure;
use super::ready::Ready;
use super::ready::Server;
use crate::options::Http;
use crate::options::Restart;
use crate::options::Stdio;
use crate::options::Strictness;
use crate::options::Validate;

/// What the server is called in messages, and the prefix it is told.
const NAME: &str = "server";

/// The step that a call is said to be.
const STEP: &str = "inspect";

/// How long a server that ended is left alone before a call may start it again.
const PROBE_AFTER: Duration = Duration::from_secs(1);

/// Which server.
#[derive(Clone, Debug)]
pub enum Target {
    /// One that is started; it is not started again by itself.
    Stdio(Box<Stdio>),
    /// One that runs elsewhere.
    Http(Box<Http>),
}

/// Is told what happens while it happens, where messages travel: what it does is waited for.
pub trait Watch: Send + Sync + 'static {
    /// Something happened.
    fn happened(&self, event: Event<'_>);
}

/// What happens between the two sides.
#[derive(Debug)]
pub enum Event<'a> {
    /// A message goes to the server.
    Sent(&'a Message),
    /// Something came from the server, or the connection is over.
    Received(&'a Arrival),
    /// The server calls back.
    CalledBack {
        /// The method.
        method: &'a str,
        /// What it asks, without what only says which call it belongs to.
        params: Value,
    },
    /// A call back is answered.
    AnsweredBack {
        /// The method.
        method: &'a str,
        /// The result as text, or the error.
        result: Result<&'a str, &'a RpcError>,
        /// How long the answer took.
        took: Duration,
    },
    /// The component says how far it is.
    Progress(ProgressParams),
}

/// How the two sides talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Over the stdin and stdout of a process with this id.
    Stdio {
        /// The process.
        pid: u32,
    },
    /// Over a session of HTTP, which remembers the handshake.
    Session,
    /// Over single requests, and the server has answered some of them by streams, on which it can call back.
    Streamable,
    /// Over single requests, all answered at once so far.
    Plain,
}

/// What a server is, as far as its handshake says.
#[derive(Clone, Debug)]
pub struct About {
    /// How the two sides talk, as far as that has shown by now.
    pub mode: Mode,
    /// The version of the protocol that both speak.
    pub protocol_version: u32,
    /// What the server calls itself, if it said so.
    pub server: Option<Implementation>,
    /// What it accepts.
    pub capabilities: Capabilities,
    /// The longest message that it takes, in bytes, if it said so.
    pub max_message_bytes: Option<u64>,
}

/// A server under inspection. End it with [`Inspection::shut_down`].
#[derive(Debug)]
pub struct Inspection {
    remote: Remote,
    timeout: Option<Duration>,
}

impl Inspection {
    /// Nothing is started yet. Calls back for blobs are answered from a store of its own, in memory.
    pub fn new(target: &Target, version: &str, watch: Arc<dyn Watch>) -> Inspection {
        let shared = Shared {
            store: Store::memory(),
            guard: Arc::new(OnceLock::new()),
            version: version.into(),
            validate: Validate {
                input: Strictness::Ignore,
                output: Strictness::Ignore,
            },
            tap: Some(Arc::new(Interpreter {
                watch,
                asked: Mutex::default(),
            })),
        };
        match target {
            Target::Stdio(stdio) => {
                let restart = Restart {
                    max_restarts: 0,
                    max_restarts_at_start: 0,
                    probe_after: PROBE_AFTER,
                    ..Restart::default()
                };
                let once = Stdio {
                    instances: 1,
                    restart,
                    ..(**stdio).clone()
                };
                let timeout = once.limits.timeout;
                let remote = Remote::stdio(NAME, &once, &shared);
                Inspection { remote, timeout }
            }
            Target::Http(http) => {
                let one = Http {
                    connections: 1,
                    ..(**http).clone()
                };
                let timeout = one.limits.timeout;
                let remote = Remote::http(NAME, &one, &shared);
                Inspection { remote, timeout }
            }
        }
    }

    /// Connects and shakes hands, or says what is there already.
    ///
    /// # Errors
    /// [`Unavailable`] with everything that is known.
    pub async fn connect(&self) -> Result<About, Unavailable> {
        Ok(about(&*self.ready().await?))
    }

    /// Asks the server what it offers.
    ///
    /// # Errors
    /// As for a step that fails.
    pub async fn list(&self) -> Result<Vec<ComponentInfo>, Failure> {
        let ready = self.ready().await.map_err(unavailable)?;
        let asking = async {
            let list = ready.session.peer().call::<List>(&Empty {}).await;
            list.map_err(of_call)
        };
        Ok(self.in_time(asking).await?.components)
    }

    /// Runs a component once, with ids made up for it, whatever its schemas say of the input.
    ///
    /// # Errors
    /// As for a step that fails.
    pub async fn call(&self, component: &str, input: Value) -> Result<Completion, Failure> {
        let ready = self.ready().await.map_err(unavailable)?;
        let params = params(component, input, self.timeout, ready.is_stateless());
        let execution = Execution {
            run_id: params.run_id.as_deref().unwrap_or_default().to_owned(),
            step_id: STEP.into(),
            attempt: 1,
            serving: None,
        };
        let call = ready.session.peer().prepare::<Execute>(&params);
        let call = call.map_err(of_call)?;
        let _listed = ready.executions.list(call.id(), execution);
        let answering = async {
            let answer = call.send().await;
            answer.map_err(of_call)
        };
        Ok(match self.in_time(answering).await? {
            ExecuteResult::Output(output) => Completion::Output(output),
            ExecuteResult::Skipped(skipped) => Completion::Skipped {
                reason: skipped.reason,
            },
        })
    }

    /// Ends the connection, and the process behind it.
    pub async fn shut_down(&self) {
        self.remote.shut_down().await;
    }

    async fn ready(&self) -> Result<Arc<Ready>, Unavailable> {
        Ok(self.remote.pool.ready().await?.0)
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let Some(time) = self.timeout else {
            return work.await;
        };
        tokio::time::timeout(time, work).await.unwrap_or_else(|_| {
            let time = stepflow_flow::duration::print(time);
            let message = format!("the server gave no answer within {time}");
            Err(Failure::new(
                Class::TimedOut,
                ErrorCode::TIMEOUT.error(message),
            ))
        })
    }
}

fn unavailable(why: Unavailable) -> Failure {
    let message = format!("the server is not available: {}", why.reason);
    Failure::new(Class::NotSent, ErrorCode::UNAVAILABLE.error(message))
}

fn of_call(error: CallError) -> Failure {
    failure::of_call_to(&"the server", error)
}

fn about(ready: &Ready) -> About {
    let mode = match ready.server() {
        Server::Child(child) => Mode::Stdio { pid: child.pid() },
        Server::Session => Mode::Session,
        Server::Stateless(stateless) if stateless.streams.seen() => Mode::Streamable,
        Server::Stateless(_) => Mode::Plain,
    };
    About {
        mode,
        // A session with any other version does not come about.
        protocol_version: PROTOCOL_VERSION,
        server: ready.session.server().cloned(),
        capabilities: ready.session.capabilities().clone(),
        max_message_bytes: ready.session.max_message_bytes(),
    }
}

/// Everything that published servers require, made up.
fn params(
    component: &str,
    input: Value,
    time: Option<Duration>,
    is_stateless: bool,
) -> ExecuteParams {
    let run = RunId::new();
    let run_id: Arc<str> = run.to_string().into();
    let flow_id = BlobId::of(&Value::string(STEP)).expect("a string has a canonical form");
    let flow_id: Arc<str> = flow_id.to_string().into();
    let step_id: Arc<str> = STEP.into();
    let trace = u128::from_be_bytes(*run.as_bytes());
    let observability = Observability {
        trace_id: Some(format!("{trace:032x}").into()),
        span_id: Some(format!("{:016x}", (trace & u128::from(u64::MAX))).into()),
        run_id: Some(Arc::clone(&run_id)),
        flow_id: Some(Arc::clone(&flow_id)),
        step_id: Some(Arc::clone(&step_id)),
    };
    ExecuteParams {
        component: component.into(),
        input,
        attempt: Some(1),
        idempotency_key: Some(format!("{run_id}/{step_id}")),
        step_id: Some(step_id),
        run_id: Some(run_id),
        flow_id: Some(flow_id),
        observability: Some(observability),
        deadline_ms: time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        // Without a session any process of the server may get this: it must know all there is to know.
        capabilities: is_stateless.then(Capabilities::all),
    }
}

/// The params of a call back, without the fields that all of them have.
fn essence(params: &str) -> Value {
    let params = Value::parse(params).unwrap_or_default();
    match params.kind() {
        Kind::Object => {
            let of_its_own = |key: &str| !matches!(key, "execution" | "observability");
            let entries = params.entries().filter(|(key, _)| of_its_own(key));
            Value::object(entries.map(|(key, value)| (key, value.clone())))
        }
        _ => params,
    }
}

/// Makes events of messages.
struct Interpreter {
    watch: Arc<dyn Watch>,
    /// The server's requests that were not answered yet: their methods, and when they came.
    asked: Mutex<HashMap<Id, (String, Instant)>>,
}

impl fmt::Debug for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interpreter").finish_non_exhaustive()
    }
}

impl Interpreter {
    fn asked(&self) -> std::sync::MutexGuard<'_, HashMap<Id, (String, Instant)>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tap for Interpreter {
    fn sent(&self, message: &Message) {
        self.watch.happened(Event::Sent(message));
        let Message::Response(response) = message else {
            return;
        };
        let asked = self.asked().remove(&response.id);
        if let Some((method, since)) = asked {
            self.watch.happened(Event::AnsweredBack {
                method: &method,
                result: response.result.as_ref().map(|result| result.get()),
                took: since.elapsed(),
            });
        }
    }

    fn received(&self, arrival: &Arrival) {
        self.watch.happened(Event::Received(arrival));
        match arrival {
            Arrival::Message(Message::Request(request)) => {
                let asked = (request.method.to_string(), Instant::now());
                self.asked().insert(request.id.clone(), asked);
                self.watch.happened(Event::CalledBack {
                    method: &request.method,
                    params: essence(request.params.get()),
                });
            }
            Arrival::Message(Message::Notification(notice)) if notice.method == Progress::NAME => {
                // The router complains of params that are none.
                if let Ok(progress) = serde_json::from_str(notice.params.get()) {
                    self.watch.happened(Event::Progress(progress));
                }
            }
            Arrival::Ended(_) => self.asked().clear(),
            _ => {}
        }
    }
}
