//! `/v1/admin`: what an admin may do, a file for each resource.
//! Never checks the token: the route does, before anything here is called.

pub mod flights;
pub mod orders;
pub mod status;
