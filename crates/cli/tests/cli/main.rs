//! The real binary in a folder of its own, with an environment of its own: exit codes, what goes to stdout and what to
//! stderr, and how errors look.

#![expect(clippy::unwrap_used, reason = "a panic of a test is its report")]

mod bad_flows;
mod batches;
mod configs;
mod conformance;
mod exit_codes;
mod flow_tests;
mod inputs;
mod limits;
mod looking;
mod overrides;
mod reports;
mod secrets;
mod signals;
mod streams;
mod support;
