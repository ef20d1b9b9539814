//! The command line of a server program, with the options of `python -m stepflow_sdk`. Owns their names and what cannot be
//! meant; reads arguments, environment and files, which the rest of the crate gets as values.

use std::env;
use std::ffi::OsString;
use std::io;
use std::io::IsTerminal;
use std::path::Path;
use std::path::PathBuf;
use std::process;

use clap::Args;
use clap::CommandFactory;
use clap::FromArgMatches;
use clap::Parser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use url::Url;

use crate::Server;
use crate::http::Listener;
use crate::http::Options;
use crate::http::Security;
use crate::say;

/// Holds the token where no file does.
const TOKEN_VARIABLE: &str = "STEPFLOW_TOKEN";

const AFTER_HELP: &str = r#"stepflow-config.yml:

  plugins:
    mine:
      type: stepflow
      transport: stdio
      command: ./PROGRAM

or, where the server runs on its own with --http:

  plugins:
    mine:
      type: stepflow
      transport: http
      url: "http://localhost:8080"

Then a step of a flow uses  component: /mine/PATH

Exit codes: 0 stdin ended, or a signal ended the server; 1 the link broke (stderr says how); 2 wrong arguments, or it cannot
serve there."#;

#[derive(Debug, Parser)]
#[command(
    about = "Serves Stepflow components over stdin and stdout, for a Stepflow runtime to start, or over HTTP.",
    after_help = AFTER_HELP,
    max_term_width = 120
)]
struct Arguments {
    /// The longest message that is taken, in bytes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_message_bytes: Option<u64>,
    #[command(flatten)]
    http: Http,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "HTTP")]
struct Http {
    /// Serve over HTTP instead of stdin and stdout
    #[arg(long)]
    http: bool,
    /// The address to listen on
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    host: String,
    /// The port; 0 takes a free one and stderr says which
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    port: u16,
    /// Holds the token that runtimes have to present; else the environment's STEPFLOW_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Another name of this server that requests through loopback may have, as behind a proxy; may be repeated
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
    /// The prefix by which a proxy serves it
    #[arg(
        long,
        value_name = "PATH",
        default_value = "",
        hide_default_value = true
    )]
    root_path: String,
    /// Where sessions reach this process, past a load balancer
    #[arg(long, value_name = "URL", value_parser = advertised)]
    advertise_url: Option<String>,
    /// Names this process, for a load balancer to route by
    #[arg(long, value_name = "NAME", value_parser = instance)]
    instance_id: Option<String>,
}

impl Server {
    /// Serves as the arguments of the process say, and ends the process: over stdin and stdout for a runtime that started
    /// it, or over HTTP with `--http`. `--help` shows the options, which are those of the Python SDK.
    ///
    /// It ends the process itself, since a component that is busy must not keep it: nothing after this is run. To do
    /// something after, use [`Server::run_stdio`] or [`Server::serve_http`].
    pub async fn run(self) -> ! {
        let code = match self.run_with(env::args_os()).await {
            Ok(()) => 0,
            Err(Ended { code, why }) => {
                say(&why);
                code
            }
        };
        process::exit(code)
    }

    async fn run_with(self, arguments: impl IntoIterator<Item = OsString>) -> Result<(), Ended> {
        let arguments = parse(&self, arguments).unwrap_or_else(|error| error.exit());
        let server = match arguments.max_message_bytes {
            Some(limit) => self.max_message_bytes(usize::try_from(limit).unwrap_or(usize::MAX)),
            None => self,
        };
        if arguments.http.http {
            return serve_http(server, arguments.http).await;
        }
        if io::stdin().is_terminal() {
            say(
                "serving JSON-RPC on stdin and stdout, one message a line. A Stepflow runtime usually starts this; Ctrl-D \
                 ends it, and --help tells more.",
            );
        }
        server.run_stdio().await.map_err(|error| Ended {
            code: 1,
            why: error.to_string(),
        })
    }
}

/// Why the process ends other than well.
struct Ended {
    code: i32,
    why: String,
}

async fn serve_http(server: Server, http: Http) -> Result<(), Ended> {
    let wrong = |why: String| Ended { code: 2, why };
    let token = token(http.token_file.as_deref()).map_err(wrong)?;
    let listener = Listener::bind(&http.host, http.port).await;
    let listener = listener.map_err(|error| wrong(error.to_string()))?;
    let options = Options {
        security: Security {
            token,
            allow_hosts: http.allow_host,
            ..Security::default()
        },
        root_path: http.root_path,
        advertise_url: http.advertise_url,
        instance_id: http.instance_id,
        ..Options::default()
    };
    let served = server.serve_http(listener, options).await;
    served.map_err(|error| wrong(error.to_string()))
}

fn parse(
    server: &Server,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Arguments, clap::Error> {
    // Once in the life of a process.
    let version: &'static str = server.version.clone().leak();
    let mut command = Arguments::command().version(version);
    let matches = command.try_get_matches_from_mut(arguments)?;
    let arguments = Arguments::from_arg_matches(&matches)?;
    if arguments.http.http {
        return Ok(arguments);
    }
    // Whoever names a port does not mean stdin and stdout.
    let is_given =
        |id: &clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    let mut of_http = command
        .get_arguments()
        .filter(|it| it.get_help_heading() == Some("HTTP") && is_given(it.get_id()));
    let name = of_http.find_map(clap::Arg::get_long).map(str::to_owned);
    drop(of_http);
    let Some(name) = name else {
        return Ok(arguments);
    };
    let text = format!("--{name} is for HTTP: add --http");
    Err(command.error(ErrorKind::MissingRequiredArgument, text))
}

/// The token of the file, or else of the environment.
fn token(file: Option<&Path>) -> Result<Option<String>, String> {
    if let Some(file) = file {
        let text = std::fs::read_to_string(file);
        let text = text
            .map_err(|error| format!("cannot read the token file {}: {error}", file.display()))?;
        return checked(&text)
            .map(Some)
            .map_err(|why| format!("{}: {why}", file.display()));
    }
    match env::var(TOKEN_VARIABLE) {
        Err(env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(format!("{TOKEN_VARIABLE}: {error}")),
        // Set and empty would open the server to everyone by mistake.
        Ok(text) => checked(&text)
            .map(Some)
            .map_err(|why| format!("{TOKEN_VARIABLE}: {why}")),
    }
}

fn checked(token: &str) -> Result<String, &'static str> {
    let token = token.trim();
    if token.is_empty() {
        return Err("the token is empty: give one, or none at all");
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token has characters that a header cannot carry: use visible ASCII");
    }
    Ok(token.to_owned())
}

fn advertised(text: &str) -> Result<String, String> {
    let url = Url::parse(text).ok().filter(|url| {
        ["http", "https"].contains(&url.scheme())
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    match url {
        Some(_) => Ok(text.trim_end_matches('/').to_owned()),
        None => Err("a session is reached at an address like http://10.0.0.7:8080".to_owned()),
    }
}

fn instance(name: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if name.is_empty() || !name.bytes().all(fits) {
        let text = "an instance is named by letters, digits and -._~, as it stands in addresses and headers";
        return Err(text.to_owned());
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests;
