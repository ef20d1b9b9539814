//! From flags to one component server, for the commands that need no config. Owns which values of the flags are secret.

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;

use indexmap::IndexMap;
use stepflow_rpc::transport::http::client::Options;
use stepflow_rpc::transport::http::client::Url;
use stepflow_rpc::transport::http::client::header;

use super::Context;
use crate::args::HttpArgs;
use crate::args::StartArgs;
use crate::config::http::is_secret;
use crate::environment;
use crate::report::CliError;
use crate::report::words;
use crate::secrets::Secrets;

/// A program and what it is started with.
pub struct Program {
    /// A path, or a name to look up.
    pub command: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The folder it starts in.
    pub folder: PathBuf,
}

/// What stands after `--`, and the flags that belong to it.
pub fn program(
    words: &[OsString],
    start: &StartArgs,
    context: &Context,
) -> Result<Program, CliError> {
    let secrets = &context.screen.secrets;
    let (command, arguments) = words
        .split_first()
        .ok_or_else(|| CliError::usage("there is no command after `--`"))?;
    remember_secret_arguments(arguments, secrets);
    let mut variables: IndexMap<OsString, OsString> = context.environment.safe().cloned().collect();
    for word in &start.env {
        let (name, value) = variable(word, context)?;
        if !environment::is_safe(name) && !name.ends_with("PATH") {
            secrets.add(&value.to_string_lossy());
        }
        variables.insert(name.into(), value);
    }
    let folder = match &start.cwd {
        Some(folder) => context.environment.folder.join(folder),
        None => context.environment.folder.clone(),
    };
    Ok(Program {
        command: command.clone(),
        arguments: arguments.to_vec(),
        environment: variables.into_iter().collect(),
        folder,
    })
}

/// `NAME=VALUE`, or the name of a variable of ours.
fn variable<'w>(word: &'w str, context: &Context) -> Result<(&'w str, OsString), CliError> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(OsString::from(value))),
        None => (word, context.environment.get(word).map(OsString::from)),
    };
    if name.is_empty() || word.contains('\0') {
        let error = CliError::usage("--env needs a name before `=`");
        return Err(error.hint("such as --env LOG_LEVEL=debug"));
    }
    let value = value.ok_or_else(|| {
        CliError::usage(format!("--env {name}: there is no such variable here"))
            .hint(format!("set it, or write --env {name}=VALUE"))
    })?;
    Ok((name, value))
}

/// `--api-key VALUE` and `--api-key=VALUE` of the server's own command.
fn remember_secret_arguments(arguments: &[OsString], secrets: &Secrets) {
    let mut of_last = false;
    for argument in arguments {
        let text = argument.to_string_lossy();
        if std::mem::take(&mut of_last) {
            secrets.add(&text);
        }
        if !text.starts_with('-') {
            continue;
        }
        match text.split_once('=') {
            Some((name, value)) if names_secret(name) => secrets.add(value),
            Some(_) => {}
            None => of_last = names_secret(&text),
        }
    }
}

/// Whether a flag of this name is followed by a secret. A file that holds one is none.
fn names_secret(flag: &str) -> bool {
    let flag = flag.to_ascii_lowercase();
    (is_secret(&flag) || flag.contains("pass")) && !flag.ends_with("file")
}

/// A URL, and the flags that belong to it.
pub fn options(url: &str, http: &HttpArgs, context: &Context) -> Result<Options, CliError> {
    let secrets = &context.screen.secrets;
    let mut client = Options::new(parse_url(url, secrets)?);
    client.proxy = context.environment.proxy_for(&client.url);
    for word in &http.header {
        let (name, value) = header_of(word, secrets)?;
        client.headers.insert(name, value);
    }
    if let Some(file) = &http.bearer_token_file {
        client
            .headers
            .insert(header::AUTHORIZATION, token(file, secrets)?);
    }
    if let Some(file) = &http.ca {
        let pem = std::fs::read(file);
        let pem = pem.map_err(|error| words::unreadable("the certificates", file, error))?;
        client.authorities.push(pem);
    }
    Ok(client)
}

fn parse_url(text: &str, secrets: &Secrets) -> Result<Url, CliError> {
    let why = match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            secrets.add_url(&url);
            return Ok(url);
        }
        Ok(_) => "it must start with `http://` or `https://`".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(CliError::usage(format!("--url cannot be used: {why}"))
        .hint("write it in full, such as http://localhost:8080"))
}

/// The URL without what may be secret.
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.to_string()
}

/// `NAME=VALUE`, or `NAME: VALUE` as other programs have it.
fn header_of(word: &str, secrets: &Secrets) -> Result<(header::Name, header::Value), CliError> {
    let at = word.find(['=', ':']);
    let (name, value) = at.map_or((word, ""), |at| (&word[..at], word[at + 1..].trim()));
    secrets.add_header(value);
    match (header::Name::try_from(name), header::Value::try_from(value)) {
        (Ok(name), Ok(mut value)) if at.is_some() => {
            value.set_sensitive(true);
            Ok((name, value))
        }
        // What is no header may be nothing but a secret.
        _ => Err(CliError::usage("a --header cannot be sent").hint(
            "write --header NAME=VALUE: letters, digits and `-`, then one line of plain text",
        )),
    }
}

fn token(file: &Path, secrets: &Secrets) -> Result<header::Value, CliError> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| words::unreadable("the token file", file, error))?;
    let token = text.trim();
    secrets.add(token);
    match header::Value::try_from(format!("Bearer {token}")) {
        Ok(mut value) if !token.is_empty() => {
            value.set_sensitive(true);
            Ok(value)
        }
        _ => Err(
            CliError::usage(format!("the token in {} cannot be sent", file.display()))
                .hint("it must be one line of plain text"),
        ),
    }
}
