//! The flow language.
pub mod blob;
pub mod diagnostic;
pub mod document;
pub mod duration;
pub mod error;
pub mod expression;
pub mod flow;
pub mod outcome;
pub mod path;
pub mod schema;
pub mod value;
