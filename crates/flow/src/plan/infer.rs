//! The types of what goes into steps and comes out of them, as far as schemas tell.
//!
//! Owns nothing but the walk over a flow. Must not know how types are shown.

use std::collections::HashMap;

use super::Known;
use crate::expression::{StepName, Target};
use crate::flow::{Flow, Step};
use crate::types::{ObjectType, Type, of_expression};

/// The types in a flow.
#[derive(Clone, Debug)]
pub struct FlowTypes {
    /// For each step, in the order of the text.
    pub steps: Vec<StepTypes>,
    /// The result of the flow.
    pub output: Type,
}

/// The types of a step.
#[derive(Clone, Debug)]
pub struct StepTypes {
    /// What goes into it.
    pub input: Type,
    /// What comes out of it.
    pub output: Type,
}

/// A flow inside is written out in the step already, and its type tells nobody anything.
fn without_flow(step: &Step, mut input: Type) -> Type {
    if let (Type::Object(object), Some(_)) = (&mut input, &step.subflow) {
        for key in ["flow", "workflow"] {
            if let Some(field) = object.fields.get_mut(key) {
                field.kind = Type::Object(ObjectType::default());
            }
        }
    }
    input
}

/// What is known of the values in a flow.
pub fn infer(flow: &Flow, known: &Known<'_>) -> FlowTypes {
    let type_of = |schema: Option<&crate::value::Value>| schema.map_or(Type::Any, Type::of_schema);
    let input = type_of(flow.input_schema.as_ref().map(|schema| &schema.value));
    let variables = type_of(flow.variables.as_ref().map(|variables| &variables.schema));
    let outputs: Vec<Type> = flow
        .steps
        .iter()
        .map(|step| match &step.output_schema {
            Some(schema) => Type::of_schema(&schema.value),
            None => type_of(known(&step.component).and_then(|it| it.output).as_ref()),
        })
        .collect();
    let by_id: HashMap<&StepName, &Type> = flow
        .steps
        .iter()
        .map(|step| &step.id)
        .zip(&outputs)
        .collect();
    let of_target = |target: &Target<StepName>| match target {
        Target::Input => input.clone(),
        Target::Step { step, .. } => by_id.get(step).map_or(Type::Any, |it| (*it).clone()),
        Target::Variable { name, .. } => match &variables {
            Type::Object(object) => {
                let field = object.fields.get(name);
                field.map_or(Type::Any, |field| field.kind.clone())
            }
            _ => Type::Any,
        },
    };
    let steps = flow
        .steps
        .iter()
        .zip(&outputs)
        .map(|(step, output)| StepTypes {
            input: without_flow(step, of_expression(&step.input, &of_target)),
            output: output.clone(),
        });
    FlowTypes {
        steps: steps.collect(),
        output: of_expression(&flow.output, &of_target),
    }
}
