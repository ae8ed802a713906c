//! Settings, commands, and everything that is wired together when the program starts.
//! Never answers a request.

mod accepting;
pub mod allocator;
pub mod backups;
pub mod cli;
mod coming_up;
mod conditions;
pub mod config;
pub mod consul;
pub mod demo;
pub mod id_secrets;
mod joining;
pub mod logging;
pub mod owning;
mod peering;
pub mod program;
pub mod recovering;
pub mod serve;
pub mod storage;
pub mod system;
