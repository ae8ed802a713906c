//! Connections: the HTTP server, the server for operators, and what is let in at all.
//! Never knows what a resource means.

mod collected;
pub mod forwarding;
pub mod gate;
pub mod limited;
pub mod ops_server;
pub mod peer_port;
pub mod server;
pub mod starting;
