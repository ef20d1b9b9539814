//! Links: how messages travel. Each transport owns its reader and writer and ends with a reason.
//!
//! | transport | the other side | framing |
//! |---|---|---|
//! | [`memory`] | a peer in this process | none |
//! | [`lines`] | any pair of byte streams | one message a line |
//! | [`child`] | a process that this one starts | lines over its stdin and stdout |
//! | [`stdio`] | the process that started this one | lines over our stdin and stdout |
//! | [`http`] | a server that runs elsewhere | a message a POST, and Server-Sent Events |

pub mod child;
mod cut;
pub mod http;
pub mod lines;
pub mod memory;
pub mod stdio;
