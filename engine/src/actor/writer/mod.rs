//! The group-commit writer: one thread that makes whatever has queued durable in one round, then publishes views
//! and sends replies. Never lets a reply or a view out before the journal has said that it is durable.

mod delivery;
mod queue;
mod round;
pub(super) mod state;
#[cfg(test)]
mod tests;
mod thread;

pub use state::{Condition, WriterState};
pub use thread::WriterOptions;

pub(crate) use delivery::Delivery;
pub(crate) use queue::{Submission, Writer};
pub(crate) use thread::start;
