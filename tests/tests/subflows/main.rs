//! Flows inside flows: the built-ins that run them, and components that do.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

mod builtins;
mod callbacks;
