//! The keys of the tests that stand in a flow.

use serde_json::{Value as Json, json};

use crate::document::shape::{Definitions, Key, Object, Shape, no_rules};

pub(in crate::flow) static SUITE: Object = Object {
    name: "test",
    what: "`test`",
    about: "The tests of the flow, for `stepflow test`.",
    keys: &[
        Key::new(
            "config",
            Shape::Any,
            "The config to test with, written as in a config file.",
        ),
        Key::new("stepflowConfig", Shape::Any, "The older name of `config`."),
        Key::new(
            "servers",
            Shape::Map("", &Shape::Object(&SERVER)),
            "Programs that run while the tests do, by their names.",
        ),
        Key::new("cases", Shape::List(&Shape::Object(&CASE)), "The tests."),
    ],
    rules: one_config,
};

fn one_config(_: &mut Definitions) -> Vec<Json> {
    let older = ["stepflowConfig", "stepflow_config"];
    older
        .map(|older| json!({"not": {"required": ["config", older]}}))
        .to_vec()
}

pub(in crate::flow) static CASE: Object = Object {
    name: "testCase",
    what: "a test case",
    about: "A test: an input, and the outcome that is expected.",
    keys: &[
        Key::new("name", Shape::Text, "Its name, unlike any other's.").required(),
        Key::new("description", Shape::Text, "What it shows."),
        Key::new("input", Shape::Any, "The flow's input."),
        Key::new(
            "variables",
            Shape::Map("", &Shape::Any),
            "The flow's variables.",
        ),
        Key::new(
            "mocks",
            Shape::Map("", &EXPECTED),
            "The steps that are not run, and what they end with instead.",
        ),
        Key::new(
            "timeout",
            Shape::PositiveDuration,
            "How long it may take, instead of what `stepflow test --timeout` says.",
        ),
        Key::new(
            "output",
            EXPECTED,
            "What the run must end with; without it, with anything but a failure.",
        ),
    ],
    rules: no_rules,
};

const EXPECTED: Shape = Shape::OneOf(&[
    Shape::Object(&SUCCESS),
    Shape::Object(&SKIPPED),
    Shape::Object(&FAILED),
]);

pub(in crate::flow) static SUCCESS: Object = Object {
    name: "expectedSuccess",
    what: "an outcome",
    about: "A success with exactly this result.",
    keys: &[
        Key::new("outcome", Shape::Word(&["success"]), "`success`.").required(),
        Key::new("result", Shape::Any, "The result; null if left out."),
    ],
    rules: no_rules,
};

pub(in crate::flow) static SKIPPED: Object = Object {
    name: "expectedSkip",
    what: "an outcome",
    about: "A skip with exactly this reason.",
    keys: &[
        Key::new("outcome", Shape::Word(&["skipped"]), "`skipped`.").required(),
        Key::new("reason", Shape::Text, "The reason; none if left out."),
    ],
    rules: no_rules,
};

pub(in crate::flow) static FAILED: Object = Object {
    name: "expectedFailure",
    what: "an outcome",
    about: "A failure; what is left out may be anything.",
    keys: &[
        Key::new("outcome", Shape::Word(&["failed"]), "`failed`.").required(),
        Key::new("error", Shape::Object(&ERROR), "The error."),
    ],
    rules: no_rules,
};

pub(in crate::flow) static ERROR: Object = Object {
    name: "expectedError",
    what: "an expected error",
    about: "An error; what is left out may be anything.",
    keys: &[
        Key::new("code", Shape::Integer, "Its number, such as -32004."),
        Key::new("message", Shape::Text, "The whole message."),
        Key::new("data", Shape::Any, "All of the data."),
    ],
    rules: no_rules,
};

pub(in crate::flow) static SERVER: Object = Object {
    name: "testServer",
    what: "a test server",
    about: "A program that runs while tests do, and is reached over HTTP.",
    keys: &[
        Key::new("command", Shape::Text, "The program.").required(),
        Key::new("args", Shape::List(&Shape::Scalar), "Its arguments."),
        Key::new(
            "env",
            Shape::Map("", &Shape::Scalar),
            "Variables added to its environment.",
        ),
        Key::new(
            "workingDirectory",
            Shape::Text,
            "The folder it starts in; the flow's if left out.",
        ),
        Key::new(
            "portRange",
            PORTS,
            "The first and the last port it may be given.",
        ),
        Key::new(
            "healthCheck",
            Shape::Object(&HEALTH_CHECK),
            "How to see that it is ready.",
        ),
        Key::new(
            "startupTimeoutMs",
            Shape::Count(0, u64::MAX),
            "How long it may take to become ready, in milliseconds.",
        ),
        Key::new(
            "shutdownTimeoutMs",
            Shape::Count(0, u64::MAX),
            "How long each step of its end may take, in milliseconds.",
        ),
    ],
    rules: no_rules,
};

const PORTS: Shape = Shape::Pair(&Shape::Count(1, 65_535));

pub(in crate::flow) static HEALTH_CHECK: Object = Object {
    name: "healthCheck",
    what: "a health check",
    about: "How to see that a server is ready.",
    keys: &[
        Key::new(
            "path",
            Shape::Text,
            "What to ask for; without it a connection is enough.",
        ),
        Key::new(
            "timeoutMs",
            Shape::Count(0, u64::MAX),
            "How long one answer may take, in milliseconds.",
        ),
        Key::new(
            "retryAttempts",
            Shape::Count(0, u64::MAX),
            "How often to ask; without it until the start has taken too long.",
        ),
        Key::new(
            "retryDelayMs",
            Shape::Count(0, u64::MAX),
            "How long to wait before asking again, in milliseconds.",
        ),
    ],
    rules: no_rules,
};
