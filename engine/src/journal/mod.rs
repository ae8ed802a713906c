//! The port to what makes events durable.
//! Never knows how events are encoded, where they go, or who waits for them.

mod port;
mod seen;

pub use port::{
    Appended, Batch, Claim, Claimed, ClaimsPlace, DurableRound, Extent, Journal, JournalError, OnDurable,
    Release,
};
pub use seen::{AppendCost, Followed, OnSeenRound, SeenRound, SpanRef};

/// When a reply may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// At once: a crash may lose what was acknowledged.
    Memory,
    /// When its events are appended to the journal and fsynced.
    #[default]
    Journal,
    /// When its events are committed in the store as well.
    Store,
}

impl Durability {
    /// The name the outside uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Journal => "journal",
            Self::Store => "store",
        }
    }

    /// The mode with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Memory, Self::Journal, Self::Store].into_iter().find(|mode| mode.as_str() == name)
    }
}
