//! From flags to a server to inspect: how long it may take, and whether a session is wanted.

use stepflow_components::options::Http;
use stepflow_components::options::Limits;
use stepflow_components::options::Restart;
use stepflow_components::options::Stdio;
use stepflow_components::remote::inspection::Target;
use stepflow_rpc::transport::http::client::SessionMode;

use super::Context;
use crate::args::Inspect;
use crate::args::Session;
use crate::commands::server;
use crate::report::CliError;

/// How long a server that refuses connections is tried: somebody looks on.
const CONNECT: std::time::Duration = std::time::Duration::from_secs(3);

/// The server that the flags name.
pub fn target(args: &Inspect, context: &Context) -> Result<Target, CliError> {
    let mut limits = Limits {
        timeout: args.timeout,
        ..Limits::default()
    };
    if let Some(time) = args.timeout {
        limits.initialize_timeout = time;
    }
    match &args.url {
        Some(url) => Ok(Target::Http(Box::new(http(args, url, limits, context)?))),
        None => Ok(Target::Stdio(Box::new(stdio(args, limits, context)?))),
    }
}

fn stdio(args: &Inspect, limits: Limits, context: &Context) -> Result<Stdio, CliError> {
    let program = server::program(&args.command, &args.start, context)?;
    Ok(Stdio {
        command: program.command,
        arguments: program.arguments,
        environment: program.environment,
        folder: program.folder,
        instances: 1,
        limits,
        restart: Restart::default(),
    })
}

fn http(args: &Inspect, url: &str, limits: Limits, context: &Context) -> Result<Http, CliError> {
    let mut client = server::options(url, &args.http, context)?;
    client.session = match args.session {
        Session::Auto => SessionMode::Auto,
        Session::Required => SessionMode::Required,
        Session::Off => SessionMode::Off,
    };
    client.connect_timeout = args.timeout.unwrap_or(CONNECT);
    if let Some(time) = args.timeout {
        client.negotiation_timeout = client.negotiation_timeout.min(time);
    }
    Ok(Http {
        client,
        connections: 1,
        limits,
    })
}
