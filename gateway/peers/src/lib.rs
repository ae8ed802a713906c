//! The link between servers that share flights: HTTP requests that one hands to another, and their answers. Many are under
//! way at once on one connection; what queues while a write is under way leaves with the next.
//!
//! Both ends show that they have the same secret, and all that they say is sealed: the Noise protocol's pattern `NNpsk0`
//! (<https://noiseprotocol.org/noise.html>). Never knows what a flight is.

mod ask;
mod door;
mod frame;
mod link;
mod peers;
mod sealed;

pub use ask::{Answered, Asked, Reply};
pub use door::{Answers, Door, Pieces};
pub use peers::{Followed, NotAnswered, Peers};
pub use sealed::Secret;
