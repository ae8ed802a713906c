//! How the world reaches Farerush: settings, the HTTP server, and everything that is wired together at start.
//! Never decides what a flight may do: the engine does.

pub mod api;
pub mod edge;
pub mod parts;
pub mod start;

pub use farerush_clients as clients;
pub use farerush_wire::{base, observe, wire};
