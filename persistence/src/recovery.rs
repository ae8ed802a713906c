//! Recovery: what store and journal hold becomes a running flight, owned under a new epoch.
//! Never guesses: a flight whose history has a hole, or cannot have happened, does not come up; the others do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farerush_engine::flight::{BrokenInvariant, Epoch, Flight, FlightId, Seq};
use farerush_engine::journal::{Claim, Extent, Journal, JournalError};
use tokio::task::{JoinSet, spawn_blocking};

use crate::store::{Cursor, Store, StoreError};

/// Events read from the journal at a time.
const PAGE_EVENTS: usize = 4_096;
/// Flights rebuilt at the same time.
const REBUILDS_MAX: usize = 4;
/// How often a claim that came too late is made again, with a larger epoch.
const CLAIM_TRIES_MAX: usize = 8;

/// A flight that came up.
#[derive(Debug)]
pub struct Recovered {
    /// The flight, after the last durable event; its invariants hold.
    pub flight: Flight,
    /// The epoch it is owned under from now on.
    pub epoch: Epoch,
    /// How far the store has it.
    pub stored: Seq,
    /// Events replayed from the journal.
    pub replayed: u64,
    /// The journal knew no event of the flight, though the store does: the flight came up at the store's cursor.
    /// Events acknowledged after that one, if there were any, are lost.
    pub journal_was_empty: bool,
    /// How long it took.
    pub took: Duration,
}

/// Why a flight did not come up.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// Neither journal nor store knows an event of it.
    #[error("{flight_id} is not known")]
    NotFound {
        /// Which flight.
        flight_id: FlightId,
    },
    /// The journal does not reach back to where the store ends.
    #[error("{flight_id}: the store ends at event {stored}, but the journal begins at {first}")]
    Hole {
        /// Which flight.
        flight_id: FlightId,
        /// The store's cursor.
        stored: Seq,
        /// The first event the journal has after it.
        first: Seq,
    },
    /// The journal ends before the store does, as after a journal was put back from an old copy. New events would
    /// not follow what it holds, so that it refuses them; an empty journal would do.
    #[error("{flight_id}: the journal ends at event {last}, but the store has {stored}; is it an old copy?")]
    JournalBehind {
        /// Which flight.
        flight_id: FlightId,
        /// The journal's last event.
        last: Seq,
        /// The store's cursor.
        stored: Seq,
    },
    /// Its history cannot have happened.
    #[error("{flight_id}, at event {seq}")]
    Broken {
        /// Which flight.
        flight_id: FlightId,
        /// The last event that went in.
        seq: Seq,
        /// What is wrong.
        #[source]
        source: BrokenInvariant,
    },
    /// Others claim the flight at the same time, again and again.
    #[error("{flight_id} is claimed by somebody else, under epoch {epoch}")]
    Contended {
        /// Which flight.
        flight_id: FlightId,
        /// The other's epoch.
        epoch: Epoch,
    },
    /// The journal failed.
    #[error("journal")]
    Journal(#[from] JournalError),
    /// The store failed.
    #[error("store")]
    Store(#[from] StoreError),
    /// The rebuilding itself failed.
    #[error("rebuilding {flight_id} panicked")]
    Panicked {
        /// Which flight.
        flight_id: FlightId,
    },
}

/// Takes over one flight and brings it up: claims the next epoch in the store, fences the journal, reads the store
/// at its cursor, replays the journal's tail, checks every invariant. Not to be dropped half-way.
pub async fn recover(
    journal: &Arc<dyn Journal>,
    store: &Store,
    flight_id: &FlightId,
) -> Result<Recovered, RecoveryError> {
    let started = Instant::now();
    let epoch = claim_and_fence(journal, store, flight_id).await?;
    rebuild(Arc::clone(journal), store.clone(), flight_id.clone(), epoch, started).await
}

/// Takes over every flight that journal or store knows. A flight that does not come up is an error of its own;
/// the call as a whole fails only if journal or store do.
pub async fn recover_all(
    journal: &Arc<dyn Journal>,
    store: &Store,
) -> Result<Vec<(FlightId, Result<Recovered, RecoveryError>)>, RecoveryError> {
    // By flight: the epoch to claim at least, and whether there is any event. There is none where an owner claimed a
    // flight and went away before creating it.
    let mut known: BTreeMap<FlightId, (Epoch, bool)> = BTreeMap::new();
    for cursor in store.cursors().await? {
        known.insert(cursor.flight_id, (Epoch(1), cursor.seq > Seq(0)));
    }
    for extent in blocking(journal, |journal| journal.extents()).await? {
        let (epoch, has_events) = known.entry(extent.flight_id).or_default();
        *epoch = extent.epoch.next();
        *has_events |= extent.last > Seq(0);
    }
    let claims: Vec<Claim> = known
        .into_iter()
        .filter(|(_, (_, has_events))| *has_events)
        .map(|(flight_id, (epoch, _))| Claim { flight_id, epoch })
        .collect();
    let claimed = store.claim(&claims).await?;
    let fences = claimed.iter().map(|Cursor { flight_id, epoch, .. }| (flight_id.clone(), *epoch));
    let fences: Vec<Claim> = fences.map(|(flight_id, epoch)| Claim { flight_id, epoch }).collect();
    let all_fenced = match blocking(journal, move |journal| journal.fence(&fences)).await {
        Ok(()) => true,
        Err(JournalError::Fenced { .. }) => false, // somebody was faster with one of them
        Err(error) => return Err(error.into()),
    };
    let mut rebuilds = JoinSet::new();
    let mut recovered = Vec::with_capacity(claimed.len());
    for Cursor { flight_id, epoch, .. } in claimed {
        while rebuilds.len() >= REBUILDS_MAX {
            recovered.extend(rebuilds.join_next().await.and_then(Result::ok));
        }
        let (journal, store) = (Arc::clone(journal), store.clone());
        rebuilds.spawn(async move {
            let result = if all_fenced {
                rebuild(journal, store, flight_id.clone(), epoch, Instant::now()).await
            } else {
                recover(&journal, &store, &flight_id).await
            };
            (flight_id, result)
        });
    }
    while let Some(done) = rebuilds.join_next().await {
        recovered.extend(done);
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
        let fence = [Claim { flight_id: flight_id.clone(), epoch }];
        match blocking(journal, move |journal| journal.fence(&fence)).await {
            Ok(()) => return Ok(epoch),
            Err(JournalError::Fenced { epoch, .. }) => known = epoch,
            Err(error) => return Err(error.into()),
        }
    }
    Err(RecoveryError::Contended { flight_id: flight_id.clone(), epoch: known })
}

/// Brings up a flight that is claimed and fenced.
async fn rebuild(
    journal: Arc<dyn Journal>,
    store: Store,
    flight_id: FlightId,
    epoch: Epoch,
    started: Instant,
) -> Result<Recovered, RecoveryError> {
    // Read after the fence: from here on neither moves but by this owner.
    let last = extent(&journal, &flight_id).await?.map_or(Seq(0), |extent| extent.last);
    let snapshot = store.snapshot(&flight_id).await?;
    let stored = snapshot.as_ref().map_or(Seq(0), |(_, cursor)| cursor.seq);
    if last == Seq(0) && stored == Seq(0) {
        return Err(RecoveryError::NotFound { flight_id });
    }
    if last > Seq(0) && last < stored {
        return Err(RecoveryError::JournalBehind { flight_id, last, stored });
    }
    let id = flight_id.clone();
    let rebuilt = spawn_blocking(move || {
        let restored = match snapshot {
            None => None,
            Some((snapshot, _)) => {
                Some(Flight::restore(snapshot).map_err(|source| broken(&id, stored, source))?)
            }
        };
        replay(&*journal, &id, restored, last, |_| ())
    });
    let (flight, replayed) =
        rebuilt.await.map_err(|_| RecoveryError::Panicked { flight_id: flight_id.clone() })??;
    flight.check().map_err(|source| broken(&flight_id, flight.seq(), source))?;
    let journal_was_empty = last == Seq(0);
    Ok(Recovered { flight, epoch, stored, replayed, journal_was_empty, took: started.elapsed() })
}

/// Brings a flight (none: from its creation on) up to event `until` by what the journal has; says also how many
/// events that took. `watch` sees the flight after each event.
pub(crate) fn replay(
    journal: &dyn Journal,
    flight_id: &FlightId,
    mut flight: Option<Flight>,
    until: Seq,
    mut watch: impl FnMut(&Flight),
) -> Result<(Flight, u64), RecoveryError> {
    let mut replayed = 0;
    loop {
        let after = flight.as_ref().map_or(Seq(0), Flight::seq);
        if let Some(flight) = flight.take_if(|flight| flight.seq() >= until) {
            return Ok((flight, replayed));
        }
        let page = match journal.read(flight_id, after, PAGE_EVENTS) {
            Ok(page) => page,
            Err(JournalError::Trimmed { first, .. }) => {
                return Err(RecoveryError::Hole { flight_id: flight_id.clone(), stored: after, first });
            }
            Err(error) => return Err(error.into()),
        };
        let first = page.first().map_or(Seq(0), |event| event.seq);
        if first != after.next() {
            return Err(RecoveryError::Hole { flight_id: flight_id.clone(), stored: after, first });
        }
        for recorded in page.iter().filter(|recorded| recorded.seq <= until) {
            let flight = match &mut flight {
                Some(flight) => {
                    flight.apply(recorded);
                    flight
                }
                None => {
                    let created = Flight::create(recorded);
                    flight.insert(created.map_err(|source| broken(flight_id, recorded.seq, source))?)
                }
            };
            if let Some(source) = flight.broken() {
                return Err(broken(flight_id, recorded.seq, source.clone()));
            }
            replayed += 1;
            watch(flight);
        }
    }
}

fn broken(flight_id: &FlightId, seq: Seq, source: BrokenInvariant) -> RecoveryError {
    RecoveryError::Broken { flight_id: flight_id.clone(), seq, source }
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
