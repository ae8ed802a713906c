//! x

pub mod codec;
pub mod journal;
pub mod store;
pub mod recovery;
pub mod verify;
pub mod write_behind;
