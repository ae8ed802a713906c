//! How a flight is restarted from what is durable, or taken over, when somebody asks for it; and how it is left to somebody
//! else. Never does two of these to one flight at the same time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::engine::Engine;
use super::message::Signal;
use super::recoveries::{RecoveryRight, Restarted};
use super::shared::Standing;
use super::writer::Condition;
use crate::flight::{Epoch, FlightId, IdempotencyKey, Seq};

/// How long what a flight has taken may need to be decided and durable, when it is to be left to another server.
const LEAVING_MAX: Duration = Duration::from_secs(2);
/// How often it is looked whether it is.
const LEAVING_LOOK: Duration = Duration::from_micros(500);

/// Why a flight was not restarted.
#[derive(Debug, thiserror::Error)]
pub enum RestartError {
    /// There is no such flight.
    #[error("no such flight")]
    NotFound,
    /// It could not be recovered and is stopped now.
    #[error("{0}")]
    Failed(String),
}

impl Engine {
    /// Drops a flight's actor and recovers the flight from journal and store; goes on when the caller stops
    /// waiting. A flight that this process does not serve is taken over. Of several restarts of one flight, each begins
    /// when the one before it is over.
    pub async fn restart(self: &Arc<Self>, flight_id: &FlightId) -> Result<Restarted, RestartError> {
        self.restart_under(flight_id, None).await
    }

    /// The same under a key: repeated while the first one runs or after it, it answers with what that one came to, and
    /// restarts nothing. One that failed is not remembered. Of each flight the last few are, by this process.
    pub async fn restart_under(
        self: &Arc<Self>,
        flight_id: &FlightId,
        key: Option<IdempotencyKey>,
    ) -> Result<Restarted, RestartError> {
        let (engine, flight_id) = (self.clone(), flight_id.clone());
        let restart = async move { engine.restart_here(&flight_id, key).await };
        self.supervisor
            .runtime
            .spawn(restart)
            .await
            .unwrap_or_else(|e| Err(RestartError::Failed(e.to_string())))
    }

    async fn restart_here(
        &self,
        flight_id: &FlightId,
        key: Option<IdempotencyKey>,
    ) -> Result<Restarted, RestartError> {
        let began = Instant::now();
        let mut turn = self.supervisor.recoveries.turn(flight_id).await;
        if let Some(restarted) = key.as_ref().and_then(|key| turn.recall(key)) {
            return Ok(Restarted { replayed: true, ..restarted });
        }
        // Looked for in its turn: whoever recovered it before may have put another one in its place.
        let (seq, epoch) = match self.registry.shared(flight_id) {
            None => self.take_over(flight_id, &turn).await?,
            Some(shared) if shared.standing() == Standing::Creating => return Err(RestartError::NotFound),
            Some(shared) => self.supervisor.recover(&shared, &turn).await.map_err(RestartError::Failed)?,
        };
        let restarted = Restarted { seq, epoch, took: began.elapsed(), replayed: false };
        if let Some(key) = key {
            turn.remember(key, restarted);
        }
        Ok(restarted)
    }

    /// Leaves a flight to another server: from now on it takes no more requests here, and what it has taken is decided,
    /// durable and answered when this is done. The epoch under which it was served; `None` if it was not, or if the journal did
    /// not take the rest in time: then it is served on. Goes on when the caller stops waiting.
    pub async fn leave(self: &Arc<Self>, flight_id: &FlightId) -> Option<Epoch> {
        let (engine, flight_id) = (self.clone(), flight_id.clone());
        let leave = async move { engine.leave_here(&flight_id).await };
        self.supervisor.runtime.spawn(leave).await.ok().flatten()
    }

    async fn leave_here(&self, flight_id: &FlightId) -> Option<Epoch> {
        let turn = self.supervisor.recoveries.turn(flight_id).await;
        let shared = self.registry.shared(flight_id)?;
        // What it has taken would not become durable.
        if self.writer.state().condition() != Condition::Writing || !shared.begin_to_leave() {
            return None;
        }
        let until = Instant::now() + LEAVING_MAX;
        // Each permit is a request that has no answer yet.
        while shared.gauge.under_way() > 0 {
            if Instant::now() >= until {
                shared.stay();
                return None;
            }
            tokio::time::sleep(LEAVING_LOOK).await;
        }
        if shared.standing() != Standing::Leaving {
            return None;
        }
        shared.retire_actor();
        let address = shared.actor.take();
        if let Some(address) = address {
            // Answered after the turn that may be going on.
            let _ = address.send(Signal::Retire).await;
        }
        // What it has decided by itself is durable after this, too.
        self.supervisor.writer.barrier().await;
        if !shared.leave() {
            if shared.standing() == Standing::Recovering {
                // Its actor panicked at the last moment, when it was no more the one that is recovered for that.
                let _ = self.supervisor.recover(&shared, &turn).await;
            }
            return None;
        }
        Some(shared.epoch())
    }

    async fn take_over(
        &self,
        flight_id: &FlightId,
        _turn: &RecoveryRight<'_>,
    ) -> Result<(Seq, Epoch), RestartError> {
        let recovered = (self.supervisor.recover)(flight_id.clone()).await.map_err(RestartError::Failed)?;
        let recovered = recovered.ok_or(RestartError::NotFound)?;
        let (seq, epoch) = (recovered.flight.seq(), recovered.epoch);
        self.adopt(recovered);
        Ok((seq, epoch))
    }
}
