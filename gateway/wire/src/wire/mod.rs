//! What goes over the wire: problems, bodies, queries, names, and how things are written.
//! Never asks a flight or a store.

pub mod body;
pub mod cors;
pub mod csv_text;
pub mod deadline;
pub mod fields;
pub mod idempotency;
pub mod input;
pub mod names;
pub mod problem;
pub mod query;
pub mod render;
pub mod role;
