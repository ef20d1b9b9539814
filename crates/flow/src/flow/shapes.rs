//! The keys of flows and steps, for the readers and for schemas.
//!
//! Owns the tables and the schema of a flow. How the keys are read is next door.

pub(super) mod suite;

use serde_json::{Value as Json, json};

use super::read_step::MOST_RETRIES;
use crate::document::shape::{
    self, Definitions, JSON_SCHEMA, Key, Made, Object, Placeholders, Shape, no_rules, spellings,
};
use crate::expression::{EXPRESSION, NO_DOLLAR};

/// The JSON Schema of flows, for editors. What only the whole flow can tell (whether a step exists, or waits for itself) is
/// not in it.
///
/// ```
/// use stepflow_flow::{flow, schema::Schema, value::Value};
/// let schema = Value::from_serialize(&flow::json_schema()).unwrap();
/// let schema = Schema::compile(&schema).unwrap();
/// assert!(schema.validate(&Value::parse(r#"{"output": {"$input": "$"}}"#).unwrap()).is_ok());
/// assert!(schema.validate(&Value::parse(r#"{"output": {"$inptu": "$"}}"#).unwrap()).is_err());
/// ```
pub fn json_schema() -> Json {
    shape::schema("Stepflow flow", &FLOW, Placeholders::None)
}

pub(super) static FLOW: Object = Object {
    name: "flow",
    what: "a flow",
    about: "A flow: steps that run on components, and an output.",
    keys: &[
        Key::new(
            "schema",
            Shape::Any,
            "Names the schema of this file; nothing reads it.",
        ),
        Key::new("name", Shape::Text, "What the flow is called."),
        Key::new("description", Shape::Text, "What it is for."),
        Key::new("version", Shape::Text, "Which version of it this is."),
        Key::new("inputSchema", JSON_SCHEMA, "What its input must look like."),
        Key::new(
            "outputSchema",
            JSON_SCHEMA,
            "What its output must look like.",
        ),
        Key::new(
            "variables",
            VARIABLES,
            "Values that come from outside, such as keys: an object schema with a property for each.",
        ),
        Key::new(
            "schemas",
            Shape::Object(&SCHEMAS),
            "All schemas in one place: of input, output, variables and steps.",
        ),
        Key::new(
            "steps",
            Shape::List(&Shape::Object(&STEP)),
            "What is done. The order means nothing: references decide.",
        ),
        Key::new("output", EXPRESSION, "What the flow returns.").required(),
        Key::new(
            "examples",
            Shape::List(&Shape::Object(&EXAMPLE)),
            "Inputs to try it with.",
        ),
        Key::new(
            "test",
            Shape::Object(&suite::SUITE),
            "Cases to test it with.",
        ),
        Key::new(
            "metadata",
            Shape::Any,
            "Anything; components can ask for it.",
        ),
    ],
    rules: no_rules,
};

pub(super) static SCHEMAS: Object = Object {
    name: "schemas",
    what: "`schemas`",
    about: "One object schema with a property for each kind of schema.",
    keys: &[
        Key::new("type", Shape::Word(&["object"]), "`object`."),
        Key::new(
            "$defs",
            Shape::Any,
            "Definitions that the schemas refer to.",
        ),
        Key::new(
            "properties",
            Shape::Object(&SCHEMA_PROPERTIES),
            "The schemas.",
        ),
    ],
    rules: no_rules,
};

pub(super) static SCHEMA_PROPERTIES: Object = Object {
    name: "schemaProperties",
    what: "`schemas.properties`",
    about: "The schemas of a flow.",
    keys: &[
        Key::new(
            "input",
            JSON_SCHEMA,
            "What the flow's input must look like.",
        ),
        Key::new("output", JSON_SCHEMA, "What its output must look like."),
        Key::new(
            "variables",
            VARIABLES,
            "Its variables: an object schema with a property for each.",
        ),
        Key::new(
            "steps",
            STEP_SCHEMAS,
            "What the steps' outputs look like, by their ids.",
        ),
    ],
    rules: no_rules,
};

/// `{<id>: schema}`, or the same as the properties of an object schema.
const STEP_SCHEMAS: Shape = Shape::Made(&Made {
    name: "stepSchemas",
    make: |definitions| {
        let schemas = definitions.shape(&Shape::Map("", &JSON_SCHEMA));
        json!({
            "description": "A schema for each step, by its id.",
            "if": {"type": "object", "properties": {"type": {"const": "object"}, "properties": {"type": "object"}}, "required": ["type", "properties"]},
            "then": {"properties": {"properties": schemas}},
            "else": schemas,
        })
    },
});

const VARIABLES: Shape = Shape::Made(&Made {
    name: "variables",
    make: |definitions| {
        let each = definitions.define(VARIABLE.name, variable);
        json!({
            "description": "An object schema: each property is a variable.",
            "type": ["object", "boolean"],
            "properties": {"properties": {"type": "object", "additionalProperties": each}},
        })
    },
});

/// The keys that a variable has beside those of JSON Schema.
pub(super) static VARIABLE: Object = Object {
    name: "variable",
    what: "a variable",
    about: "A variable: its schema, and where its value comes from.",
    keys: &[
        Key::new("default", Shape::Any, "Its value when none is given."),
        Key::new(
            "isSecret",
            Shape::Boolean,
            "Whether its value must not be shown.",
        ),
        Key::new(
            "envVar",
            Shape::Text,
            "The variable of the environment that it may be taken from.",
        ),
    ],
    rules: no_rules,
};

/// A variable's schema is JSON Schema with keys of ours, so other keys are left to JSON Schema.
fn variable(definitions: &mut Definitions) -> Json {
    let mut schema = definitions.keys(&VARIABLE);
    if let Json::Object(schema) = &mut schema {
        schema.shift_remove("additionalProperties");
        schema.shift_remove("type");
        schema.shift_remove("allOf");
    }
    schema
}

pub(super) static EXAMPLE: Object = Object {
    name: "example",
    what: "an example",
    about: "An input to try the flow with.",
    keys: &[
        Key::new("name", Shape::Text, "What it is called.").required(),
        Key::new("description", Shape::Text, "What it shows."),
        Key::new("input", Shape::Any, "The input."),
    ],
    rules: no_rules,
};

pub(super) static STEP: Object = Object {
    name: "step",
    what: "a step",
    about: "A step: a component, and the input that it runs on.",
    keys: &[
        Key::new(
            "id",
            Shape::Matching(r"^[^\u0000-\u001f\u007f-\u009f]+$"),
            "Its name; others refer to it.",
        )
        .required(),
        Key::new(
            "component",
            Shape::Text,
            "The component's path, such as `/python/greet`; a bare name is a built-in.",
        )
        .required(),
        Key::new(
            "input",
            Shape::Any,
            "The component's input: any value, with expressions in it.",
        ),
        Key::new("inputSchema", JSON_SCHEMA, "What the input must look like."),
        Key::new(
            "outputSchema",
            JSON_SCHEMA,
            "What the output must look like.",
        ),
        Key::new("skipIf", EXPRESSION, "Skips the step when this holds."),
        Key::new("skip", EXPRESSION, "The older name of `skipIf`."),
        Key::new(
            "onError",
            ON_ERROR,
            "What happens when the step fails; `fail` if left out.",
        ),
        Key::new(
            "mustExecute",
            Shape::Boolean,
            "Whether it runs even if nothing uses its output.",
        ),
        Key::new(
            "timeout",
            Shape::Duration,
            "How long an attempt may take, from sending: `30s`.",
        ),
        Key::new(
            "atMostOnce",
            Shape::Boolean,
            "Whether a call that got lost is a failure rather than sent again.",
        ),
        Key::new(
            "metadata",
            Shape::Any,
            "Anything; components can ask for it.",
        ),
    ],
    rules: step_rules,
};

/// Two names of one key, and the flow inside the input of a built-in that runs flows.
fn step_rules(definitions: &mut Definitions) -> Vec<Json> {
    let flow = definitions.shape(&Shape::Object(&FLOW));
    let runs_flows = json!({
        "properties": {"component": {"pattern": "^(/builtin/)?(eval|map|iterate)$"}},
        "required": ["component"],
    });
    let expression = definitions.shape(&EXPRESSION);
    let data = json!({"type": "object", "propertyNames": {"pattern": NO_DOLLAR}});
    let literal = json!({"type": "object", "properties": {"$literal": {"type": "object"}}, "required": ["$literal"], "maxProperties": 1});
    let inline = json!({
        "if": data,
        "then": flow,
        "else": {"if": literal, "then": {"properties": {"$literal": flow}}, "else": expression},
    });
    let with_flow = json!({
        "if": data,
        "then": {"properties": {"flow": inline, "workflow": inline}, "additionalProperties": expression},
        "else": expression,
    });
    let mut rules = vec![json!({
        "if": runs_flows,
        "then": {"properties": {"input": with_flow}},
        "else": {"properties": {"input": expression}},
    })];
    rules.extend(
        spellings("skipIf")
            .iter()
            .map(|name| json!({"not": {"required": ["skip", name]}})),
    );
    rules
}

const ON_ERROR: Shape = Shape::OneOf(&[
    Shape::Object(&FAIL),
    Shape::Object(&SKIP),
    Shape::Object(&USE_DEFAULT),
    Shape::Object(&RETRY),
]);

/// After its retries a step cannot be retried again.
const AFTER_RETRIES: Shape = Shape::OneOf(&[
    Shape::Object(&FAIL),
    Shape::Object(&SKIP),
    Shape::Object(&USE_DEFAULT),
]);

pub(super) static FAIL: Object = Object {
    name: "onErrorFail",
    what: "`onError` with the action fail",
    about: "The run fails.",
    keys: &[Key::new("action", Shape::Word(&["fail"]), "`fail`.").required()],
    rules: no_rules,
};

pub(super) static SKIP: Object = Object {
    name: "onErrorSkip",
    what: "`onError` with the action skip",
    about: "The step counts as skipped.",
    keys: &[Key::new("action", Shape::Word(&["skip"]), "`skip`.").required()],
    rules: no_rules,
};

pub(super) static USE_DEFAULT: Object = Object {
    name: "onErrorUseDefault",
    what: "`onError` with the action useDefault",
    about: "The step's output is a default.",
    keys: &[
        Key::new("action", Shape::Word(&["useDefault"]), "`useDefault`.").required(),
        Key::new("defaultValue", EXPRESSION, "The default; null if left out."),
    ],
    rules: no_rules,
};

pub(super) static RETRY: Object = Object {
    name: "onErrorRetry",
    what: "`onError` with the action retry",
    about: "The step is tried again.",
    keys: &[
        Key::new("action", Shape::Word(&["retry"]), "`retry`.").required(),
        Key::new(
            "maxRetries",
            Shape::Count(0, MOST_RETRIES),
            "How often it is tried again; 3 if left out.",
        ),
        Key::new(
            "backoff",
            Shape::Object(&BACKOFF),
            "How long to wait in between.",
        ),
        Key::new(
            "then",
            AFTER_RETRIES,
            "What happens after the last retry; `fail` if left out.",
        ),
    ],
    rules: no_rules,
};

/// How long to wait between attempts; config files have the same.
pub static BACKOFF: Object = Object {
    name: "backoff",
    what: "`backoff`",
    about: "How long to wait between attempts.",
    keys: &[
        Key::new(
            "type",
            Shape::Word(&["exponential", "constant", "fibonacci"]),
            "How the waits grow.",
        ),
        Key::new("minDelay", Shape::Duration, "The first wait."),
        Key::new("maxDelay", Shape::Duration, "The longest wait."),
        Key::new(
            "factor",
            Shape::Number(1.0),
            "By what an exponential wait grows.",
        ),
        Key::new(
            "jitter",
            Shape::Boolean,
            "Whether chance makes the waits differ, so that many do not try again at once.",
        ),
    ],
    rules: no_rules,
};
