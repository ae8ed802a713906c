//! How much one address makes one flight keep where nobody has to show who they are: customers can be invented there,
//! addresses hardly. Never knows a customer, and is forgotten with the process.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use farerush_engine::flight::{FlightId, IdempotencyKey};
use parking_lot::Mutex;

use crate::wire::problem::Problem;

/// Parties that one address may put on the waitlist of one flight within a day: a tenth of those that may wait.
pub const JOINS_PER_ADDRESS_MAX: u32 = 1_000;
/// So many bytes of one thing (its customer's id, names, references) are free; each further so many count as one thing more.
pub const THING_BYTES: u32 = 512;
/// After so long an address begins anew.
const WINDOW: Duration = Duration::from_secs(24 * 3600);
/// Most addresses and flights that are counted at the same time. Beyond that, those that caused least are forgotten.
const COUNTED_MAX: usize = 65_536;

/// What one address has caused on one flight since its day began.
#[derive(Debug)]
pub struct Share {
    since: Instant,
    joins: AtomicU32,
    things: AtomicU32,
    /// Prints of the keys among them: what is repeated under one is answered, however much has been used up.
    keys: Mutex<HashSet<u64>>,
}

/// A key, and whose it is, in few bytes that nobody can foresee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPrint(u64);

/// What an address has used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsedUp {
    /// Its places on the waitlist.
    Joins {
        /// After how long it begins anew.
        wait: Duration,
    },
    /// Its orders, keys and places on the waitlist together.
    Things {
        /// After how long it begins anew.
        wait: Duration,
        /// How many there may be.
        most: u32,
    },
}

impl From<UsedUp> for Problem {
    fn from(used_up: UsedUp) -> Self {
        let (what, wait) = match used_up {
            UsedUp::Joins { wait } => {
                (format!("this flight's waitlist, {JOINS_PER_ADDRESS_MAX} parties within a day"), wait)
            }
            UsedUp::Things { most, wait } => {
                let what = format!(
                    "what this flight keeps, {most} orders, idempotency keys and places on the waitlist within a day. \
                     Orders that there are can be paid, changed and cancelled without an Idempotency-Key"
                );
                (what, wait)
            }
        };
        let detail = format!(
            "Nothing was done: this address has used up its share of {what}. Wait for as long as Retry-After says, or ask \
             from another address."
        );
        Self::share_used_up(detail, wait)
    }
}

impl Share {
    fn new(now: Instant) -> Self {
        Self { since: now, joins: AtomicU32::new(0), things: AtomicU32::new(0), keys: Mutex::default() }
    }

    fn left(&self, now: Instant) -> Duration {
        WINDOW.saturating_sub(now.saturating_duration_since(self.since))
    }

    fn weight(&self) -> u32 {
        self.joins.load(Ordering::Relaxed).max(self.things.load(Ordering::Relaxed))
    }

    /// One thing more is kept, of so many bytes, and under this key if it has one.
    pub fn count(&self, key: Option<KeyPrint>, bytes: u32) {
        self.things.fetch_add(1 + bytes / THING_BYTES, Ordering::Relaxed);
        if let Some(KeyPrint(print)) = key {
            self.keys.lock().insert(print);
        }
    }

    /// A thing that was counted has so many bytes now. What it had before is not given back.
    pub fn count_bytes(&self, bytes: u32) {
        self.things.fetch_add(bytes / THING_BYTES, Ordering::Relaxed);
    }

    /// A party of so many bytes waits.
    pub fn count_join(&self, key: Option<KeyPrint>, bytes: u32) {
        self.joins.fetch_add(1, Ordering::Relaxed);
        self.count(key, bytes);
    }

    fn has(&self, key: Option<KeyPrint>) -> bool {
        key.is_some_and(|KeyPrint(print)| self.keys.lock().contains(&print))
    }
}

/// Which address has caused how much on which flight.
#[derive(Debug)]
pub struct Shares {
    /// Things of one address on one flight, if that is bounded.
    things_max: Option<u32>,
    chance: RandomState,
    counted: Mutex<HashMap<(FlightId, IpAddr), Arc<Share>>>,
}

impl Shares {
    /// So many things may one address cause on one flight within a day.
    pub fn new(things_max: Option<u32>) -> Self {
        Self { things_max, chance: RandomState::new(), counted: Mutex::default() }
    }

    /// A key of this owner's: the same key of another one is another key.
    pub fn print(&self, owner: &impl Hash, key: &IdempotencyKey) -> KeyPrint {
        KeyPrint(self.chance.hash_one((owner, key)))
    }

    /// The address's share on the flight; if something is counted in it, for as long as it is [`Shares::is_current`].
    pub fn of(&self, flight: &FlightId, address: IpAddr, now: Instant) -> Arc<Share> {
        let mut counted = self.counted.lock();
        let key = (flight.clone(), address);
        match counted.get(&key) {
            Some(share) if self.is_current(share, now) => return share.clone(),
            Some(_) => {}
            None if counted.len() >= COUNTED_MAX => {
                counted.retain(|_, share| self.is_current(share, now));
                let mut least = 1;
                while counted.len() >= COUNTED_MAX {
                    counted.retain(|_, share| share.weight() > least);
                    least *= 2;
                }
            }
            None => {}
        }
        let share = Arc::new(Share::new(now));
        counted.insert(key, share.clone());
        share
    }

    /// Whether its day is not over yet.
    pub fn is_current(&self, share: &Share, now: Instant) -> bool {
        !share.left(now).is_zero()
    }

    /// Whether one thing more may be kept, or what is asked has been before.
    pub fn check(&self, share: &Share, key: Option<KeyPrint>, now: Instant) -> Result<(), UsedUp> {
        match self.things_max {
            Some(most) if share.things.load(Ordering::Relaxed) >= most && !share.has(key) => {
                Err(UsedUp::Things { wait: share.left(now), most })
            }
            _ => Ok(()),
        }
    }

    /// Whether one more party may wait.
    pub fn check_join(&self, share: &Share, key: Option<KeyPrint>, now: Instant) -> Result<(), UsedUp> {
        if share.joins.load(Ordering::Relaxed) >= JOINS_PER_ADDRESS_MAX && !share.has(key) {
            return Err(UsedUp::Joins { wait: share.left(now) });
        }
        self.check(share, key, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(name: &str) -> FlightId {
        FlightId::new(name).unwrap()
    }

    #[test]
    fn an_address_has_its_share_of_each_flight_every_day() {
        let (shares, now) = (Shares::new(Some(2_000)), Instant::now());
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let may_join =
            |name: &str, address, now| shares.check_join(&shares.of(&flight(name), address, now), None, now);
        for _ in 0..JOINS_PER_ADDRESS_MAX {
            may_join("A", one, now).unwrap();
            shares.of(&flight("A"), one, now).count_join(None, 0);
        }
        assert_eq!(may_join("A", one, now), Err(UsedUp::Joins { wait: WINDOW }));
        assert!(may_join("A", two, now).is_ok() && may_join("B", one, now).is_ok());
        let share = shares.of(&flight("A"), one, now);
        shares.check(&share, None, now).expect("what is no party may still come");
        (0..500).for_each(|_| share.count(None, 0));
        // A long one counts for more, and what has grown since counts as well.
        (0..100).for_each(|_| share.count(None, 3 * THING_BYTES));
        share.count_bytes(100 * THING_BYTES);
        assert_eq!(shares.check(&share, None, now), Err(UsedUp::Things { wait: WINDOW, most: 2_000 }));
        let key = IdempotencyKey::new("k").unwrap();
        let print = shares.print(&"customer", &key);
        share.count(Some(print), 0);
        shares.check(&share, Some(print), now).expect("what is repeated is answered");
        assert!(shares.check(&share, Some(shares.print(&"another one", &key)), now).is_err());
        assert!(!shares.is_current(&share, now + WINDOW));
        may_join("A", one, now + WINDOW).unwrap();
    }

    #[test]
    fn as_many_are_counted_as_may_and_those_with_most_stay() {
        let (shares, now) = (Shares::new(Some(500)), Instant::now());
        let greedy = IpAddr::from([9, 9, 9, 9]);
        (0..500).for_each(|_| shares.of(&flight("A"), greedy, now).count(None, 0));
        for number in 0..=u32::try_from(COUNTED_MAX).unwrap() {
            shares.of(&flight("A"), IpAddr::from(number.to_be_bytes()), now).count(None, 0);
        }
        assert!(shares.counted.lock().len() <= COUNTED_MAX);
        assert!(shares.check(&shares.of(&flight("A"), greedy, now), None, now).is_err());
    }
}
