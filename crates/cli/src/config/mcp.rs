//! Plugins of `type: mcp`: servers whose tools are components, started here or reached over HTTP. Their keys are those of
//! component servers, but for what only a component server has.

use stepflow_components::options::Http;
use stepflow_components::options::Mcp;
use stepflow_components::options::Plugin;
use stepflow_flow::diagnostic::Code;
use stepflow_flow::document::Fields;

use super::http::client;
use super::plugins::limits;
use super::plugins::stdio;
use super::read::Reader;
use super::shapes;

/// Reads an MCP server: `command` or `url` says which kind it is.
pub fn read(reader: &mut Reader<'_>, mut fields: Fields<'_>) -> Option<Plugin> {
    let transport = fields.choice("transport", &["stdio", "http"], &mut reader.diagnostics);
    let command = fields.take("command");
    let url = fields.take("url");
    let is_http = transport.map_or(command.is_none() && url.is_some(), |index| index == 1);
    fields.narrow(match is_http {
        true => &shapes::MCP_HTTP,
        false => &shapes::MCP_STDIO,
    });
    if command.is_none() && url.is_none() {
        let text = "an MCP server needs `command` or `url`";
        let found = reader
            .diagnostics
            .error(Code::MissingKey, fields.span(), text);
        found.hint(
            "give `command` for a server that is started, or `url` for one that runs on its own",
        );
    }
    let other = if is_http { command } else { url };
    if let Some(other) = other {
        let text = "an MCP server has either `command` or `url`";
        let found = reader.diagnostics.error(Code::BadValue, other.span, text);
        found.hint(
            "give `command` for a server that is started, or `url` for one that runs on its own",
        );
    }
    let server = if is_http {
        http(reader, &mut fields).map(|http| Mcp::Http(Box::new(http)))
    } else {
        stdio(reader, &mut fields).map(|stdio| Mcp::Stdio(Box::new(stdio)))
    };
    fields.finish(&mut reader.diagnostics);
    server.map(Plugin::Mcp)
}

fn http(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<Http> {
    let client = client(reader, fields);
    let connections = reader.at_least_one(fields, "connections").unwrap_or(1);
    let limits = limits(reader, fields);
    Some(Http {
        client: client?,
        connections: usize::try_from(connections).unwrap_or(usize::MAX),
        limits,
    })
}
