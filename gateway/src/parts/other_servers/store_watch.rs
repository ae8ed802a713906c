//! What the store says of whose flights are whose, and what it missed while it was away.
//! Never takes its word for a claim: the journal decides whether anything came of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use farerush_engine::actor::{Engine, FlightHandle, Located};
use farerush_engine::flight::{Epoch, FlightId, Seq};
use farerush_engine::journal::{Extent, Journal, JournalError};
use farerush_persistence::store::{Cursor, StoreError};
use farerush_persistence::write_behind::WriteBehind;

use super::{OtherServers, blocking, has_moved, restart};
use crate::base::errors::in_full;

/// How often a flight's progress is noted again because it moved on meanwhile.
const REGISTER_TRIES: usize = 3;

impl OtherServers {
    /// Asks once.
    pub(super) async fn look(&self, engine: &Arc<Engine>, write_behind: &WriteBehind) {
        match self.ask_store().await {
            Ok(cursors) => {
                write_behind.note_store(None);
                self.store_is_back(engine, write_behind, &cursors).await;
                let owners = cursors.into_iter().filter(|cursor| cursor.seq > Seq(0));
                self.note_owners(engine, owners.map(|cursor| (cursor.flight_id, cursor.epoch)).collect())
                    .await;
            }
            Err(error) => {
                write_behind.note_store(Some(in_full(&error)));
                if let Ok(extents) = self.extents().await {
                    let owners = extents.into_iter().filter(|extent| extent.last > Seq(0));
                    self.note_owners(engine, owners.map(|extent| (extent.flight_id, extent.epoch)).collect())
                        .await;
                }
            }
        }
    }

    async fn ask_store(&self) -> Result<Vec<Cursor>, StoreError> {
        if self.is_store_missing.load(Ordering::Acquire) {
            self.store.migrate().await?;
        }
        self.store.cursors().await
    }

    /// Flights that came up without the store are stored from where it is; those that only it knows come up now.
    async fn store_is_back(&self, engine: &Arc<Engine>, write_behind: &WriteBehind, cursors: &[Cursor]) {
        let by_id: HashMap<&FlightId, &Cursor> =
            cursors.iter().map(|cursor| (&cursor.flight_id, cursor)).collect();
        let unmet: Vec<FlightId> = self.unmet.lock().iter().cloned().collect();
        for flight_id in unmet {
            let met = match engine.find(&flight_id) {
                Located::Here(flight) => {
                    self.meet(engine, write_behind, &flight, by_id.get(&flight_id).copied()).await
                }
                _ => true,
            };
            if met {
                self.unmet.lock().remove(&flight_id);
            }
        }
        if !self.is_store_missing.load(Ordering::Acquire) {
            return;
        }
        let mut all_seen = true;
        for cursor in cursors.iter().filter(|cursor| cursor.seq > Seq(0)) {
            if !matches!(engine.find(&cursor.flight_id), Located::Nobody) {
                continue;
            }
            match extent(&self.journal, &cursor.flight_id).await {
                // Somebody else's.
                Ok(Some(extent)) if extent.last > Seq(0) => {}
                Ok(_) => restart(engine, &cursor.flight_id, "only the store knows the flight").await,
                Err(_) => all_seen = false,
            }
        }
        if all_seen {
            self.is_store_missing.store(false, Ordering::Release);
            tracing::info!(store = %self.store.describe(), "the store is there now, and gets what it missed");
        }
    }

    /// Says whether it is settled how the store stands to this flight.
    async fn meet(
        &self,
        engine: &Arc<Engine>,
        write_behind: &WriteBehind,
        flight: &FlightHandle,
        cursor: Option<&Cursor>,
    ) -> bool {
        let (id, status) = (flight.flight_id(), flight.status());
        let (stored, epoch) = cursor.map_or((Seq(0), Epoch(0)), |cursor| (cursor.seq, cursor.epoch));
        if epoch > status.epoch {
            // Not settled before it is known whether anything comes of that claim.
            self.claimed_in_store(engine, id, status.epoch);
            return false;
        }
        if stored > status.durable_seq {
            restart(engine, id, "the store is ahead of the journal").await;
            return true;
        }
        let mut durable = status.durable_seq;
        for _ in 0..REGISTER_TRIES {
            write_behind.register(id, status.epoch, stored, durable);
            let now = flight.status().durable_seq;
            if now == durable {
                break;
            }
            durable = now; // handed over just before it was registered
        }
        engine.note_stored(id, stored);
        true
    }

    /// Takes flights that have a later owner out of service here, and notes which are elsewhere.
    async fn note_owners(&self, engine: &Engine, owners: Vec<(FlightId, Epoch)>) {
        let mut elsewhere = HashSet::new();
        for (flight_id, epoch) in owners {
            match engine.find(&flight_id) {
                Located::Here(flight) => {
                    let ours = flight.status().epoch;
                    if epoch > ours {
                        // A claim counts once the journal is fenced with it.
                        match self.has_moved(&flight_id, ours).await {
                            Ok(true) => {
                                engine.note_fenced_under(&flight_id, ours);
                                elsewhere.insert(flight_id);
                            }
                            Ok(false) => self.claimed_in_store(engine, &flight_id, ours),
                            // Whatever is shown meanwhile is shown for as long as ownership is certain.
                            Err(error) => {
                                tracing::debug!(%flight_id, error = in_full(&error), "whose it is cannot be asked");
                            }
                        }
                    }
                }
                Located::There | Located::Nobody => drop(elsewhere.insert(flight_id)),
                Located::Quarantined { .. } => {}
            }
        }
        *self.elsewhere.write() = elsewhere;
    }

    async fn has_moved(&self, flight_id: &FlightId, ours: Epoch) -> Result<bool, JournalError> {
        has_moved(&self.journal, flight_id, ours).await
    }

    async fn extents(&self) -> Result<Vec<Extent>, JournalError> {
        if !self.is_shared {
            return Ok(Vec::new());
        }
        let journal = Arc::clone(&self.journal);
        blocking(move || journal.extents()).await
    }
}

async fn extent(journal: &Arc<dyn Journal>, flight_id: &FlightId) -> Result<Option<Extent>, JournalError> {
    let (journal, flight_id) = (Arc::clone(journal), flight_id.clone());
    blocking(move || journal.extent(&flight_id)).await
}
