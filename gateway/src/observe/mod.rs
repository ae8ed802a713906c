//! Traces: what is told about a request to those who watch.
//! Never changes what a request does.

pub mod traces;
