//! A runtime as the program assembles one: plugins, and an engine around them, in memory. Each test has its own home
//! folder and its own mark on every process; at the end nothing marked may be left.

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use stepflow_components::Options;
use stepflow_components::Plugins;
use stepflow_components::options;
use stepflow_engine::Completion;
use stepflow_engine::Components;
use stepflow_engine::Engine;
use stepflow_engine::Failure;
use stepflow_engine::Finished;
use stepflow_engine::Invocation;
use stepflow_engine::Limits;
use stepflow_engine::Request;
use stepflow_engine::Trace;
use stepflow_flow::document::Source;
use stepflow_flow::flow::Flow;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::Plan;
use stepflow_flow::value::Value;
use stepflow_rpc::transport::http::client;
use stepflow_store::RunId;
use stepflow_store::Store;
use tempfile::TempDir;

use crate::environment;
use crate::environment::Python;
use crate::http;
use crate::process::Mark;
use crate::process::VARIABLE;
use crate::soon;

/// A component server to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The test server in Rust.
    Rust,
    /// The test server in Python, on the SDK of this checkout.
    Python,
    /// A file of `tests/servers`, in Python, with arguments.
    File(&'static str, &'static [&'static str]),
    /// A file of `tests/servers`, in the Python of the published SDK.
    Published(&'static str),
    /// A file of `tests/servers`, in the Python of the published SDK for MCP servers.
    Mcp(&'static str),
    /// A published MCP server for Node.js, by the name of its program, with arguments.
    McpInNode(&'static str, &'static [&'static str]),
    /// The example in Python that has no SDK.
    ExampleInPython,
    /// The example in JavaScript, which has no SDK either.
    ExampleInNode,
}

impl Program {
    /// The program and its arguments.
    pub fn command(self) -> (PathBuf, Vec<OsString>) {
        let python = |python: Python, file, arguments: &[&str]| {
            let file = environment::server_file(file).into_os_string();
            let arguments = arguments.iter().map(OsString::from);
            let arguments = std::iter::once(file).chain(arguments).collect();
            (python.interpreter(), arguments)
        };
        match self {
            Program::Rust => (environment::test_server(), Vec::new()),
            Program::Python => python(Python::Project, "test_server.py", &[]),
            Program::File(file, arguments) => python(Python::Project, file, arguments),
            Program::Published(file) => python(Python::Published, file, &[]),
            Program::Mcp(file) => python(Python::Mcp, file, &[]),
            Program::McpInNode(name, arguments) => {
                let modules = environment::node_modules().expect("the test asked for them first");
                let program = modules.join(".bin").join(name).into_os_string();
                let arguments = arguments.iter().map(OsString::from);
                (
                    environment::node(),
                    std::iter::once(program).chain(arguments).collect(),
                )
            }
            Program::ExampleInPython => (
                Python::Project.interpreter(),
                vec![environment::example("component-server/python/server.py").into()],
            ),
            Program::ExampleInNode => (
                environment::node(),
                vec![environment::example("component-server/node/server.mjs").into()],
            ),
        }
    }
}

/// The environment of a test's processes: a home of their own, the test's mark, and little else.
pub fn variables(home: &Path, mark: &Mark) -> Vec<(OsString, OsString)> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    vec![
        ("PATH".into(), path),
        ("HOME".into(), home.into()),
        ("TMPDIR".into(), home.into()),
        ("LANG".into(), "C.UTF-8".into()),
        (VARIABLE.into(), mark.value().into()),
    ]
}

/// A runtime before its start.
#[derive(Debug)]
pub struct Setup {
    home: TempDir,
    mark: Mark,
    options: Options,
    engine: stepflow_engine::Options,
}

impl Default for Setup {
    fn default() -> Self {
        let home = TempDir::new().unwrap();
        let load_file = options::LoadFile {
            folder: home.path().to_owned(),
            ..options::LoadFile::default()
        };
        Setup {
            home,
            mark: Mark::default(),
            options: Options {
                load_file,
                plugins: IndexMap::from([("builtin".to_owned(), options::Plugin::Builtin)]),
                ..Options::default()
            },
            engine: stepflow_engine::Options::default(),
        }
    }
}

impl Setup {
    /// The folder that is the home of the test's processes.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Adds a plugin.
    #[must_use]
    pub fn plugin(self, name: &str, program: Program) -> Self {
        self.plugin_with(name, program, |_| {})
    }

    /// Adds a plugin whose options are changed first. Restarts wait for milliseconds, not for seconds.
    #[must_use]
    pub fn plugin_with(
        mut self,
        name: &str,
        program: Program,
        change: impl FnOnce(&mut options::Stdio),
    ) -> Self {
        let plugin = options::Plugin::Stdio(Box::new(self.stdio(program, change)));
        self.options.plugins.insert(name.to_owned(), plugin);
        self
    }

    /// Adds an MCP server over stdio whose options are changed first.
    #[must_use]
    pub fn mcp_with(
        mut self,
        name: &str,
        program: Program,
        change: impl FnOnce(&mut options::Stdio),
    ) -> Self {
        let server = options::Mcp::Stdio(Box::new(self.stdio(program, change)));
        let plugin = options::Plugin::Mcp(server);
        self.options.plugins.insert(name.to_owned(), plugin);
        self
    }

    fn stdio(&self, program: Program, change: impl FnOnce(&mut options::Stdio)) -> options::Stdio {
        let (command, arguments) = program.command();
        let mut stdio = options::Stdio {
            command: command.into(),
            arguments,
            environment: variables(self.home.path(), &self.mark),
            folder: self.home.path().to_owned(),
            instances: 1,
            limits: options::Limits::default(),
            restart: options::Restart::default(),
        };
        stdio.restart.backoff.min_delay = Duration::from_millis(5);
        stdio.restart.backoff.max_delay = Duration::from_millis(20);
        change(&mut stdio);
        stdio
    }

    /// Adds a plugin over HTTP.
    #[must_use]
    pub fn http(self, name: &str, url: &str) -> Self {
        self.http_with(name, url, |_| {})
    }

    /// Adds a plugin over HTTP whose options are changed first.
    #[must_use]
    pub fn http_with(
        mut self,
        name: &str,
        url: &str,
        change: impl FnOnce(&mut options::Http),
    ) -> Self {
        let plugin = options::Plugin::Http(Box::new(http(url, change)));
        self.options.plugins.insert(name.to_owned(), plugin);
        self
    }

    /// Adds an MCP server over HTTP whose options are changed first.
    #[must_use]
    pub fn mcp_over_http_with(
        mut self,
        name: &str,
        url: &str,
        change: impl FnOnce(&mut options::Http),
    ) -> Self {
        let server = options::Mcp::Http(Box::new(http(url, change)));
        let plugin = options::Plugin::Mcp(server);
        self.options.plugins.insert(name.to_owned(), plugin);
        self
    }

    /// Starts a server on its own, with the home and the mark of this test.
    pub async fn server(&self, program: Program) -> http::Server {
        http::Server::start(program, self.home.path(), &self.mark).await
    }

    /// Starts one of several processes of a server, under a name.
    pub async fn replica(&self, program: Program, name: &str) -> http::Server {
        let options = ["--instance-id", name];
        http::Server::start_with(0, program, &options, self.home.path(), &self.mark).await
    }

    /// Sets what to do about inputs and outputs that do not fit.
    #[must_use]
    pub fn validate(mut self, validate: options::Validate) -> Self {
        self.options.validate = validate;
        self
    }

    /// Sets how often a step is sent again when its request or its answer was lost.
    #[must_use]
    pub fn retries(mut self, most: u32) -> Self {
        self.engine.retry.transport_max_retries = most;
        self
    }

    /// Bounds what goes on at once.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.engine.limits = limits;
        self
    }

    /// Makes the runtime; servers start when they are first called.
    pub fn start(mut self) -> Runtime {
        let retry = &mut self.engine.retry;
        retry.transport.min_delay = Duration::from_millis(5);
        retry.transport.max_delay = Duration::from_millis(20);
        retry.busy.min_delay = Duration::from_millis(5);
        retry.busy.max_delay = Duration::from_millis(20);
        let store = Store::memory();
        let plugins = Plugins::new(self.options, store.clone()).unwrap();
        let components: Arc<dyn Components> = Arc::new(plugins.clone());
        Runtime {
            engine: Engine::new(store.clone(), components, self.engine),
            plugins,
            store,
            mark: self.mark,
            home: self.home,
        }
    }
}

fn http(url: &str, change: impl FnOnce(&mut options::Http)) -> options::Http {
    let mut http = options::Http {
        client: client::Options::new(url.parse().unwrap()),
        connections: 1,
        limits: options::Limits::default(),
    };
    change(&mut http);
    http
}

/// A runtime in memory.
#[derive(Debug)]
pub struct Runtime {
    /// Runs flows.
    pub engine: Engine,
    /// Runs components.
    pub plugins: Plugins,
    /// What both remember.
    pub store: Store,
    mark: Mark,
    home: TempDir,
}

/// A plan from the text of a flow.
pub fn plan(text: &str) -> Plan {
    let source = Source::new("flow.yaml", text);
    let flow = Flow::parse(&source).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    Plan::compile(&flow).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

impl Runtime {
    /// A runtime with one plugin, called `it`.
    pub fn of(program: Program) -> Runtime {
        Setup::default().plugin("it", program).start()
    }

    /// The folder that is the home of the test's processes.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The mark on the test's processes.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Starts a server on its own, at a port where there was one before.
    pub async fn server_again(&self, program: Program, port: u16) -> http::Server {
        http::Server::start_at(port, program, self.home.path(), &self.mark).await
    }

    /// Ends the connections to a server, then the server, and proves that no process is left.
    pub async fn shut_down_with(self, server: http::Server) {
        soon("the shutdown", self.plugins.shut_down()).await;
        server.stop().await;
        self.mark.all_gone().await;
    }

    /// Runs a flow.
    pub async fn run(&self, flow: &str, input: Value) -> Finished {
        let run = self.engine.run(Request::new(plan(flow), input)).unwrap();
        soon("a run", run).await.unwrap()
    }

    /// Runs a flow of one step, with the input of the flow as its input.
    pub async fn call(&self, component: &str, input: Value) -> Outcome {
        self.call_as(component, "", input).await
    }

    /// The same with further keys of the step, such as `timeout: 1s`.
    pub async fn call_as(&self, component: &str, keys: &str, input: Value) -> Outcome {
        let flow = format!(
            "steps:\n- {{id: call, component: {component}, input: {{$input: $}}, {keys}}}\n\
             output: {{$step: call}}\n"
        );
        self.run(&flow, input).await.outcome
    }

    /// Makes one attempt of one step, without the engine's retries.
    pub async fn attempt(&self, component: &str, input: Value) -> Result<Completion, Failure> {
        let invocation = Invocation {
            component: component.into(),
            input,
            run_id: RunId::new(),
            flow_id: plan("output: null").flow_id(),
            step_id: "call".into(),
            attempt: 1,
            deadline: None,
            clock: stepflow_engine::Clock::default(),
            trace: Trace {
                trace_id: [1; 16],
                span_id: [1; 8],
            },
            depth: 0,
            outer: stepflow_engine::Outer::of_no_run(plan("output: null")),
            engine: self.engine.clone(),
        };
        soon("an attempt", self.plugins.execute(invocation)).await
    }

    /// Ends all servers and proves that no process is left.
    pub async fn shut_down(self) {
        soon("the shutdown", self.plugins.shut_down()).await;
        self.mark.all_gone().await;
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.mark.clean_up_after_panic();
    }
}

/// The result of a success.
pub fn success(outcome: &Outcome) -> &Value {
    match outcome {
        Outcome::Success(value) => value,
        other => panic!("no success: {other:?}"),
    }
}

/// The error of a failure.
pub fn failure(outcome: &Outcome) -> &stepflow_flow::error::FlowError {
    match outcome {
        Outcome::Failed(error) => error,
        other => panic!("no failure: {other:?}"),
    }
}
