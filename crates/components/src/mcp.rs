//! MCP servers: programs that offer tools by the Model Context Protocol; each tool is a component. Owns the way of a call:
//! from a step's input to a tool's arguments, and from the tool's result to an output or a failure.
//!
//! The protocol itself is the `rmcp` library's; it is used here and nowhere else. How servers are kept alive is
//! `crate::supervisor`'s business, as for component servers.

mod arguments;
mod catalogue;
mod connector;
mod failure;
mod handler;
mod http;
mod link;
mod result;
mod session;

use std::sync::Arc;

use stepflow_engine::Class;
use stepflow_engine::Completion;
use stepflow_engine::Failure;
use stepflow_engine::Invocation;
use stepflow_flow::document::nearest;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::value::Value;
use stepflow_protocol::component::ComponentInfo;

use crate::options;
use crate::options::Limits;
use crate::options::Restart;
use crate::options::Strictness;
use crate::options::Validate;
use crate::pool::Busy;
use crate::pool::Pool;
use crate::remote::Shared;
use crate::remote::failure::timed_out;
use crate::schemas;
use catalogue::Tools;
use connector::Connector;
use session::Session;

/// A plugin made of one or more instances of an MCP server.
#[derive(Debug)]
pub struct Mcp {
    name: Arc<str>,
    limits: Limits,
    validate: Validate,
    pool: Pool<Session>,
}

impl Mcp {
    /// A plugin; nothing is started or connected yet.
    pub fn new(name: &str, options: &options::Mcp, shared: &Shared) -> Mcp {
        let name: Arc<str> = name.into();
        let reconnect = Restart::reconnect();
        let (limits, count, restart) = match options {
            options::Mcp::Stdio(stdio) => (&stdio.limits, stdio.instances, &stdio.restart),
            options::Mcp::Http(http) => (&http.limits, http.connections, &reconnect),
        };
        let connector = || Connector::new(&name, options, shared);
        let pool = Pool::new(&name, count, connector, restart, limits.max_in_flight);
        Mcp {
            limits: limits.clone(),
            validate: shared.validate,
            pool,
            name,
        }
    }

    /// Whether calls whose outcome is unknown are sent again.
    pub fn resends_unknown(&self) -> bool {
        self.limits.retry_unknown
    }

    /// Makes one attempt of a step.
    ///
    /// # Errors
    /// A [`Failure`] with the class that decides about another attempt.
    pub async fn execute(
        &self,
        component: &str,
        invocation: Invocation,
    ) -> Result<Completion, Failure> {
        let tool = tool_name(component);
        let arguments = arguments::of(tool, &invocation.input)?;
        // The step's time counts from sending, not from waiting for a process or a slot.
        let held = invocation.clock.hold();
        let _slot = self.pool.slot().await;
        let (session, _busy) = self.ready().await?;
        let tools = self.tools_with(&session, component).await?;
        if let Some(tools) = &tools {
            self.check_input(tools, component, &invocation)?;
        }
        let time = self
            .limits
            .timeout
            .filter(|_| invocation.deadline.is_none());
        drop(held);
        let calling = session.call_tool(tool, arguments, (&invocation).into());
        let answer = match time {
            None => calling.await,
            Some(time) => tokio::time::timeout(time, calling)
                .await
                .map_err(|_| timed_out(&self.name, time))?,
        };
        let output = result::of(tool, answer?)?;
        if let Some(tools) = &tools {
            schemas::check(
                tools.schemas.output(component),
                &output,
                self.validate.output,
                "output",
                &invocation.component,
            )?;
        }
        Ok(Completion::Output(output))
    }

    /// Asks the server for its tools.
    ///
    /// # Errors
    /// Unavailable when the server cannot be started, a failed call otherwise.
    pub async fn list(&self) -> Result<Vec<ComponentInfo>, Failure> {
        let (session, _busy) = self.ready().await?;
        session.list_tools().await
    }

    /// Ends all instances and waits until their processes are gone.
    pub async fn shut_down(&self) {
        self.pool.shut_down().await;
    }

    async fn ready(&self) -> Result<(Arc<Session>, Busy<'_>), Failure> {
        let ready = self.pool.ready().await;
        ready.map_err(|why| why.into_failure(&self.name))
    }

    /// What the server offers, this component with it, where that is known.
    async fn tools_with(
        &self,
        session: &Session,
        component: &str,
    ) -> Result<Option<Arc<Tools>>, Failure> {
        if self.validate.input == Strictness::Ignore && self.validate.output == Strictness::Ignore {
            return Ok(None);
        }
        let is_known = |tools: &Option<Arc<Tools>>| {
            let tools = tools.as_ref();
            tools.is_none_or(|tools| tools.offer(component))
        };
        let tools = session.tools(self.limits.list_timeout).await;
        if is_known(&tools) {
            return Ok(tools);
        }
        // It may be new, and the word of it on its way or never sent.
        session.catalogue.has_changed();
        let tools = session.tools(self.limits.list_timeout).await;
        match &tools {
            Some(known) if !is_known(&tools) => Err(not_found(&self.name, component, known)),
            _ => Ok(tools),
        }
    }

    fn check_input(
        &self,
        tools: &Tools,
        component: &str,
        invocation: &Invocation,
    ) -> Result<(), Failure> {
        // What a tool without arguments gets is an empty object, as it is on the wire.
        let nothing = Value::object([]);
        let input = match invocation.input.is_null() {
            true => &nothing,
            false => &invocation.input,
        };
        schemas::check(
            tools.schemas.input(component),
            input,
            self.validate.input,
            "input",
            &invocation.component,
        )
    }
}

/// A tool's name is whatever follows the first slash of what the route left over.
fn tool_name(component: &str) -> &str {
    component.strip_prefix('/').unwrap_or(component)
}

fn not_found(plugin: &str, component: &str, tools: &Tools) -> Failure {
    let nearest = nearest(component, tools.names());
    let hint = nearest.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"));
    let message = format!(
        "the MCP server of the plugin `{plugin}` has no tool `{}`{hint}; `stepflow list-components` shows those it has",
        tool_name(component)
    );
    let data = serde_json::json!({ "component": component, "nearest": nearest.as_slice() });
    let error = ErrorCode::COMPONENT_NOT_FOUND.error(message);
    Failure::new(Class::Refused, error.with_data(Value::from(data)))
}
