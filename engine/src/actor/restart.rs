//! How a flight is restarted from what is durable, or taken over, when somebody asks for it.
//! Never restarts one flight twice at the same time.

use std::sync::Arc;
use std::time::Instant;

use super::engine::Engine;
use super::recoveries::{RecoveryRight, Restarted};
use super::shared::Standing;
use crate::flight::{Epoch, FlightId, IdempotencyKey, Seq};

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
