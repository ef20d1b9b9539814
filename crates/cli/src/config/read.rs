//! The config as a whole: what was substituted where, and the keys that are not plugins or routes.

use std::collections::HashMap;
use std::collections::HashSet;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use stepflow_components::Options;
use stepflow_components::options::LoadFile;
use stepflow_components::options::Plugin;
use stepflow_components::options::Strictness;
use stepflow_components::options::Validate;
use stepflow_engine::Limits;
use stepflow_engine::retry::Retry;
use stepflow_flow::diagnostic::Code;
use stepflow_flow::diagnostic::Diagnostic;
use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::document::Fields;
use stepflow_flow::document::Kind;
use stepflow_flow::document::Node;
use stepflow_flow::document::Span;
use stepflow_flow::flow::read_backoff;
use stepflow_flow::path::Segment;
use stepflow_rpc::transport::http::client::Url;

use super::Config;
use super::Loaded;
use super::plugins;
use super::routes;
use super::shapes;
use super::substitute;
use crate::environment::Environment;
use crate::environment::is_safe;
use crate::report::Found;
use crate::secrets::Secrets;

/// Reads a config from its document, if there is one; `folder` is where its relative paths start.
pub fn read(
    node: Option<Node>,
    diagnostics: Diagnostics,
    folder: &Path,
    environment: &Environment,
    secrets: &Secrets,
) -> Loaded {
    let source = Arc::clone(diagnostics.source());
    let mut reader = Reader {
        environment,
        secrets: secrets.clone(),
        folder: folder.to_owned(),
        diagnostics,
        substituted: HashMap::new(),
        refused: HashSet::new(),
    };
    let config = node.map(|mut node| {
        reader.substitute(&mut node, secrets);
        reader.config(&node)
    });
    let config = config.filter(|_| !reader.diagnostics.has_errors());
    let found = Found {
        source,
        diagnostics: reader.into_diagnostics(),
    };
    Loaded {
        config,
        found: Some(found),
    }
}

/// What reading a config needs at every place.
pub struct Reader<'e> {
    pub environment: &'e Environment,
    secrets: Secrets,
    /// Where the config's relative paths start.
    pub folder: PathBuf,
    pub diagnostics: Diagnostics,
    /// The text that stands now at each place with a `${…}`; a number keeps its leading zeros here.
    substituted: HashMap<Span, Arc<str>>,
    /// Where a `${…}` stands that cannot be substituted. What else would be said of it would only confuse.
    refused: HashSet<Span>,
}

impl Reader<'_> {
    fn substitute(&mut self, node: &mut Node, secrets: &Secrets) {
        let environment = self.environment;
        let lookup = |name: &str| {
            environment
                .get(name)
                .map(|it| it.to_string_lossy().into_owned())
        };
        node.map_strings(
            &mut |scalar| match substitute::substitute(scalar.text, &lookup) {
                Ok(None) => None,
                Ok(Some(found)) => {
                    let hidden = found.used.iter().filter(|(name, _)| !is_safe(name));
                    hidden.for_each(|(_, value)| secrets.add(value));
                    let text: Arc<str> = found.text.into();
                    self.substituted.insert(scalar.span, Arc::clone(&text));
                    Some(if found.is_whole {
                        Node::plain(&text, scalar.span)
                    } else {
                        Node {
                            span: scalar.span,
                            kind: Kind::String(text, scalar.style),
                        }
                    })
                }
                Err(problem) => {
                    let place = place(scalar.path);
                    let message = format!("{place}: {}", problem.message);
                    self.diagnostics
                        .error(Code::BadValue, scalar.span, message)
                        .hint(problem.hint);
                    self.refused.insert(scalar.span);
                    None
                }
            },
        );
    }

    fn config(&mut self, node: &Node) -> Config {
        let mut config = Config::without_file(self.environment);
        if node.is_null() {
            return config;
        }
        let Some(mut fields) = Fields::of(node, &shapes::CONFIG, &mut self.diagnostics) else {
            return config;
        };
        if let Some(plugins) = fields.object("plugins", &mut self.diagnostics) {
            config.components.plugins = plugins::read(self, plugins);
            // The built-ins come with the runtime: a config that is about other plugins need not name them.
            let builtin = config.components.plugins.entry("builtin".to_owned());
            builtin.or_insert(Plugin::Builtin);
        }
        if let Some(routes) = fields.object("routes", &mut self.diagnostics) {
            config.components.routes = routes::read(self, routes, &config.components);
        }
        config.components.validate = self.validate(fields.take("validate"));
        config.components.load_file = self.load_file(fields.take("loadFile"));
        config.engine.retry = self.retry(fields.take("retry"));
        config.engine.limits = self.limits(fields.take("limits"));
        self.state_store(fields.take("stateStore"));
        if let Some(durability) = fields.take("durability") {
            self.not_available(
                durability.span,
                "`durability`",
                "leave it out: runs are kept in memory",
            );
        }
        fields.finish(&mut self.diagnostics);
        let Options { version, .. } = &mut config.components;
        env!("CARGO_PKG_VERSION").clone_into(version);
        config
    }

    fn validate(&mut self, node: Option<&Node>) -> Validate {
        let default = Validate::default();
        let fields =
            node.and_then(|node| Fields::of(node, &shapes::VALIDATE, &mut self.diagnostics));
        let Some(mut fields) = fields else {
            return default;
        };
        let mut strictness = |key, default| match fields.choice(
            key,
            &["ignore", "warn", "error"],
            &mut self.diagnostics,
        ) {
            Some(0) => Strictness::Ignore,
            Some(1) => Strictness::Warn,
            Some(_) => Strictness::Error,
            None => default,
        };
        let validate = Validate {
            input: strictness("input", default.input),
            output: strictness("output", default.output),
        };
        fields.finish(&mut self.diagnostics);
        validate
    }

    fn load_file(&mut self, node: Option<&Node>) -> LoadFile {
        let mut load_file = LoadFile {
            folder: self.environment.folder.clone(),
            allow: Vec::new(),
        };
        let fields =
            node.and_then(|node| Fields::of(node, &shapes::LOAD_FILE, &mut self.diagnostics));
        let Some(mut fields) = fields else {
            return load_file;
        };
        for item in fields
            .list("allow", &mut self.diagnostics)
            .unwrap_or_default()
        {
            if let Some(path) = self.text(item, "a path") {
                load_file.allow.push(self.folder.join(&*path));
            }
        }
        fields.finish(&mut self.diagnostics);
        load_file
    }

    fn retry(&mut self, node: Option<&Node>) -> Retry {
        let mut retry = Retry::default();
        let fields = node.and_then(|node| Fields::of(node, &shapes::RETRY, &mut self.diagnostics));
        let Some(mut fields) = fields else {
            return retry;
        };
        if let Some(count) = fields.count("transportMaxRetries", &mut self.diagnostics) {
            retry.transport_max_retries = u32::try_from(count).unwrap_or(u32::MAX);
        }
        if let Some(backoff) = fields.take("backoff") {
            retry.transport = read_backoff(backoff, retry.transport, &mut self.diagnostics);
        }
        fields.finish(&mut self.diagnostics);
        retry
    }

    fn limits(&mut self, node: Option<&Node>) -> Limits {
        let mut limits = Limits::default();
        let fields = node.and_then(|node| Fields::of(node, &shapes::LIMITS, &mut self.diagnostics));
        let Some(mut fields) = fields else {
            return limits;
        };
        if let Some(count) = self.at_least_one(&mut fields, "run") {
            limits.run = usize::try_from(count).unwrap_or(usize::MAX);
        }
        if let Some(count) = fields.count("depth", &mut self.diagnostics) {
            limits.depth = u32::try_from(count).unwrap_or(u32::MAX);
        }
        if let Some(count) = self.at_least_one(&mut fields, "alive") {
            limits.alive = usize::try_from(count).unwrap_or(usize::MAX);
        }
        if let Some(count) = self.at_least_one(&mut fields, "map") {
            limits.map = usize::try_from(count).unwrap_or(usize::MAX);
        }
        fields.finish(&mut self.diagnostics);
        limits
    }

    fn state_store(&mut self, node: Option<&Node>) {
        let fields =
            node.and_then(|node| Fields::of(node, &shapes::STATE_STORE, &mut self.diagnostics));
        let Some(mut fields) = fields else { return };
        let Some(kind) = fields.require("type", &mut self.diagnostics) else {
            return fields.finish(&mut self.diagnostics);
        };
        let words = ["inMemory", "sqlite", "postgres"];
        let choice = fields.choice("type", &words, &mut self.diagnostics);
        if let Some(other @ (1 | 2)) = choice {
            let what = format!("the state store {:?}", words[other]);
            self.not_available(kind.span, &what, "write `type: inMemory`");
            fields.narrow(&shapes::DATABASE);
        }
        fields.finish(&mut self.diagnostics);
    }

    /// Reports something that the language of configs has and this program does not.
    pub fn not_available(&mut self, span: Span, what: &str, hint: &str) {
        let message = format!("{what} is not available in this version");
        self.diagnostics
            .error(Code::BadValue, span, message)
            .hint(hint);
    }

    /// A string; where a `${…}` stood, what came of it, whatever it looks like.
    pub fn text(&mut self, node: &Node, what: &str) -> Option<Arc<str>> {
        if let Some(text) = self.substituted.get(&node.span) {
            return Some(Arc::clone(text));
        }
        if let Some(text) = node.as_str() {
            return Some(Arc::clone(text));
        }
        let message = format!("{what} must be a string, and this is {}", node.type_name());
        let found = self.diagnostics.error(Code::WrongType, node.span, message);
        if matches!(node.kind, Kind::Number(_) | Kind::Bool(_)) {
            found.hint("put it in quotes");
        }
        None
    }

    /// Whether no `${…}` stood there.
    pub fn is_as_written(&self, node: &Node) -> bool {
        !self.substituted.contains_key(&node.span)
    }

    /// Remembers the text that a node stands for: it must not be shown. A `${…}` that stands for nothing is no secret, and
    /// its reader wants to see it.
    pub fn secret(&self, node: &Node, text: &str) {
        if !self.refused.contains(&node.span) {
            self.secrets.add(text);
        }
    }

    /// The same for the value of a header.
    pub fn secret_header(&self, node: &Node, text: &str) {
        if !self.refused.contains(&node.span) {
            self.secrets.add_header(text);
        }
    }

    /// The same for what a URL holds.
    pub fn secret_url(&self, url: &Url) {
        self.secrets.add_url(url);
    }

    /// The string of an optional key.
    pub fn text_of(&mut self, fields: &mut Fields<'_>, key: &'static str) -> Option<Arc<str>> {
        let node = fields.take(key)?;
        self.text(node, &format!("{key:?}"))
    }

    /// A whole number from 1.
    pub fn at_least_one(&mut self, fields: &mut Fields<'_>, key: &'static str) -> Option<u64> {
        let count = fields.count(key, &mut self.diagnostics)?;
        if count == 0 {
            let span = fields
                .take(key)
                .map_or_else(|| fields.span(), |node| node.span);
            let message = format!("{key:?} must be at least 1: with 0 nothing could ever run");
            self.diagnostics
                .error(Code::BadValue, span, message)
                .hint("leave it out for the default");
            return None;
        }
        Some(count)
    }

    /// The diagnostics in the order of the text, without the values that came from variables.
    fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        self.diagnostics.sort();
        let source = Arc::clone(self.diagnostics.source());
        let redact = |mut diagnostic: Diagnostic| {
            let span = diagnostic.location.span;
            if let Some(value) = self
                .substituted
                .get(&span)
                .filter(|value| !value.is_empty())
            {
                let written = source
                    .text()
                    .get(span.start()..span.end())
                    .unwrap_or("${…}")
                    .trim_matches('"');
                diagnostic.message = hide(&diagnostic.message, value, written);
                diagnostic.hint = diagnostic.hint.map(|hint| hide(&hint, value, written));
            }
            diagnostic
        };
        let mut told = HashSet::new();
        let is_news = |diagnostic: &Diagnostic| {
            let span = diagnostic.location.span;
            !self.refused.contains(&span) || told.insert(span)
        };
        self.diagnostics
            .into_iter()
            .filter(is_news)
            .map(redact)
            .collect()
    }
}

/// Puts what is written in the file in the place of the value it stands for.
fn hide(message: &str, value: &str, written: &str) -> String {
    let quoted = format!("{value:?}");
    let message = message.replace(&quoted, &format!("{written:?}"));
    match message.strip_suffix(value) {
        Some(start) => format!("{start}{written}"),
        None => message,
    }
}

/// `plugins.python.env.KEY`, `plugins.python.args[1]`.
fn place(path: &[Segment]) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Field(name) if text.is_empty() => text.push_str(name),
            Segment::Field(name) => text.push_str(&format!(".{name}")),
            Segment::Index(place) => text.push_str(&format!("[{place}]")),
        }
    }
    text
}
