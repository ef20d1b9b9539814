//! The flow language: text to [`flow::Flow`], expressions, paths, values, schemas, diagnostics and the
//! [`plan::Plan`] an engine runs.
//!
//! Owns what a flow *means*. Pure: no IO, no clock, no threads, no network, so everything here can be
//! fuzzed and runs anywhere. It must not know how steps are run, stored or sent.
//!
//! The way through it: [`document`] reads YAML or JSON into a located tree, [`flow`] turns the tree into
//! a [`flow::Flow`], [`plan`] checks it and compiles it, and [`evaluate`] computes a step's input.

pub mod blob;
pub mod diagnostic;
pub mod document;
pub mod duration;
pub mod error;
pub mod evaluate;
pub mod expression;
pub mod flow;
pub mod outcome;
pub mod overrides;
pub mod path;
pub mod plan;
pub mod schema;
pub mod types;
pub mod value;
