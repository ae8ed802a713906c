//! How flights came up last, and whether something that was acknowledged may be lost by it.
//! Never brings one up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use farerush_engine::flight::{FlightId, Seq};
use farerush_persistence::recovery::{Basis, Recovered};
use parking_lot::Mutex;

/// How a flight came up last.
#[derive(Debug, Clone, Copy)]
pub struct RecoveryNote {
    /// From what.
    pub basis: Basis,
    /// With which last event.
    pub seq: Seq,
    /// The journal knew nothing of it: what was acknowledged after that event, if anything was, is lost.
    pub journal_was_empty: bool,
    /// How long it took.
    pub took: Duration,
}

/// How flights came up last, by id; flights that were created here are not in it.
#[derive(Debug, Default)]
pub struct Recoveries {
    /// A journal that is always empty at first has nothing to lose.
    journal_may_be_empty: bool,
    notes: Mutex<HashMap<FlightId, RecoveryNote>>,
    /// By basis, in the order of `Basis::ALL`.
    counts: [AtomicU64; Basis::ALL.len()],
    with_empty_journal: AtomicU64,
}

impl Recoveries {
    /// Nothing was recovered yet. A journal that is always empty at first has nothing to lose.
    pub fn new(journal_may_be_empty: bool) -> Self {
        Self { journal_may_be_empty, ..Self::default() }
    }

    /// How this flight came up last.
    pub fn of(&self, flight_id: &FlightId) -> Option<RecoveryNote> {
        self.notes.lock().get(flight_id).copied()
    }

    /// How many flights came up from what, since the start; a flight that came up twice counts twice.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Basis::ALL
            .iter()
            .zip(&self.counts)
            .map(|(basis, count)| (basis.as_str(), count.load(Ordering::Relaxed)))
    }

    /// How many of them came up although the journal knew nothing of them.
    pub fn with_empty_journal(&self) -> u64 {
        self.with_empty_journal.load(Ordering::Relaxed)
    }

    /// A flight came up.
    pub fn note(&self, flight_id: &FlightId, recovered: &Recovered) {
        let journal_was_empty = recovered.journal_was_empty && !self.journal_may_be_empty;
        let seq = recovered.flight.seq();
        let (basis, took) = (recovered.basis, recovered.took);
        if let Some(place) = Basis::ALL.iter().position(|known| *known == basis) {
            self.counts[place].fetch_add(1, Ordering::Relaxed);
        }
        if journal_was_empty {
            self.with_empty_journal.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                %flight_id,
                stored_seq = seq.0,
                "the journal knew nothing of the flight: it comes up as the store has it, and what was acknowledged \
                 after that event is lost. How much that is cannot be known from here: none, if the store had caught up"
            );
        }
        if recovered.store_has_hole && recovered.stored > Seq(0) {
            tracing::warn!(
                %flight_id,
                stored_seq = recovered.stored.0,
                "the store lacks events that the journal no longer has: the flight sells on, but cannot be stored"
            );
        }
        self.notes.lock().insert(flight_id.clone(), RecoveryNote { basis, seq, journal_was_empty, took });
    }
}
