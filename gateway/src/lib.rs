//! How the world reaches Farerush: settings, the HTTP server, and everything that is wired together at start.
//! Never decides what a flight may do: the engine does.

pub mod api;
pub mod base;
pub mod clients;
pub mod edge;
pub mod observe;
pub mod parts;
pub mod start;
pub mod wire;
