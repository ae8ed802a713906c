//! Flights whose events the journal refused: a Redis that came back empty, or as it was some time ago. They come up again by
//! themselves once that costs nobody an order.
//! Never brings one up while the store lacks something of it that was acknowledged, and never takes one from another server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farerush_engine::actor::{Engine, FlightStatus};
use farerush_engine::flight::FlightId;
use farerush_engine::journal::Journal;
use farerush_persistence::write_behind::{StoreState, WriteBehind};
use parking_lot::Mutex;

use super::{has_moved, restart};

/// How long after a try that came to nothing the next one follows, at first and at most: it waits for an operator then, and
/// shall not be kept waiting in turn.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// Most flights that are brought up in one go, so that the others are looked after, too.
const FLIGHTS_PER_LOOK_MAX: usize = 256;

/// When a flight is tried again, and how long it waits after that.
struct Retry {
    due: Instant,
    pause: Duration,
}

/// The tries that came to nothing; one for each flight that is stopped at most.
#[derive(Default)]
pub(super) struct Revivals(Mutex<HashMap<FlightId, Retry>>);

impl Revivals {
    /// Brings up what can be brought up.
    pub(super) async fn look(
        &self,
        engine: &Arc<Engine>,
        journal: &Arc<dyn Journal>,
        write_behind: &WriteBehind,
    ) {
        let refused = engine.refused();
        self.0.lock().retain(|flight_id, _| refused.iter().any(|(its, _)| its == flight_id));
        if refused.is_empty() || write_behind.status().store != StoreState::Up {
            return;
        }
        let due = refused.into_iter().filter(|(flight_id, status)| is_kept(status) && self.is_due(flight_id));
        for (flight_id, status) in due.take(FLIGHTS_PER_LOOK_MAX).collect::<Vec<_>>() {
            match has_moved(journal, &flight_id, status.epoch).await {
                Ok(true) => engine.note_fenced_under(&flight_id, status.epoch),
                Ok(false) => {
                    self.note_tried(&flight_id);
                    let why = "the journal had refused its events; the store has all that was acknowledged";
                    restart(engine, &flight_id, why).await;
                }
                // It is away as well.
                Err(_) => return,
            }
        }
    }

    fn is_due(&self, flight_id: &FlightId) -> bool {
        self.0.lock().get(flight_id).is_none_or(|retry| Instant::now() >= retry.due)
    }

    fn note_tried(&self, flight_id: &FlightId) {
        let mut retries = self.0.lock();
        let pause = retries.get(flight_id).map_or(PAUSE_MIN, |retry| (retry.pause * 2).min(PAUSE_MAX));
        retries.insert(flight_id.clone(), Retry { due: Instant::now() + pause, pause });
    }
}

/// Whether the store has every event of the flight that anybody was told of.
fn is_kept(status: &FlightStatus) -> bool {
    status.stored_seq >= status.durable_seq
}
