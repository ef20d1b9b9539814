//! The tests that stand in a flow.
//!
//! Owns the keys under `test` and what an expected outcome may leave open. Must not know how a test is run or how its
//! servers are started.

use std::sync::Arc;
use std::time::Duration;

use super::Step;
use super::shapes::suite as shapes;
use crate::diagnostic::{Code, Diagnostics};
use crate::document::{Fields, Kind, Node, Span, nearest};
use crate::error::{ErrorCode, FlowError};
use crate::outcome::Outcome;
use crate::value::Value;

/// The tests of a flow.
#[derive(Clone, Debug, Default)]
pub struct Suite {
    /// The config to test with, where the flow brings one; it is read like a config file.
    pub config: Option<Node>,
    /// Programs that run while the tests do.
    pub servers: Vec<Server>,
    /// The tests.
    pub cases: Vec<Case>,
}

/// A program that runs while tests do, and is reached over HTTP.
#[derive(Clone, Debug)]
pub struct Server {
    /// What `{name.url}` and `{name.port}` call it.
    pub name: Arc<str>,
    /// The program.
    pub command: Arc<str>,
    /// Its arguments.
    pub args: Vec<Arc<str>>,
    /// Variables added to its environment.
    pub env: Vec<(Arc<str>, Arc<str>)>,
    /// The folder it starts in; that of the flow where none is given.
    pub working_directory: Option<Arc<str>>,
    /// The first and the last port it may be given; any free one where there is none.
    pub port_range: Option<(u16, u16)>,
    /// How to see that it is ready.
    pub health_check: HealthCheck,
    /// How long it may take to become ready.
    pub startup_timeout: Duration,
    /// How long each step of its end may take.
    pub shutdown_timeout: Duration,
}

/// How to see that a server is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What to ask for; any answer with a status below 400 will do. Without a path a connection is enough.
    pub path: Option<Arc<str>>,
    /// How long one answer may take.
    pub timeout: Duration,
    /// How often to ask; without a number until the start has taken too long.
    pub retry_attempts: Option<u64>,
    /// How long to wait before asking again.
    pub retry_delay: Duration,
}

impl Default for HealthCheck {
    fn default() -> Self {
        HealthCheck {
            path: None,
            timeout: Duration::from_secs(5),
            retry_attempts: None,
            retry_delay: Duration::from_millis(100),
        }
    }
}

/// One test.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is called; unlike any other in its flow.
    pub name: Arc<str>,
    /// Where the name stands.
    pub name_span: Span,
    /// What it shows.
    pub description: Option<Arc<str>>,
    /// The input of the flow.
    pub input: Value,
    /// The variables; null for none.
    pub variables: Value,
    /// The steps that are not run, and what they end with instead.
    pub mocks: Vec<(Arc<str>, Outcome)>,
    /// How long it may take, where it says so itself.
    pub timeout: Option<Duration>,
    /// What the run must end with; without one, with anything but a failure.
    pub output: Option<Expected>,
}

/// What an outcome must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// A success with exactly this result.
    Success(Value),
    /// A skip with exactly this reason.
    Skipped {
        /// The reason, if there is to be one.
        reason: Option<Arc<str>>,
    },
    /// A failure; what is not given may be anything.
    Failed {
        /// The code.
        code: Option<i64>,
        /// The whole message.
        message: Option<Arc<str>>,
        /// All of the data.
        data: Option<Value>,
    },
}

impl Expected {
    /// Whether an outcome is as expected.
    pub fn is_met_by(&self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Expected::Success(expected), Outcome::Success(result)) => expected == result,
            (Expected::Skipped { reason: expected }, Outcome::Skipped { reason }) => {
                expected.as_deref() == reason.as_deref()
            }
            (
                Expected::Failed {
                    code,
                    message,
                    data,
                },
                Outcome::Failed(error),
            ) => {
                code.is_none_or(|code| code == error.code)
                    && message.as_ref().is_none_or(|it| **it == *error.message)
                    && data
                        .as_ref()
                        .is_none_or(|it| Some(it) == error.data.as_ref())
            }
            _ => false,
        }
    }

    /// The outcome it describes, for a step that stands in for another.
    fn into_outcome(self) -> Outcome {
        match self {
            Expected::Success(result) => Outcome::Success(result),
            Expected::Skipped { reason } => Outcome::Skipped {
                reason: reason.map(|reason| reason.to_string()),
            },
            Expected::Failed {
                code,
                message,
                data,
            } => Outcome::Failed(FlowError {
                code: code.unwrap_or(ErrorCode::COMPONENT_FAILED.number()),
                message: message.map_or_else(|| "a mocked failure".to_owned(), |it| it.to_string()),
                data,
            }),
        }
    }
}

/// Reads `test`; the steps are those of the flow it stands in.
pub(super) fn read(node: &Node, steps: &[Step], diagnostics: &mut Diagnostics) -> Option<Suite> {
    let mut fields = Fields::of(node, &shapes::SUITE, diagnostics)?;
    let config = fields.take("config");
    let older = fields.take("stepflowConfig");
    if let (Some(_), Some(older)) = (config, older) {
        diagnostics
            .error(
                Code::DuplicateKey,
                older.span,
                "`stepflowConfig` is the older name of `config`, and both are here",
            )
            .hint("keep one of the two");
    }
    let servers = fields.object("servers", diagnostics);
    let servers = servers.into_iter().flat_map(|servers| servers.iter());
    let servers = servers
        .filter_map(|(name, entry)| server(name, &entry.node, diagnostics))
        .collect();
    let nodes = fields.list("cases", diagnostics).unwrap_or_default();
    fields.finish(diagnostics);
    let mut cases: Vec<Case> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let Some(case) = case(node, steps, diagnostics) else {
            continue;
        };
        if cases.iter().any(|known| known.name == case.name) {
            let message = format!("a second test is called {:?}", case.name);
            diagnostics
                .error(Code::DuplicateKey, case.name_span, message)
                .hint("give it a name of its own, by which `--case` can find it");
        }
        cases.push(case);
    }
    Some(Suite {
        config: config.or(older).cloned(),
        servers,
        cases,
    })
}

fn case(node: &Node, steps: &[Step], diagnostics: &mut Diagnostics) -> Option<Case> {
    let mut fields = Fields::of(node, &shapes::CASE, diagnostics)?;
    let name_span = fields
        .require("name", diagnostics)
        .map_or(node.span, |name| name.span);
    let name = fields.string("name", diagnostics);
    let description = fields.string("description", diagnostics);
    let input = fields.take_value("input");
    let variables = fields.take("variables");
    fields.object("variables", diagnostics);
    let mut mocks = Vec::new();
    for (step, entry) in fields
        .object("mocks", diagnostics)
        .into_iter()
        .flat_map(|mocks| mocks.iter())
    {
        if !steps.iter().any(|known| known.id == *step) {
            unknown_step(step, steps, entry.key_span, diagnostics);
        }
        if let Some(outcome) = expected(&entry.node, "a mock", diagnostics) {
            mocks.push((Arc::clone(step), outcome.into_outcome()));
        }
    }
    let timeout = fields.positive_duration("timeout", diagnostics);
    let output = fields.take("output");
    let output = output.and_then(|node| expected(node, "an expected outcome", diagnostics));
    fields.finish(diagnostics);
    Some(Case {
        name: name?,
        name_span,
        description,
        input: input.map_or_else(Value::null, Node::to_value),
        variables: variables.map_or_else(Value::null, Node::to_value),
        mocks,
        timeout,
        output,
    })
}

fn unknown_step(name: &str, steps: &[Step], span: Span, diagnostics: &mut Diagnostics) {
    let hint = match nearest(name, steps.iter().map(|step| &*step.id)) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "name the id of a step of this flow".to_owned(),
    };
    diagnostics
        .error(
            Code::UndefinedStep,
            span,
            format!("a mock for {name:?}, and there is no such step"),
        )
        .hint(hint);
}

/// A flow's result as a test writes it.
fn expected(node: &Node, what: &str, diagnostics: &mut Diagnostics) -> Option<Expected> {
    let mut fields = Fields::read(node, what, diagnostics)?;
    fields.require("outcome", diagnostics);
    let outcomes = ["success", "skipped", "failed"];
    let outcome = fields.choice("outcome", &outcomes, diagnostics)?;
    fields.narrow([&shapes::SUCCESS, &shapes::SKIPPED, &shapes::FAILED][outcome]);
    let expected = match outcome {
        0 => {
            let result = fields.take_value("result");
            Expected::Success(result.map_or_else(Value::null, Node::to_value))
        }
        1 => Expected::Skipped {
            reason: fields.string("reason", diagnostics),
        },
        _ => {
            let error = fields.take("error");
            let given = error.and_then(|node| failure(node, diagnostics));
            given.unwrap_or(Expected::Failed {
                code: None,
                message: None,
                data: None,
            })
        }
    };
    let what = format!("{what} that is {}", outcomes[outcome]);
    let hint = match outcome {
        0 => "a success has a `result`",
        1 => "a skip has a `reason`, or none",
        _ => "a failure has an `error: {code, message, data}`, of which each may be left out",
    };
    fields.finish_as(&what, hint, diagnostics);
    Some(expected)
}

fn failure(node: &Node, diagnostics: &mut Diagnostics) -> Option<Expected> {
    let mut fields = Fields::of(node, &shapes::ERROR, diagnostics)?;
    let code = fields.take("code");
    let number = code.and_then(|node| node.to_value().as_i64());
    if let (Some(code), None) = (code, number) {
        let message = format!(
            "\"code\" must be a whole number, and this is {}",
            code.type_name()
        );
        diagnostics
            .error(Code::WrongType, code.span, message)
            .hint("write the number of the error, such as -32004");
    }
    let message = fields.string("message", diagnostics);
    let data = fields.take("data").map(Node::to_value);
    fields.finish(diagnostics);
    Some(Expected::Failed {
        code: number,
        message,
        data,
    })
}

fn server(name: &Arc<str>, node: &Node, diagnostics: &mut Diagnostics) -> Option<Server> {
    let mut fields = Fields::of(node, &shapes::SERVER, diagnostics)?;
    fields.require("command", diagnostics);
    let command = fields.string("command", diagnostics);
    let args = fields.list("args", diagnostics).unwrap_or_default();
    let args = args
        .iter()
        .filter_map(|node| text(node, "an argument", diagnostics))
        .collect();
    let env = fields.object("env", diagnostics);
    let env = env
        .into_iter()
        .flat_map(|env| env.iter())
        .filter_map(|(name, entry)| {
            let value = text(&entry.node, "a variable of the environment", diagnostics)?;
            Some((Arc::clone(name), value))
        })
        .collect();
    let working_directory = fields.string("workingDirectory", diagnostics);
    let port_range = fields
        .take("portRange")
        .and_then(|node| port_range(node, diagnostics));
    let health_check = fields
        .take("healthCheck")
        .and_then(|node| health_check(node, diagnostics));
    let mut milliseconds = |key, default: u64| {
        let given = fields.count(key, diagnostics);
        Duration::from_millis(given.unwrap_or(default))
    };
    let startup_timeout = milliseconds("startupTimeoutMs", 30_000);
    let shutdown_timeout = milliseconds("shutdownTimeoutMs", 5_000);
    fields.finish(diagnostics);
    Some(Server {
        name: Arc::clone(name),
        command: command?,
        args,
        env,
        working_directory,
        port_range,
        health_check: health_check.unwrap_or_default(),
        startup_timeout,
        shutdown_timeout,
    })
}

fn health_check(node: &Node, diagnostics: &mut Diagnostics) -> Option<HealthCheck> {
    let mut fields = Fields::of(node, &shapes::HEALTH_CHECK, diagnostics)?;
    let default = HealthCheck::default();
    let check = HealthCheck {
        path: fields.string("path", diagnostics),
        timeout: fields
            .count("timeoutMs", diagnostics)
            .map_or(default.timeout, Duration::from_millis),
        retry_attempts: fields.count("retryAttempts", diagnostics),
        retry_delay: fields
            .count("retryDelayMs", diagnostics)
            .map_or(default.retry_delay, Duration::from_millis),
    };
    fields.finish(diagnostics);
    Some(check)
}

/// Text, or what a shell would take as text: `8080`, `true`.
fn text(node: &Node, what: &str, diagnostics: &mut Diagnostics) -> Option<Arc<str>> {
    match &node.kind {
        Kind::String(text, _) | Kind::Number(text) => Some(Arc::clone(text)),
        Kind::Bool(value) => Some(value.to_string().into()),
        Kind::Null | Kind::List(_) | Kind::Object(_) => {
            let message = format!("{what} must be a string, and this is {}", node.type_name());
            diagnostics
                .error(Code::WrongType, node.span, message)
                .hint("put it in quotes");
            None
        }
    }
}

/// `[8000, 8999]`
fn port_range(node: &Node, diagnostics: &mut Diagnostics) -> Option<(u16, u16)> {
    let port = |node: &Node| {
        node.to_value()
            .as_u64()
            .and_then(|it| u16::try_from(it).ok())
    };
    let range = match node.as_list() {
        Some([first, last]) => port(first).zip(port(last)),
        _ => None,
    };
    let range = range.filter(|(first, last)| *first > 0 && first <= last);
    if range.is_none() {
        diagnostics
            .error(Code::BadValue, node.span, "this is no range of ports")
            .hint("write the first and the last: `portRange: [8000, 8999]`");
    }
    range
}
