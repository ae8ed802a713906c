//! `/v1/admin`: what an admin may do, a file for each resource.
//! Never checks a token or its role: the route does, before anything here is called, and says who it is.

pub mod flights;
pub mod import;
pub mod manifest;
pub mod orders;
pub mod refunds;
pub mod routes;
pub mod seat_plan;
pub mod servers;
pub mod status;
pub mod together;
