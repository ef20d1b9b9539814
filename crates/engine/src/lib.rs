//! Running flows: a pure scheduler inside, a small async driver outside.
//!
//! This crate owns when a step runs, how often it is tried and what becomes of its failure. It must
//! not know the network, a wire format, files or the environment: components are reached through
//! the [`Components`] port, and what has to last goes to the store.
//!
//! # Layout
//!
//! - [`Engine`], [`Request`], [`Run`]: start a run, watch it, cancel it, wait for it.
//! - [`SubFlow`], [`SubRun`], [`Outer`]: runs that a step asks for, and what they see of the run around it.
//! - [`Components`], [`Invocation`], [`Completion`], [`Failure`]: the port to components.
//! - [`scheduler`]: plan and journal entries in, actions out; no clock, no IO, no chance.
//! - `driver`: one loop per run; records what the scheduler decides, makes attempts, waits.
//! - [`Flight`]: futures that go on at once.
//! - [`retry`]: budgets and backoff.
//! - [`event`]: what a subscriber of a run reads.
//!
//! # What a run promises
//!
//! - An entry is durable before anything outside the run can know of it: before a component is
//!   called, an event is seen, a result is returned.
//! - A step is dispatched once per attempt, its attempts are numbered without repetition, and its
//!   outcome is recorded once.
//! - When a run has ended, none of its work is going on.

mod clock;
mod component;
mod driver;
mod engine;
pub mod event;
mod family;
mod flight;
mod outer;
mod plans;
pub mod retry;
mod run;
pub mod scheduler;
mod sub_run;

pub use clock::{Clock, Held, Timer};
pub use component::{Class, Completion, Components, Failure, Invocation, Trace};
pub use engine::{Engine, Limits, Options, Request, StartError, Subject};
pub use event::{Event, Events};
pub use flight::Flight;
pub use outer::{Lent, Outer};
pub use plans::PlanError;
pub use run::{FailedStep, Finished, Run, RunError, RunHandle};
pub use sub_run::{Ended, SubFlow, SubRun};
