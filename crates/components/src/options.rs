//! What the configuration says, as plain data: the cli reads it from files, tests write it down.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;
use stepflow_flow::flow::Backoff;
use stepflow_flow::flow::Growth;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::path::Path;
use stepflow_flow::value::Value;
use stepflow_rpc::transport::http::client;

/// Everything there is to know about where components run.
#[derive(Clone, Debug)]
pub struct Options {
    /// By name, in the order of the configuration.
    pub plugins: IndexMap<String, Plugin>,
    /// Empty means: `/<plugin>/{*component}` for each plugin.
    pub routes: Vec<Route>,
    /// What to do about inputs and outputs that do not fit a component's schemas.
    pub validate: Validate,
    /// Which files `load_file` may read.
    pub load_file: LoadFile,
    /// What the runtime calls itself in handshakes.
    pub version: String,
}

impl Default for Options {
    /// The built-in components and nothing else.
    fn default() -> Self {
        Options {
            plugins: IndexMap::from([("builtin".to_owned(), Plugin::Builtin)]),
            routes: Vec::new(),
            validate: Validate::default(),
            load_file: LoadFile::default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// One plugin.
#[derive(Clone, Debug)]
pub enum Plugin {
    /// The components that come with the runtime.
    Builtin,
    /// Components with fixed answers.
    Mock(Mock),
    /// A component server that the runtime starts.
    Stdio(Box<Stdio>),
    /// A component server that runs elsewhere.
    Http(Box<Http>),
    /// An MCP server, whose tools are components.
    Mcp(Mcp),
}

/// An MCP server. Of what says how to reach it, that which is about component servers alone is not looked at.
#[derive(Clone, Debug)]
pub enum Mcp {
    /// One that the runtime starts.
    Stdio(Box<Stdio>),
    /// One that runs elsewhere, over streamable HTTP.
    Http(Box<Http>),
}

/// Components with fixed answers, by path.
#[derive(Clone, Debug, Default)]
pub struct Mock {
    /// By full path or by the remainder after routing.
    pub components: IndexMap<String, MockComponent>,
}

/// A component with fixed answers.
#[derive(Clone, Debug, Default)]
pub struct MockComponent {
    /// JSON Schema of its input.
    pub input_schema: Option<Value>,
    /// JSON Schema of its output.
    pub output_schema: Option<Value>,
    /// An answer for each input.
    pub behaviors: Vec<(Value, Behavior)>,
}

/// What a mock does with one input.
#[derive(Clone, Debug)]
pub enum Behavior {
    /// It ends with this outcome.
    Outcome(Outcome),
    /// It fails with this message.
    Error(String),
}

/// A component server that the runtime starts and talks to over its stdin and stdout.
#[derive(Clone)]
pub struct Stdio {
    /// A path, or a name looked up in the `PATH` of `environment`.
    pub command: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The folder it starts in.
    pub folder: PathBuf,
    /// How many processes share the work.
    pub instances: usize,
    /// How its life is watched and its calls are bounded.
    pub limits: Limits,
    /// When it is started again.
    pub restart: Restart,
}

/// A component server that runs elsewhere and is reached over HTTP.
#[derive(Clone, Debug)]
pub struct Http {
    /// Where it is and how to talk to it.
    pub client: client::Options,
    /// How many sessions share the work.
    pub connections: usize,
    /// How its calls are bounded.
    pub limits: Limits,
}

// Arguments and values of the environment may be secrets.
impl fmt::Debug for Stdio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("Stdio")
            .field("command", &self.command)
            .field("n_arguments", &self.arguments.len())
            .field("environment", &names)
            .field("folder", &self.folder)
            .field("instances", &self.instances)
            .finish_non_exhaustive()
    }
}

/// The bounds of a plugin.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long a call may take, unless its step says otherwise.
    pub timeout: Option<Duration>,
    /// How long the handshake may take.
    pub initialize_timeout: Duration,
    /// How long the server may take to list its components before it is used without their schemas.
    pub list_timeout: Duration,
    /// How long each step of a shutdown may take.
    pub shutdown_grace: Duration,
    /// How many calls may be under way at once.
    pub max_in_flight: Option<usize>,
    /// The longest message taken, in bytes.
    pub max_message_bytes: usize,
    /// Whether calls whose outcome is unknown are sent again.
    pub retry_unknown: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            timeout: None,
            initialize_timeout: Duration::from_secs(60),
            list_timeout: Duration::from_secs(10),
            shutdown_grace: Duration::from_secs(5),
            max_in_flight: None,
            max_message_bytes: stepflow_rpc::peer::DEFAULT_MAX_MESSAGE_BYTES,
            retry_unknown: true,
        }
    }
}

/// When a server that ended is started again. The first restart comes at once.
#[derive(Clone, Debug)]
pub struct Restart {
    /// How many restarts in a row, without a sustained uptime between, before the plugin counts as failed.
    pub max_restarts: u32,
    /// How many restarts before the server was ever ready: a misspelled module is misspelled the next time too.
    pub max_restarts_at_start: u32,
    /// The waits from the second restart on.
    pub backoff: Backoff,
    /// How long it must live for its failures to be forgotten.
    pub sustained_uptime: Duration,
    /// How long a failed plugin is left alone before a call may try it again.
    pub probe_after: Duration,
    /// How long the end of a connection may take.
    pub farewell: Duration,
}

impl Restart {
    /// For a server that runs elsewhere: connections come and go, and a new one costs little.
    pub fn reconnect() -> Self {
        Restart {
            max_restarts: u32::MAX,
            backoff: Backoff {
                min_delay: Duration::from_millis(100),
                // An operator who has just restarted the server should not wait for us.
                max_delay: Duration::from_secs(5),
                ..Restart::default().backoff
            },
            probe_after: Duration::from_secs(1),
            ..Restart::default()
        }
    }
}

impl Default for Restart {
    fn default() -> Self {
        Restart {
            max_restarts: 5,
            max_restarts_at_start: 1,
            backoff: Backoff {
                growth: Growth::Exponential,
                min_delay: Duration::from_secs(1),
                max_delay: Duration::from_secs(30),
                factor: 2.0,
                jitter: true,
            },
            sustained_uptime: Duration::from_secs(60),
            probe_after: Duration::from_secs(30),
            farewell: Duration::from_secs(5),
        }
    }
}

/// A pattern of component paths and where they go.
#[derive(Clone, Debug)]
pub struct Route {
    /// `/python/{*component}`, `/ai/chat`.
    pub pattern: String,
    /// Tried in order.
    pub rules: Vec<Rule>,
}

/// One place a path may go.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// The plugin's name.
    pub plugin: String,
    /// The name the plugin knows the component by, instead of the routed remainder.
    pub component: Option<String>,
    /// All must hold for the rule to apply.
    pub conditions: Vec<Condition>,
    /// If given, only these remainders (with `*` at the end for any) pass.
    pub component_allow: Option<Vec<String>>,
    /// These do not pass.
    pub component_deny: Vec<String>,
}

/// A value that the input must have at a path.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Where.
    pub path: Path,
    /// What.
    pub value: Value,
}

/// What to do about inputs and outputs that do not fit a component's schemas.
#[derive(Clone, Copy, Debug)]
pub struct Validate {
    /// Of inputs.
    pub input: Strictness,
    /// Of outputs.
    pub output: Strictness,
}

impl Default for Validate {
    fn default() -> Self {
        Validate {
            input: Strictness::Error,
            output: Strictness::Warn,
        }
    }
}

/// How much a misfit matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Not looked at.
    Ignore,
    /// Logged.
    Warn,
    /// The step fails.
    Error,
}

/// Which files `load_file` may read.
#[derive(Clone, Debug)]
pub struct LoadFile {
    /// Relative paths start here, and what is inside may be read.
    pub folder: PathBuf,
    /// Folders and files outside of it that may be read too.
    pub allow: Vec<PathBuf>,
}

impl Default for LoadFile {
    fn default() -> Self {
        LoadFile {
            folder: PathBuf::from("."),
            allow: Vec::new(),
        }
    }
}
