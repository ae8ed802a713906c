//! How several servers share flights, as a model that is searched through completely: leases, take-overs, planned moves,
//! handed-on requests, a journal engine that fails over. Never runs the code that ships: what is tried here is the protocol.
//!
//! The words are those of `ARCHITECTURE.md`. A package of its own, so that it is optimised where the tests are not: there are
//! millions of states.

pub mod checks;
pub mod faults;
mod leases;
pub mod mistakes;
mod moving;
pub mod protocol;
mod selling;
pub mod state;
pub mod steps;
