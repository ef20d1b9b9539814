//! The components that come with the runtime: a table of typed functions, one file each. They need no process and no
//! network; what they need else (the store, the allowed files) comes in with the call.

mod create_messages;
mod get_blob;
mod load_file;
mod noop;
mod put_blob;
mod sleep;

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
use stepflow_engine::Engine;
use stepflow_engine::Failure;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::error::FlowError;
use stepflow_flow::value::Value;
use stepflow_protocol::component::ComponentInfo;

use crate::options::LoadFile;

/// What a built-in component may use.
#[derive(Clone, Debug)]
pub struct Context {
    /// Stores blobs.
    pub engine: Engine,
    /// Which files may be read.
    pub load_file: Arc<LoadFile>,
}

type Run = dyn Fn(Context, Value) -> BoxFuture<'static, Result<Completion, Failure>> + Send + Sync;

/// A component of the table.
pub struct Builtin {
    info: ComponentInfo,
    run: Box<Run>,
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
    vec![
        create_messages::builtin(),
        get_blob::builtin(),
        load_file::builtin(),
        noop::builtin(),
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
        let info = ComponentInfo {
            component: path.to_owned(),
            description: Some(description.to_owned()),
            input_schema: schema_of::<I>(),
            output_schema: schema_of::<O>(),
        };
        let function = Arc::new(function);
        let run = move |context: Context, input: Value| {
            let input = input.deserialize::<I>().map_err(|error| misfit(&error));
            let function = Arc::clone(&function);
            async move {
                let output = function(context, input?).await.map_err(failed)?;
                Value::from_serialize(&output)
                    .map(Completion::Output)
                    .map_err(|error| {
                        failed(
                            ErrorCode::COMPONENT_FAILED
                                .error(format!("the output is not JSON: {error}")),
                        )
                    })
            }
            .boxed()
        };
        Builtin {
            info,
            run: Box::new(run),
        }
    }

    /// What it says of itself.
    pub fn info(&self) -> &ComponentInfo {
        &self.info
    }

    /// Runs it.
    pub fn execute(
        &self,
        context: Context,
        input: Value,
    ) -> BoxFuture<'static, Result<Completion, Failure>> {
        (self.run)(context, input)
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

fn failed(error: FlowError) -> Failure {
    Failure::new(Class::Component, error)
}
