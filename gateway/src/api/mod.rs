//! One module a resource: its routes, its handlers, its part of the documentation.
//! Never decides what a flight may do.

pub mod admin;
pub mod audit;
pub mod cockpit;
pub mod docs_pages;
pub mod door;
pub mod filters;
pub mod flights;
#[doc(hidden)]
pub mod fuzzing;
pub mod grab;
pub mod live;
pub mod openapi;
pub mod ops;
pub mod orders;
pub mod pages;
pub mod rehearsals;
pub mod routes;
pub mod waitlist;
