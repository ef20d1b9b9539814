//! Typed handlers for what arrives: the one place that looks inside `params`, for a method it was given.
//! Parses params, catches panics, answers unknown methods; never writes to the wire itself.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::debug;

use crate::error::ErrorCode;
use crate::error::RpcError;
use crate::message::Id;
use crate::message::Json;
use crate::peer::Peer;

/// A request method: its name and the shapes that travel. Made by [`method!`](crate::method).
pub trait Method {
    /// The name on the wire.
    const NAME: &'static str;
    /// What the caller sends.
    type Params: Serialize + DeserializeOwned + Send + 'static;
    /// What the handler answers.
    type Result: Serialize + DeserializeOwned + Send + 'static;

    /// Params as they are sent. A method that carries large values may know a way without copies.
    ///
    /// # Errors
    /// When they are not JSON.
    fn write_params(params: &Self::Params) -> Result<Json, serde_json::Error> {
        Json::of(params)
    }

    /// Params from what arrived.
    ///
    /// # Errors
    /// What does not fit, and where.
    fn read_params(text: &Json) -> Result<Self::Params, String> {
        read(text.get())
    }

    /// A result as it is sent.
    ///
    /// # Errors
    /// When it is not JSON.
    fn write_result(result: &Self::Result) -> Result<Json, serde_json::Error> {
        Json::of(result)
    }

    /// A result from what arrived.
    ///
    /// # Errors
    /// What does not fit, and where.
    fn read_result(text: &Json) -> Result<Self::Result, String> {
        read(text.get())
    }
}

/// A notification: its name and the shape that travels. Made by [`notice!`](crate::notice).
pub trait Notice {
    /// The name on the wire.
    const NAME: &'static str;
    /// What the sender sends.
    type Params: Serialize + DeserializeOwned + Send + 'static;
}

/// Declares a [`Method`]: `method!(Add, "add", (i64, i64) => i64);`
#[macro_export]
macro_rules! method {
    ($(#[$doc:meta])* $name:ident, $wire:literal, $params:ty => $result:ty) => {
        $(#[$doc])*
        #[doc = concat!("The method `", $wire, "`.")]
        #[derive(Debug)]
        pub enum $name {}
        impl $crate::router::Method for $name {
            const NAME: &'static str = $wire;
            type Params = $params;
            type Result = $result;
        }
    };
}

/// Declares a [`Notice`]: `notice!(Log, "$/log", LogParams);`
#[macro_export]
macro_rules! notice {
    ($(#[$doc:meta])* $name:ident, $wire:literal, $params:ty) => {
        $(#[$doc])*
        #[doc = concat!("The notification `", $wire, "`.")]
        #[derive(Debug)]
        pub enum $name {}
        impl $crate::router::Notice for $name {
            const NAME: &'static str = $wire;
            type Params = $params;
        }
    };
}

/// What a handler gets besides its params.
#[derive(Clone, Debug)]
pub struct Call<S> {
    /// What the router was made with.
    pub state: S,
    /// The other side, scoped to this request: what is sent through it belongs to this request, across `spawn` too.
    pub peer: Peer,
    /// The id of the request; `None` for a notification.
    pub id: Option<Id>,
}

type Answer = Result<Json, RpcError>;
type Listener<S> = Arc<dyn Fn(Call<S>, Json) -> Result<(), RpcError> + Send + Sync>;

/// How a method is answered.
enum Handler<S> {
    /// Before anything that comes after it is looked at.
    AtOnce(Arc<dyn Fn(Call<S>, Json) -> Answer + Send + Sync>),
    /// In a task of its own.
    InTask(Arc<dyn Fn(Call<S>, Json) -> BoxFuture<'static, Answer> + Send + Sync>),
}

impl<S> Clone for Handler<S> {
    fn clone(&self) -> Self {
        match self {
            Handler::AtOnce(handler) => Handler::AtOnce(Arc::clone(handler)),
            Handler::InTask(handler) => Handler::InTask(Arc::clone(handler)),
        }
    }
}

/// How many requests of the other side run at once before more are answered "busy".
pub const DEFAULT_CONCURRENCY: usize = 10_000;

/// The table of what this side answers. Holds a state `S`, cloned into every call.
pub struct Router<S> {
    state: S,
    table: Arc<Table<S>>,
}

/// The keys are our own, so nobody can choose them to collide.
type ByName<T> = HashMap<&'static str, T, foldhash::fast::RandomState>;

struct Table<S> {
    methods: ByName<Handler<S>>,
    fallback: Option<Handler<S>>,
    notices: ByName<Listener<S>>,
    concurrency: usize,
    farewell: Duration,
}

// Handlers are shared, so a table that is being built can be copied from one that is in use.
impl<S> Clone for Table<S> {
    fn clone(&self) -> Self {
        Table {
            methods: self.methods.clone(),
            fallback: self.fallback.clone(),
            notices: self.notices.clone(),
            concurrency: self.concurrency,
            farewell: self.farewell,
        }
    }
}

impl<S: Clone> Clone for Router<S> {
    fn clone(&self) -> Self {
        Router {
            state: self.state.clone(),
            table: Arc::clone(&self.table),
        }
    }
}

impl<S> fmt::Debug for Router<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("methods", &self.table.methods.keys())
            .field("notices", &self.table.notices.keys())
            .finish_non_exhaustive()
    }
}

impl<S: Clone + Send + Sync + 'static> Router<S> {
    /// A router that knows no method yet.
    pub fn new(state: S) -> Self {
        let table = Table {
            methods: ByName::default(),
            fallback: None,
            notices: ByName::default(),
            concurrency: DEFAULT_CONCURRENCY,
            farewell: Duration::ZERO,
        };
        Router {
            state,
            table: Arc::new(table),
        }
    }

    /// The same table with another state: what serves another connection.
    #[must_use]
    pub fn with_state(&self, state: S) -> Self {
        Router {
            state,
            table: Arc::clone(&self.table),
        }
    }

    fn table(&mut self) -> &mut Table<S> {
        Arc::make_mut(&mut self.table)
    }

    /// Bounds how many requests run at once; more are answered -32011 "busy".
    #[must_use]
    pub fn concurrency(mut self, limit: usize) -> Self {
        self.table().concurrency = limit;
        self
    }

    /// Gives what is being answered this long to finish when the other side has nothing more to say, instead of stopping it.
    #[must_use]
    pub fn farewell(mut self, time: Duration) -> Self {
        self.table().farewell = time;
        self
    }

    /// Adds a request method that is answered in the order of arrival, before what comes after it is looked at: a handshake.
    /// Its handler must not block.
    #[must_use]
    pub fn method_at_once<M, F>(mut self, handler: F) -> Self
    where
        M: Method,
        F: Fn(Call<S>, M::Params) -> Result<M::Result, RpcError> + Send + Sync + 'static,
    {
        let erased = move |call, params| {
            let answer = AssertUnwindSafe(|| {
                let params = M::read_params(&params).map_err(misfit)?;
                written::<M>(&handler(call, params)?)
            });
            std::panic::catch_unwind(answer).unwrap_or_else(|panic| Err(panicked(&*panic)))
        };
        self.table()
            .methods
            .insert(M::NAME, Handler::AtOnce(Arc::new(erased)));
        self
    }

    /// Adds a request method. Its handler runs in a task of its own; dropping that task is how it is cancelled.
    #[must_use]
    pub fn method<M, F, Fut>(mut self, handler: F) -> Self
    where
        M: Method,
        F: Fn(Call<S>, M::Params) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<M::Result, RpcError>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let erased = move |call, params| {
            let handler = Arc::clone(&handler);
            caught(async move {
                let parsed = M::read_params(&params).map_err(misfit)?;
                // What it does not hold is not needed any more.
                drop(params);
                written::<M>(&handler(call, parsed).await?)
            })
        };
        self.table()
            .methods
            .insert(M::NAME, Handler::InTask(Arc::new(erased)));
        self
    }

    /// Adds a handler for every method that has none; it gets the params as text.
    #[must_use]
    pub fn fallback<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Call<S>, Json) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Json, RpcError>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        self.table().fallback = Some(Handler::InTask(Arc::new(move |call, params| {
            let handler = Arc::clone(&handler);
            caught(async move { handler(call, params).await })
        })));
        self
    }

    /// Adds a notification. Its handler is called in the order of arrival and must not block.
    #[must_use]
    pub fn notice<N, F>(mut self, handler: F) -> Self
    where
        N: Notice,
        F: Fn(Call<S>, N::Params) + Send + Sync + 'static,
    {
        self.table().notices.insert(
            N::NAME,
            Arc::new(move |call, params| {
                handler(call, read::<N::Params>(params.get()).map_err(misfit)?);
                Ok(())
            }),
        );
        self
    }
}

/// A router with its state type forgotten: what a peer holds.
pub(crate) trait Dispatch: Send + Sync + 'static {
    /// Answers a request, or begins to.
    fn request(&self, peer: Peer, id: Id, method: &str, params: Json) -> Dispatched;
    /// Handles a notification at once.
    fn notification(&self, peer: Peer, method: Cow<'static, str>, params: Json);
    /// How many requests may run at once.
    fn max_concurrency(&self) -> usize;
    /// How long they may go on when the other side has nothing more to say.
    fn farewell(&self) -> Duration;
}

/// What became of a request.
pub(crate) enum Dispatched {
    /// It is answered.
    Answered(Answer),
    /// This answers it, and never panics.
    Running(BoxFuture<'static, Answer>),
}

impl<S: Clone + Send + Sync + 'static> Dispatch for Router<S> {
    fn request(&self, peer: Peer, id: Id, method: &str, params: Json) -> Dispatched {
        let Some(handler) = self
            .table
            .methods
            .get(method)
            .or(self.table.fallback.as_ref())
        else {
            return Dispatched::Answered(Err(RpcError::method_not_found(method)));
        };
        let call = Call {
            state: self.state.clone(),
            peer,
            id: Some(id),
        };
        match handler {
            Handler::AtOnce(handler) => Dispatched::Answered(handler(call, params)),
            Handler::InTask(handler) => Dispatched::Running(handler(call, params)),
        }
    }

    fn notification(&self, peer: Peer, method: Cow<'static, str>, params: Json) {
        let Some(listener) = self.table.notices.get(&*method) else {
            debug!(%method, "unknown notification ignored");
            return;
        };
        let call = Call {
            state: self.state.clone(),
            peer,
            id: None,
        };
        match std::panic::catch_unwind(AssertUnwindSafe(|| listener(call, params))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%method, %error, "notification ignored"),
            Err(panic) => {
                debug!(%method, error = %panicked(&*panic), "notification handler failed")
            }
        }
    }

    fn max_concurrency(&self) -> usize {
        self.table.concurrency
    }

    fn farewell(&self) -> Duration {
        self.table.farewell
    }
}

/// Turns a panic into an answer. The handler itself, not only its future, may panic: it is to be called inside.
fn caught(answer: impl Future<Output = Answer> + Send + 'static) -> BoxFuture<'static, Answer> {
    AssertUnwindSafe(answer)
        .catch_unwind()
        .map(|outcome| outcome.unwrap_or_else(|panic| Err(panicked(&*panic))))
        .boxed()
}

fn written<M: Method>(result: &M::Result) -> Answer {
    M::write_result(result)
        .map_err(|error| RpcError::internal(format!("the result is not JSON: {error}")))
}

fn misfit(why: String) -> RpcError {
    RpcError::new(
        ErrorCode::INVALID_PARAMS,
        format!("the params do not fit: {why}"),
    )
}

/// Reads JSON; where it does not fit, reads it again for the path of the offending field.
///
/// # Errors
/// What does not fit, and where.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).or_else(|_| {
        let deserializer = &mut serde_json::Deserializer::from_str(text);
        serde_path_to_error::deserialize(deserializer).map_err(|error| error.to_string())
    })
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> RpcError {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    RpcError::internal(format!("the handler panicked: {text}"))
}
