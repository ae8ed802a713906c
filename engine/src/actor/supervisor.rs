//! Brings a flight's actor up, and up again after it panicked or was told to restart, from what is durable.
//! Never touches the other flights, and never goes on with a state that may be half changed.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::{Actor, ArbiterHandle};
use parking_lot::Mutex;

use super::clock::Clock;
use super::flight_actor::{ActorParts, FlightActor};
use super::message::Signal;
use super::recoveries::{Recoveries, RecoveryRight};
use super::shared::{FlightShared, Standing};
use super::view::FlightView;
use super::writer::Writer;
use crate::flight::{Epoch, Flight, FlightId, IdSecrets, Seq};
use crate::journal::Durability;

/// So many panics of one flight ...
const PANICS_MAX: usize = 5;
/// ... within this time, and it is stopped.
const PANICS_WINDOW: Duration = Duration::from_secs(60);

/// A flight as it came back from journal and store.
#[derive(Debug)]
pub struct RecoveredFlight {
    /// The flight, all invariants checked.
    pub flight: Flight,
    /// The epoch under which it is owned now: claimed and fenced.
    pub epoch: Epoch,
    /// How far the store had come.
    pub stored: Seq,
}

/// The flight to come (`None`: neither journal nor store knows it), or why it does not.
pub type RecoverFuture = Pin<Box<dyn Future<Output = Result<Option<RecoveredFlight>, String>> + Send>>;

/// Recovers one flight: claims the next epoch, fences the journal, replays.
pub type Recover = Arc<dyn Fn(FlightId) -> RecoverFuture + Send + Sync>;

/// Starts actors and restarts them.
pub(crate) struct Supervisor {
    pub(crate) arbiters: Vec<ArbiterHandle>,
    pub(crate) next_arbiter: AtomicUsize,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) recover: Recover,
    pub(crate) writer: Writer,
    pub(crate) clock: Arc<Clock>,
    pub(crate) durability: Durability,
    pub(crate) recoveries: Recoveries,
    pub(crate) secrets: Arc<IdSecrets>,
    pub(crate) panics: Mutex<Vec<(FlightId, VecDeque<Instant>)>>,
}

impl Supervisor {
    /// Starts an actor for a flight and lets requests in.
    pub(crate) fn start_actor(self: &Arc<Self>, flight: Flight, epoch: Epoch, shared: &Arc<FlightShared>) {
        let parts = ActorParts {
            writer: self.writer.clone(),
            clock: self.clock.clone(),
            durability: self.durability,
            supervisor: self.clone(),
        };
        let generation = shared.serve_under(epoch, flight.seq());
        let actor = FlightActor::new(flight, epoch, generation, shared.clone(), parts);
        let place = self.next_arbiter.fetch_add(1, Ordering::Relaxed) % self.arbiters.len();
        let address = FlightActor::start_in_arbiter(&self.arbiters[place], move |_| actor);
        shared.actor.set(address.recipient());
        // Requests may have come while there was no address to wake.
        shared.wake();
    }

    /// Called by an actor whose turn panicked, before it ends.
    pub(crate) fn actor_panicked(self: &Arc<Self>, shared: &Arc<FlightShared>, generation: u64) {
        if self.panics_too_often(&shared.flight_id) {
            shared.quarantine(format!("its actor panicked {PANICS_MAX} times within {PANICS_WINDOW:?}"));
            return;
        }
        tracing::error!(flight_id = %shared.flight_id, "the flight's actor panicked and is being recovered");
        shared.set_standing(Standing::Recovering);
        let (supervisor, shared) = (self.clone(), shared.clone());
        self.runtime.spawn(async move {
            let turn = supervisor.recoveries.turn(&shared.flight_id).await;
            // Somebody else may have restarted it meanwhile.
            if shared.is_current(generation) {
                // A failure is logged and shown where the flight is quarantined.
                let _ = supervisor.recover(&shared, &turn).await;
            }
        });
    }

    /// Drops the flight's actor and recovers the flight from journal and store. Whose `turn` it is does it alone: of two
    /// that recover a flight at once, one would replay a history that the other's actor is still adding to.
    pub(crate) async fn recover(
        self: &Arc<Self>,
        shared: &Arc<FlightShared>,
        _turn: &RecoveryRight<'_>,
    ) -> Result<(Seq, Epoch), String> {
        shared.set_standing(Standing::Recovering);
        // Whatever still wakes the old actor, it decides nothing more.
        shared.retire_actor();
        let address = shared.actor.take();
        if let Some(address) = address {
            // Answered after the turn that may be going on; an actor that has ended answers with an error.
            let _ = address.send(Signal::Retire).await;
        }
        self.writer.barrier().await;
        let lost = || Err("neither the journal nor the store knows it any more".to_owned());
        let found =
            (self.recover)(shared.flight_id.clone()).await.and_then(|found| found.map_or_else(lost, Ok));
        let unlocked = found.and_then(|mut found| match found.flight.unlock(&self.secrets) {
            Ok(()) => Ok(found),
            Err(unknown) => Err(unknown.to_string()),
        });
        match unlocked {
            Ok(RecoveredFlight { flight, epoch, stored }) => {
                let seq = flight.seq();
                shared.publish(Arc::new(FlightView::of(&flight)), epoch);
                shared.durable_seq.store(seq.0, Ordering::Release);
                shared.stored_seq.fetch_max(stored.0, Ordering::AcqRel);
                shared.note_if_behind();
                self.start_actor(flight, epoch, shared);
                tracing::info!(flight_id = %shared.flight_id, %seq, %epoch, "the flight is recovered");
                Ok((seq, epoch))
            }
            Err(reason) => {
                shared.quarantine(reason.clone());
                Err(reason)
            }
        }
    }

    fn panics_too_often(&self, flight_id: &FlightId) -> bool {
        let mut panics = self.panics.lock();
        let now = Instant::now();
        panics.retain(|(_, times)| times.back().is_some_and(|last| now - *last < PANICS_WINDOW));
        let times = match panics.iter_mut().find(|(id, _)| id == flight_id) {
            Some((_, times)) => times,
            None => {
                panics.push((flight_id.clone(), VecDeque::new()));
                let Some((_, times)) = panics.last_mut() else { return false };
                times
            }
        };
        times.push_back(now);
        while times.front().is_some_and(|first| now - *first >= PANICS_WINDOW) {
            times.pop_front();
        }
        times.len() >= PANICS_MAX
    }
}
