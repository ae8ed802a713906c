//! What the gateway's rooms stand on: what everything needs, what is told to those who watch, and what goes over the wire.
//! Never asks a flight or a store, and never wires anything together.

pub mod base;
pub mod observe;
pub mod wire;
