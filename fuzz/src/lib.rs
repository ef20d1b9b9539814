//! What must hold for any bytes: one function a target. Whoever makes the bytes (a fuzzer, a file, chance) calls them.
//!
//! `tests/targets.rs` runs each for a bounded time with `cargo test`: on the files of `seeds/`, on those with parts
//! missing, and on inputs made by chance. With `cargo bolero test` a fuzzer that follows the code's branches makes them.

pub mod framing;
pub mod language;
pub mod words;
