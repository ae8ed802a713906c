//! What survives of Farerush: journals ([`journal`]), stores ([`store`]), what moves events from one to the other
//! ([`write_behind`]), and how a flight comes back from both ([`recovery`], [`verify`]).

pub mod backup;
pub mod codec;
pub mod files;
pub mod journal;
pub mod receipts;
pub mod recovery;
pub mod store;
pub mod verify;
pub mod write_behind;
