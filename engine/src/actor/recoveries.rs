//! Who may recover a flight: one at a time, whatever the number of those who want to; and what the last ones under a key
//! came to. Never recovers anything itself.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::flight::{Epoch, FlightId, IdempotencyKey, Seq};

/// So many restarts of one flight are remembered by their keys; older ones are forgotten.
const RESTARTS_KEPT_PER_FLIGHT: usize = 64;

/// A flight that was restarted.
#[derive(Debug, Clone, Copy)]
pub struct Restarted {
    /// Its last event.
    pub seq: Seq,
    /// Under which ownership it is served now.
    pub epoch: Epoch,
    /// How long it took.
    pub took: Duration,
    /// Whether this is what an earlier one came to, under the same idempotency key.
    pub replayed: bool,
}

/// Restarts under keys, oldest first.
type RestartsUnderKeys = VecDeque<(IdempotencyKey, Restarted)>;

/// The flights of which a recovery is under way or remembered. Those that nobody recovers and nobody gave a key for do
/// not stand here.
#[derive(Default)]
pub(crate) struct Recoveries {
    flights: Mutex<HashMap<FlightId, Arc<tokio::sync::Mutex<RestartsUnderKeys>>, RandomState>>,
}

/// The right to recover one flight. Whoever replaces a flight's actor shows it.
pub(crate) struct RecoveryRight<'a> {
    recoveries: &'a Recoveries,
    flight_id: FlightId,
    /// `None` only while it is dropped.
    kept: Option<OwnedMutexGuard<RestartsUnderKeys>>,
}

impl Recoveries {
    /// Waits until nobody else recovers the flight.
    pub(crate) async fn turn(&self, flight_id: &FlightId) -> RecoveryRight<'_> {
        let flight = self.flights.lock().entry(flight_id.clone()).or_default().clone();
        let kept = flight.lock_owned().await;
        RecoveryRight { recoveries: self, flight_id: flight_id.clone(), kept: Some(kept) }
    }
}

impl RecoveryRight<'_> {
    /// What a restart under this key came to, if there was one.
    pub(crate) fn recall(&self, key: &IdempotencyKey) -> Option<Restarted> {
        let kept = self.kept.as_ref()?;
        kept.iter().find(|(known, _)| known == key).map(|(_, restarted)| *restarted)
    }

    /// Remembers what a restart came to.
    pub(crate) fn remember(&mut self, key: IdempotencyKey, restarted: Restarted) {
        let Some(kept) = &mut self.kept else { return };
        while kept.len() >= RESTARTS_KEPT_PER_FLIGHT {
            kept.pop_front();
        }
        kept.push_back((key, restarted));
    }
}

impl Drop for RecoveryRight<'_> {
    fn drop(&mut self) {
        // Under the lock of the map nobody can come to wait for it meanwhile.
        let mut flights = self.recoveries.flights.lock();
        let is_empty = self.kept.take().is_none_or(|kept| kept.is_empty());
        if is_empty && flights.get(&self.flight_id).is_some_and(|flight| Arc::strong_count(flight) == 1) {
            flights.remove(&self.flight_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> FlightId {
        FlightId::new(text).unwrap()
    }

    #[tokio::test]
    async fn one_flight_is_recovered_by_one_at_a_time_and_another_meanwhile() {
        let recoveries = Recoveries::default();
        let flight_id = id("FR1");
        let first = recoveries.turn(&flight_id).await;
        let mut second = Box::pin(recoveries.turn(&flight_id));
        assert!(tokio::time::timeout(Duration::ZERO, &mut second).await.is_err());
        drop(recoveries.turn(&id("FR2")).await);
        drop(first);
        drop(second.await);
        assert!(recoveries.flights.lock().is_empty(), "what is over leaves nothing behind");
    }

    #[tokio::test]
    async fn the_last_restarts_under_keys_are_remembered_and_no_more() {
        let recoveries = Recoveries::default();
        let key = |n: usize| IdempotencyKey::new(&format!("key-{n}")).unwrap();
        for n in 0..=RESTARTS_KEPT_PER_FLIGHT {
            let epoch = Epoch(n as u64);
            let restarted = Restarted { seq: Seq(1), epoch, took: Duration::ZERO, replayed: false };
            recoveries.turn(&id("FR1")).await.remember(key(n), restarted);
        }
        let turn = recoveries.turn(&id("FR1")).await;
        assert!(turn.recall(&key(0)).is_none());
        assert_eq!(turn.recall(&key(1)).map(|restarted| restarted.epoch), Some(Epoch(1)));
        drop(turn);
        assert!(recoveries.turn(&id("FR2")).await.recall(&key(1)).is_none(), "a key belongs to its flight");
    }
}
