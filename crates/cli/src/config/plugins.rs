//! `plugins`: what runs components, and how it is started.

use std::ffi::OsString;
use std::sync::Arc;

use indexmap::IndexMap;
use stepflow_components::options::Limits;
use stepflow_components::options::Plugin;
use stepflow_components::options::Restart;
use stepflow_components::options::Stdio;
use stepflow_flow::diagnostic::Code;
use stepflow_flow::document::Fields;
use stepflow_flow::document::Kind;
use stepflow_flow::document::Node;
use stepflow_flow::document::Object;
use stepflow_flow::flow::read_backoff;

use super::http;
use super::mcp;
use super::mock;
use super::read::Reader;
use super::shapes;

/// More processes than this are surely a mistake.
pub(super) const MOST_INSTANCES: u64 = 1024;

/// A handshake must fit.
pub(super) const LEAST_MESSAGE_BYTES: u64 = 1024;

/// Reads all plugins.
pub fn read(reader: &mut Reader<'_>, plugins: &Object) -> IndexMap<String, Plugin> {
    let mut all = IndexMap::new();
    for (name, entry) in plugins.iter() {
        if name.is_empty() || name.contains(['/', '{', '}']) || name.contains(char::is_whitespace) {
            let message = format!("{name:?} cannot be the name of a plugin");
            let found = reader
                .diagnostics
                .error(Code::BadValue, entry.key_span, message);
            found.hint("without `routes` it is part of a path: use letters, digits, `-` and `_`");
        }
        // A plugin with mistakes keeps its place, so that routes to it are not reported too.
        let plugin = plugin(reader, name, &entry.node).unwrap_or(Plugin::Builtin);
        all.insert(name.to_string(), plugin);
    }
    all
}

fn plugin(reader: &mut Reader<'_>, name: &str, node: &Node) -> Option<Plugin> {
    let what = format!("the plugin {name:?}");
    let mut fields = Fields::read(node, &what, &mut reader.diagnostics)?;
    let Some(kind_node) = fields.require("type", &mut reader.diagnostics) else {
        // Which keys it may have depends on its type, so only those that no type has are reported.
        for table in [&shapes::STDIO, &shapes::HTTP, &shapes::MOCK] {
            fields.allow(table);
        }
        fields.finish(&mut reader.diagnostics);
        return None;
    };
    if let Some(transport @ ("http" | "stdio")) = kind_node.as_str().map(|text| &**text) {
        let message = format!("{transport:?} is no type");
        let found = reader
            .diagnostics
            .error(Code::BadValue, kind_node.span, message);
        found.hint(format!(
            "it is a transport: write `type: stepflow` and `transport: {transport}`"
        ));
        return None;
    }
    let plugin = match fields.choice(
        "type",
        &["builtin", "stepflow", "mock", "mcp"],
        &mut reader.diagnostics,
    )? {
        0 => {
            fields.narrow(&shapes::BUILTIN);
            Some(Plugin::Builtin)
        }
        1 => return stepflow(reader, fields),
        2 => Some(mock::read(reader, &mut fields)),
        _ => return mcp::read(reader, fields),
    };
    fields.finish(&mut reader.diagnostics);
    plugin
}

fn stepflow(reader: &mut Reader<'_>, mut fields: Fields<'_>) -> Option<Plugin> {
    let transport = fields.choice("transport", &["stdio", "http"], &mut reader.diagnostics);
    let transport_node = fields.take("transport");
    let command = fields.take("command");
    let url = fields.take("url");
    let is_http =
        transport == Some(1) || (transport_node.is_none() && command.is_none() && url.is_some());
    if is_http {
        return http::read(reader, fields);
    }
    if let Some(url) = url {
        let found =
            reader
                .diagnostics
                .error(Code::BadValue, url.span, "a plugin over stdio has no `url`");
        found.hint(
            "give `command` for a server that is started, or `url` for one that runs on its own",
        );
    }
    fields.narrow(&shapes::STDIO);
    fields.require("command", &mut reader.diagnostics);
    let stdio = stdio(reader, &mut fields);
    fields.finish(&mut reader.diagnostics);
    stdio.map(|stdio| Plugin::Stdio(Box::new(stdio)))
}

/// What there is to know of a server that is started.
pub(super) fn stdio(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<Stdio> {
    let command = reader.text_of(fields, "command");
    if let (Some(text), Some(node)) = (&command, fields.take("command"))
        && text.trim().is_empty()
    {
        let found = reader
            .diagnostics
            .error(Code::BadValue, node.span, "the command is empty");
        found.hint("name a program, such as `command: python`");
    }
    let mut arguments = Vec::new();
    for item in fields
        .list("args", &mut reader.diagnostics)
        .unwrap_or_default()
    {
        arguments.extend(word(reader, item, "an argument").map(|text| OsString::from(&*text)));
    }
    let environment = environment(reader, fields);
    let folder = match reader.text_of(fields, "cwd") {
        Some(folder) => reader.folder.join(&*folder),
        None => reader.folder.clone(),
    };
    let instances = instances(reader, fields);
    let limits = limits(reader, fields);
    let restart = restart(reader, fields.take("restart"));
    Some(Stdio {
        command: OsString::from(&*command?),
        arguments,
        environment,
        folder,
        instances,
        limits,
        restart,
    })
}

/// A string, or a number or boolean as it is written: `args: ["--port", 8080]`.
fn word(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Arc<str>> {
    match &node.kind {
        Kind::Number(token) if reader.is_as_written(node) => Some(Arc::clone(token)),
        Kind::Bool(value) if reader.is_as_written(node) => Some(value.to_string().into()),
        _ => reader.text(node, what),
    }
}

/// A small safe part of our own environment, or all of it, and what the config adds.
fn environment(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Vec<(OsString, OsString)> {
    let inherit = fields
        .boolean("inheritEnv", &mut reader.diagnostics)
        .unwrap_or(false);
    let surroundings = reader.environment;
    let mut all: IndexMap<OsString, OsString> = if inherit {
        surroundings.variables.iter().cloned().collect()
    } else {
        surroundings.safe().cloned().collect()
    };
    let added = fields.object("env", &mut reader.diagnostics);
    for (name, entry) in added.into_iter().flat_map(|added| added.iter()) {
        if name.is_empty() || name.contains(['=', '\0']) {
            let message = format!("{name:?} cannot be the name of an environment variable");
            let found = reader
                .diagnostics
                .error(Code::BadValue, entry.key_span, message);
            found.hint("use letters, digits and `_`");
            continue;
        }
        if entry.node.is_null() && reader.is_as_written(&entry.node) {
            all.shift_remove(&OsString::from(&**name));
            continue;
        }
        if let Some(value) = word(reader, &entry.node, &format!("the variable {name:?}")) {
            all.insert(OsString::from(&**name), OsString::from(&*value));
        }
    }
    all.into_iter().collect()
}

fn instances(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> usize {
    let Some(node) = fields.take("instances") else {
        return 1;
    };
    if node.as_str().is_some_and(|text| &**text == "auto") {
        return reader.environment.cores;
    }
    let count = match &node.kind {
        Kind::Number(token) => token
            .parse()
            .ok()
            .filter(|count| (1..=MOST_INSTANCES).contains(count)),
        _ => None,
    };
    if count.is_none() {
        let message =
            format!("\"instances\" must be auto or a whole number from 1 to {MOST_INSTANCES}");
        let found = reader.diagnostics.error(Code::BadValue, node.span, message);
        found.hint("`auto` starts one process for each core");
    }
    count
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(1)
}

pub(super) fn limits(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Limits {
    let mut limits = Limits {
        timeout: fields.positive_duration("timeout", &mut reader.diagnostics),
        ..Limits::default()
    };
    if let Some(time) = fields.positive_duration("initializeTimeout", &mut reader.diagnostics) {
        limits.initialize_timeout = time;
    }
    if let Some(count) = reader.at_least_one(fields, "maxInFlight") {
        limits.max_in_flight = Some(usize::try_from(count).unwrap_or(usize::MAX));
    }
    if let Some(count) = fields.count("maxMessageBytes", &mut reader.diagnostics) {
        if count < LEAST_MESSAGE_BYTES {
            let span = fields
                .take("maxMessageBytes")
                .map_or_else(|| fields.span(), |node| node.span);
            let message = format!("\"maxMessageBytes\" must be at least {LEAST_MESSAGE_BYTES}");
            let found = reader.diagnostics.error(Code::BadValue, span, message);
            found.hint("a handshake must fit; leave it out for 256 MiB");
        }
        limits.max_message_bytes = usize::try_from(count).unwrap_or(usize::MAX);
    }
    if let Some(retry) = fields.boolean("retryUnknown", &mut reader.diagnostics) {
        limits.retry_unknown = retry;
    }
    limits
}

fn restart(reader: &mut Reader<'_>, node: Option<&Node>) -> Restart {
    let mut restart = Restart::default();
    let fields = node.and_then(|node| Fields::of(node, &shapes::RESTART, &mut reader.diagnostics));
    let Some(mut fields) = fields else {
        return restart;
    };
    if let Some(count) = fields.count("maxRestarts", &mut reader.diagnostics) {
        restart.max_restarts = u32::try_from(count).unwrap_or(u32::MAX);
        restart.max_restarts_at_start = restart.max_restarts;
    }
    if let Some(backoff) = fields.take("backoff") {
        restart.backoff = read_backoff(backoff, restart.backoff, &mut reader.diagnostics);
    }
    fields.finish(&mut reader.diagnostics);
    restart
}
