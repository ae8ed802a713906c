//! This server's lease, and who else has one: renewed again and again on a thread of its own, from before the first flight is
//! claimed until the last one is given up. Never takes a flight: says whose turn it is to.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use farerush_engine::actor::Engine;
use farerush_engine::flight::FlightId;
use farerush_engine::journal::JournalError;
use farerush_persistence::journal::{Beat, Member, RedisJournal};
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

use crate::base::errors::in_full;

/// A lease is renewed so many times before it could end.
const BEATS_PER_LEASE: u32 = 4;
/// What clocks may drift apart while a lease holds, as a part of it: it ends here by so much sooner than in Redis.
const DRIFT_PART: u32 = 20;
/// How soon after another's lease can end it is looked whether it has.
const AFTER_AN_END: Duration = Duration::from_millis(2);
/// How soon a beat that came to nothing is tried again, at most.
const TRIED_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// This server's lease, and what its last beat found.
#[derive(Debug)]
pub struct Lease {
    redis: Redis,
    length: Duration,
    /// What others may know of this server.
    about: String,
    /// Until when it holds by this machine's clock, in nanoseconds since its start; 0: it does not.
    until: AtomicU64,
    found: Mutex<Found>,
    /// Says that the members are others than before.
    changed: Notify,
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
    /// Since when the lease has held without a break.
    unbroken_since: Option<u64>,
    /// Whether a life of this server has ended by a lapse.
    has_lapsed: bool,
    /// Whether the last beat came to nothing.
    has_failed: bool,
}

/// Who is there, as a beat found it.
#[derive(Debug, Clone)]
pub struct Members {
    /// The life of this server.
    pub own: String,
    /// All lives, this one among them.
    pub lives: HashSet<String>,
}

impl Members {
    /// Whether this server is the one to serve a flight that nobody has: of all members the one with the highest hash of both
    /// names (rendezvous hashing), so that only those flights move whose server is gone. With each `turn` it is another one's.
    pub fn is_own_turn(&self, flight_id: &FlightId, turn: u32) -> bool {
        let weight = |life: &str| {
            let mut text = Vec::with_capacity(64);
            for part in [flight_id.as_str().as_bytes(), b"\0", life.as_bytes(), &turn.to_le_bytes()] {
                text.extend_from_slice(part);
            }
            (xxhash_rust::xxh3::xxh3_64(&text), life.to_owned())
        };
        self.lives.iter().map(|life| weight(life)).max().is_some_and(|(_, life)| life == self.own)
    }
}

impl Lease {
    /// A lease of this length; nothing is asked yet.
    pub fn new(redis: Arc<RedisJournal>, length: Duration, about: String) -> Self {
        Self {
            redis: Redis(redis),
            length,
            about,
            until: AtomicU64::new(0),
            found: Mutex::default(),
            changed: Notify::new(),
            is_over: AtomicBool::new(false),
            engine: OnceLock::new(),
        }
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
        let lives = found.members.iter().map(|member| member.life.clone()).collect();
        Some(Members { own: self.redis.0.life(), lives })
    }

    /// All members, as the last beat found them, and this server's life.
    pub fn all(&self) -> (String, Vec<Member>) {
        (self.redis.0.life(), self.found.lock().members.clone())
    }

    /// How many members there are.
    pub fn count(&self) -> usize {
        self.found.lock().members.len()
    }

    /// Whether it has held its lease for as long as one lasts, without a break.
    fn judges(&self, found: &Found) -> bool {
        let now = now();
        let length = nanos(self.length);
        now <= self.until() && found.unbroken_since.is_some_and(|since| now.saturating_sub(since) >= length)
    }

    /// Until the next beat: sooner where another's lease may end before it, or where the last one came to nothing.
    fn pause(&self) -> Duration {
        let regular = self.length / BEATS_PER_LEASE;
        let found = self.found.lock();
        if found.has_failed || found.unbroken_since.is_none() {
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
        let beat = Beat { lease: self.length, judges, about: &self.about };
        match self.redis.0.beat(&beat) {
            Ok(membership) => {
                self.note(began, membership.is_renewed, membership.members);
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

    fn note(&self, began: u64, is_renewed: bool, members: Vec<Member>) {
        let mut found = self.found.lock();
        if self.is_over.load(Ordering::Acquire) {
            return;
        }
        found.has_failed = false;
        let are_others = found.members.len() != members.len()
            || found.members.iter().any(|known| members.iter().all(|member| member.life != known.life));
        found.members = members;
        if is_renewed {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn members(own: &str, lives: &[&str]) -> Members {
        let lives = lives.iter().map(|life| (*life).to_owned()).collect();
        Members { own: own.to_owned(), lives }
    }

    #[test]
    fn each_flight_is_one_members_turn_and_only_those_move_whose_server_is_gone() {
        let flights: Vec<FlightId> = (0..300).map(|n| FlightId::new(&format!("FR{n}")).unwrap()).collect();
        let all = ["a", "b", "c"];
        let turn_of = |flight: &FlightId, lives: &[&str], turn| {
            let whose: Vec<String> = lives
                .iter()
                .filter(|own| members(own, lives).is_own_turn(flight, turn))
                .map(|own| (*own).to_owned())
                .collect();
            assert_eq!(whose.len(), 1, "{flight}: {whose:?}");
            whose[0].clone()
        };
        let mut counts = std::collections::HashMap::new();
        for flight in &flights {
            let before = turn_of(flight, &all, 0);
            let after = turn_of(flight, &["a", "b"], 0);
            assert!(before == "c" || before == after, "{flight} moves from {before} to {after}");
            *counts.entry(before).or_insert(0) += 1;
        }
        assert!(counts.values().all(|count| (60..=140).contains(count)), "{counts:?}");
        assert!(
            flights.iter().any(|flight| turn_of(flight, &all, 0) != turn_of(flight, &all, 1)),
            "it is not for ever the same one's turn"
        );
    }
}
