//! The input of the built-ins that run flows, read key by key: parts of it may be large, and are shared instead of copied.

use stepflow_flow::blob::BlobId;
use stepflow_flow::document::nearest;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::error::FlowError;
use stepflow_flow::value::Kind;
use stepflow_flow::value::Value;

use super::Given;

/// An input, with the keys that it may have.
#[derive(Debug)]
pub struct Arguments<'a> {
    input: &'a Value,
    known: &'a [&'a str],
}

impl<'a> Arguments<'a> {
    /// The input, if it is an object with no other keys than these and those that name a flow.
    ///
    /// # Errors
    /// -32003.
    pub fn read(input: &'a Value, known: &'a [&'a str]) -> Result<Arguments<'a>, FlowError> {
        if input.kind() != Kind::Object {
            let found = input.kind();
            return Err(wrong("", &format!("is an object, and this is {found}")));
        }
        let arguments = Arguments { input, known };
        for key in input.keys() {
            arguments.know(key)?;
        }
        Ok(arguments)
    }

    fn know(&self, key: &str) -> Result<(), FlowError> {
        let mut names = ["flow", "flow_id", "workflow"]
            .into_iter()
            .chain(self.known.iter().copied());
        if names.clone().any(|name| name == key) {
            return Ok(());
        }
        let hint = nearest(key, names.by_ref());
        let hint = hint.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"));
        Err(wrong("", &format!("has the unknown key {key:?}{hint}")))
    }

    /// The flow that is named by `flow` (or its older name `workflow`) or `flow_id`.
    ///
    /// # Errors
    /// -32003, or -32008 for an id that is none.
    pub fn flow(&self) -> Result<Given, FlowError> {
        let flows = ["flow", "workflow", "flow_id"].map(|key| self.given(key));
        match flows {
            [Some(flow), None, None] | [None, Some(flow), None] => match flow.kind() {
                Kind::Object => Ok(Given::Inline(flow)),
                found => Err(wrong(
                    "/flow",
                    &format!("must be a flow, and this is {found}"),
                )),
            },
            [None, None, Some(id)] => flow_id(&id),
            _ => Err(wrong("", "has one of `flow` and `flow_id`")),
        }
    }

    /// A value that must be there, which may be null.
    ///
    /// # Errors
    /// -32003.
    pub fn required(&self, key: &str) -> Result<Value, FlowError> {
        let missing = || wrong("", &format!("has no `{key}`"));
        self.input.get(key).ok_or_else(missing)
    }

    /// A number from 1 on.
    ///
    /// # Errors
    /// -32003.
    pub fn count(&self, key: &str) -> Result<Option<u64>, FlowError> {
        let Some(count) = self.given(key) else {
            return Ok(None);
        };
        match count.as_u64() {
            Some(count) if count > 0 => Ok(Some(count)),
            _ => Err(wrong(
                &format!("/{key}"),
                &format!("must be a whole number from 1 on, and this is {count}"),
            )),
        }
    }

    /// What is there and not null.
    fn given(&self, key: &str) -> Option<Value> {
        self.input.get(key).filter(|value| !value.is_null())
    }
}

fn flow_id(id: &Value) -> Result<Given, FlowError> {
    let Some(text) = id.as_str() else {
        let found = id.kind();
        return Err(wrong(
            "/flow_id",
            &format!("must be a string, and this is {found}"),
        ));
    };
    match text.parse::<BlobId>() {
        Ok(id) => Ok(Given::Stored(id)),
        Err(error) => {
            Err(ErrorCode::BLOB_NOT_FOUND.error(format!("`{text}` is no flow id: {error}")))
        }
    }
}

/// An error about the input, with the pointer that schemas would give.
pub fn wrong(pointer: &str, message: &str) -> FlowError {
    let place = if pointer.is_empty() { "it" } else { pointer };
    let data = serde_json::json!({ "violations": [{ "pointer": pointer, "message": message }] });
    ErrorCode::INVALID_INPUT
        .error(format!("the input does not fit: {place} {message}"))
        .with_data(Value::from(data))
}
