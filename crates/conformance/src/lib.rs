//! Is it a component server? A suite of named requirements, each with one check, run against any server that claims to speak
//! the protocol; and a smaller one for runtimes.
//!
//! Speaks the wire raw: a check must be able to send what no correct peer would, and must see exactly what comes back. It knows
//! nothing of how servers are written, nor of how results are shown.
//!
//! # Layout
//!
//! - [`requirements`]: what is required, read from `spec/requirements.toml`
//! - [`target`]: what is tested, and the ways to talk
//! - [`suite`]: the run of all checks; [`report`]: what came of them
//! - [`checks`]: one file a group of requirements; the table of them all
//! - [`lab`]: what the checks of a run share; [`wire`]: one connection, over pipes or HTTP
//! - [`runtimes`]: the other side, checked by a server with a script
//! - [`verdict`]: how a check ends; [`transcript`]: what was said

pub mod checks;
pub mod lab;
pub mod report;
pub mod requirements;
pub mod runtimes;
pub mod suite;
pub mod target;
pub mod transcript;
pub mod verdict;
pub mod wire;

pub use report::Finding;
pub use report::Outcome;
pub use report::Report;
pub use requirements::Requirement;
pub use requirements::Severity;
pub use suite::Options;
pub use target::Target;
pub use target::Way;
