//! Components with fixed answers, for tests of flows: an answer for each input, compared as JSON.

use stepflow_engine::Class;
use stepflow_engine::Completion;
use stepflow_engine::Failure;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;
use stepflow_protocol::component::ComponentInfo;

use crate::options;
use crate::options::Behavior;
use crate::options::MockComponent;

/// What the components say of themselves.
pub fn list(mock: &options::Mock) -> Vec<ComponentInfo> {
    let info = |(path, component): (&String, &MockComponent)| ComponentInfo {
        component: path.clone(),
        description: None,
        input_schema: component.input_schema.clone(),
        output_schema: component.output_schema.clone(),
    };
    mock.components.iter().map(info).collect()
}

/// Finds a component by its full path or by the remainder after routing.
pub fn find<'a>(mock: &'a options::Mock, path: &str, remainder: &str) -> Option<&'a MockComponent> {
    mock.components
        .get(path)
        .or_else(|| mock.components.get(remainder))
}

/// Answers as the first behaviour with an equal input says.
///
/// # Errors
/// The failure that the behaviour asks for, or one that lists the known inputs.
pub fn execute(
    component: &MockComponent,
    path: &str,
    input: &Value,
) -> Result<Completion, Failure> {
    let behavior = component.behaviors.iter().find(|(known, _)| known == input);
    match behavior.map(|(_, behavior)| behavior) {
        Some(Behavior::Outcome(Outcome::Success(value))) => Ok(Completion::Output(value.clone())),
        Some(Behavior::Outcome(Outcome::Skipped { reason })) => Ok(Completion::Skipped {
            reason: reason.clone(),
        }),
        Some(Behavior::Outcome(Outcome::Failed(error))) => {
            Err(Failure::new(Class::Component, error.clone()))
        }
        Some(Behavior::Error(message)) => Err(Failure::new(
            Class::Component,
            ErrorCode::COMPONENT_FAILED.error(message),
        )),
        None => Err(unknown_input(component, path, input)),
    }
}

fn unknown_input(component: &MockComponent, path: &str, input: &Value) -> Failure {
    const SHOWN: usize = 5;
    let known: Vec<_> = component
        .behaviors
        .iter()
        .take(SHOWN)
        .map(|(known, _)| known.as_text())
        .collect();
    let more = if component.behaviors.len() > SHOWN {
        ", …"
    } else {
        ""
    };
    let message = format!(
        "the mock `{path}` has no behavior for the input {}; it knows: {}{more}",
        input.as_text(),
        known.join(", ")
    );
    Failure::new(Class::Refused, ErrorCode::INVALID_INPUT.error(message))
}
