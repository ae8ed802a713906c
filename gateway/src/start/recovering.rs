//! How flights come up at the start and again later, and what is to be said about it: from what, and whether something
//! that was acknowledged may be lost. Never answers a request.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use farerush_engine::actor::{Engine, Recover, RecoveredFlight};
use farerush_engine::flight::{FlightId, IdSecrets, Seq};
use farerush_engine::journal::{Durability, Extent, Journal, JournalError};
use farerush_persistence::journal::RedisJournal;
use farerush_persistence::recovery::{
    AllRecovered, KnownFlight, Recovered, RecoveryError, known_flights, recover, recover_all_from_journal,
    recover_claimed, recover_from_journal, recover_these,
};
use farerush_persistence::store::Store;
use farerush_persistence::write_behind::{Hooks, StoreState, WriteBehind};

use crate::base::errors::in_full;
use crate::parts::other_servers::OtherServers;
use crate::parts::recoveries::Recoveries;
use crate::start::config::{JournalTarget, Settings, StoreTarget};
use crate::start::owning::Owning;
use crate::start::storage::{StartError, open_store, wait_for};

/// How long a flight that is recovered while this process runs waits for the store to get what is still on its way
/// there: should the journal have lost it, it is not lost yet.
const CATCH_UP: Duration = Duration::from_secs(2);

/// So many flights come up at a time before anything is sold, and so long; those that are left then come up while it is sold.
const FLIGHTS_AT_A_TIME: usize = 256;
const BEFORE_SELLING: Duration = Duration::from_millis(600);

/// How long such a flight waits for a journal that is away, and how often it is tried.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(10);
const JOURNAL_PAUSE: Duration = Duration::from_millis(100);

/// What a start found.
pub struct BroughtUp {
    /// The store, which may not be there.
    pub store: Store,
    /// What became of each flight.
    pub flights: AllRecovered,
    /// Flights that are left to their owners for now, to be taken over later.
    pub later: Vec<FlightId>,
    /// Flights that are to be brought up while the others sell already, because there are many.
    pub left: Vec<KnownFlight>,
    /// Why the store was left out, if it was.
    pub without_store: Option<String>,
}

/// Opens the store, brings its tables up to date and recovers all flights; waits for servers until `until`. A MySQL
/// server that stays away is left out, if the journal has flights and replies do not wait for the store. Where this server
/// is not alone, the others give it what is its share once it serves. `by_lease`: what is left may be taken by whose lease
/// has ended.
pub async fn bring_up(
    settings: &Settings,
    journal: &Arc<dyn Journal>,
    until: Instant,
    owning: Option<&Owning>,
    secrets: &Arc<IdSecrets>,
    is_alone: bool,
    by_lease: Option<&Arc<RedisJournal>>,
) -> Result<BroughtUp, StartError> {
    let attempt = async || {
        let store = open_store(settings, Some(secrets), true).await?;
        store.migrate().await?;
        if let Some(owning) = owning {
            owning.claim(&store, settings).await?;
        }
        if let Some(secret) = store.settle_ids(secrets).await? {
            return Err(StartError::OtherIdSecret { store: store.describe(), secret });
        }
        let later = flights_for_later(settings, journal, Some(&store)).await?;
        let takes_all = is_alone && later.is_empty();
        let many = match by_lease {
            Some(redis) if takes_all => many_named(redis, &store).await?,
            _ => None,
        };
        let (flights, left) = match many {
            Some(left) => (AllRecovered::new(), left),
            None if takes_all => bring_up_first(journal, &store).await?,
            None => (AllRecovered::new(), Vec::new()),
        };
        Ok(BroughtUp { store, flights, later, left, without_store: None })
    };
    let may_do_without = matches!(settings.store, StoreTarget::MySql(_))
        && settings.journal != JournalTarget::Memory
        && settings.durability != Durability::Store;
    let first_until = match may_do_without {
        true => until.min(Instant::now() + settings.store_start_timeout),
        false => until,
    };
    let error = match wait_for(settings, first_until, attempt).await {
        Err(error @ StartError::GaveUp { .. }) if may_do_without && error.is_of_store() => error,
        done => return done,
    };
    if !has_flights(settings, journal, until).await? {
        tracing::warn!("the journal has no flights, so that nothing can come up without the store");
        return wait_for(settings, until, attempt).await;
    }
    let why = in_full(&error);
    tracing::warn!(
        why,
        "the store is away: the flights come up from the journal alone and sell. Lists and flights that only the store \
         knows are missing until it is back, and an old copy of a journal would not be noticed"
    );
    let store = open_store(settings, Some(secrets), false).await?;
    let recover = async || {
        let later = flights_for_later(settings, journal, None).await?;
        let takes_all = is_alone && later.is_empty();
        let flights = if takes_all { recover_all_from_journal(journal).await? } else { Vec::new() };
        Ok((flights, later))
    };
    let (flights, later) = wait_for(settings, until, recover).await?;
    Ok(BroughtUp { store, flights, later, left: Vec::new(), without_store: Some(why) })
}

/// All flights that there may be, if they are many: in Redis it takes its time to ask of each how far it is.
async fn many_named(
    redis: &Arc<RedisJournal>,
    store: &Store,
) -> Result<Option<Vec<KnownFlight>>, RecoveryError> {
    let asked = redis.clone();
    let listed = tokio::task::spawn_blocking(move || asked.listed_flights()).await;
    let listed = listed.unwrap_or_else(|error| {
        let what = "a call panicked".to_owned();
        Err(JournalError::Unavailable { what, source: Some(Box::new(error)) })
    });
    let mut flights: BTreeSet<FlightId> = listed?.into_iter().collect();
    let stored = store.cursors().await?.into_iter().filter(|cursor| cursor.seq > Seq(0));
    flights.extend(stored.map(|cursor| cursor.flight_id));
    let are_many = flights.len() > FLIGHTS_AT_A_TIME;
    Ok(are_many.then(|| flights.into_iter().map(KnownFlight::named).collect()))
}

/// Brings up what comes up soon; gives also what is left.
async fn bring_up_first(
    journal: &Arc<dyn Journal>,
    store: &Store,
) -> Result<(AllRecovered, Vec<KnownFlight>), RecoveryError> {
    let began = Instant::now();
    let mut known = known_flights(journal, store).await?;
    known.retain(|flight| flight.has_events);
    let mut recovered = AllRecovered::new();
    while !known.is_empty() && (recovered.is_empty() || began.elapsed() < BEFORE_SELLING) {
        let next: Vec<KnownFlight> = known.drain(..FLIGHTS_AT_A_TIME.min(known.len())).collect();
        recovered.extend(recover_these(journal, store, &next).await?);
    }
    Ok((recovered, known))
}

/// The flights there are, if others may have them and are to keep them for now.
async fn flights_for_later(
    settings: &Settings,
    journal: &Arc<dyn Journal>,
    store: Option<&Store>,
) -> Result<Vec<FlightId>, StartError> {
    let is_shared = matches!(settings.journal, JournalTarget::Redis(_));
    if settings.take_over_delay.is_zero() || !is_shared {
        return Ok(Vec::new());
    }
    let mut flights: BTreeSet<FlightId> =
        extents(journal).await?.into_iter().map(|it| it.flight_id).collect();
    if let Some(store) = store {
        let stored = store.cursors().await?.into_iter().filter(|cursor| cursor.seq > Seq(0));
        flights.extend(stored.map(|cursor| cursor.flight_id));
    }
    Ok(flights.into_iter().collect())
}

async fn extents(journal: &Arc<dyn Journal>) -> Result<Vec<Extent>, StartError> {
    let journal = Arc::clone(journal);
    let extents = tokio::task::spawn_blocking(move || journal.extents()).await;
    Ok(extents.map_err(|error| StartError::Thread(std::io::Error::other(error)))??)
}

async fn has_flights(
    settings: &Settings,
    journal: &Arc<dyn Journal>,
    until: Instant,
) -> Result<bool, StartError> {
    let look = async || Ok(extents(journal).await?.iter().any(|extent| extent.last > Seq(0)));
    wait_for(settings, until, look).await
}

/// What recovery needs to know of the process around it.
#[derive(Clone)]
pub struct RecoveryContext {
    /// Where events become durable.
    pub journal: Arc<dyn Journal>,
    /// The SQL side.
    pub store: Store,
    /// What fills it.
    pub write_behind: WriteBehind,
    /// What others may do.
    pub other_servers: Arc<OtherServers>,
    /// How flights came up.
    pub recoveries: Arc<Recoveries>,
}

impl RecoveryContext {
    /// Serves what a start found.
    pub fn adopt_all(&self, engine: &Engine, flights: AllRecovered) {
        for (flight_id, result) in flights {
            match result {
                Ok(recovered) => drop(engine.adopt(self.welcome(&flight_id, recovered))),
                // Claimed once, but never created.
                Err(RecoveryError::NotFound { .. }) => {}
                Err(error) => engine.quarantine(flight_id, in_full(&error)),
            }
        }
    }

    /// How the engine brings one flight up again.
    pub fn recovery(self) -> Recover {
        Arc::new(move |flight_id| {
            let around = self.clone();
            Box::pin(async move {
                match around.recover(&flight_id).await {
                    Ok(recovered) => {
                        around.other_servers.came_up(&flight_id);
                        Ok(Some(around.welcome(&flight_id, recovered)))
                    }
                    Err(RecoveryError::NotFound { .. }) => Ok(None),
                    Err(error) => Err(in_full(&error)),
                }
            })
        })
    }

    async fn recover(&self, flight_id: &FlightId) -> Result<Recovered, RecoveryError> {
        if self.write_behind.status().store == StoreState::Up {
            self.write_behind.flight_caught_up(flight_id, CATCH_UP).await;
        }
        let until = Instant::now() + JOURNAL_PATIENCE;
        loop {
            match self.recover_once(flight_id).await {
                // It would be stopped until somebody comes, for a journal that is back in a moment.
                Err(RecoveryError::Journal(JournalError::Unavailable { .. })) if Instant::now() < until => {
                    tokio::time::sleep(JOURNAL_PAUSE).await;
                }
                done => return done,
            }
        }
    }

    async fn recover_once(&self, flight_id: &FlightId) -> Result<Recovered, RecoveryError> {
        if let Some(epoch) = self.other_servers.take_claimed(flight_id) {
            return match recover_claimed(&self.journal, Some(&self.store), flight_id, epoch).await {
                Err(RecoveryError::Store(error)) if error.is_transient() => {
                    recover_claimed(&self.journal, None, flight_id, epoch).await
                }
                done => done,
            };
        }
        match recover(&self.journal, &self.store, flight_id).await {
            Err(RecoveryError::Store(error)) if error.is_transient() => {
                tracing::warn!(%flight_id, error = in_full(&error), "the store is away: recovering from the journal alone");
                recover_from_journal(&self.journal, flight_id).await
            }
            done => done,
        }
    }

    /// Tells everybody of a flight that came up.
    fn welcome(&self, flight_id: &FlightId, recovered: Recovered) -> RecoveredFlight {
        self.recoveries.note(flight_id, &recovered);
        let Recovered { flight, epoch, stored, met_store, store_has_hole, journal_was_empty, .. } = recovered;
        // A store that has nothing, while the journal no longer has everything, is as good as none.
        if !met_store || (store_has_hole && stored == Seq(0)) {
            self.other_servers.came_up_alone(flight_id);
        } else {
            self.write_behind.register(flight_id, epoch, stored, flight.seq());
            if journal_was_empty {
                self.write_behind.want_snapshot(flight_id);
            }
        }
        RecoveredFlight { flight, epoch, stored }
    }
}

/// A place where the engine will be, for those it needs at its own start.
pub type EnginePlace = Arc<OnceLock<Weak<Engine>>>;

/// What the write-behind tells the engine.
pub fn hooks(engine: &EnginePlace, other_servers: &Arc<OtherServers>) -> Hooks {
    let (stored, fenced, other_servers) = (engine.clone(), engine.clone(), other_servers.clone());
    let reach = |place: &OnceLock<Weak<Engine>>| place.get().and_then(Weak::upgrade);
    Hooks {
        on_stored: Box::new(move |flight_id, seq| {
            if let Some(engine) = reach(&stored) {
                engine.note_stored(flight_id, seq);
            }
        }),
        on_fenced: Box::new(move |flight_id, epoch| {
            // A claim in the store alone may have come to nothing. One that came up without the store is looked at once
            // the store is asked.
            if let Some(engine) = reach(&fenced).filter(|_| !other_servers.is_unmet(flight_id)) {
                other_servers.claimed_in_store(&engine, flight_id, epoch);
            }
        }),
    }
}
