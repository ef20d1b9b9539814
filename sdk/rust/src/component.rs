//! One component: its schemas, and a typed function behind a form that knows no types.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use stepflow_protocol::Value;
use stepflow_protocol::component::ComponentInfo;
use stepflow_protocol::component::ExecuteResult;
use stepflow_protocol::error::ErrorCode;
use stepflow_protocol::error::rpc_error;
use stepflow_rpc::RpcError;

use crate::Context;
use crate::Error;
use crate::error::finish;

type Run =
    dyn Fn(Context, Value) -> BoxFuture<'static, Result<ExecuteResult, RpcError>> + Send + Sync;

pub(crate) struct Component {
    pub(crate) info: ComponentInfo,
    pub(crate) run: Box<Run>,
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

impl Component {
    /// A component under a path that begins with a slash.
    pub(crate) fn new<I, O, F, Fut>(path: &str, description: &str, function: F) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Error>> + Send + 'static,
    {
        let info = ComponentInfo {
            component: path.to_owned(),
            description: Some(description.to_owned()),
            input_schema: Value::from_serialize(&schemars::schema_for!(I)).ok(),
            output_schema: Value::from_serialize(&schemars::schema_for!(O)).ok(),
        };
        let function = Arc::new(function);
        let path: Arc<str> = path.into();
        let run = move |context: Context, input: Value| {
            let (function, path) = (Arc::clone(&function), Arc::clone(&path));
            async move {
                let input = read_input(&path, input)?;
                finish(function(context, input).await)
            }
            .boxed()
        };
        Component {
            info,
            run: Box::new(run),
        }
    }
}

/// Reads a component's input; a misfit names the place by a JSON pointer. A component that takes any value gets it as it came.
fn read_input<I: DeserializeOwned + 'static>(component: &str, input: Value) -> Result<I, RpcError> {
    let input = match recast::<Value, I>(input) {
        Ok(input) => return Ok(input),
        Err(input) => input,
    };
    // To know the place at every moment costs as much as the reading: it is looked for once something does not fit.
    if let Ok(read) = serde_json::from_str(input.as_text()) {
        return Ok(read);
    }
    let deserializer = &mut serde_json::Deserializer::from_str(input.as_text());
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        let message = error.into_inner().to_string();
        rpc_error(
            ErrorCode::INVALID_INPUT,
            format!("the input of `{component}` does not fit: {pointer}: {message}"),
        )
        .with_data(&serde_json::json!({
            "component": component,
            "violations": [{ "pointer": pointer, "message": message }],
        }))
    })
}

/// What has another type's name as well, as that type.
pub(crate) fn recast<T: 'static, U: 'static>(it: T) -> Result<U, T> {
    let mut it = Some(it);
    let recast = (&mut it as &mut dyn Any).downcast_mut::<Option<U>>();
    match recast.and_then(Option::take) {
        Some(recast) => Ok(recast),
        None => Err(it.expect("it was not taken")),
    }
}

/// A path as a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}
