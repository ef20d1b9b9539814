//! The programs that tests run against: a free port for each, their start, the wait until they are ready, their end; and
//! what `{name.url}`, `{name.port}` and `{port}` stand for.

use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use stepflow_flow::document::Kind;
use stepflow_flow::document::Node;
use stepflow_flow::flow::HealthCheck;
use stepflow_flow::flow::Server;
use stepflow_flow::value::Value;
use stepflow_rpc::transport::child;
use stepflow_rpc::transport::child::Child;
use stepflow_rpc::transport::child::Command;
use stepflow_rpc::transport::child::Guard;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::environment::Environment;

/// Where each server is, or will be.
#[derive(Debug, Default)]
pub struct Places(Vec<Place>);

#[derive(Debug)]
struct Place {
    name: String,
    port: u16,
    /// Keeps the port from others until the server takes it.
    held: Option<TcpListener>,
}

impl Places {
    /// A free port for each.
    pub fn reserve(servers: &[Server]) -> Result<Places, String> {
        let places = servers.iter().map(|server| {
            let held = listen(server.port_range);
            let port = held.as_ref().ok().and_then(|held| held.local_addr().ok());
            let (Ok(held), Some(port)) = (held, port) else {
                return Err(format!("no port is free for the server `{}`", server.name));
            };
            Ok(Place {
                name: server.name.to_string(),
                port: port.port(),
                held: Some(held),
            })
        });
        places.collect::<Result<_, _>>().map(Places)
    }

    /// The text with ports and URLs in it; `own` is the server that `{port}` means.
    pub fn fill(&self, text: &str, own: Option<&str>) -> String {
        let mut filled = self.fill_named(text.to_owned(), str::to_owned);
        for Place { name, port, .. } in &self.0 {
            if own == Some(name) || own.is_none() && self.0.len() == 1 {
                filled = filled
                    .replace("{port}", &port.to_string())
                    .replace("{url}", &url(*port));
            }
        }
        filled
    }

    /// A value with the ports and URLs of servers in its texts. They are called by their names there: a `{port}` is data.
    pub fn fill_value(&self, value: &Value) -> Value {
        // What is looked for stands inside a text, whatever the name: there its quotes are escaped. What is written in has
        // nothing that JSON would escape.
        let filled = self.fill_named(value.as_text().to_owned(), inside_json);
        Value::parse(&filled).expect("a URL leaves the text it is written in what it was: JSON")
    }

    fn fill_named(&self, text: String, as_written: impl Fn(&str) -> String) -> String {
        self.0.iter().fold(text, |text, Place { name, port, .. }| {
            let name = as_written(name);
            text.replace(&format!("{{{name}.url}}"), &url(*port))
                .replace(&format!("{{{name}.port}}"), &port.to_string())
        })
    }

    /// From here on the ports are the servers'.
    fn release(&mut self) {
        self.0.iter_mut().for_each(|place| place.held = None);
    }

    /// The same for every string of a config.
    pub fn fill_in(&self, node: &mut Node) {
        node.map_strings(&mut |scalar| {
            let filled = self.fill(scalar.text, None);
            (filled != **scalar.text).then(|| Node {
                span: scalar.span,
                kind: Kind::String(filled.into(), scalar.style),
            })
        });
    }
}

/// A text as it stands between the quotes of JSON.
fn inside_json(text: &str) -> String {
    let quoted = Value::string(text);
    let text = quoted.as_text();
    text[1..text.len() - 1].to_owned()
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn listen(range: Option<(u16, u16)>) -> io::Result<TcpListener> {
    let Some((first, last)) = range else {
        return TcpListener::bind(("127.0.0.1", 0));
    };
    let mut last_error = io::Error::from(io::ErrorKind::AddrInUse);
    for port in first..=last {
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(listener) => return Ok(listener),
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

/// Servers that are running.
#[derive(Debug, Default)]
pub struct Servers {
    /// Where they are, or will be.
    pub places: Places,
    children: Vec<Child>,
    /// Ends them even if this program is killed.
    _guard: Option<Guard>,
}

impl Servers {
    /// Starts all of them at their places and waits until each is ready. After a failure, those that run are to be shut down all the same.
    pub async fn start(
        &mut self,
        servers: &[Server],
        folder: &Path,
        environment: &Environment,
    ) -> Result<(), String> {
        if servers.is_empty() {
            return Ok(());
        }
        let guard =
            Guard::start().map_err(|error| format!("servers cannot be guarded: {error}"))?;
        self._guard = Some(guard.clone());
        let commands: Vec<_> = servers
            .iter()
            .map(|server| command(server, &self.places, folder, environment))
            .collect();
        let ports: Vec<u16> = self.places.0.iter().map(|place| place.port).collect();
        self.places.release();
        for (server, command) in servers.iter().zip(&commands) {
            let started = child::spawn(command, Some(&guard));
            let (_, child) = started.map_err(|error| {
                format!("the server `{}` cannot be started: {error}", server.name)
            })?;
            self.children.push(child);
        }
        for ((server, child), port) in servers.iter().zip(&self.children).zip(ports) {
            wait_until_ready(server, child, port).await?;
        }
        Ok(())
    }

    /// Ends all of them and waits until they are gone.
    pub async fn shut_down(self) {
        futures_util::future::join_all(self.children.iter().map(Child::shut_down)).await;
    }
}

fn command(server: &Server, places: &Places, folder: &Path, environment: &Environment) -> Command {
    let fill = |text: &str| OsString::from(places.fill(text, Some(&server.name)));
    let folder = match &server.working_directory {
        Some(inner) => folder.join(&**inner),
        None => folder.to_owned(),
    };
    let added: Vec<_> = server
        .env
        .iter()
        .map(|(name, value)| (OsString::from(&**name), fill(value)))
        .collect();
    let inherited = environment
        .safe()
        .filter(|(name, _)| !added.iter().any(|(own, _)| own == name));
    let environment = inherited.cloned().chain(added.iter().cloned()).collect();
    Command {
        arguments: server.args.iter().map(|text| fill(text)).collect(),
        environment,
        shutdown_grace: server.shutdown_timeout,
        ..Command::new(&server.name, fill(&server.command), folder)
    }
}

async fn wait_until_ready(server: &Server, child: &Child, port: u16) -> Result<(), String> {
    let name = &server.name;
    let ready = tokio::time::timeout(server.startup_timeout, poll(&server.health_check, port));
    let problem = tokio::select! {
        exit = child.exited() => format!("it ended before it was ready: {}", exit.status_text()),
        ready = ready => match ready {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(problem)) => problem,
            Err(_) => format!("it was not ready within {:?}", server.startup_timeout),
        },
    };
    let said = child.stderr_tail();
    let said = match said.trim_end() {
        "" => "it said nothing on stderr".to_owned(),
        said => format!("the end of its stderr:\n{said}"),
    };
    Err(format!(
        "the server `{name}` did not start: {problem}; {said}"
    ))
}

/// Asks until there is a good answer.
async fn poll(check: &HealthCheck, port: u16) -> Result<(), String> {
    let mut asked = 0;
    loop {
        let answer = tokio::time::timeout(check.timeout, ask(port, check.path.as_deref())).await;
        let problem = match answer {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {:?}", check.timeout),
        };
        asked += 1;
        if check.retry_attempts.is_some_and(|most| asked > most) {
            return Err(format!(
                "its health check failed {asked} times, at last: {problem}"
            ));
        }
        tokio::time::sleep(check.retry_delay.max(Duration::from_millis(10))).await;
    }
}

/// One request: a connection is enough without a path, a status below 400 with one.
async fn ask(port: u16, path: Option<&str>) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let Some(path) = path else {
        return Ok(());
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    let request = format!(
        "GET {slash}{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    // `HTTP/1.1 200`
    let status = std::str::from_utf8(&head[9..])
        .ok()
        .and_then(|it| it.parse::<u16>().ok());
    match status {
        Some(status) if status < 400 => Ok(()),
        Some(status) => Err(io::Error::other(format!(
            "{path} answers with status {status}"
        ))),
        None => Err(io::Error::other(format!(
            "{path} answers with something else than HTTP"
        ))),
    }
}
