//! What lies outside of this process: a journal and a store that others may use too, and flights that others serve.
//! Never changes who owns a flight, except to bring up one that nobody can be serving, or that is wanted here.

pub mod about;
pub mod actions;
pub mod arrivals;
mod attendance;
mod definitions;
mod doubts;
pub mod handovers;
pub mod lease;
mod lookups;
pub mod members;
mod new_primaries;
pub mod others;
mod ownership;
mod revivals;
mod store_watch;
mod takeovers;
mod whereabouts;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use farerush_engine::actor::Engine;
use farerush_engine::flight::{Epoch, FlightDefinition, FlightId};
use farerush_engine::journal::{Journal, JournalError};
use farerush_peers::Peers;
use farerush_persistence::journal::RedisJournal;
use farerush_persistence::store::{Store, StoredOrder};
use farerush_persistence::write_behind::WriteBehind;
use parking_lot::{Mutex, RwLock};

use self::attendance::Attendance;
use self::definitions::Definitions;
use self::doubts::Doubts;
use self::handovers::Handovers;
use self::lease::Lease;
use self::lookups::Lookups;
use self::ownership::ClaimsReader;
pub use self::ownership::Ownership;
use self::revivals::Revivals;
use self::takeovers::Takeovers;
pub use self::whereabouts::Whereabouts;
use crate::base::errors::in_full;
use crate::base::stopping::Stopping;
use crate::wire::problem::Problem;

/// How often the store is asked who owns what.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often claims of which nothing came so far are looked at.
const DOUBT_EVERY: Duration = Duration::from_millis(250);

/// What lies outside of this process.
pub struct OtherServers {
    journal: Arc<dyn Journal>,
    store: Store,
    /// Whether other processes may use the journal as well.
    is_shared: bool,
    /// Whether journal or store are servers, which may go away.
    is_remote: bool,
    /// Flights that are not served here.
    elsewhere: RwLock<HashSet<FlightId>>,
    /// Who serves which flights, and which nobody does.
    attendance: Attendance,
    /// How many they were when it was last counted: there may be very many.
    others: AtomicUsize,
    /// What flights are whose orders were shown here, though they are served elsewhere.
    definitions: Definitions,
    /// Claims that the store has and the journal has not.
    doubts: Doubts,
    /// Flights that the journal refused.
    revivals: Revivals,
    ownership: Arc<Ownership>,
    watch: Arc<ClaimsReader>,
    /// Flights that came up while the store was away: it has to be asked how far it is with them.
    unmet: Mutex<HashSet<FlightId>>,
    /// Whether the store has not been seen since the start.
    is_store_missing: AtomicBool,
    arrivals: Arc<arrivals::Arrivals>,
    /// This server's lease, where servers share flights.
    lease: Option<Arc<Lease>>,
    takeovers: Takeovers,
    handovers: Handovers,
    lookups: Lookups<bool>,
    owners: Lookups<Option<Epoch>>,
    places: whereabouts::Places,
    /// Requests that were handed on to other servers, since the start.
    forwarded: Arc<AtomicU64>,
}

/// What is tended while the server runs: what is known of the outside, and what follows from it here.
pub struct Upkeep {
    /// What is known.
    pub other_servers: Arc<OtherServers>,
    /// All flights.
    pub engine: Arc<Engine>,
    /// What fills the store.
    pub write_behind: WriteBehind,
    /// The journal, if it is in Redis.
    pub redis: Option<Arc<RedisJournal>>,
    /// The ways to other servers, where there may be some.
    pub peers: Option<Arc<Peers>>,
    /// When it ends.
    pub stopping: Arc<Stopping>,
}

impl OtherServers {
    /// Nothing is known yet. `is_shared` says whether other processes may have the journal, too; `store_is_remote`
    /// whether the store may come and go by itself.
    pub fn new(
        is_shared: bool,
        store_is_remote: bool,
        journal: Arc<dyn Journal>,
        store: Store,
        lease: Option<Arc<Lease>>,
    ) -> Self {
        let ownership = Arc::new(Ownership::new(is_shared, lease.clone()));
        Self {
            lookups: Lookups::of_events(journal.clone()),
            owners: Lookups::of_epochs(journal.clone()),
            places: whereabouts::Places::new(lease.as_ref()),
            watch: Arc::new(ClaimsReader::new(journal.clone(), ownership.clone())),
            ownership,
            journal,
            store,
            is_shared,
            is_remote: is_shared || store_is_remote,
            elsewhere: RwLock::default(),
            others: AtomicUsize::new(0),
            attendance: Attendance::default(),
            definitions: Definitions::default(),
            doubts: Doubts::default(),
            revivals: Revivals::default(),
            unmet: Mutex::default(),
            is_store_missing: AtomicBool::new(false),
            arrivals: Arc::default(),
            lease,
            takeovers: Takeovers::default(),
            handovers: Handovers::default(),
            forwarded: Arc::default(),
        }
    }

    /// This server's lease, where servers share flights.
    pub fn lease(&self) -> Option<&Arc<Lease>> {
        self.lease.as_ref()
    }

    /// The epoch under which a flight is claimed and fenced already, if it is; said once.
    pub fn take_claimed(&self, flight_id: &FlightId) -> Option<Epoch> {
        self.takeovers.take_claimed(flight_id)
    }

    /// How many flights were taken over from servers that were gone, since the start.
    pub fn flights_taken_over(&self) -> u64 {
        self.takeovers.count()
    }

    /// How many requests were handed on to other servers, since the start.
    pub fn forwarded(&self) -> Arc<AtomicU64> {
        self.forwarded.clone()
    }

    /// How many flights were handed over to other servers, since the start.
    pub fn flights_handed_over(&self) -> u64 {
        self.handovers.count()
    }

    /// Gives flights to the servers that they belong to, for as long as this one runs.
    pub async fn keep_placement(upkeep: Weak<Upkeep>) {
        handovers::watch(upkeep).await;
    }

    /// Takes those of these flights whose servers are gone; says which of them nobody ever had, if there is a lease to say it by.
    pub async fn take_left_alone(
        upkeep: &Arc<Upkeep>,
        redis: &Arc<RedisJournal>,
        flights: &[FlightId],
    ) -> Result<Vec<FlightId>, String> {
        takeovers::take_left_alone(upkeep, redis, flights).await
    }

    /// Compares new primaries of Redis with what was confirmed, for as long as this server runs.
    pub async fn meet_primaries(upkeep: Weak<Upkeep>) {
        new_primaries::watch(upkeep).await;
    }

    /// Takes flights over whose servers are gone, for as long as the server runs.
    pub async fn take_over_orphans(upkeep: Weak<Upkeep>) {
        takeovers::watch(upkeep).await;
    }

    /// Says that the start went on without the store.
    pub fn store_is_missing(&self) {
        self.is_store_missing.store(true, Ordering::Release);
    }

    /// Says that a flight came up without the store.
    pub fn came_up_alone(&self, flight_id: &FlightId) {
        self.unmet.lock().insert(flight_id.clone());
    }

    /// Whether the store has not been asked yet how far it is with this flight.
    pub fn is_unmet(&self, flight_id: &FlightId) -> bool {
        self.unmet.lock().contains(flight_id)
    }

    /// The journal, for those who read what happened. Its calls block.
    pub fn journal(&self) -> &Arc<dyn Journal> {
        &self.journal
    }

    /// Whether other processes may use the journal as well.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// How many flights there are that are not served here, as far as known. One that is just coming up here is not
    /// among them, nor one that has come up since it was looked who has which.
    pub fn flights_elsewhere(&self, engine: &Engine) -> usize {
        self.elsewhere.read().iter().filter(|flight_id| !engine.has(flight_id)).count()
    }

    /// The flights that journal or store have and nobody serves, neither this process nor another one that is there, by name.
    /// Of those that were it twice in a row: a flight that only moves is not among them.
    pub fn unserved(&self) -> Vec<FlightId> {
        self.attendance.unserved()
    }

    /// How many they are.
    pub fn flights_unserved(&self) -> usize {
        self.attendance.count()
    }

    /// Looks again and again who serves which flight, for as long as the server runs.
    pub async fn keep_attendance(upkeep: Weak<Upkeep>) {
        attendance::watch(upkeep).await;
    }

    /// The same as of the last second, which costs nothing.
    pub fn others(&self) -> usize {
        self.others.load(Ordering::Relaxed)
    }

    /// Until when it can be shown that flights are served here and nowhere else.
    pub fn ownership(&self) -> &Arc<Ownership> {
        &self.ownership
    }

    /// Flights that are on their way here.
    pub fn arrivals(&self) -> &Arc<arrivals::Arrivals> {
        &self.arrivals
    }

    /// Whether there is such a flight, though not here. The journal is asked, unless it was seen there before: nobody
    /// hears "no" who might have heard "yes", and who cannot be told is told that.
    pub async fn has(&self, flight_id: &FlightId) -> Result<bool, Problem> {
        if !self.is_shared {
            return Ok(false);
        }
        if self.elsewhere.read().contains(flight_id) {
            return Ok(true);
        }
        let is_there = self.lookups.ask(flight_id).await?;
        if is_there {
            self.elsewhere.write().insert(flight_id.clone());
        }
        Ok(is_there)
    }

    /// Whether somebody else has claimed a flight since it was served here under `epoch`, as of now. Many ask at once.
    pub async fn has_moved_since(&self, flight_id: &FlightId, epoch: Epoch) -> Result<bool, Problem> {
        if !self.is_shared {
            return Ok(false);
        }
        let newest = self.owners.ask(flight_id).await?;
        Ok(newest.is_some_and(|newest| newest > epoch))
    }

    /// What the flight of an order is, as the store has it.
    pub async fn definition_for(&self, stored: &StoredOrder) -> Option<Arc<FlightDefinition>> {
        self.definitions.of(&self.store, stored).await
    }

    /// Says that a flight was recovered here while the server ran.
    pub fn came_up(&self, flight_id: &FlightId) {
        self.watch.came_up(flight_id);
    }

    /// Says that the store belongs to a later claim than `ours`, under which a flight is served here. The journal decides
    /// whether anything came of it: where only this process can claim, nobody else could have come that far.
    pub fn claimed_in_store(&self, engine: &Engine, flight_id: &FlightId, ours: Epoch) {
        if self.is_shared {
            self.doubts.note(flight_id, ours);
        } else {
            engine.note_fenced_under(flight_id, ours);
        }
    }

    /// Reads once who owns what, so that flights can be shown from the start.
    pub async fn read_ownership(&self, engine: &Arc<Engine>) {
        if !self.is_shared {
            return;
        }
        let (watch, engine) = (self.watch.clone(), engine.clone());
        let read = tokio::task::spawn_blocking(move || watch.read(&engine)).await;
        self.elsewhere.write().extend(read.unwrap_or_default());
    }

    /// Reads again and again who owns what, on a thread of its own: a runtime that is busy must not look like a journal
    /// that is away. Ends with the server, and holds nothing between readings, so that after a stop the journal is free
    /// for the next owner.
    pub fn keep_watch(upkeep: Weak<Upkeep>) -> std::io::Result<()> {
        std::thread::Builder::new().name("ownership".to_owned()).spawn(move || {
            loop {
                std::thread::sleep(ownership::pause());
                let Some(upkeep) = upkeep.upgrade() else { return };
                let moved = upkeep.other_servers.watch.read(&upkeep.engine);
                if !moved.is_empty() {
                    upkeep.other_servers.elsewhere.write().extend(moved);
                }
            }
        })?;
        Ok(())
    }

    /// Sorts out claims of which nothing came, for as long as the server runs.
    pub async fn settle_claims(upkeep: Weak<Upkeep>) {
        loop {
            tokio::time::sleep(DOUBT_EVERY).await;
            let Some(upkeep) = upkeep.upgrade().filter(|upkeep| !upkeep.stopping.has_begun()) else { return };
            upkeep.other_servers.doubts.settle(&upkeep.other_servers.journal, &upkeep.engine).await;
        }
    }

    /// Looks again and again, for as long as the server runs.
    pub async fn watch(upkeep: Weak<Upkeep>) {
        loop {
            // Holds nothing meanwhile: after a stop, the journal must be free for the next owner.
            tokio::time::sleep(LOOK_EVERY).await;
            let Some(upkeep) = upkeep.upgrade().filter(|upkeep| !upkeep.stopping.has_begun()) else { return };
            let other_servers = &upkeep.other_servers;
            if other_servers.is_remote || !other_servers.unmet.lock().is_empty() {
                other_servers.look(&upkeep.engine, &upkeep.write_behind).await;
            }
            if other_servers.is_shared {
                other_servers
                    .others
                    .store(other_servers.flights_elsewhere(&upkeep.engine), Ordering::Relaxed);
                other_servers
                    .revivals
                    .look(&upkeep.engine, &other_servers.journal, &upkeep.write_behind)
                    .await;
            }
        }
    }
}

async fn restart(engine: &Arc<Engine>, flight_id: &FlightId, why: &str) {
    tracing::warn!(%flight_id, why, "recovering the flight again");
    if let Err(error) = engine.restart(flight_id).await {
        tracing::error!(%flight_id, error = in_full(&error), "the flight could not be recovered");
    }
}

/// Whether the journal is fenced with a later claim than `ours`: it decides who owns a flight, and nothing else.
async fn has_moved(
    journal: &Arc<dyn Journal>,
    flight_id: &FlightId,
    ours: Epoch,
) -> Result<bool, JournalError> {
    let epochs = {
        let (journal, flight_id) = (Arc::clone(journal), flight_id.clone());
        blocking(move || journal.epochs(&[flight_id])).await?
    };
    Ok(epochs.first().copied().flatten().is_some_and(|epoch| epoch > ours))
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    tokio::task::spawn_blocking(call).await.unwrap_or_else(|error| {
        Err(JournalError::Unavailable { what: "a call panicked".to_owned(), source: Some(Box::new(error)) })
    })
}
