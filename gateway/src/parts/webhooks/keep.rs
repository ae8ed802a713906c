//! Stands in front of the journal for whoever trims it: what webhooks have not delivered stays, up to a bound.
//! Never changes anything else about the journal.

use std::collections::HashMap;
use std::sync::Arc;

use farerush_engine::flight::{Epoch, FlightId, FlightSnapshot, Recorded, Seq};
use farerush_engine::journal::{Appended, Batch, Claim, Claimed, ClaimsPlace, Extent, Journal, JournalError};
use parking_lot::Mutex;

use super::Shared;

/// The journal as the write-behind sees it.
pub(super) struct Kept {
    journal: Arc<dyn Journal>,
    shared: Arc<Shared>,
    /// Most events that are kept of a flight for webhooks alone.
    lag_events_max: u64,
    flights: Mutex<HashMap<FlightId, Held>>,
}

/// A flight that may not be trimmed as far as it is stored.
#[derive(Debug, Clone, Copy)]
struct Held {
    stored: Seq,
    /// What was delivered and saved at the last trim. The store was synced since, so that this survives a power
    /// failure, too; what was saved later may not.
    delivered: Seq,
    /// How far the journal was told to trim.
    trimmed: Seq,
}

impl Kept {
    pub(super) fn new(journal: Arc<dyn Journal>, shared: Arc<Shared>, lag_events_max: u64) -> Self {
        Self { journal, shared, lag_events_max, flights: Mutex::default() }
    }

    /// Up to where each flight may be trimmed now.
    fn trimmable(&self, stored: &[(FlightId, Seq)]) -> Vec<(FlightId, Seq)> {
        let mut flights = self.flights.lock();
        for (flight_id, seq) in stored {
            let held = Held { stored: *seq, delivered: Seq(0), trimmed: Seq(0) };
            let held = flights.entry(flight_id.clone()).or_insert(held);
            held.stored = held.stored.max(*seq);
        }
        let lanes = self.shared.lanes.lock();
        let mut given_up: Vec<&FlightId> = Vec::new();
        let mut trimmable = Vec::with_capacity(flights.len());
        for (flight_id, held) in flights.iter_mut() {
            let oldest_kept = Seq(held.stored.0.saturating_sub(self.lag_events_max));
            if held.delivered < oldest_kept && lanes.saved_seq(flight_id) < oldest_kept {
                given_up.push(flight_id);
            }
            let up_to = held.delivered.max(oldest_kept).min(held.stored);
            held.delivered = lanes.saved_seq(flight_id);
            if up_to > held.trimmed {
                held.trimmed = up_to;
                trimmable.push((flight_id.clone(), up_to));
            }
        }
        if !given_up.is_empty() {
            tracing::error!(
                flights = given_up.len(),
                one_of_them = %given_up[0],
                lag_events_max = self.lag_events_max,
                "webhooks are further behind than `webhook_lag_events_max`: the journal lets go of events that were not \
                 delivered. Once they are gone, the receiver is told which (webhooks.gap)"
            );
        }
        drop(lanes);
        // Whoever has caught up is heard of again when more is stored.
        flights.retain(|_, held| held.trimmed < held.stored);
        trimmable
    }
}

impl Journal for Kept {
    fn append(&self, round: &[Batch]) -> Result<Vec<Appended>, JournalError> {
        self.journal.append(round)
    }

    fn fence(&self, claims: &[Claim]) -> Result<(), JournalError> {
        self.journal.fence(claims)
    }

    fn extents(&self) -> Result<Vec<Extent>, JournalError> {
        self.journal.extents()
    }

    fn extent(&self, flight_id: &FlightId) -> Result<Option<Extent>, JournalError> {
        self.journal.extent(flight_id)
    }

    fn epochs(&self, flights: &[FlightId]) -> Result<Vec<Option<Epoch>>, JournalError> {
        self.journal.epochs(flights)
    }

    fn have_events(&self, flights: &[FlightId]) -> Result<Vec<bool>, JournalError> {
        self.journal.have_events(flights)
    }

    fn claimed_since(&self, place: &ClaimsPlace) -> Result<(ClaimsPlace, Claimed), JournalError> {
        self.journal.claimed_since(place)
    }

    fn read(
        &self,
        flight_id: &FlightId,
        after: Seq,
        events_max: usize,
    ) -> Result<Vec<Recorded>, JournalError> {
        self.journal.read(flight_id, after, events_max)
    }

    fn trim(&self, stored: &[(FlightId, Seq)]) -> Result<(), JournalError> {
        self.journal.trim(&self.trimmable(stored))
    }

    fn keeps_snapshots(&self) -> bool {
        self.journal.keeps_snapshots()
    }

    fn put_snapshot(&self, epoch: Epoch, snapshot: &FlightSnapshot) -> Result<(), JournalError> {
        self.journal.put_snapshot(epoch, snapshot)
    }

    fn snapshot(&self, flight_id: &FlightId) -> Result<Option<FlightSnapshot>, JournalError> {
        self.journal.snapshot(flight_id)
    }

    fn describe(&self) -> String {
        self.journal.describe()
    }
}

#[cfg(test)]
mod tests {
    use farerush_persistence::journal::MemoryJournal;
    use farerush_persistence::store::WebhookCursor;

    use super::super::lanes::{DeliveryCursor, Noted};
    use super::*;

    fn id() -> FlightId {
        FlightId::new("K1").unwrap()
    }

    /// A flight of which 100 events are durable, in front of a journal that would keep nothing.
    fn kept(lag_events_max: u64) -> Kept {
        let shared = Arc::new(Shared::new());
        shared.lanes.lock().note(&id(), Noted { last: Seq(100), at: None, is_new: true });
        Kept::new(Arc::new(MemoryJournal::new()), shared, lag_events_max)
    }

    fn delivered(kept: &Kept, seq: u64) {
        let cursor = WebhookCursor { flight_id: id(), seq: Seq(seq), free: None };
        let mut lanes = kept.shared.lanes.lock();
        lanes.put(&id(), DeliveryCursor::START, false);
        lanes.saved(&[cursor]);
    }

    fn trimmed(kept: &Kept, stored: u64) -> Option<u64> {
        kept.trimmable(&[(id(), Seq(stored))]).first().map(|(_, seq)| seq.0)
    }

    #[test]
    fn nothing_is_trimmed_that_was_not_delivered_and_saved_before_the_store_was_synced() {
        let kept = kept(1_000);
        assert_eq!(trimmed(&kept, 50), None);
        delivered(&kept, 40);
        assert_eq!(trimmed(&kept, 60), None, "a power failure may still take that back");
        assert_eq!(trimmed(&kept, 60), Some(40));
        delivered(&kept, 90);
        assert_eq!(trimmed(&kept, 60), None, "the same as before");
        assert_eq!(trimmed(&kept, 60), Some(60), "never beyond the store");
        assert!(kept.flights.lock().is_empty());
    }

    #[test]
    fn a_flight_that_was_held_back_is_trimmed_when_another_one_is() {
        let kept = kept(1_000);
        assert_eq!(trimmed(&kept, 50), None);
        delivered(&kept, 50);
        let other = [(FlightId::new("K2").unwrap(), Seq(1))];
        assert_eq!(kept.trimmable(&other), []);
        assert_eq!(kept.trimmable(&other), [(id(), Seq(50))]);
    }

    #[test]
    fn beyond_the_bound_the_journal_may_let_go() {
        let kept = kept(30);
        assert_eq!(trimmed(&kept, 20), None);
        assert_eq!(trimmed(&kept, 70), Some(40));
        assert_eq!(trimmed(&kept, 100), Some(70));
    }
}
