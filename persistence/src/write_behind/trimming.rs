//! What the journal is told once the store has come further: what it may let go of, and whole flights that it keeps.
//! Never lets anything go that the store has not synced.

use std::sync::Arc;

use farerush_engine::flight::{Epoch, FlightId, Seq};
use farerush_engine::journal::JournalError;
use tokio::time::Instant;

use super::task::{Task, in_full};

impl Task {
    pub(super) fn is_trim_due(&self) -> bool {
        // Also with nothing stored since: after a restart the journal knows of no flight how far the store has it.
        self.stored_since_trim >= self.options.trim_events
            || (self.last_trim.elapsed() >= self.options.trim_interval
                && self.shared.backlog.lock().has_moved())
    }

    /// Gives the journal snapshots of flights that have come far since their last ones, so that it can let go of what
    /// they cover and still bring the flights up alone.
    pub(super) async fn keep_snapshots(&self) {
        if !self.journal.keeps_snapshots() {
            return;
        }
        let due = {
            let backlog = self.shared.backlog.lock();
            backlog.snapshots_due(&backlog.moved(), self.options.snapshot_events)
        };
        for (flight_id, epoch) in due {
            if self.shared.is_stopping() {
                return;
            }
            match self.keep_snapshot(&flight_id, epoch).await {
                Ok(seq) => self.shared.backlog.lock().note_snapshot(&flight_id, seq),
                Err(error) => {
                    tracing::warn!(%flight_id, error, "no snapshot for the journal; trying again later");
                }
            }
        }
    }

    async fn keep_snapshot(&self, flight_id: &FlightId, epoch: Epoch) -> Result<Seq, String> {
        let found = self.store.snapshot(flight_id).await.map_err(|error| in_full(&error))?;
        // Under a later epoch it is the new owner's concern.
        let Some((snapshot, cursor)) = found.filter(|(_, cursor)| cursor.epoch <= epoch) else {
            return Ok(Seq(0));
        };
        let journal = Arc::clone(&self.journal);
        let put = tokio::task::spawn_blocking(move || journal.put_snapshot(epoch, &snapshot)).await;
        match put {
            Ok(Ok(()) | Err(JournalError::Fenced { .. })) => Ok(cursor.seq),
            Ok(Err(error)) => Err(in_full(&error)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Tells the journal what it need not keep: only what the store would still have after a power failure.
    pub(super) async fn trim(&mut self) {
        self.last_trim = Instant::now();
        let moved = self.shared.backlog.lock().take_moved();
        if moved.is_empty() {
            self.stored_since_trim = 0;
            return;
        }
        match self.store.sync().await {
            Ok(true) => {}
            Ok(false) => return self.shared.backlog.lock().put_back_moved(moved),
            Err(error) => {
                tracing::debug!(error = in_full(&error), "the journal is not trimmed for now");
                return self.shared.backlog.lock().put_back_moved(moved);
            }
        }
        self.stored_since_trim = 0;
        let journal = Arc::clone(&self.journal);
        let trimmed =
            tokio::task::spawn_blocking(move || journal.trim(&moved).map_err(|error| (error, moved)));
        match trimmed.await {
            Ok(Ok(())) => {}
            Ok(Err((error, moved))) => {
                tracing::warn!(error = in_full(&error), "the journal could not be trimmed");
                self.shared.backlog.lock().put_back_moved(moved);
            }
            Err(error) => tracing::error!(%error, "trimming the journal panicked"),
        }
    }
}
