//! `stepflow conformance`: our own servers meet every requirement, and servers that break one are caught by the check that is
//! named after it.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

mod mutants;
mod ours;
mod page;
mod published;
mod runtimes;
mod suite;
