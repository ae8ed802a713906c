//! What one server asks another, and what that says.
//! Never sends anything.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Request, Response};

/// A client's request that is handed on.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The request, whole.
    pub request: Request<Bytes>,
    /// The address that it counts for, where addresses count.
    pub peer: Option<IpAddr>,
    /// How much of the time is left that it may take; sent in milliseconds.
    pub left: Duration,
}

/// An answer, whole.
pub type Answered = Response<Bytes>;

/// What the other server says.
#[derive(Debug, Clone)]
pub enum Reply {
    /// The answer.
    Answer(Answered),
    /// It does not have (or not yet, or no more) what was asked for: nothing was done.
    NotMine(Answered),
}
