//! What flights are whose orders are shown here though they are served elsewhere, as the store has them.
//! Never believes for longer than a moment what it has read: their owner may give them other seats at any time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farerush_engine::flight::{FlightDefinition, FlightId};
use farerush_persistence::store::{Store, StoredOrder};
use parking_lot::Mutex;

/// How long a definition is shown on without reading it again.
const FRESH: Duration = Duration::from_secs(1);
/// Most that are kept, each a few kilobytes.
const KEPT_MAX: usize = 1_000;

/// Those that were read of late.
#[derive(Default)]
pub(super) struct Definitions(Mutex<Recent<Arc<FlightDefinition>>>);

impl Definitions {
    /// What the flight of an order is; `None` if the store does not say.
    pub(super) async fn of(&self, store: &Store, stored: &StoredOrder) -> Option<Arc<FlightDefinition>> {
        let flight_id = &stored.order_id.flight_id;
        let has_seats = |definition: &Arc<FlightDefinition>| {
            let seats = &stored.order.seats;
            seats.iter().all(|seat| {
                definition.cabins.iter().any(|cabin| (cabin.first_row..=cabin.last_row).contains(&seat.row()))
            })
        };
        let known = self.0.lock().get(flight_id, Instant::now());
        if let Some(known) = known.filter(has_seats) {
            return Some(known);
        }
        // Before it is read, so that it counts as no younger than it is.
        let read = Instant::now();
        let found = store.definition(flight_id).await.ok().flatten().map(Arc::new)?;
        self.0.lock().keep(flight_id, found.clone(), read);
        Some(found)
    }
}

/// What was read of flights, and when.
struct Recent<T>(HashMap<FlightId, (T, Instant)>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone> Recent<T> {
    fn get(&self, flight_id: &FlightId, now: Instant) -> Option<T> {
        let (what, read) = self.0.get(flight_id)?;
        (now.saturating_duration_since(*read) < FRESH).then(|| what.clone())
    }

    fn keep(&mut self, flight_id: &FlightId, what: T, read: Instant) {
        if self.0.len() >= KEPT_MAX && !self.0.contains_key(flight_id) {
            self.0.retain(|_, (_, kept)| read.saturating_duration_since(*kept) < FRESH);
        }
        if self.0.len() < KEPT_MAX || self.0.contains_key(flight_id) {
            self.0.insert(flight_id.clone(), (what, read));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> FlightId {
        FlightId::new(&format!("F{number}")).unwrap()
    }

    #[test]
    fn what_was_read_of_a_flight_elsewhere_is_read_again_after_a_moment() {
        let (mut recent, read) = (Recent::default(), Instant::now());
        recent.keep(&id(1), "before the swap", read);
        assert_eq!(recent.get(&id(1), read + FRESH / 2), Some("before the swap"));
        assert_eq!(recent.get(&id(1), read + FRESH), None);
        recent.keep(&id(1), "after the swap", read + FRESH);
        assert_eq!(recent.get(&id(1), read + FRESH), Some("after the swap"));
    }

    #[test]
    fn only_so_many_flights_are_remembered_and_the_old_ones_make_room() {
        let (mut recent, began) = (Recent::default(), Instant::now());
        for number in 0..3 * KEPT_MAX {
            recent.keep(&id(number), number, began);
            assert!(recent.0.len() <= KEPT_MAX);
        }
        recent.keep(&id(9 * KEPT_MAX), 9, began + FRESH);
        assert_eq!((recent.0.len(), recent.get(&id(9 * KEPT_MAX), began + FRESH)), (1, Some(9)));
    }
}
