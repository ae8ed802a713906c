//! Claims that the store has and the journal has not: their claimants are on the way, or have died in between.
//! Never takes a flight from its owner by the journal: a claim of which nothing comes is claimed past.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farerush_engine::actor::{Engine, Located};
use farerush_engine::flight::{Epoch, FlightId};
use farerush_engine::journal::Journal;
use parking_lot::Mutex;

use super::{has_moved, restart};

/// How long a claimant may take from the store to the journal before its claim counts as dead. One that comes later finds
/// the journal fenced past its claim and makes another.
const GRACE: Duration = Duration::from_secs(1);

/// A later claim than the one that a flight is served under here.
struct Doubt {
    ours: Epoch,
    since: Instant,
}

/// All of them; at most one for each flight that is served here.
#[derive(Default)]
pub(super) struct Doubts(Mutex<HashMap<FlightId, Doubt>>);

impl Doubts {
    /// Notes that the store knows a later claim than `ours`.
    pub(super) fn note(&self, flight_id: &FlightId, ours: Epoch) {
        let mut doubts = self.0.lock();
        let doubt = doubts.entry(flight_id.clone()).or_insert_with(|| Doubt { ours, since: Instant::now() });
        if doubt.ours < ours {
            *doubt = Doubt { ours, since: Instant::now() };
        }
    }

    /// Ends what can be ended: flights that have moved stop here, those whose claimants have died are claimed anew.
    pub(super) async fn settle(&self, journal: &Arc<dyn Journal>, engine: &Arc<Engine>) {
        let doubts: Vec<(FlightId, Epoch, Duration)> = {
            let doubts = self.0.lock();
            doubts.iter().map(|(id, doubt)| (id.clone(), doubt.ours, doubt.since.elapsed())).collect()
        };
        for (flight_id, ours, age) in doubts {
            if self.is_settled(journal, engine, &flight_id, (ours, age)).await {
                let mut doubts = self.0.lock();
                if doubts.get(&flight_id).is_some_and(|doubt| doubt.ours == ours) {
                    doubts.remove(&flight_id);
                }
            }
        }
    }

    async fn is_settled(
        &self,
        journal: &Arc<dyn Journal>,
        engine: &Arc<Engine>,
        flight_id: &FlightId,
        (ours, age): (Epoch, Duration),
    ) -> bool {
        match engine.find(flight_id) {
            Located::Here(flight) if flight.status().epoch == ours => {}
            // It came up anew meanwhile, or is not served here any more.
            _ => return true,
        }
        match has_moved(journal, flight_id, ours).await {
            Ok(true) => {
                engine.note_fenced_under(flight_id, ours);
                true
            }
            Ok(false) if age >= GRACE => {
                restart(engine, flight_id, "the store knows a later claim, of which nothing came").await;
                true
            }
            // On its way, or not to be found out just now.
            Ok(false) | Err(_) => false,
        }
    }
}
