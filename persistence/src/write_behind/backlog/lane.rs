//! One flight on its way into the store.
//! Never says what is flushed next.

use std::collections::VecDeque;

use farerush_engine::flight::{Epoch, Recorded, Seq, Timestamp};

/// One flight on its way into the store.
pub(super) struct Lane {
    pub(super) epoch: Epoch,
    /// Where the store's cursor is, as far as known.
    pub(super) stored: Seq,
    /// The last event known to be durable.
    pub(super) handed: Seq,
    /// When the first event after `stored` happened, or a moment at or before that; `None` if it is not behind, or
    /// that event has not been seen yet.
    pub(super) oldest_at: Option<Timestamp>,
    /// Events in memory, without a hole among them; what lies between `stored` and the first is in the journal.
    pub(super) queue: VecDeque<Recorded>,
    /// Whether it stands in `ready`.
    pub(super) is_ready: bool,
    /// Whether something of it is being read or flushed.
    pub(super) is_taken: bool,
    /// Why nothing more can be stored, if so.
    pub(super) halt: Option<HaltReason>,
    /// Up to where the journal has a snapshot, as far as known; `None`: it needs one as soon as it can be.
    pub(super) snapshot: Option<Seq>,
    /// Told apart from lanes that the same flight had before it was registered again.
    pub(super) generation: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HaltReason {
    /// The store belongs to a later epoch.
    Fenced,
    /// Somebody must look.
    Stuck(String),
}

impl Lane {
    pub(super) fn is_behind(&self) -> bool {
        self.halt.is_none() && self.handed > self.stored
    }
}
