//! The keys of config files, for the readers and for schemas. Owns the tables; how the keys are read is next door.

use serde_json::Value as Json;
use serde_json::json;
use stepflow_flow::document::shape;
use stepflow_flow::document::shape::JSON_SCHEMA;
use stepflow_flow::document::shape::Key;
use stepflow_flow::document::shape::Object;
use stepflow_flow::document::shape::Placeholders;
use stepflow_flow::document::shape::Shape;
use stepflow_flow::document::shape::no_rules;
use stepflow_flow::flow::BACKOFF;

/// The JSON Schema of config files, for editors. What only the surroundings can tell (whether a plugin that a route names is
/// there, what `${…}` stands for) is not in it.
pub fn json_schema() -> Json {
    let mut schema = shape::schema("Stepflow config", &CONFIG, Placeholders::Braced);
    // A file without keys is a config too.
    let config = schema["$ref"].take();
    schema["anyOf"] = json!([{"$ref": config}, {"type": "null"}]);
    if let Json::Object(schema) = &mut schema {
        schema.shift_remove("$ref");
    }
    schema
}

const COUNT: Shape = Shape::Count(0, u64::MAX);
const FROM_ONE: Shape = Shape::Count(1, u64::MAX);

pub static CONFIG: Object = Object {
    name: "config",
    what: "the config",
    about: "What runs components, and which paths lead there. `${VARIABLE}` in a string stands for a variable of the environment.",
    keys: &[
        Key::new(
            "plugins",
            Shape::Map(r"^[^/{}\s]+$", &PLUGIN),
            "What runs components, by names of your own.",
        ),
        Key::new(
            "routes",
            Shape::Map("", &Shape::FilledList(&Shape::Object(&RULE))),
            "From the paths of components to plugins; the first rule that fits is taken. Without it `/<plugin>/…` leads to each.",
        ),
        Key::new(
            "validate",
            Shape::Object(&VALIDATE),
            "What becomes of values that do not fit a component's schemas.",
        ),
        Key::new(
            "loadFile",
            Shape::Object(&LOAD_FILE),
            "What the built-in `load_file` may read.",
        ),
        Key::new(
            "retry",
            Shape::Object(&RETRY),
            "How calls that did not arrive, or got lost, are sent again.",
        ),
        Key::new(
            "limits",
            Shape::Object(&LIMITS),
            "How much may go on at once.",
        ),
        Key::new(
            "stateStore",
            Shape::Object(&STATE_STORE),
            "Where runs and blobs are kept.",
        ),
        Key::new("durability", Shape::Absent, ""),
    ],
    rules: no_rules,
};

const PLUGIN: Shape = Shape::OneOf(&[
    Shape::Object(&STDIO),
    Shape::Object(&HTTP),
    Shape::Object(&MCP_STDIO),
    Shape::Object(&MCP_HTTP),
    Shape::Object(&BUILTIN),
    Shape::Object(&MOCK),
]);

pub static BUILTIN: Object = Object {
    name: "builtin",
    what: "a plugin of the type builtin",
    about: "The components that come with the runtime.",
    keys: &[Key::new("type", Shape::Word(&["builtin"]), "`builtin`.").required()],
    rules: no_rules,
};

const TYPE: Key = Key::new(
    "type",
    Shape::Word(&["stepflow"]),
    "`stepflow`: a component server.",
)
.required();
const TIMEOUT: Key = Key::new(
    "timeout",
    Shape::PositiveDuration,
    "How long a call may take, where its step does not say.",
);
const INITIALIZE_TIMEOUT: Key = Key::new(
    "initializeTimeout",
    Shape::PositiveDuration,
    "How long the handshake may take; 60s if left out.",
);
const MAX_IN_FLIGHT: Key = Key::new(
    "maxInFlight",
    FROM_ONE,
    "How many calls it gets at once; the others wait.",
);
const MAX_MESSAGE_BYTES: Key = Key::new(
    "maxMessageBytes",
    Shape::Count(super::plugins::LEAST_MESSAGE_BYTES, u64::MAX),
    "The longest message that is taken from it; 256 MiB if left out.",
);
const RETRY_UNKNOWN: Key = Key::new(
    "retryUnknown",
    Shape::Boolean,
    "Whether calls whose outcome is unknown are sent again.",
);

const COMMAND: Key = Key::new(
    "command",
    Shape::Matching(r"\S"),
    "The program, looked for in PATH.",
)
.required();
const ARGUMENTS: Key = Key::new("args", Shape::List(&Shape::Scalar), "Its arguments.");
const INHERIT_ENVIRONMENT: Key = Key::new(
    "inheritEnv",
    Shape::Boolean,
    "Whether it gets all of the runtime's environment.",
);
const VARIABLES: Key = Key::new(
    "env",
    ENVIRONMENT,
    "Variables added to its environment; null takes one away.",
);
const FOLDER: Key = Key::new(
    "cwd",
    Shape::Text,
    "The folder it starts in; that of this file if left out.",
);
const N_INSTANCES: Key = Key::new(
    "instances",
    INSTANCES,
    "How many processes; `auto` for one each core.",
);
const RESTARTS: Key = Key::new(
    "restart",
    Shape::Object(&RESTART),
    "What happens when it ends by itself.",
);

pub static STDIO: Object = Object {
    name: "stdio",
    what: "a plugin over stdio",
    about: "A component server that the runtime starts.",
    keys: &[
        TYPE,
        Key::new(
            "transport",
            Shape::Word(&["stdio"]),
            "`stdio`; may be left out.",
        ),
        COMMAND,
        Key::new("url", Shape::Absent, ""),
        ARGUMENTS,
        INHERIT_ENVIRONMENT,
        VARIABLES,
        FOLDER,
        N_INSTANCES,
        TIMEOUT,
        INITIALIZE_TIMEOUT,
        MAX_IN_FLIGHT,
        MAX_MESSAGE_BYTES,
        RETRY_UNKNOWN,
        RESTARTS,
    ],
    rules: no_rules,
};

const ENVIRONMENT: Shape = Shape::Map(
    "^[^=\\u0000]+$",
    &Shape::OneOf(&[Shape::Scalar, Shape::Null]),
);
const INSTANCES: Shape = Shape::OneOf(&[
    Shape::Count(1, super::plugins::MOST_INSTANCES),
    Shape::Matching("^auto$"),
]);

pub static RESTART: Object = Object {
    name: "restart",
    what: "`restart`",
    about: "What happens when a server ends by itself.",
    keys: &[
        Key::new(
            "maxRestarts",
            COUNT,
            "How many restarts in a row; 5 if left out.",
        ),
        Key::new(
            "backoff",
            Shape::Object(&BACKOFF),
            "How long to wait between them.",
        ),
    ],
    rules: no_rules,
};

/// One line of plain text.
const HEADER: Shape = Shape::Matching(r"^[^\u0000-\u0008\u000a-\u001f\u007f]*$");

const URL: Key = Key::new("url", Shape::Text, "Where it is: `http://localhost:8080`.").required();
const CONNECT_TIMEOUT: Key = Key::new(
    "connectTimeout",
    Shape::PositiveDuration,
    "How long connecting may take; 10s if left out.",
);
const CONNECTIONS: Key = Key::new(
    "connections",
    FROM_ONE,
    "How many sessions calls are spread over; 1 if left out.",
);
const HEADERS: Key = Key::new(
    "headers",
    Shape::Map("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", &HEADER),
    "Headers sent with every request.",
);
const BEARER_TOKEN: Key = Key::new("bearerToken", HEADER, "A token sent with every request.");
const TRUST: Key = Key::new("tls", Shape::Object(&TLS), "Whom to trust.");

pub static HTTP: Object = Object {
    name: "http",
    what: "a plugin over HTTP",
    about: "A component server that runs on its own.",
    keys: &[
        TYPE,
        Key::new(
            "transport",
            Shape::Word(&["http"]),
            "`http`; may be left out.",
        ),
        Key::new("command", Shape::Absent, ""),
        URL,
        Key::new(
            "session",
            Shape::Word(&["auto", "required", "off"]),
            "Whether a session is opened; `auto` if left out.",
        ),
        Key::new(
            "negotiationTimeout",
            Shape::PositiveDuration,
            "How long to wait for a session before going without; 5s if left out.",
        ),
        CONNECT_TIMEOUT,
        INITIALIZE_TIMEOUT,
        CONNECTIONS,
        HEADERS,
        BEARER_TOKEN,
        TRUST,
        TIMEOUT,
        MAX_IN_FLIGHT,
        MAX_MESSAGE_BYTES,
        Key::new(
            "allowedEndpointOrigins",
            Shape::List(&Shape::Text),
            "Other hosts that a session may lead to, such as `*.workers.internal` or `10.0.0.0/8`.",
        ),
        RETRY_UNKNOWN,
    ],
    rules: no_rules,
};

const MCP_TYPE: Key = Key::new(
    "type",
    Shape::Word(&["mcp"]),
    "`mcp`: a server whose tools are components.",
)
.required();

pub static MCP_STDIO: Object = Object {
    name: "mcpStdio",
    what: "an MCP server over stdio",
    about: "An MCP server that the runtime starts.",
    keys: &[
        MCP_TYPE,
        Key::new(
            "transport",
            Shape::Word(&["stdio"]),
            "`stdio`; may be left out.",
        ),
        COMMAND,
        Key::new("url", Shape::Absent, ""),
        ARGUMENTS,
        INHERIT_ENVIRONMENT,
        VARIABLES,
        FOLDER,
        N_INSTANCES,
        TIMEOUT,
        INITIALIZE_TIMEOUT,
        MAX_IN_FLIGHT,
        MAX_MESSAGE_BYTES,
        RETRY_UNKNOWN,
        RESTARTS,
    ],
    rules: no_rules,
};

pub static MCP_HTTP: Object = Object {
    name: "mcpHttp",
    what: "an MCP server over HTTP",
    about: "An MCP server that runs on its own.",
    keys: &[
        MCP_TYPE,
        Key::new(
            "transport",
            Shape::Word(&["http"]),
            "`http`; may be left out.",
        ),
        Key::new("command", Shape::Absent, ""),
        URL,
        CONNECT_TIMEOUT,
        INITIALIZE_TIMEOUT,
        CONNECTIONS,
        HEADERS,
        BEARER_TOKEN,
        TRUST,
        TIMEOUT,
        MAX_IN_FLIGHT,
        MAX_MESSAGE_BYTES,
        RETRY_UNKNOWN,
    ],
    rules: no_rules,
};

pub static TLS: Object = Object {
    name: "tls",
    what: "`tls`",
    about: "Whom to trust.",
    keys: &[Key::new(
        "ca",
        Shape::Text,
        "A PEM file with certificates to trust.",
    )],
    rules: no_rules,
};

pub static MOCK: Object = Object {
    name: "mock",
    what: "a plugin of the type mock",
    about: "Components with fixed answers, for tests of flows.",
    keys: &[
        Key::new("type", Shape::Word(&["mock"]), "`mock`.").required(),
        Key::new(
            "components",
            Shape::Map("", &Shape::Object(&MOCK_COMPONENT)),
            "The components, by their paths.",
        )
        .required(),
    ],
    rules: no_rules,
};

pub static MOCK_COMPONENT: Object = Object {
    name: "mockComponent",
    what: "a mock component",
    about: "A component with fixed answers.",
    keys: &[
        Key::new("inputSchema", JSON_SCHEMA, "What its input must look like."),
        Key::new(
            "outputSchema",
            JSON_SCHEMA,
            "What its output must look like.",
        ),
        Key::new(
            "behaviors",
            Shape::Map("", &BEHAVIOR),
            "What it answers, by the input as JSON text.",
        )
        .required(),
    ],
    rules: no_rules,
};

const BEHAVIOR: Shape = Shape::OneOf(&[
    Shape::Object(&SUCCEEDS),
    Shape::Object(&SKIPS),
    Shape::Object(&FAILS),
]);

pub static SUCCEEDS: Object = Object {
    name: "mockSuccess",
    what: "a behavior",
    about: "It succeeds.",
    keys: &[
        Key::new("outcome", Shape::Word(&["success"]), "`success`.").required(),
        Key::new("result", Shape::Any, "Its output.").required(),
    ],
    rules: no_rules,
};

pub static SKIPS: Object = Object {
    name: "mockSkip",
    what: "a behavior",
    about: "It skips itself.",
    keys: &[
        Key::new("outcome", Shape::Word(&["skipped"]), "`skipped`.").required(),
        Key::new("reason", Shape::Text, "Why."),
    ],
    rules: no_rules,
};

pub static FAILS: Object = Object {
    name: "mockFailure",
    what: "a behavior",
    about: "It fails.",
    keys: &[Key::new("error", Shape::Text, "The message.").required()],
    rules: no_rules,
};

pub static RULE: Object = Object {
    name: "rule",
    what: "a rule of a route",
    about: "Where a path leads, and when.",
    keys: &[
        Key::new("plugin", Shape::Text, "The plugin that it leads to.").required(),
        Key::new(
            "component",
            Shape::Text,
            "The path there, if it is another.",
        ),
        Key::new(
            "conditions",
            Shape::List(&Shape::Object(&CONDITION)),
            "What the input must be like; all must hold.",
        ),
        Key::new(
            "componentAllow",
            Shape::List(&Shape::Text),
            "The only components that the rule is for.",
        ),
        Key::new(
            "componentDeny",
            Shape::List(&Shape::Text),
            "Components that the rule is not for.",
        ),
    ],
    rules: no_rules,
};

pub static CONDITION: Object = Object {
    name: "condition",
    what: "a condition",
    about: "A part of the step's input, and what it must be.",
    keys: &[
        Key::new("path", Shape::Text, "The part, such as `$.model`.").required(),
        Key::new("value", Shape::Any, "What it must be.").required(),
    ],
    rules: no_rules,
};

pub static VALIDATE: Object = Object {
    name: "validate",
    what: "`validate`",
    about: "What becomes of values that do not fit a component's schemas.",
    keys: &[
        Key::new("input", STRICTNESS, "Of inputs; `error` if left out."),
        Key::new("output", STRICTNESS, "Of outputs; `warn` if left out."),
    ],
    rules: no_rules,
};

const STRICTNESS: Shape = Shape::Word(&["ignore", "warn", "error"]);

pub static LOAD_FILE: Object = Object {
    name: "loadFile",
    what: "`loadFile`",
    about: "What the built-in `load_file` may read.",
    keys: &[Key::new(
        "allow",
        Shape::List(&Shape::Text),
        "Files and folders beside the working folder.",
    )],
    rules: no_rules,
};

pub static RETRY: Object = Object {
    name: "retry",
    what: "`retry`",
    about: "How calls that did not arrive, or got lost, are sent again.",
    keys: &[
        Key::new("transportMaxRetries", COUNT, "How often."),
        Key::new(
            "backoff",
            Shape::Object(&BACKOFF),
            "How long to wait in between.",
        ),
    ],
    rules: no_rules,
};

pub static LIMITS: Object = Object {
    name: "limits",
    what: "`limits`",
    about: "How much may go on at once.",
    keys: &[
        Key::new("run", FROM_ONE, "How many steps of one run."),
        Key::new("depth", COUNT, "How deep runs may start runs."),
        Key::new(
            "alive",
            FROM_ONE,
            "How many runs inside one top-level run, at whatever depth.",
        ),
        Key::new("map", FROM_ONE, "How many items of one `map`."),
    ],
    rules: no_rules,
};

pub static STATE_STORE: Object = Object {
    name: "stateStore",
    what: "`stateStore`",
    about: "Where runs and blobs are kept.",
    keys: &[Key::new(
        "type",
        Shape::Word(&["inMemory"]),
        "`inMemory`: with the process.",
    )
    .required()],
    rules: no_rules,
};

/// What a store that is not available would have.
pub static DATABASE: Object = Object {
    name: "database",
    what: "`stateStore`",
    about: "A database.",
    keys: &[
        Key::new("type", Shape::Absent, ""),
        Key::new("databaseUrl", Shape::Absent, ""),
        Key::new("autoMigrate", Shape::Absent, ""),
        Key::new("maxConnections", Shape::Absent, ""),
    ],
    rules: no_rules,
};
