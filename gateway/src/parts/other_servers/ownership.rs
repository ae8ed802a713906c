//! Until when this process can show that its flights are still its own: what others claim is read from the journal again
//! and again, and what was read holds for a second. Never asks anything where nobody else can claim.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use farerush_engine::actor::{Engine, Located};
use farerush_engine::flight::FlightId;
use farerush_engine::journal::{Claimed, ClaimsPlace, Journal, JournalError};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::base::errors::in_full;
use crate::parts::other_servers::lease::{Lease, nanos, now};
use crate::wire::problem::Problem;

/// How long what was read holds: a flight that was taken from a living owner is shown by it for no longer than this.
const READING_HOLDS: Duration = Duration::from_secs(1);
/// How often it is read.
const CONFIRM_EVERY: Duration = Duration::from_millis(200);
/// How long a request waits for a reading that is under way or due, after the process was held up.
const WAITED_MAX: Duration = Duration::from_secs(1);
/// So many readings in a row look at a flight that was claimed while it was not served here: it may be on its way.
const LOOKED_FOR_READINGS: u32 = 50;

/// What is known of it. Costs nothing to ask where the journal belongs to this process alone.
#[derive(Debug)]
pub struct Ownership {
    is_shared: bool,
    /// This server's lease; `None` where there are no leases.
    lease: Option<Arc<Lease>>,
    /// When the last reading that succeeded began, in nanoseconds since the machine's start; 0: none has.
    read_at: AtomicU64,
    /// Whether the last reading failed.
    has_failed: AtomicBool,
    /// Counts readings, failed ones too.
    readings: watch::Sender<u64>,
}

impl Ownership {
    pub(super) fn new(is_shared: bool, lease: Option<Arc<Lease>>) -> Self {
        let readings = watch::Sender::new(0);
        Self { is_shared, lease, read_at: AtomicU64::new(0), has_failed: AtomicBool::new(false), readings }
    }

    /// Whether other processes may claim flights at all.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Whether this process can show now that nobody has claimed its flights. One that slept cannot, at first.
    pub fn is_certain(&self) -> bool {
        !self.is_shared || self.certain_until().is_some_and(|until| now() <= until)
    }

    /// Since when it cannot, if so.
    pub fn uncertain_for(&self) -> Option<Duration> {
        if self.is_certain() {
            return None;
        }
        let ended = self.certain_until().unwrap_or_else(now);
        Some(Duration::from_nanos(now().saturating_sub(ended)))
    }

    /// Waits until it can, if that may be soon: a process that was held up reads at once, one that is cut off does not
    /// keep anybody waiting.
    pub async fn certain(&self) -> Result<(), Problem> {
        if self.is_certain() {
            return Ok(());
        }
        let mut readings = self.readings.subscribe();
        let read = async {
            while !self.has_failed.load(Ordering::Acquire) && readings.changed().await.is_ok() {
                if self.is_certain() {
                    return true;
                }
            }
            false
        };
        let is_certain = tokio::time::timeout(WAITED_MAX, read).await.unwrap_or(false);
        if is_certain || self.is_certain() { Ok(()) } else { Err(uncertain()) }
    }

    /// The same for somebody who has got an answer already that rests on it.
    pub fn still_certain(&self) -> Result<(), Problem> {
        if self.is_certain() { Ok(()) } else { Err(uncertain()) }
    }

    /// Until when what was read holds, and the lease.
    fn certain_until(&self) -> Option<u64> {
        let read_at = self.read_at.load(Ordering::Acquire);
        let lease = self.lease.as_ref().map_or(u64::MAX, |lease| lease.until());
        (read_at > 0).then(|| read_at.saturating_add(nanos(READING_HOLDS)).min(lease))
    }

    fn note_read(&self, began: u64) {
        self.read_at.store(began, Ordering::Release);
        if self.has_failed.swap(false, Ordering::AcqRel) {
            tracing::info!("the journal says again whose the flights are");
        }
        self.readings.send_modify(|readings| *readings += 1);
    }

    fn note_failed(&self, error: &JournalError) {
        if !self.has_failed.swap(true, Ordering::AcqRel) {
            tracing::warn!(
                error = in_full(error),
                "the journal does not say whose the flights are: after a second they are shown to nobody, until it does"
            );
        }
        self.readings.send_modify(|readings| *readings += 1);
    }
}

fn uncertain() -> Problem {
    Problem::overloaded("the journal cannot be asked just now whether another server has the flight", 1)
}

/// Reads what was claimed, and takes flights that others have out of service.
pub(super) struct ClaimsReader {
    journal: Arc<dyn Journal>,
    ownership: Arc<Ownership>,
    place: Mutex<ClaimsPlace>,
    /// Flights whose owner is to be read once more, and for how many readings yet: they came up here, or were not served
    /// here when they were claimed, though they may be by now.
    unsettled: Mutex<HashMap<FlightId, u32>>,
}

impl ClaimsReader {
    pub(super) fn new(journal: Arc<dyn Journal>, ownership: Arc<Ownership>) -> Self {
        Self { journal, ownership, place: Mutex::default(), unsettled: Mutex::default() }
    }

    /// Has the next reading look at a flight that came up here: it may have been claimed meanwhile.
    pub(super) fn came_up(&self, flight_id: &FlightId) {
        if self.ownership.is_shared {
            self.unsettled.lock().insert(flight_id.clone(), LOOKED_FOR_READINGS);
        }
    }

    /// One reading; gives the flights that turned out to have moved. Blocks. Only one at a time.
    pub(super) fn read(&self, engine: &Engine) -> Vec<FlightId> {
        let began = now();
        match self.read_claims(engine) {
            Ok(moved) => {
                self.ownership.note_read(began);
                moved
            }
            Err(error) => {
                self.ownership.note_failed(&error);
                Vec::new()
            }
        }
    }

    fn read_claims(&self, engine: &Engine) -> Result<Vec<FlightId>, JournalError> {
        let before = self.place.lock().clone();
        let (place, claimed) = self.journal.claimed_since(&before)?;
        let claimed = match claimed {
            Claimed::Flights(flights) => flights,
            Claimed::Any => engine.flights().iter().map(|flight| flight.flight_id().clone()).collect(),
        };
        {
            let mut unsettled = self.unsettled.lock();
            for flight_id in claimed {
                unsettled.entry(flight_id).or_insert(LOOKED_FOR_READINGS);
            }
        }
        // Noted as unsettled first: a reading that fails now is made up for by the next one.
        *self.place.lock() = place;
        let asked: Vec<FlightId> = self.unsettled.lock().keys().cloned().collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let epochs = self.journal.epochs(&asked)?;
        let mut moved = Vec::new();
        for (flight_id, epoch) in asked.into_iter().zip(epochs) {
            let is_settled = match engine.find(&flight_id) {
                Located::Here(flight) => {
                    let ours = flight.status().epoch;
                    if epoch.is_some_and(|epoch| epoch > ours) {
                        engine.note_fenced_under(&flight_id, ours);
                        moved.push(flight_id.clone());
                    }
                    true
                }
                Located::Quarantined { .. } => true,
                // It may come up in a moment under an epoch that is past already.
                Located::There | Located::Nobody => false,
            };
            self.settle(&flight_id, is_settled);
        }
        Ok(moved)
    }

    fn settle(&self, flight_id: &FlightId, is_settled: bool) {
        let mut unsettled = self.unsettled.lock();
        let Some(readings) = unsettled.get_mut(flight_id) else { return };
        *readings = if is_settled { 0 } else { *readings - 1 };
        if *readings == 0 {
            unsettled.remove(flight_id);
        }
    }
}

/// How long to wait before the next reading.
pub(super) const fn pause() -> Duration {
    CONFIRM_EVERY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_of_ones_own_needs_no_reading() {
        let ownership = Ownership::new(false, None);
        assert!(ownership.is_certain() && ownership.uncertain_for().is_none());
    }

    #[test]
    fn what_was_read_holds_for_a_second_from_when_the_reading_began() {
        let ownership = Ownership::new(true, None);
        assert!(!ownership.is_certain(), "nothing was read yet");
        let ago = |time: Duration| now() - u64::try_from(time.as_nanos()).unwrap();
        ownership.note_read(ago(READING_HOLDS / 2));
        assert!(ownership.is_certain());
        ownership.note_read(ago(READING_HOLDS + Duration::from_millis(1)));
        assert!(!ownership.is_certain());
        assert!(ownership.uncertain_for().is_some_and(|time| time >= Duration::from_millis(1)));
    }

    #[tokio::test]
    async fn one_that_is_cut_off_keeps_nobody_waiting_and_one_that_slept_reads_first() {
        let ownership = Arc::new(Ownership::new(true, None));
        let failed = JournalError::Unavailable { what: "cut off".to_owned(), source: None };
        ownership.note_failed(&failed);
        let began = std::time::Instant::now();
        assert!(ownership.certain().await.is_err());
        assert!(began.elapsed() < WAITED_MAX / 2);
        ownership.note_read(1);
        let reader = ownership.clone();
        let waiting = tokio::spawn(async move { reader.certain().await.is_ok() });
        while ownership.readings.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
        ownership.note_read(now());
        assert!(waiting.await.unwrap());
    }
}
