//! Inputs and outputs against what a component says of itself. Owns the compiled schemas of one plugin's components.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use stepflow_engine::Class;
use stepflow_engine::Failure;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::schema::Schema;
use stepflow_flow::schema::Violation;
use stepflow_flow::value::Value;
use stepflow_protocol::component::ComponentInfo;
use tracing::warn;

use crate::options::Strictness;

/// The schemas of a plugin's components, by the name the plugin knows them by.
#[derive(Debug, Default)]
pub struct Schemas {
    components: HashMap<String, Pair>,
}

#[derive(Debug, Default)]
struct Pair {
    input: Option<Arc<Schema>>,
    output: Option<Arc<Schema>>,
}

impl Schemas {
    /// Compiles what components say of themselves. A schema that is none is logged and not used: the server's mistake
    /// must not keep its components from running.
    pub fn compile(plugin: &str, components: &[ComponentInfo]) -> Schemas {
        let compile = |component: &str, schema: Option<&Value>| {
            let schema = schema.filter(|schema| !schema.is_null())?;
            Schema::compile(schema)
                .inspect_err(
                    |error| warn!(plugin, component, %error, "a component's schema cannot be used"),
                )
                .ok()
                .map(Arc::new)
        };
        let components = components
            .iter()
            .map(|info| {
                let pair = Pair {
                    input: compile(&info.component, info.input_schema.as_ref()),
                    output: compile(&info.component, info.output_schema.as_ref()),
                };
                (info.component.trim_start_matches('/').to_owned(), pair)
            })
            .collect();
        Schemas { components }
    }

    /// The schema of a component's input.
    pub fn input(&self, component: &str) -> Option<&Schema> {
        self.components
            .get(component.trim_start_matches('/'))?
            .input
            .as_deref()
    }

    /// The schema of a component's output.
    pub fn output(&self, component: &str) -> Option<&Schema> {
        self.components
            .get(component.trim_start_matches('/'))?
            .output
            .as_deref()
    }
}

/// The data of the error -32003, the same from every side that checks.
#[derive(Serialize)]
struct Misfit<'a> {
    component: &'a str,
    violations: &'a [Violation],
}

/// Checks a value; a misfit is a failure, a log line or nothing.
///
/// # Errors
/// A failure that is never tried again, with a pointer for each violation.
pub fn check(
    schema: Option<&Schema>,
    value: &Value,
    strictness: Strictness,
    what: &str,
    component: &str,
) -> Result<(), Failure> {
    let Some(schema) = schema.filter(|_| strictness != Strictness::Ignore) else {
        return Ok(());
    };
    let Err(violations) = schema.validate(value) else {
        return Ok(());
    };
    let list = violations
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ");
    let message = format!("the {what} of `{component}` does not fit its schema: {list}");
    if strictness == Strictness::Warn {
        warn!("{message}");
        return Ok(());
    }
    let mut error = ErrorCode::INVALID_INPUT.error(message);
    let data = Misfit {
        component,
        violations: &violations,
    };
    error.data = Value::from_serialize(&data).ok();
    Err(Failure::new(Class::Refused, error))
}
