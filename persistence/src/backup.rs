//! Backups of the embedded journal and store: a copy while they are written to, and one that is taken back to a moment.
//! Never puts a copy of the journal beside a younger one of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use farerush_engine::flight::{Epoch, FlightId, Recorded, Seq, Timestamp};
use farerush_engine::journal::{Batch, Claim, Extent, Journal, JournalError};

use crate::journal::embedded::{Copied, HeldSegments};
use crate::recovery::blocking;
use crate::store::{Cursor, Flushed, Store, StoreError, WebhookCursor, copy_sqlite};

/// Events that are read, appended and flushed at a time.
const PAGE_EVENTS: usize = 2_000;

/// Why there is no backup, or none of that moment.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The journal cannot be copied, read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store cannot be.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A flight's history does not reach back to the moment.
    #[error(
        "{flight_id} cannot be taken back that far: the store has it up to event {stored}, and the journal no longer has \
         the events from 1 on of which it could be made anew (it begins at event {first}). Nothing was restored; \
         an older backup reaches further back"
    )]
    TooEarly {
        /// The flight concerned.
        flight_id: FlightId,
        /// The store's last event of it.
        stored: Seq,
        /// The journal's first; 0 if it has none.
        first: Seq,
    },
    /// The store did not take events that the journal has.
    #[error("the store takes no events of {flight_id} from {seq} on: {what}")]
    NotTaken {
        /// The flight concerned.
        flight_id: FlightId,
        /// The first of them.
        seq: Seq,
        /// What it said.
        what: String,
    },
}

/// Copies a journal's folder and a SQLite store, whether or not a server uses them, to places that must not be there.
/// The store's copy is of one moment, the journal's of a later one: it has all that the store has.
pub async fn copy(
    (journal, store): (&Path, &Path),
    (to_journal, to_store): (&Path, &Path),
) -> Result<Copied, BackupError> {
    // Held from before the store's moment: what is removed since stays readable.
    let held = tokio::task::block_in_place(|| HeldSegments::of(journal))?;
    copy_sqlite(store, to_store).await?;
    Ok(tokio::task::block_in_place(|| held.copy_into(to_journal))?)
}

/// What taking a copy back to a moment has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TakenBack {
    /// Flights that there were at that moment.
    pub flights: u64,
    /// Their events in the journal.
    pub events: u64,
    /// Events after it, which are left out.
    pub left_out: u64,
    /// Flights that were created after it, which are left out.
    pub flights_left_out: u64,
}

/// Gives the empty journal `to` the events of `from` up to the moment `until`, and takes `store`, a copy that goes with
/// `from` and that nobody sells from, back to it. What was decided in that millisecond is in.
pub async fn take_back(
    from: &Arc<dyn Journal>,
    to: &Arc<dyn Journal>,
    store: &Store,
    until: Timestamp,
) -> Result<TakenBack, BackupError> {
    let extents = blocking(from, |journal| journal.extents()).await?;
    let extents: BTreeMap<FlightId, Extent> =
        extents.into_iter().map(|extent| (extent.flight_id.clone(), extent)).collect();
    let cursors: BTreeMap<FlightId, Cursor> =
        store.cursors().await?.into_iter().map(|cursor| (cursor.flight_id.clone(), cursor)).collect();
    let webhooks = store.webhook_cursors().await?.unwrap_or_default();
    let mut done = TakenBack::default();
    let all: BTreeSet<&FlightId> = extents.keys().chain(cursors.keys()).collect();
    for flight_id in all {
        let flight = Flight {
            id: flight_id,
            extent: extents.get(flight_id),
            stored: cursors.get(flight_id),
            webhook: webhooks.iter().find(|webhook| webhook.flight_id == *flight_id),
        };
        flight.take_back(from, to, store, until, &mut done).await?;
    }
    Ok(done)
}

/// What is known of one flight.
struct Flight<'a> {
    id: &'a FlightId,
    extent: Option<&'a Extent>,
    stored: Option<&'a Cursor>,
    webhook: Option<&'a WebhookCursor>,
}

impl Flight<'_> {
    async fn take_back(
        &self,
        from: &Arc<dyn Journal>,
        to: &Arc<dyn Journal>,
        store: &Store,
        until: Timestamp,
        done: &mut TakenBack,
    ) -> Result<(), BackupError> {
        let (first, last) = self.extent.map_or((Seq(0), Seq(0)), |extent| (extent.first, extent.last));
        let stored = self.stored.map_or(Seq(0), |cursor| cursor.seq);
        let is_stored_by_then =
            self.stored.is_none_or(|cursor| cursor.seq == Seq(0) || cursor.last_at <= until);
        let cut = self.copy_events(from, to, first, until, done).await?;
        let there_were_some = first > Seq(0) && last > cut;
        if there_were_some {
            done.left_out += last.0 - cut.0.max(first.0 - 1);
        }
        if !is_stored_by_then && first != Seq(1) {
            return Err(BackupError::TooEarly { flight_id: self.id.clone(), stored, first });
        }
        if !is_stored_by_then {
            store.forget(self.id).await?;
            self.fill(to, store, cut).await?;
        }
        let at = if is_stored_by_then { cut.max(stored) } else { cut };
        if at == Seq(0) {
            store.forget(self.id).await?;
            done.flights_left_out += u64::from(last > Seq(0) || stored > Seq(0));
            return Ok(());
        }
        done.flights += 1;
        if cut == Seq(0) {
            self.fence(to).await?;
        }
        if let Some(webhook) = self.webhook {
            let free = webhook.free.filter(|_| webhook.seq <= at);
            let webhook = WebhookCursor { flight_id: self.id.clone(), seq: webhook.seq.min(at), free };
            store.save_webhook_cursors(&[webhook]).await?;
        }
        Ok(())
    }

    /// The owner of before stays known, so that nobody older comes back.
    async fn fence(&self, to: &Arc<dyn Journal>) -> Result<(), BackupError> {
        if let Some(extent) = self.extent.filter(|extent| extent.epoch > Epoch(0)) {
            let claim = [Claim { flight_id: self.id.clone(), epoch: extent.epoch }];
            blocking(to, move |journal| journal.fence(&claim)).await?;
        }
        Ok(())
    }

    /// Copies the journal's events up to the moment; says which is the last of them, 0 if there is none.
    async fn copy_events(
        &self,
        from: &Arc<dyn Journal>,
        to: &Arc<dyn Journal>,
        first: Seq,
        until: Timestamp,
        done: &mut TakenBack,
    ) -> Result<Seq, BackupError> {
        let Some(epoch) = self.extent.map(|extent| extent.epoch).filter(|_| first > Seq(0)) else {
            return Ok(Seq(0));
        };
        let mut cut = Seq(0);
        loop {
            let after = if cut == Seq(0) { Seq(first.0 - 1) } else { cut };
            let mut events = self.page(from, after).await?;
            let read = events.len();
            // A flight's time never goes back.
            events.retain(|event| event.at <= until);
            let Some(newest) = events.last().map(|event| event.seq) else { return Ok(cut) };
            let is_all = events.len() < read || read == 0;
            done.events += events.len() as u64;
            if cut == Seq(0) {
                self.fence(to).await?;
            }
            let round = [Batch { flight_id: self.id.clone(), epoch, events }];
            blocking(to, move |journal| journal.append(&round)).await?;
            cut = newest;
            if is_all {
                return Ok(cut);
            }
        }
    }

    async fn page(&self, journal: &Arc<dyn Journal>, after: Seq) -> Result<Vec<Recorded>, JournalError> {
        let flight_id = self.id.clone();
        blocking(journal, move |journal| journal.read(&flight_id, after, PAGE_EVENTS)).await
    }

    /// Makes the flight's rows anew, of all that the journal has of it.
    async fn fill(&self, journal: &Arc<dyn Journal>, store: &Store, last: Seq) -> Result<(), BackupError> {
        let Some(epoch) = self.extent.map(|extent| extent.epoch).filter(|_| last > Seq(0)) else {
            return Ok(());
        };
        store.claim(&[Claim { flight_id: self.id.clone(), epoch }]).await?;
        let mut stored = Seq(0);
        while stored < last {
            let events = self.page(journal, stored).await?;
            let batch = Batch { flight_id: self.id.clone(), epoch, events };
            let newest = batch.last_seq();
            match store.flush(&[batch]).await?.first() {
                Some(Flushed::Stored) => stored = newest,
                other => {
                    let what = format!("{other:?}");
                    return Err(BackupError::NotTaken {
                        flight_id: self.id.clone(),
                        seq: stored.next(),
                        what,
                    });
                }
            }
        }
        Ok(())
    }
}
