//! The keys of expressions, for the reader and for schemas.
//!
//! Owns the tables of what stands beside each `$` key. How they are read is next door.

use serde_json::{Value as Json, json};

use crate::document::shape::{Definitions, Key, Made, Object, Shape, no_rules};

/// A value in which objects with a `$` key are expressions.
pub const EXPRESSION: Shape = Shape::Made(&Made {
    name: "expression",
    make: expression,
});

/// Keys that are no expression's.
pub const NO_DOLLAR: &str = r"^(?!\$)";

fn expression(definitions: &mut Definitions) -> Json {
    let this = definitions.shape(&EXPRESSION);
    let mut kinds = vec![
        json!({"type": ["null", "boolean", "number", "string"]}),
        json!({"type": "array", "items": this}),
        json!({"type": "object", "propertyNames": {"pattern": NO_DOLLAR}, "additionalProperties": this}),
    ];
    kinds.extend(KINDS.map(|kind| definitions.shape(&Shape::Object(kind))));
    json!({
        "description": "Any value. An object with a `$` key is an expression; `$literal` keeps one from being read as such.",
        "anyOf": kinds,
    })
}

static KINDS: [&Object; 8] = [
    &INPUT, &STEP, &VARIABLE, &FROM, &LITERAL, &IF, &COALESCE, &TEMPLATE,
];

/// The `$` keys that there are: the first of each kind.
pub(super) fn dollars() -> [&'static str; 8] {
    KINDS.map(|kind| kind.keys[0].name)
}

/// The `$` key as it is known, and all keys of its kind of expression.
pub(super) fn of(dollar: &str) -> Option<(&'static str, &'static Object)> {
    let mut known = dollars().into_iter().zip(KINDS);
    known.find(|(known, _)| *known == dollar)
}

/// A path's own grammar is checked when it is read.
const PATH: Shape = Shape::Text;
const PATH_ABOUT: &str = "Where in it: such as `$.items[0].name`.";
const ON_SKIP_ABOUT: &str =
    "What to do when that step was skipped: be skipped too, or use a default.";

const fn kind(name: &'static str, about: &'static str, keys: &'static [Key]) -> Object {
    Object {
        name,
        what: "an expression",
        about,
        keys,
        rules: no_rules,
    }
}

static INPUT: Object = kind(
    "inputReference",
    "The flow's input, or a part of it.",
    &[Key::new(
        "$input",
        PATH,
        "A path into the flow's input; `$` is the whole.",
    )
    .required()],
);

static STEP: Object = kind(
    "stepReference",
    "A step's output, or a part of it.",
    &[
        Key::new("$step", Shape::Text, "The step's id.").required(),
        Key::new("path", PATH, PATH_ABOUT),
        Key::new("onSkip", ON_SKIP, ON_SKIP_ABOUT),
    ],
);

static VARIABLE: Object = kind(
    "variableReference",
    "A variable, or a part of it.",
    &[
        Key::new(
            "$variable",
            PATH,
            "Its name, or a path that starts with its name.",
        )
        .required(),
        Key::new("default", EXPRESSION, "What to use when it has no value."),
    ],
);

static FROM: Object = kind(
    "olderReference",
    "A reference in the older dialect.",
    &[
        Key::new(
            "$from",
            Shape::OneOf(&[
                Shape::Object(&FROM_STEP),
                Shape::Object(&FROM_INPUT),
                Shape::Object(&FROM_VARIABLE),
            ]),
            "What is referred to.",
        )
        .required(),
        Key::new("path", PATH, PATH_ABOUT),
        Key::new("onSkip", ON_SKIP, ON_SKIP_ABOUT),
    ],
);

/// The keys below `$from`, whichever of them belong together.
pub(super) static SOURCE: Object = Object {
    name: "source",
    what: "`$from`",
    about: "What is referred to.",
    keys: &[
        Key::new("step", Shape::Text, "A step's id."),
        Key::new("workflow", Shape::Word(&["input"]), "The flow's input."),
        Key::new("variable", PATH, "A variable's name."),
        Key::new(
            "default",
            EXPRESSION,
            "What to use when the variable has no value.",
        ),
    ],
    rules: no_rules,
};

static FROM_STEP: Object = kind(
    "fromStep",
    "A step's output.",
    &[Key::new("step", Shape::Text, "The step's id.").required()],
);

static FROM_INPUT: Object = kind(
    "fromInput",
    "The flow's input.",
    &[Key::new(
        "workflow",
        Shape::Word(&["input"]),
        "`input`: there is nothing else.",
    )
    .required()],
);

static FROM_VARIABLE: Object = kind(
    "fromVariable",
    "A variable.",
    &[
        Key::new("variable", PATH, "Its name.").required(),
        Key::new("default", EXPRESSION, "What to use when it has no value."),
    ],
);

static LITERAL: Object = kind(
    "literal",
    "Data, taken as it is.",
    &[Key::new(
        "$literal",
        Shape::Any,
        "The data; expressions in it are not looked at.",
    )
    .required()],
);

static IF: Object = kind(
    "condition",
    "One of two values. Only `false` and `null` are false.",
    &[
        Key::new("$if", EXPRESSION, "The condition.").required(),
        Key::new("then", EXPRESSION, "The value when it holds.").required(),
        Key::new(
            "else",
            EXPRESSION,
            "The value when it does not; null if left out.",
        ),
    ],
);

static COALESCE: Object = kind(
    "coalesce",
    "The first of several that has a value.",
    &[Key::new(
        "$coalesce",
        Shape::FilledList(&EXPRESSION),
        "The values to try, in order.",
    )
    .required()],
);

static TEMPLATE: Object = kind(
    "template",
    "A text with values in it.",
    &[Key::new(
        "$template",
        Shape::Text,
        "The text: `Hello {{ $input.name }}`.",
    )
    .required()],
);

const ON_SKIP: Shape = Shape::OneOf(&[
    Shape::Object(&ON_SKIP_SKIP),
    Shape::Object(&ON_SKIP_DEFAULT),
]);

pub(super) static ON_SKIP_SKIP: Object = Object {
    name: "onSkipSkip",
    what: "`onSkip`",
    about: "Be skipped too.",
    keys: &[Key::new("action", Shape::Word(&["skip"]), "`skip`.").required()],
    rules: no_rules,
};

pub(super) static ON_SKIP_DEFAULT: Object = Object {
    name: "onSkipUseDefault",
    what: "`onSkip`",
    about: "Use a default.",
    keys: &[
        Key::new("action", Shape::Word(&["useDefault"]), "`useDefault`.").required(),
        Key::new("defaultValue", EXPRESSION, "The default; null if left out."),
    ],
    rules: no_rules,
};
