//! How a flight came up, or why it did not.
//! Never brings one up.

use std::time::Duration;

use farerush_engine::flight::{BrokenInvariant, Epoch, Flight, FlightId, Seq};
use farerush_engine::journal::JournalError;

use crate::store::StoreError;

/// What a flight came up from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The store's rows and the journal's tail.
    StoreAndJournal,
    /// The store's rows alone: the journal knew no event of it.
    Store,
    /// The journal's events from the first one on; of the store, if it was there, no more than the cursor was read.
    Journal,
    /// The journal's snapshot and what follows it; likewise.
    JournalSnapshot,
}

impl Basis {
    /// All of them.
    pub const ALL: &[Self] = &[Self::StoreAndJournal, Self::Store, Self::Journal, Self::JournalSnapshot];

    /// Its name on status pages and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StoreAndJournal => "store and journal",
            Self::Store => "store",
            Self::Journal => "journal",
            Self::JournalSnapshot => "journal's snapshot",
        }
    }
}

/// A flight that came up.
#[derive(Debug)]
pub struct Recovered {
    /// The flight, after the last durable event; its invariants hold.
    pub flight: Flight,
    /// The epoch it is owned under from now on.
    pub epoch: Epoch,
    /// What it came up from.
    pub basis: Basis,
    /// How far the store has it; 0 if the store was not asked.
    pub stored: Seq,
    /// Whether the store was asked: the epoch is claimed there, and its cursor fits the journal.
    pub met_store: bool,
    /// The store lacks events that the journal has let go of: nothing more of the flight can be stored.
    pub store_has_hole: bool,
    /// Events replayed from the journal.
    pub replayed: u64,
    /// The journal knew no event of the flight, though the store does: the flight came up at the store's cursor.
    /// Events acknowledged after that one, if there were any, are lost.
    pub journal_was_empty: bool,
    /// How long it took.
    pub took: Duration,
}

/// Why a flight did not come up.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// Neither journal nor store knows an event of it.
    #[error("{flight_id} is not known")]
    NotFound {
        /// The flight concerned.
        flight_id: FlightId,
    },
    /// The journal does not reach back to where the store (or its own snapshot) ends.
    #[error("{flight_id}: events up to {stored} are known, but the journal begins at {first}")]
    Hole {
        /// The flight concerned.
        flight_id: FlightId,
        /// The last event of what there is beside the journal.
        stored: Seq,
        /// The first event the journal has after it.
        first: Seq,
    },
    /// The journal ends before the store does, as after a journal was put back from an old copy. New events would
    /// not follow what it holds, so that it refuses them; an empty journal would do.
    #[error(
        "{flight_id}: the journal ends at event {last}, but the store has {stored}, so the journal is an old copy. To \
         go on from what the store has, remove the flight's events from the journal (in Redis: DEL \
         farerush:{{{flight_id}}}:journal), then restart the flight"
    )]
    JournalBehind {
        /// The flight concerned.
        flight_id: FlightId,
        /// The journal's last event.
        last: Seq,
        /// The store's cursor.
        stored: Seq,
    },
    /// Its history cannot have happened.
    #[error("{flight_id}, at event {seq}")]
    Broken {
        /// The flight concerned.
        flight_id: FlightId,
        /// The last event that went in.
        seq: Seq,
        /// What is wrong.
        #[source]
        source: BrokenInvariant,
    },
    /// Others claim the flight at the same time, again and again.
    #[error("{flight_id} is claimed by somebody else, under epoch {epoch}")]
    Contended {
        /// The flight concerned.
        flight_id: FlightId,
        /// The other's epoch.
        epoch: Epoch,
    },
    /// The journal failed.
    #[error("journal")]
    Journal(#[from] JournalError),
    /// The store failed.
    #[error("store")]
    Store(#[from] StoreError),
    /// The rebuilding itself failed.
    #[error("rebuilding {flight_id} panicked")]
    Panicked {
        /// The flight concerned.
        flight_id: FlightId,
    },
}

/// What became of each flight, by id.
pub type AllRecovered = Vec<(FlightId, Result<Recovered, RecoveryError>)>;
