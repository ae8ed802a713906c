//! Recovery: what store and journal hold becomes a running flight, owned under a new epoch; of the two, either will do.
//! Never guesses: a flight whose history has a hole, or cannot have happened, does not come up; the others do.

mod outcome;
mod rebuilds;
mod replay;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use farerush_engine::flight::{Epoch, Flight, FlightId, Seq};
use farerush_engine::journal::{Claim, Extent, Journal, JournalError};
use tokio::task::spawn_blocking;

use self::rebuilds::Rebuilds;
use self::replay::{beside_rows, from_journal, from_rows};
use crate::store::{Cursor, FLIGHTS_PER_CALL_MAX, Store, Waiting};

pub use self::outcome::{AllRecovered, Basis, Recovered, RecoveryError};
pub(crate) use self::replay::replay;

/// Flights rebuilt at the same time.
const REBUILDS_MAX: usize = 4;
/// How often a claim that came too late is made again, with a larger epoch.
const CLAIM_TRIES_MAX: usize = 8;

/// Takes over one flight and brings it up: claims the next epoch in the store, fences the journal, replays it (from the
/// first event or its snapshot on if it reaches back that far, else from what the store's rows say), checks every
/// invariant. A journal that could not bring the flight up alone gets a snapshot, before anything is sold on top of it.
/// Not to be dropped half-way.
pub fn recover<'a>(
    journal: &'a Arc<dyn Journal>,
    store: &'a Store,
    flight_id: &'a FlightId,
) -> Waiting<'a, Result<Recovered, RecoveryError>> {
    Box::pin(async move {
        let started = Instant::now();
        let epoch = claim_and_fence(journal, store, flight_id).await?;
        rebuild(Arc::clone(journal), Some(store.clone()), flight_id.clone(), epoch, started).await
    })
}

/// The same while the store is away: from the journal's events, or its snapshot and what follows. The store learns of
/// the epoch by the first flush under it.
pub fn recover_from_journal<'a>(
    journal: &'a Arc<dyn Journal>,
    flight_id: &'a FlightId,
) -> Waiting<'a, Result<Recovered, RecoveryError>> {
    Box::pin(async move {
        let started = Instant::now();
        let extent = extent(journal, flight_id).await?;
        let Some(extent) = extent.filter(|extent| extent.last > Seq(0)) else {
            return Err(RecoveryError::NotFound { flight_id: flight_id.clone() });
        };
        let epoch = fence_past(journal, flight_id, extent.epoch).await?;
        rebuild(Arc::clone(journal), None, flight_id.clone(), epoch, started).await
    })
}

/// The same for a flight that is claimed and fenced under `epoch` already; without a store while that is away.
pub fn recover_claimed<'a>(
    journal: &'a Arc<dyn Journal>,
    store: Option<&'a Store>,
    flight_id: &'a FlightId,
    epoch: Epoch,
) -> Waiting<'a, Result<Recovered, RecoveryError>> {
    let store = store.cloned();
    Box::pin(rebuild(Arc::clone(journal), store, flight_id.clone(), epoch, Instant::now()))
}

/// Takes over every flight that journal or store knows. A flight that does not come up is an error of its own;
/// the call as a whole fails only if journal or store do.
pub fn recover_all<'a>(
    journal: &'a Arc<dyn Journal>,
    store: &'a Store,
) -> Waiting<'a, Result<AllRecovered, RecoveryError>> {
    Box::pin(async move {
        let mut known = known_flights(journal, store).await?;
        known.retain(|flight| flight.has_events);
        recover_these(journal, store, &known).await
    })
}

/// A flight that journal or store knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFlight {
    /// Which one it is.
    pub flight_id: FlightId,
    /// The last event that journal or store have of it; 0 of one that cannot be read.
    pub last: Seq,
    /// Whether there may be any event. There is none where an owner claimed a flight and went away before creating it.
    pub has_events: bool,
    /// The epoch to claim at least.
    epoch: Epoch,
}

/// Every flight that journal or store knows, by id. Nothing is claimed.
pub fn known_flights<'a>(
    journal: &'a Arc<dyn Journal>,
    store: &'a Store,
) -> Waiting<'a, Result<Vec<KnownFlight>, RecoveryError>> {
    Box::pin(async move {
        let mut known: BTreeMap<FlightId, KnownFlight> = BTreeMap::new();
        for Cursor { flight_id, seq, .. } in store.cursors().await? {
            let flight = KnownFlight {
                flight_id: flight_id.clone(),
                last: seq,
                has_events: seq > Seq(0),
                epoch: Epoch(1),
            };
            known.insert(flight_id, flight);
        }
        for extent in blocking(journal, |journal| journal.extents()).await? {
            let flight = known.entry(extent.flight_id.clone()).or_insert_with(|| KnownFlight {
                flight_id: extent.flight_id.clone(),
                last: Seq(0),
                has_events: false,
                epoch: Epoch(0),
            });
            flight.epoch = extent.epoch.next();
            flight.last = flight.last.max(extent.last);
            flight.has_events |= may_have_events(&extent);
        }
        Ok(known.into_values().collect())
    })
}

impl KnownFlight {
    /// One of which no more is known than that it may be there.
    pub const fn named(flight_id: FlightId) -> Self {
        Self { flight_id, last: Seq(0), has_events: true, epoch: Epoch(1) }
    }
}

/// Takes over these flights. A flight that does not come up is an error of its own; the call as a whole fails only if
/// journal or store do.
pub fn recover_these<'a>(
    journal: &'a Arc<dyn Journal>,
    store: &'a Store,
    flights: &'a [KnownFlight],
) -> Waiting<'a, Result<AllRecovered, RecoveryError>> {
    Box::pin(async move {
        let claim = |flight: &KnownFlight| Claim { flight_id: flight.flight_id.clone(), epoch: flight.epoch };
        let claims: Vec<Claim> = flights.iter().map(claim).collect();
        bring_up_all(journal, Some(store), claim_all(store, &claims).await?).await
    })
}

/// Claims all of them in the store, in as many calls as they need: a flight that was left out would simply be missing.
async fn claim_all(store: &Store, wanted: &[Claim]) -> Result<Vec<Claim>, RecoveryError> {
    let mut claims = Vec::with_capacity(wanted.len());
    for part in wanted.chunks(FLIGHTS_PER_CALL_MAX) {
        let claimed = store.claim(part).await?;
        claims.extend(claimed.into_iter().map(|Cursor { flight_id, epoch, .. }| Claim { flight_id, epoch }));
    }
    Ok(claims)
}

/// Takes over every flight that the journal knows, while the store is away. Flights that only the store knows stay
/// unknown, and what the store has beyond an old copy of a journal is not noticed.
pub fn recover_all_from_journal(
    journal: &Arc<dyn Journal>,
) -> Waiting<'_, Result<AllRecovered, RecoveryError>> {
    Box::pin(async move {
        let extents = blocking(journal, |journal| journal.extents()).await?;
        let known = extents.into_iter().filter(may_have_events);
        let claims = known.map(|extent| Claim { flight_id: extent.flight_id, epoch: extent.epoch.next() });
        bring_up_all(journal, None, claims.collect()).await
    })
}

/// A flight that nobody ever claimed and that has no events is one that cannot be read: it has to be looked at.
fn may_have_events(extent: &Extent) -> bool {
    extent.last > Seq(0) || extent.epoch == Epoch(0)
}

/// Fences flights that are claimed (in the store, if there is one) and brings them up.
async fn bring_up_all(
    journal: &Arc<dyn Journal>,
    store: Option<&Store>,
    mut claims: Vec<Claim>,
) -> Result<AllRecovered, RecoveryError> {
    let mut recovered: AllRecovered = Vec::with_capacity(claims.len());
    let all_fenced = loop {
        let fences = claims.clone();
        match blocking(journal, move |journal| journal.fence(&fences)).await {
            Ok(()) => break true,
            Err(JournalError::Fenced { .. }) => break false, // somebody was faster with one of them
            // One that cannot be read must not keep the others out.
            Err(JournalError::Damaged { flight_id: Some(flight_id), what })
                if claims.iter().any(|claim| claim.flight_id == flight_id) =>
            {
                claims.retain(|claim| claim.flight_id != flight_id);
                let error = JournalError::Damaged { flight_id: Some(flight_id.clone()), what };
                recovered.push((flight_id, Err(error.into())));
            }
            Err(error) => return Err(error.into()),
        }
    };
    let mut rebuilds = Rebuilds::default();
    for Claim { flight_id, epoch } in claims {
        if rebuilds.len() >= REBUILDS_MAX {
            recovered.extend(rebuilds.next().await);
        }
        let (journal, store, id) = (Arc::clone(journal), store.cloned(), flight_id.clone());
        rebuilds.start(flight_id, async move {
            match store {
                store if all_fenced => rebuild(journal, store, id, epoch, Instant::now()).await,
                Some(store) => recover(&journal, &store, &id).await,
                None => recover_from_journal(&journal, &id).await,
            }
        });
    }
    while let Some(done) = rebuilds.next().await {
        recovered.push(done);
    }
    recovered.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(recovered)
}

async fn claim_and_fence(
    journal: &Arc<dyn Journal>,
    store: &Store,
    flight_id: &FlightId,
) -> Result<Epoch, RecoveryError> {
    let extent = extent(journal, flight_id).await?;
    let cursor = store.cursor(flight_id).await?;
    if extent.as_ref().is_none_or(|extent| extent.last == Seq(0))
        && cursor.is_none_or(|cursor| cursor.seq == Seq(0))
    {
        return Err(RecoveryError::NotFound { flight_id: flight_id.clone() }); // and leave no trace of it
    }
    let mut known = extent.map_or(Epoch(0), |extent| extent.epoch);
    for _ in 0..CLAIM_TRIES_MAX {
        let claim = Claim { flight_id: flight_id.clone(), epoch: known.next() };
        let claimed = store.claim(&[claim]).await?;
        let epoch = claimed.first().map_or(known.next(), |cursor| cursor.epoch);
        match fence(journal, flight_id, epoch).await? {
            None => return Ok(epoch),
            Some(newer) => known = newer,
        }
    }
    Err(RecoveryError::Contended { flight_id: flight_id.clone(), epoch: known })
}

/// Fences the journal with the first epoch after `known` that nobody has.
async fn fence_past(
    journal: &Arc<dyn Journal>,
    flight_id: &FlightId,
    mut known: Epoch,
) -> Result<Epoch, RecoveryError> {
    for _ in 0..CLAIM_TRIES_MAX {
        let epoch = known.next();
        match fence(journal, flight_id, epoch).await? {
            None => return Ok(epoch),
            Some(newer) => known = newer,
        }
    }
    Err(RecoveryError::Contended { flight_id: flight_id.clone(), epoch: known })
}

/// Fences one flight; gives the epoch of whoever was faster.
async fn fence(
    journal: &Arc<dyn Journal>,
    flight_id: &FlightId,
    epoch: Epoch,
) -> Result<Option<Epoch>, RecoveryError> {
    let fence = [Claim { flight_id: flight_id.clone(), epoch }];
    match blocking(journal, move |journal| journal.fence(&fence)).await {
        Ok(()) => Ok(None),
        Err(JournalError::Fenced { epoch, .. }) => Ok(Some(epoch)),
        Err(error) => Err(error.into()),
    }
}

/// Brings up a flight that is claimed and fenced; without a store, from the journal alone.
async fn rebuild(
    journal: Arc<dyn Journal>,
    store: Option<Store>,
    flight_id: FlightId,
    epoch: Epoch,
    started: Instant,
) -> Result<Recovered, RecoveryError> {
    // Read after the fence: from here on neither moves but by this owner.
    let extent = extent(&journal, &flight_id).await?;
    let (first, last) = extent.map_or((Seq(0), Seq(0)), |extent| (extent.first, extent.last));
    let cursor = match &store {
        Some(store) => store.cursor(&flight_id).await?.unwrap_or_else(|| Cursor::new(&flight_id)),
        None => Cursor::new(&flight_id),
    };
    let stored = cursor.seq;
    if last == Seq(0) && stored == Seq(0) {
        return Err(RecoveryError::NotFound { flight_id });
    }
    // One that has a snapshot alone can go on behind the store's last event; one that has events cannot.
    let has_events = first > Seq(0) || (last > Seq(0) && !journal.keeps_snapshots());
    if has_events && last < stored {
        return Err(RecoveryError::JournalBehind { flight_id, last, stored });
    }
    let met_store = store.is_some();
    let rebuilt = match store {
        None => {
            rebuild_with(&journal, &flight_id, move |journal, id| from_journal(journal, id, last)).await?
        }
        Some(store) => {
            let replayed =
                move |journal: &dyn Journal, _: &FlightId| beside_rows(journal, &cursor, first, last);
            match rebuild_with(&journal, &flight_id, replayed).await? {
                Some(rebuilt) => rebuilt,
                None => {
                    let rows = store.snapshot(&flight_id).await?.map(|(snapshot, _)| snapshot);
                    let from_rows = move |journal: &dyn Journal, id: &FlightId| {
                        from_rows(journal, id, rows, has_events, last)
                    };
                    rebuild_with(&journal, &flight_id, from_rows).await?
                }
            }
        }
    };
    let (flight, replayed, basis) = rebuilt;
    if matches!(basis, Basis::Store | Basis::StoreAndJournal) {
        snapshot_for_journal(&journal, epoch, &flight).await?;
    }
    // A snapshot of what the store has says that nothing was sold behind it.
    let journal_was_empty = !has_events && last < flight.seq();
    // Whatever the journal has begins behind what follows the store's cursor.
    let store_has_hole = met_store && stored.next() < first;
    Ok(Recovered {
        flight,
        epoch,
        basis,
        stored,
        met_store,
        store_has_hole,
        replayed,
        journal_was_empty,
        took: started.elapsed(),
    })
}

/// Gives the journal a snapshot of a flight that it could not have brought up alone: what is sold from now on would begin
/// in the middle there, and be of no use without the store. Only a journal that is away keeps the flight from coming up.
async fn snapshot_for_journal(
    journal: &Arc<dyn Journal>,
    epoch: Epoch,
    flight: &Flight,
) -> Result<(), RecoveryError> {
    if !journal.keeps_snapshots() {
        return Ok(());
    }
    let snapshot = flight.snapshot();
    let flight_id = snapshot.definition.flight_id.clone();
    match blocking(journal, move |journal| journal.put_snapshot(epoch, &snapshot)).await {
        Ok(()) => Ok(()),
        Err(error @ JournalError::Unavailable { .. }) => Err(error.into()),
        Err(error) => {
            tracing::warn!(%flight_id, %error, "the journal takes no snapshot: it cannot bring the flight up alone");
            Ok(())
        }
    }
}

/// Rebuilds where blocking does no harm, and a panic concerns nobody else.
async fn rebuild_with<T: Send + 'static>(
    journal: &Arc<dyn Journal>,
    flight_id: &FlightId,
    rebuild: impl FnOnce(&dyn Journal, &FlightId) -> Result<T, RecoveryError> + Send + 'static,
) -> Result<T, RecoveryError> {
    let (journal, id) = (Arc::clone(journal), flight_id.clone());
    let rebuilt = spawn_blocking(move || rebuild(&*journal, &id)).await;
    rebuilt.map_err(|_| RecoveryError::Panicked { flight_id: flight_id.clone() })?
}

async fn extent(journal: &Arc<dyn Journal>, flight_id: &FlightId) -> Result<Option<Extent>, JournalError> {
    let flight_id = flight_id.clone();
    blocking(journal, move |journal| journal.extent(&flight_id)).await
}

/// Calls the journal where blocking does no harm.
pub(crate) async fn blocking<T: Send + 'static>(
    journal: &Arc<dyn Journal>,
    call: impl FnOnce(&dyn Journal) -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    let journal = Arc::clone(journal);
    match spawn_blocking(move || call(&*journal)).await {
        Ok(result) => result,
        Err(error) => Err(JournalError::Unavailable {
            what: "a call of the journal panicked".to_owned(),
            source: Some(Box::new(error)),
        }),
    }
}
