//! Journals: where events become durable, each behind the engine's port.
//! Never decides anything about a flight, and never holds an opinion of its own on epochs and seqs: `Standing` does.

pub mod embedded;
pub mod faulty;
pub mod identity;
pub mod memory;
pub mod redis;
mod standing;

pub use embedded::{EmbeddedJournal, EmbeddedOptions};
pub use faulty::FaultyJournal;
pub use identity::JournalIdentity;
pub use memory::MemoryJournal;
pub use redis::{Beat, Member, Membership, Met, Orphan, Ours, RedisJournal, RedisOptions};
