//! The components that come with the runtime: a table of typed functions, one file each. They need no process; what they
//! need else (the store, the allowed files) comes in with the call, and those that use the network share one client.

mod create_messages;
mod eval;
mod get_blob;
mod http_request;
mod iterate;
mod load_file;
mod map;
mod noop;
mod openai;
mod put_blob;
mod sleep;
mod web;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use stepflow_engine::Class;
use stepflow_engine::Completion;
use stepflow_engine::Failure;
use stepflow_engine::Invocation;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::error::FlowError;
use stepflow_flow::value::Value;
use stepflow_protocol::component::ComponentInfo;

use crate::options::LoadFile;

/// What a built-in component may use.
#[derive(Clone, Debug)]
pub struct Context {
    /// The call, with the engine behind it.
    pub invocation: Invocation,
    /// Which files may be read.
    pub load_file: Arc<LoadFile>,
}

type Run = dyn Fn(Context) -> BoxFuture<'static, Result<Completion, Failure>> + Send + Sync;

/// A component of the table.
pub struct Builtin {
    info: ComponentInfo,
    checks: Checks,
    run: Box<Run>,
}

/// Who looks whether an input fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// Whoever calls, by the schema.
    BySchema,
    /// The component itself: its input may be large, and checking it by a schema would take many times the room.
    ByItself,
}

impl fmt::Debug for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Builtin")
            .field(&self.info.component)
            .finish()
    }
}

/// Every built-in component.
pub fn all() -> Vec<Builtin> {
    let web = web::Web::default();
    vec![
        create_messages::builtin(),
        eval::builtin(),
        get_blob::builtin(),
        http_request::builtin(web.clone()),
        iterate::builtin(),
        load_file::builtin(),
        map::builtin(),
        noop::builtin(),
        openai::builtin(web),
        put_blob::builtin(),
        sleep::builtin(),
    ]
}

impl Builtin {
    /// A component of a function from its input to its output; the schemas come from the types.
    fn new<I, O, F, Fut>(path: &str, description: &str, function: F) -> Builtin
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, FlowError>> + Send + 'static,
    {
        Builtin::failing(path, description, move |context, input| {
            let done = function(context, input);
            async move { done.await.map_err(Failure::from) }
        })
    }

    /// The same for a function that knows whether another attempt may help.
    fn failing<I, O, F, Fut>(path: &str, description: &str, function: F) -> Builtin
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Failure>> + Send + 'static,
    {
        let info = info::<I, O>(path, description);
        let function = Arc::new(function);
        let run = move |context: Context| {
            let input = context.invocation.input.deserialize::<I>();
            let input = input.map_err(|error| misfit(&error));
            let function = Arc::clone(&function);
            async move { output(&function(context, input?).await?) }.boxed()
        };
        Builtin {
            info,
            checks: Checks::BySchema,
            run: Box::new(run),
        }
    }

    /// A component that reads its input itself; the types say what it takes and gives.
    fn reading<I, O, F, Fut>(path: &str, description: &str, function: F) -> Builtin
    where
        I: JsonSchema,
        O: JsonSchema,
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Completion, Failure>> + Send + 'static,
    {
        Builtin {
            info: info::<I, O>(path, description),
            checks: Checks::ByItself,
            run: Box::new(move |context| function(context).boxed()),
        }
    }

    /// What it says of itself.
    pub fn info(&self) -> &ComponentInfo {
        &self.info
    }

    /// Who looks whether its input fits.
    pub fn checks(&self) -> Checks {
        self.checks
    }

    /// Runs it.
    pub fn execute(&self, context: Context) -> BoxFuture<'static, Result<Completion, Failure>> {
        (self.run)(context)
    }
}

fn info<I: JsonSchema, O: JsonSchema>(path: &str, description: &str) -> ComponentInfo {
    ComponentInfo {
        component: path.to_owned(),
        description: Some(description.to_owned()),
        input_schema: schema_of::<I>(),
        output_schema: schema_of::<O>(),
    }
}

/// The output of a component as it is handed on.
fn output(output: &impl Serialize) -> Result<Completion, Failure> {
    match Value::from_serialize(output) {
        Ok(output) => Ok(Completion::Output(output)),
        Err(error) => {
            let message = format!("the output is not JSON: {error}");
            Err(ErrorCode::COMPONENT_FAILED.error(message).into())
        }
    }
}

fn schema_of<T: JsonSchema>() -> Option<Value> {
    Value::from_serialize(&schemars::schema_for!(T)).ok()
}

fn misfit(error: &serde_json::Error) -> Failure {
    Failure::new(
        Class::Refused,
        ErrorCode::INVALID_INPUT.error(format!("the input does not fit: {error}")),
    )
}
