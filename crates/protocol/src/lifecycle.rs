//! How a connection starts: `initialize`, `initialized`, and `ping`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use stepflow_rpc::method;
use stepflow_rpc::notice;

method!(Initialize, "initialize", InitializeParams => InitializeResult);
notice!(
    /// The handshake is complete: requests follow.
    Initialized, "initialized", Empty
);
method!(Ping, "ping", Empty => Empty);

/// An object without fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}

/// A program that takes part, for logs and support.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Implementation {
    /// Its name.
    pub name: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What one side accepts beyond the basics: names mapped to objects of options.
///
/// `cancel`, `progress`, `log` and `ping` are known; unknown names are kept and ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Capabilities(BTreeMap<String, serde_json::Value>);

impl Capabilities {
    /// Everything that this protocol version names.
    pub fn all() -> Self {
        ["cancel", "log", "ping", "progress"].into_iter().collect()
    }

    /// Whether this capability is named.
    pub fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|options| !options.is_null())
    }

    /// The names of those that are there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.0.keys().map(String::as_str);
        names.filter(|name| self.has(name))
    }
}

impl<'a> FromIterator<&'a str> for Capabilities {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let options = || serde_json::Value::Object(serde_json::Map::new());
        Capabilities(
            names
                .into_iter()
                .map(|name| (name.to_owned(), options()))
                .collect(),
        )
    }
}

/// What the runtime says of itself.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InitializeParams {
    /// The highest protocol version that the runtime speaks.
    pub runtime_protocol_version: u32,
    /// The name of the plugin; a component `/x` may also be called `/<prefix>/x`.
    #[serde(default)]
    pub protocol_prefix: Option<String>,
    /// The runtime's name and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Implementation>,
    /// The longest message that the runtime takes, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_message_bytes: Option<u64>,
    /// What the runtime accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
}

/// What the server says of itself.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InitializeResult {
    /// The protocol version of this connection.
    pub server_protocol_version: u32,
    /// The server's name and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Implementation>,
    /// The longest message that the server takes, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_message_bytes: Option<u64>,
    /// What the server accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
}
