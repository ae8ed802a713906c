//! This server's lease, and who else has one: renewed again and again on a thread of its own, from before the first flight is
//! claimed until the last one is given up. Never takes a flight: says whose turn it is to.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use farerush_engine::actor::Engine;
use farerush_engine::flight::FlightId;
use farerush_engine::journal::JournalError;
use farerush_persistence::journal::{Beat, Member, Membership, RedisJournal};
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

use crate::base::errors::in_full;
use crate::parts::other_servers::about::About;
use crate::parts::other_servers::members::{Members, Server};

/// A lease is renewed so many times before it could end.
const BEATS_PER_LEASE: u32 = 4;
/// What clocks may drift apart while a lease holds, as a part of it: it ends here by so much sooner than in Redis.
const DRIFT_PART: u32 = 20;
/// How soon after another's lease can end it is looked whether it has.
const AFTER_AN_END: Duration = Duration::from_millis(2);
/// How much longer than a lease nobody is judged on a primary that is new: whoever has confirmed what it lacks comes first.
const NEW_PRIMARY_GRACE: Duration = Duration::from_millis(500);
/// How soon a beat that came to nothing is tried again, at most.
const TRIED_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// This server's lease, and what its last beat found.
#[derive(Debug)]
pub struct Lease {
    redis: Redis,
    length: Duration,
    /// What others may know of this server.
    about: Mutex<About>,
    /// Until when it holds by this machine's clock, in nanoseconds since its start; 0: it does not.
    until: AtomicU64,
    found: Mutex<Found>,
    /// Says that the members are others than before.
    changed: Notify,
    /// At which servers flights are to be, by name.
    pins: Mutex<HashMap<FlightId, String>>,
    /// Whether it is given up.
    is_over: AtomicBool,
    /// The flights that belong to it, once there are any.
    engine: OnceLock<Weak<Engine>>,
}

/// Its own type, because a journal has nothing to show of itself.
struct Redis(Arc<RedisJournal>);

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redis")
    }
}

#[derive(Debug, Default)]
struct Found {
    members: Vec<Member>,
    /// What they say of themselves.
    servers: Arc<Vec<Server>>,
    /// Since when the lease has held without a break.
    unbroken_since: Option<u64>,
    /// Whether a life of this server has ended by a lapse.
    has_lapsed: bool,
    /// Whether the last beat came to nothing.
    has_failed: bool,
    /// The primary that answered the last beat, and since when; 0: none has, and the first one.
    primary: u64,
    primary_since: u64,
    /// Whether it has to be compared with what was confirmed before the lease counts there.
    awaits_meeting: bool,
}

impl Lease {
    /// A lease of this length; nothing is asked yet.
    pub fn new(redis: Arc<RedisJournal>, length: Duration, about: About) -> Self {
        Self {
            redis: Redis(redis),
            length,
            about: Mutex::new(about),
            until: AtomicU64::new(0),
            found: Mutex::default(),
            pins: Mutex::default(),
            changed: Notify::new(),
            is_over: AtomicBool::new(false),
            engine: OnceLock::new(),
        }
    }

    /// Where it is kept.
    pub(super) fn redis(&self) -> &RedisJournal {
        &self.redis.0
    }

    /// Until when it holds, in nanoseconds since the machine's start.
    pub(super) fn until(&self) -> u64 {
        self.until.load(Ordering::Acquire)
    }

    /// Becomes a member; then goes on renewing on a thread of its own, until the lease is given up or dropped. Blocks.
    pub fn begin(self: &Arc<Self>) -> Result<(), JournalError> {
        self.beat()?;
        let lease = Arc::downgrade(self);
        let thread = std::thread::Builder::new().name("lease".to_owned()).spawn(move || {
            loop {
                let Some(pause) = lease.upgrade().map(|lease| lease.pause()) else { return };
                std::thread::sleep(pause);
                let Some(lease) = lease.upgrade().filter(|lease| !lease.is_over.load(Ordering::Acquire))
                else {
                    return;
                };
                // Noted where it is made.
                let _ = lease.beat();
            }
        });
        let failed = |error: std::io::Error| JournalError::Stopped {
            what: "start the thread that renews the lease".to_owned(),
            source: Some(Box::new(error)),
        };
        thread.map(drop).map_err(failed)
    }

    /// The flights that are served under this lease from now on. Those that came up in a life that is over by now are not.
    pub fn serves(&self, engine: &Arc<Engine>) {
        // Nobody else sets it. Before it is looked whether a life has ended: whichever comes later forgets them.
        let _ = self.engine.set(Arc::downgrade(engine));
        let has_lapsed = self.found.lock().has_lapsed;
        if has_lapsed {
            forget_flights(engine);
        }
    }

    /// Gives it up: others may have its flights at once. Blocks.
    pub fn leave(&self) {
        {
            let _found = self.found.lock();
            self.is_over.store(true, Ordering::Release);
            self.until.store(0, Ordering::Release);
        }
        if let Err(error) = self.redis.0.leave() {
            tracing::debug!(error = in_full(&error), "the lease could not be given up; it ends by itself");
        }
    }

    /// Waits until the members are others than before.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Who is there; `None` while this server cannot say who is not, because it was away itself.
    pub(super) fn members(&self) -> Option<Members> {
        let found = self.found.lock();
        if !self.judges(&found) {
            return None;
        }
        let lives: HashSet<String> = found.members.iter().map(|member| member.life.clone()).collect();
        // Flights are given to those that can be told so, if there are some.
        let have_peers = found.servers.iter().any(|server| server.about.peer.is_some());
        let takes = |server: &&Server| !server.about.leaves && (!have_peers || server.about.peer.is_some());
        let takers = found.servers.iter().filter(takes);
        let mut takers: BTreeSet<String> = takers.map(|server| server.life.clone()).collect();
        if takers.is_empty() {
            // Somebody has to.
            takers.extend(lives.iter().cloned());
        }
        // Of several with one name always the same one.
        let at = |name: &String| {
            let named = found.servers.iter().filter(|server| server.about.server == *name && takes(server));
            named.map(|server| server.life.clone()).min()
        };
        let known = self.pins.lock();
        let pins = known.iter().filter_map(|(flight_id, name)| Some((flight_id.clone(), at(name)?)));
        let pins = Arc::new(pins.collect());
        Some(Members { own: self.redis.0.life(), lives, takers, pins })
    }

    /// All members, as the last beat found them, and this server's life.
    pub fn all(&self) -> (String, Vec<Member>) {
        (self.redis.0.life(), self.found.lock().members.clone())
    }

    /// What all members say of themselves, as the last beat found them.
    pub fn servers(&self) -> Arc<Vec<Server>> {
        self.found.lock().servers.clone()
    }

    /// Says to the others whether this server gives its flights away and takes none. Blocks; a failure is made up for by the
    /// next beat.
    pub fn set_leaves(&self, leaves: bool) {
        self.about.lock().leaves = leaves;
        // Noted where it is made.
        let _ = self.beat();
    }

    /// Reads anew at which servers flights are to be. Blocks; where that fails it is as it was.
    pub(super) fn read_pins(&self) {
        match self.redis.0.pins() {
            Ok(pins) => {
                let pins =
                    pins.into_iter().filter_map(|(name, server)| Some((FlightId::new(&name).ok()?, server)));
                *self.pins.lock() = pins.collect();
            }
            Err(error) => {
                tracing::debug!(error = in_full(&error), "at which servers flights are to be cannot be read");
            }
        }
    }

    /// Has a flight be at the server of this name, as long as there is one; `None`: at no certain one. Blocks.
    pub fn pin(&self, flight_id: &FlightId, server: Option<&str>) -> Result<(), JournalError> {
        self.redis.0.pin(flight_id, server)?;
        self.read_pins();
        Ok(())
    }

    /// At which server a flight is to be, as it was read last.
    pub fn pin_of(&self, flight_id: &FlightId) -> Option<String> {
        self.pins.lock().get(flight_id).cloned()
    }

    /// Whether this server gives its flights away and takes none.
    pub(super) fn leaves(&self) -> bool {
        self.about.lock().leaves
    }

    /// The lives that flights belong to now. Blocks.
    pub(super) fn owners(&self, flights: &[FlightId]) -> Result<Vec<Option<String>>, JournalError> {
        self.redis.0.owners(flights)
    }

    /// What this server is called.
    pub fn name(&self) -> String {
        self.about.lock().server.clone()
    }

    /// The life of this server.
    pub fn life(&self) -> String {
        self.redis.0.life()
    }

    /// Whether of all members this one's life has the first name.
    pub fn is_first(&self) -> bool {
        let own = self.life();
        self.found.lock().members.iter().all(|member| member.life >= own)
    }

    /// How many members there are.
    pub fn count(&self) -> usize {
        self.found.lock().members.len()
    }

    /// Whether it can be said who is not there any more.
    pub fn can_judge(&self) -> bool {
        self.judges(&self.found.lock())
    }

    /// Whether it has held its lease for as long as one lasts, without a break.
    fn judges(&self, found: &Found) -> bool {
        let now = now();
        let length = nanos(self.length);
        let knows_primary = found.primary_since == 0
            || now.saturating_sub(found.primary_since) >= length + nanos(NEW_PRIMARY_GRACE);
        knows_primary
            && now <= self.until()
            && found.unbroken_since.is_some_and(|since| now.saturating_sub(since) >= length)
    }

    /// Until the next beat: sooner where another's lease may end before it, or where the last one came to nothing.
    fn pause(&self) -> Duration {
        let regular = self.length / BEATS_PER_LEASE;
        let found = self.found.lock();
        if found.has_failed || found.awaits_meeting || found.unbroken_since.is_none() {
            return regular.min(TRIED_AGAIN_AFTER);
        }
        // Who may not judge need not look.
        if !self.judges(&found) {
            return regular;
        }
        let own = self.redis.0.life();
        let others = found.members.iter().filter(|member| member.life != own);
        let next_end = others.map(|member| member.lease_left + AFTER_AN_END).min();
        next_end.map_or(regular, |end| end.max(AFTER_AN_END).min(regular))
    }

    fn beat(&self) -> Result<(), JournalError> {
        let began = now();
        let judges = self.judges(&self.found.lock());
        let engine = self.engine.get().and_then(Weak::upgrade);
        let (flights, under_way) =
            engine.map_or((0, 0), |engine| (engine.shown_and_moved().0, engine.under_way()));
        let about = About { flights, under_way, ..self.about.lock().clone() }.write();
        let beat = Beat { lease: self.length, judges, about: &about };
        match self.redis.0.beat(&beat) {
            Ok(membership) => {
                self.note(began, membership);
                Ok(())
            }
            Err(error) => {
                let mut found = self.found.lock();
                if !std::mem::replace(&mut found.has_failed, true) {
                    tracing::warn!(error = in_full(&error), "the lease of this server cannot be renewed");
                }
                Err(error)
            }
        }
    }

    /// Whether it holds now, by this machine's clock.
    pub(super) fn holds(&self) -> bool {
        now() <= self.until()
    }

    /// Renews it now. Blocks.
    pub(super) fn renew(&self) -> Result<(), JournalError> {
        self.beat()
    }

    fn note(&self, began: u64, membership: Membership) {
        let Membership { is_renewed, members, primary, is_met } = membership;
        let mut found = self.found.lock();
        if self.is_over.load(Ordering::Acquire) {
            return;
        }
        found.has_failed = false;
        if primary != found.primary {
            // What it knows of leases is old, by another clock, or gone.
            found.primary_since = if found.primary == 0 { 0 } else { began };
            found.primary = primary;
        }
        found.awaits_meeting = !is_met;
        let are_others = found.members.len() != members.len()
            || found.members.iter().any(|known| members.iter().all(|member| member.life != known.life));
        let says = |member: &Member| Server { life: member.life.clone(), about: About::read(&member.about) };
        found.servers = Arc::new(members.iter().map(says).collect());
        found.members = members;
        if is_renewed && !is_met {
            // What was granted before holds for as long as it does.
        } else if is_renewed {
            if now() > self.until() {
                found.unbroken_since = Some(began);
            }
            // From before the beat was sent, and a little less: in Redis it ends later.
            let length = nanos(self.length - self.length / DRIFT_PART);
            self.until.store(began.saturating_add(length), Ordering::Release);
        } else {
            self.end_life(&mut found);
            drop(found);
            if let Some(engine) = self.engine.get().and_then(Weak::upgrade) {
                forget_flights(&engine);
            }
        }
        if are_others {
            self.changed.notify_one();
        }
    }

    fn end_life(&self, found: &mut Found) {
        self.until.store(0, Ordering::Release);
        found.unbroken_since = None;
        let life = self.redis.0.life();
        tracing::warn!(
            life,
            "this server's lease had ended before it was renewed, and others may have its flights: it joins them anew"
        );
        found.has_lapsed = true;
        self.redis.0.begin_life();
    }
}

/// Stops answering for all flights: whose they are has to be found out anew. What is stopped already stays with whoever looks
/// after that.
fn forget_flights(engine: &Engine) {
    for flight in engine.flights().into_iter().filter(|flight| engine.has(flight.flight_id())) {
        engine.note_fenced_under(flight.flight_id(), flight.status().epoch);
    }
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds since the machine's start; goes on while the process, or the machine, sleeps.
pub(super) fn now() -> u64 {
    #[cfg(target_os = "linux")]
    let clock = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::Monotonic;
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}
