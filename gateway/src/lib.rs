//! How the world reaches Farerush: settings, the HTTP server, and everything that is wired together at start.
//! Never decides what a flight may do: the engine does.

pub mod admin;
pub mod allocator;
pub mod app;
pub mod audit;
pub mod auth;
pub mod body;
pub mod cli;
pub mod config;
pub mod cors;
pub mod csv_text;
pub mod deadline;
pub mod demo;
pub mod docs_pages;
pub mod fields;
pub mod flights;
#[doc(hidden)]
pub mod fuzzing;
pub mod grab;
pub mod import_command;
pub mod input;
pub mod json;
pub mod live;
pub mod load;
pub mod logging;
pub mod metrics;
pub mod openapi;
pub mod ops;
pub mod ops_server;
pub mod orders;
pub mod outside;
pub mod pages;
pub mod problem;
pub mod query;
pub mod rate;
pub mod recovering;
pub mod render;
pub mod routes;
pub mod serve;
pub mod server;
pub mod storage;
pub mod time;
pub mod traces;
pub mod waitlist;
pub mod webhooks;
