//! The requirements: what a server and a runtime must do, and where that is written. Owns the reading of
//! `spec/requirements.toml`; how a requirement is checked is for [`checks`](crate::checks).

use std::fmt;
use std::sync::LazyLock;

use serde::Deserialize;
use serde::Serialize;

use crate::target::Way;

/// How much a requirement matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Severity {
    /// Without it the two sides do not understand each other.
    #[serde(rename = "MUST")]
    Must,
    /// Without it something works worse.
    #[serde(rename = "SHOULD")]
    Should,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Must => "MUST",
            Severity::Should => "SHOULD",
        })
    }
}

/// One thing that is required.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// Its name: the group, a dot, and what it is about.
    pub id: String,
    /// Where it is written: a page below `docs/protocol`, and the section.
    pub section: String,
    /// How much it matters.
    pub severity: Severity,
    /// The ways to talk it is about; all of them when not given.
    #[serde(default = "Way::all")]
    pub over: Vec<Way>,
    /// What is to happen, as a sentence.
    pub behaviour: String,
}

impl Requirement {
    /// The first part of its name.
    pub fn group(&self) -> &str {
        self.id.split_once('.').map_or(&self.id, |(group, _)| group)
    }
}

/// A component that a server offers to be tested by.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Its path.
    pub path: String,
    /// Its input.
    pub input: String,
    /// Its output.
    pub output: String,
    /// What it does.
    pub behaviour: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    component: Vec<Component>,
    server: Vec<Requirement>,
    runtime: Vec<Requirement>,
}

static DOCUMENT: LazyLock<Document> = LazyLock::new(|| {
    let text = include_str!("../../../spec/requirements.toml");
    toml::from_str(text).expect("a test reads it")
});

/// What a component server must do, in the order of the file.
pub fn of_servers() -> &'static [Requirement] {
    &DOCUMENT.server
}

/// What a runtime must do, in the order of the file.
pub fn of_runtimes() -> &'static [Requirement] {
    &DOCUMENT.runtime
}

/// The components that tests call.
pub fn components() -> &'static [Component] {
    &DOCUMENT.component
}
