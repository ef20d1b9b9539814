//! Reads a flow's own keys.
//!
//! Owns the top of a flow, in the newer form (`schemas`) and the older one. Steps are next door.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{
    DeclaredVariable, DeclaredVariables, Example, Flow, LocatedSchema, read_step, shapes, suite,
};
use crate::diagnostic::{Code, Diagnostics};
use crate::document::{Fields, Kind, Node, Object, Span, nearest};
use crate::expression::{self, Expression};
use crate::value::Value;

/// The steps of a long flow are most of its tree: each is dropped as soon as it is read.
pub(super) fn flow(mut node: Node, diagnostics: &mut Diagnostics) -> Option<Flow> {
    let value = node.to_value();
    let step_nodes = node.take_items("steps");
    if let Some(place) = is_config(&node) {
        diagnostics
            .error(Code::WrongType, place, "this is a config, and not a flow")
            .hint("give it with `--config`; a flow has `steps` and an `output`");
        return None;
    }
    let hint = match node.kind {
        Kind::Null => "there is no data in it; write `steps: […]` and `output: …`",
        _ => "write `steps: […]` and `output: …`",
    };
    let mut fields = Fields::read_with_hint(&node, shapes::FLOW.what, hint, diagnostics)?;
    fields.narrow(&shapes::FLOW);
    fields.take("schema");
    let name = fields.string("name", diagnostics);
    let description = fields.string("description", diagnostics);
    let version = fields.string("version", diagnostics);
    let mut schemas = older_schemas(&mut fields, diagnostics);
    if let Some(node) = fields.take("schemas") {
        schemas = newer_schemas(node, schemas, diagnostics);
    }
    fields.list("steps", diagnostics);
    let mut steps = Vec::with_capacity(step_nodes.len());
    let found = step_nodes.into_iter();
    steps.extend(found.filter_map(|step| read_step::step(&step, diagnostics)));
    for step in &mut steps {
        if let Some(schema) = schemas.steps.swap_remove(&step.id) {
            step.output_schema.get_or_insert(schema);
        }
    }
    for (id, schema) in &schemas.steps {
        diagnostics
            .error(
                Code::UndefinedStep,
                schema.span,
                format!("a schema for {id:?}, and there is no such step"),
            )
            .hint(match nearest(id, steps.iter().map(|step| &*step.id)) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "name an existing step, or remove the schema".to_owned(),
            });
    }
    let output_span = fields
        .take("output")
        .map_or(fields.span(), |node| node.span);
    let output = output(&mut fields, diagnostics);
    let examples = fields.list("examples", diagnostics).unwrap_or_default();
    let examples = examples
        .iter()
        .filter_map(|node| example(node, diagnostics))
        .collect();
    let test = fields.take("test");
    let test = test.and_then(|node| suite::read(node, &steps, diagnostics));
    let metadata = fields.take("metadata").map(Node::to_value);
    fields.finish(diagnostics);
    Some(Flow {
        source: Arc::clone(diagnostics.source()),
        value,
        name,
        description,
        version,
        input_schema: schemas.input,
        output_schema: schemas.output,
        variables: schemas.variables,
        steps,
        output,
        output_span,
        examples,
        test,
        metadata,
    })
}

/// Where a config says that it is one.
fn is_config(node: &Node) -> Option<Span> {
    let object = node.as_object()?;
    let is_flow = ["steps", "output"]
        .iter()
        .any(|key| object.get(key).is_some());
    let mut entries = object.iter().filter(|_| !is_flow);
    let (_, plugins) = entries.find(|(key, _)| &***key == "plugins")?;
    Some(plugins.key_span)
}

fn output(fields: &mut Fields<'_>, diagnostics: &mut Diagnostics) -> Expression<Arc<str>> {
    match fields.take_value("output") {
        Some(node) => expression::parse(node, diagnostics),
        None => {
            fields.missing("output", diagnostics);
            Expression::Literal(Value::null())
        }
    }
}

#[derive(Default)]
struct Schemas {
    input: Option<LocatedSchema>,
    output: Option<LocatedSchema>,
    variables: Option<DeclaredVariables>,
    steps: IndexMap<Arc<str>, LocatedSchema>,
}

fn older_schemas(fields: &mut Fields<'_>, diagnostics: &mut Diagnostics) -> Schemas {
    Schemas {
        input: fields
            .take("inputSchema")
            .and_then(|node| schema(node, None, diagnostics)),
        output: fields
            .take("outputSchema")
            .and_then(|node| schema(node, None, diagnostics)),
        variables: fields
            .take("variables")
            .and_then(|node| variables(node, None, diagnostics)),
        steps: IndexMap::new(),
    }
}

/// The newer block: one object schema with a property for each kind of schema.
fn newer_schemas(node: &Node, older: Schemas, diagnostics: &mut Diagnostics) -> Schemas {
    let Some(mut fields) = Fields::of(node, &shapes::SCHEMAS, diagnostics) else {
        return older;
    };
    fields.choice("type", &["object"], diagnostics);
    let definitions = fields.take("$defs");
    let properties = fields.take("properties");
    fields.finish(diagnostics);
    let Some(properties) = properties else {
        return older;
    };
    let Some(mut fields) = Fields::of(properties, &shapes::SCHEMA_PROPERTIES, diagnostics) else {
        return older;
    };
    let input = fields
        .take("input")
        .and_then(|node| schema(node, definitions, diagnostics));
    let output = fields
        .take("output")
        .and_then(|node| schema(node, definitions, diagnostics));
    let variables = fields
        .take("variables")
        .and_then(|node| variables(node, definitions, diagnostics));
    let steps = fields.object("steps", diagnostics);
    let steps = steps
        .map(|steps| step_schemas(steps, definitions, diagnostics))
        .unwrap_or_default();
    fields.finish(diagnostics);
    let twice = [
        (
            older.input.as_ref().map(|it| it.span),
            input.is_some(),
            "inputSchema",
        ),
        (
            older.output.as_ref().map(|it| it.span),
            output.is_some(),
            "outputSchema",
        ),
        (
            older.variables.as_ref().map(|it| it.span),
            variables.is_some(),
            "variables",
        ),
    ];
    for (older, newer, key) in twice {
        if let (Some(span), true) = (older, newer) {
            diagnostics
                .error(
                    Code::DuplicateKey,
                    span,
                    format!("{key:?} and `schemas` both give this schema"),
                )
                .hint("keep one of the two");
        }
    }
    Schemas {
        input: input.or(older.input),
        output: output.or(older.output),
        variables: variables.or(older.variables),
        steps,
    }
}

/// `{<id>: schema}`, or the same as the properties of an object schema.
fn step_schemas(
    steps: &Object,
    definitions: Option<&Node>,
    diagnostics: &mut Diagnostics,
) -> IndexMap<Arc<str>, LocatedSchema> {
    let nested = steps.get("properties").and_then(Node::as_object);
    let is_schema = steps
        .get("type")
        .and_then(Node::as_str)
        .is_some_and(|name| &**name == "object");
    let steps = nested.filter(|_| is_schema).unwrap_or(steps);
    let located = steps.iter().filter_map(|(id, entry)| {
        schema(&entry.node, definitions, diagnostics).map(|schema| (Arc::clone(id), schema))
    });
    located.collect()
}

/// A schema, with the definitions its references may name.
pub(super) fn schema(
    node: &Node,
    definitions: Option<&Node>,
    diagnostics: &mut Diagnostics,
) -> Option<LocatedSchema> {
    let value = match (&node.kind, definitions) {
        (Kind::Object(object), Some(definitions))
            if node.to_value().as_text().contains("\"$ref\"") =>
        {
            let mut entries: IndexMap<&str, Value> = object
                .iter()
                .map(|(key, entry)| (&**key, entry.node.to_value()))
                .collect();
            entries
                .entry("$defs")
                .or_insert_with(|| definitions.to_value());
            Value::object(entries)
        }
        (Kind::Bool(_) | Kind::Object(_), _) => node.to_value(),
        _ => {
            let message = format!(
                "a schema must be an object, and this is {}",
                node.type_name()
            );
            diagnostics
                .error(Code::BadSchema, node.span, message)
                .hint("write it as JSON Schema: `{type: object, …}`");
            return None;
        }
    };
    Some(LocatedSchema {
        value,
        span: node.span,
    })
}

fn variables(
    node: &Node,
    definitions: Option<&Node>,
    diagnostics: &mut Diagnostics,
) -> Option<DeclaredVariables> {
    let schema = schema(node, definitions, diagnostics)?;
    let properties = node.as_object().and_then(|object| object.get("properties"));
    let each = match properties.map(|properties| (properties, properties.as_object())) {
        Some((_, Some(properties))) => properties
            .iter()
            .map(|(name, entry)| (Arc::clone(name), variable(&entry.node, diagnostics)))
            .collect(),
        Some((properties, None)) => {
            diagnostics
                .error(
                    Code::BadSchema,
                    properties.span,
                    "`properties` must be an object",
                )
                .hint("name each variable and its schema: `properties: {api_key: {type: string}}`");
            IndexMap::new()
        }
        None => {
            diagnostics
                .warning(Code::BadSchema, node.span, "this declares no variables")
                .hint("variables are the `properties` of an object schema: `{type: object, properties: {…}}`");
            IndexMap::new()
        }
    };
    Some(DeclaredVariables {
        span: node.span,
        schema: schema.value,
        each,
    })
}

/// A variable's schema is JSON Schema with two keys of ours, so other keys are left to JSON Schema.
fn variable(node: &Node, diagnostics: &mut Diagnostics) -> DeclaredVariable {
    let fields = match node.kind {
        Kind::Object(_) => Fields::of(node, &shapes::VARIABLE, diagnostics),
        _ => None,
    };
    let Some(mut fields) = fields else {
        return DeclaredVariable {
            default: None,
            is_secret: false,
            env_var: None,
        };
    };
    misspelled(node, diagnostics);
    DeclaredVariable {
        default: fields.take_value("default").map(Node::to_value),
        is_secret: fields.boolean("isSecret", diagnostics).unwrap_or(false),
        env_var: fields.string("envVar", diagnostics),
    }
}

/// Warns of keys that were probably meant as ours: JSON Schema takes any, and a secret would be shown.
fn misspelled(node: &Node, diagnostics: &mut Diagnostics) {
    for (key, entry) in node.as_object().into_iter().flat_map(Object::iter) {
        let meant = match &**key {
            "secret" | "sensitive" => "is_secret",
            "env" | "environment" => "env_var",
            "is_secret" | "isSecret" | "env_var" | "envVar" => continue,
            key => match nearest(key, ["is_secret", "env_var"]) {
                Some(near) => near,
                None => continue,
            },
        };
        let message = format!("{key:?} means nothing in a variable");
        diagnostics
            .warning(Code::UnknownKey, entry.key_span, message)
            .hint(format!("did you mean {meant:?}?"));
    }
}

fn example(node: &Node, diagnostics: &mut Diagnostics) -> Option<Example> {
    let mut fields = Fields::of(node, &shapes::EXAMPLE, diagnostics)?;
    fields.require("name", diagnostics);
    let name = fields.string("name", diagnostics);
    let description = fields.string("description", diagnostics);
    let input = fields
        .take_value("input")
        .map_or_else(Value::null, Node::to_value);
    fields.finish(diagnostics);
    Some(Example {
        name: name?,
        description,
        input,
    })
}
