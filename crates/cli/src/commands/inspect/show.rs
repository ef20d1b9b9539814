//! What a server is and offers, for people and for programs.

use std::fmt::Write;

use stepflow_components::remote::inspection::About;
use stepflow_components::remote::inspection::Mode;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;
use stepflow_protocol::component::ComponentInfo;

use super::Called;
use super::Listed;
use super::Timed;
use crate::commands::list_components::readable;

/// What the handshake says, a line each.
pub fn about(about: &About, url: Option<&str>) -> String {
    let server = about.server.as_ref().map_or_else(
        || "does not say its name".to_owned(),
        |it| format!("{} {}", it.name, it.version.as_deref().unwrap_or_default()),
    );
    let transport = match (about.mode, url) {
        (Mode::Stdio { pid }, _) => format!("stdio, process {pid}"),
        (mode, url) => format!("HTTP at {}, {}", url.unwrap_or_default(), http_mode(mode)),
    };
    let names: Vec<_> = about.capabilities.names().collect();
    let accepts = match names.is_empty() {
        true => "requests and answers only".to_owned(),
        false => names.join(", "),
    };
    let messages = match about.max_message_bytes {
        Some(bytes) => format!("up to {bytes} bytes"),
        None => "no limit named".to_owned(),
    };
    format!(
        "server     {}\ntransport  {transport}\nprotocol   version {}\naccepts    {accepts}\nmessages   {messages}\n",
        server.trim_end(),
        about.protocol_version
    )
}

fn http_mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Stdio { .. } => "",
        Mode::Session => "session",
        Mode::Streamable => {
            "streamable: each request stands alone, calls back come on the stream of its answer"
        }
        Mode::Plain => "plain so far: each request stands alone, and was answered without a stream",
    }
}

/// The components, with all that they say of themselves.
pub fn list(listed: &Listed) -> String {
    let components = match listed {
        Err(_) => return "the server does not list its components\n".to_owned(),
        Ok(components) if components.is_empty() => return "no components\n".to_owned(),
        Ok(components) => components,
    };
    components.iter().map(component).collect()
}

/// One component.
pub fn component(info: &ComponentInfo) -> String {
    let mut text = format!("{}\n", info.component);
    let description = info.description.as_deref().unwrap_or_default();
    for line in description.trim().lines() {
        let _ = writeln!(text, "    {}", line.trim());
    }
    let schemas = [
        ("input", &info.input_schema),
        ("output", &info.output_schema),
    ];
    for (what, schema) in schemas {
        if let Some(schema) = schema {
            let _ = writeln!(text, "    {what}:{}", readable(schema));
        }
    }
    text
}

/// Everything as one value.
pub fn document(
    about: &About,
    url: Option<&str>,
    listed: &Timed<Listed>,
    called: Option<&Called>,
) -> Value {
    let components = match &listed.it {
        Ok(components) => ("components", Value::list(components.iter().map(as_value))),
        Err(error) => ("error", json(error)),
    };
    let mut entries = vec![
        ("connection", connection(about, url)),
        (
            "server",
            about.server.as_ref().map_or_else(Value::null, json),
        ),
        components,
        ("listMs", milliseconds(listed)),
    ];
    if let Some(called) = called {
        let call = Value::object([
            ("component", Value::string(&called.component)),
            ("outcome", json::<Outcome>(&called.outcome.it)),
            ("ms", milliseconds(&called.outcome)),
        ]);
        entries.push(("call", call));
    }
    Value::object(entries)
}

fn connection(about: &About, url: Option<&str>) -> Value {
    let (transport, mode) = match about.mode {
        Mode::Stdio { .. } => ("stdio", "stdio"),
        Mode::Session => ("http", "session"),
        Mode::Streamable => ("http", "streamable"),
        Mode::Plain => ("http", "plain"),
    };
    let mut entries = vec![
        ("transport", Value::string(transport)),
        ("mode", Value::string(mode)),
        ("protocolVersion", json(&about.protocol_version)),
        ("capabilities", json(&about.capabilities)),
        ("maxMessageBytes", json(&about.max_message_bytes)),
    ];
    entries.extend(url.map(|url| ("url", Value::string(url))));
    Value::object(entries)
}

fn as_value(info: &ComponentInfo) -> Value {
    let mut entries = vec![("component", Value::string(&info.component))];
    let description = info.description.as_deref().map(Value::string);
    entries.extend(description.map(|it| ("description", it)));
    entries.extend(info.input_schema.clone().map(|it| ("inputSchema", it)));
    entries.extend(info.output_schema.clone().map(|it| ("outputSchema", it)));
    Value::object(entries)
}

fn json<T: serde::Serialize>(source: &T) -> Value {
    Value::from_serialize(source).expect("plain data is JSON")
}

fn milliseconds<T>(timed: &Timed<T>) -> Value {
    json(&((timed.took.as_secs_f64() * 10_000.0).round() / 10.0))
}
