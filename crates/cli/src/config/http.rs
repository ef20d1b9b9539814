//! Plugins that run elsewhere: the keys of the HTTP transport.

use std::sync::Arc;

use stepflow_components::options::Http;
use stepflow_components::options::Plugin;
use stepflow_flow::diagnostic::Code;
use stepflow_flow::document::Fields;
use stepflow_flow::document::Node;
use stepflow_rpc::transport::http::client::Options;
use stepflow_rpc::transport::http::client::OriginPattern;
use stepflow_rpc::transport::http::client::SessionMode;
use stepflow_rpc::transport::http::client::Url;
use stepflow_rpc::transport::http::client::header;

use super::plugins::limits;
use super::read::Reader;
use super::shapes;

/// Reads a plugin over HTTP.
pub fn read(reader: &mut Reader<'_>, mut fields: Fields<'_>) -> Option<Plugin> {
    fields.narrow(&shapes::HTTP);
    if let Some(command) = fields.take("command") {
        let text = "a plugin over HTTP has no `command`";
        let found = reader.diagnostics.error(Code::BadValue, command.span, text);
        found.hint(
            "give `url` for a server that runs on its own, or `command` for one that is started",
        );
    }
    fields.require("url", &mut reader.diagnostics);
    let client = client(reader, &mut fields);
    let session = session(reader, &mut fields);
    let negotiation_timeout =
        fields.positive_duration("negotiationTimeout", &mut reader.diagnostics);
    let mut origins = Vec::new();
    for item in fields
        .list("allowedEndpointOrigins", &mut reader.diagnostics)
        .unwrap_or_default()
    {
        origins.extend(origin(reader, item));
    }
    let connections = reader.at_least_one(&mut fields, "connections").unwrap_or(1);
    let limits = limits(reader, &mut fields);
    fields.finish(&mut reader.diagnostics);
    let mut client = client?;
    client.session = session;
    client.allowed_endpoint_origins = origins;
    if let Some(time) = negotiation_timeout {
        client.negotiation_timeout = time;
    }
    Some(Plugin::Http(Box::new(Http {
        client,
        connections: usize::try_from(connections).unwrap_or(usize::MAX),
        limits,
    })))
}

/// Where a server is and how to get there, whatever it speaks.
pub(super) fn client(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<Options> {
    let url = url(reader, fields);
    let mut client = Options::new(url.clone().unwrap_or_else(placeholder));
    if let Some(time) = fields.positive_duration("connectTimeout", &mut reader.diagnostics) {
        client.connect_timeout = time;
    }
    headers(reader, fields, &mut client);
    authorities(reader, fields, &mut client);
    client.proxy = url
        .as_ref()
        .and_then(|url| reader.environment.proxy_for(url));
    url.map(|_| client)
}

/// Stands for a URL that has mistakes, so that the rest can be read.
fn placeholder() -> Url {
    Url::parse("http://localhost").expect("this is a URL")
}

fn url(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<Url> {
    let text = reader.text_of(fields, "url")?;
    let span = fields
        .take("url")
        .map_or_else(|| fields.span(), |node| node.span);
    let why = match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            reader.secret_url(&url);
            return Some(url);
        }
        Ok(_) => "it must start with `http://` or `https://`".to_owned(),
        Err(error) => error.to_string(),
    };
    let found = reader.diagnostics.error(
        Code::BadValue,
        span,
        format!("the URL cannot be used: {why}"),
    );
    found.hint("write it in full, such as `http://localhost:8080`");
    None
}

fn session(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> SessionMode {
    match fields.choice(
        "session",
        &["auto", "required", "off"],
        &mut reader.diagnostics,
    ) {
        Some(1) => SessionMode::Required,
        Some(2) => SessionMode::Off,
        _ => SessionMode::Auto,
    }
}

fn headers(reader: &mut Reader<'_>, fields: &mut Fields<'_>, client: &mut Options) {
    let headers = fields.object("headers", &mut reader.diagnostics);
    for (name, entry) in headers.into_iter().flat_map(|headers| headers.iter()) {
        let Some(text) = reader.text(&entry.node, &format!("the header {name:?}")) else {
            continue;
        };
        let parsed = (
            header::Name::try_from(&**name),
            header::Value::try_from(&*text),
        );
        let (Ok(name), Ok(mut value)) = parsed else {
            let message = format!("the header {name:?} is none");
            let found = reader
                .diagnostics
                .error(Code::BadValue, entry.key_span, message);
            found.hint("names are letters, digits and `-`; values are one line of plain text");
            continue;
        };
        value.set_sensitive(true);
        if is_secret(name.as_str()) {
            reader.secret_header(&entry.node, &text);
        }
        client.headers.insert(name, value);
    }
    let Some(node) = fields.take("bearerToken") else {
        return;
    };
    let Some(token) = reader.text(node, "\"bearerToken\"") else {
        return;
    };
    reader.secret(node, &token);
    match header::Value::try_from(format!("Bearer {token}")) {
        Ok(mut value) => {
            value.set_sensitive(true);
            client.headers.insert(header::AUTHORIZATION, value);
        }
        Err(_) => {
            let message = "the token cannot be sent";
            let found = reader.diagnostics.error(Code::BadValue, node.span, message);
            found.hint("it must be one line of plain text; is there a line break at its end?");
        }
    }
}

/// Whether a header of this name carries what must not be shown.
pub fn is_secret(name: &str) -> bool {
    ["auth", "cookie", "key", "secret", "token"]
        .iter()
        .any(|word| name.contains(word))
}

/// `tls: { ca: FILE }`.
fn authorities(reader: &mut Reader<'_>, fields: &mut Fields<'_>, client: &mut Options) {
    let Some(node) = fields.take("tls") else {
        return;
    };
    let Some(mut tls) = Fields::of(node, &shapes::TLS, &mut reader.diagnostics) else {
        return;
    };
    if let Some(file) = reader.text_of(&mut tls, "ca") {
        let path = reader.folder.join(&*file);
        match std::fs::read(&path) {
            Ok(pem) => client.authorities.push(pem),
            Err(error) => {
                let span = tls.take("ca").map_or(node.span, |node| node.span);
                let text = format!("{} cannot be read: {error}", path.display());
                let found = reader.diagnostics.error(Code::BadValue, span, text);
                found.hint("name a PEM file with the certificates to trust; the path is relative to the config");
            }
        }
    }
    tls.finish(&mut reader.diagnostics);
}

fn origin(reader: &mut Reader<'_>, node: &Node) -> Option<OriginPattern> {
    let text: Arc<str> = reader.text(node, "a host")?;
    match text.parse() {
        Ok(pattern) => Some(pattern),
        Err(why) => {
            let found = reader.diagnostics.error(Code::BadValue, node.span, why);
            found.hint("such as `*.workers.internal`, `[::1]:9000` or `10.0.0.0/8`");
            None
        }
    }
}
