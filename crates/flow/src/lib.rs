//! The flow language.
pub mod blob;
pub mod duration;
pub mod error;
pub mod outcome;
pub mod path;
pub mod value;
