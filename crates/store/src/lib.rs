//! Durable facts: content-addressed blobs and one append-only journal per run.
//!
//! This crate owns what is remembered and how surely; it hides its database. It must not know what
//! a plan is, how a run is scheduled, or who reads the journal.
//!
//! # Layout
//!
//! - [`Store`]: the handle everyone holds; cheap to clone, one backend inside.
//! - [`journal`]: the entries of a run. They are the rows of the journal, the events a user
//!   interface reads, and all that recovery needs.
//! - [`blob`]: what a blob is, apart from its id (which is the flow crate's).
//! - [`RunId`]: the one id of a run, everywhere.

pub mod blob;
pub mod journal;
mod memory;
mod run_id;
mod store;

pub use blob::{Blob, BlobType};
pub use run_id::{InvalidRunId, RunId};
pub use store::{Store, StoreError};
