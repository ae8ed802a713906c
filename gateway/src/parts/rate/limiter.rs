//! One limit for many: the generic cell rate algorithm by `governor`, with a bound on how many it remembers.
//! Never waits and never answers.

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

/// Most that are remembered one by one.
pub const KEYS_MAX: usize = 100_000;
/// Beyond that, those who come share so many places, by chance: nobody is let off, and memory has a bound.
const SHARED_PLACES: u64 = 65_536;
/// After so many requests it is looked at how many there are.
const LOOK_EVERY: u32 = 256;

type Remembered<K, C> = RateLimiter<K, DashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// What somebody got who wanted several requests counted at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// So many may be let through.
    pub count: u32,
    /// If that is less than was wanted: how long until there is as much.
    pub wait: Duration,
}

/// A limit, for each key by itself.
pub struct Limiter<K: Hash + Eq + Clone, C: Clock = MonotonicClock> {
    per_second: NonZeroU32,
    keys_max: usize,
    keys: Remembered<K, C>,
    shared: Remembered<u64, C>,
    chance: RandomState,
    requests: AtomicU32,
    is_full: AtomicBool,
    clock: C,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    /// So many requests a second, and as many at once after a while without any.
    pub fn new(per_second: NonZeroU32) -> Self {
        Self::with(per_second, KEYS_MAX, MonotonicClock)
    }
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Limiter<K, C> {
    /// The same with another bound and another clock.
    pub fn with(per_second: NonZeroU32, keys_max: usize, clock: C) -> Self {
        let quota = Quota::per_second(per_second);
        Self {
            per_second,
            keys_max,
            keys: RateLimiter::dashmap_with_clock(quota, clock.clone()),
            shared: RateLimiter::dashmap_with_clock(quota, clock.clone()),
            chance: RandomState::new(),
            requests: AtomicU32::new(0),
            is_full: AtomicBool::new(false),
            clock,
        }
    }

    /// The limit.
    pub fn per_second(&self) -> u32 {
        self.per_second.get()
    }

    /// Counts a request; if it is one too many, how long to wait.
    pub fn check(&self, key: &K) -> Result<(), Duration> {
        self.count(key, NonZeroU32::MIN)
    }

    /// The same where this is one of so many servers that each count for themselves: the limit's part of one of them, but one
    /// request a second in any case.
    pub fn check_part(&self, key: &K, servers: u32) -> Result<(), Duration> {
        self.count(key, self.per_second.min(NonZeroU32::new(servers).unwrap_or(NonZeroU32::MIN)))
    }

    /// Counts up to so many requests at once, for somebody who lets them through one by one.
    pub fn take(&self, key: &K, wanted: NonZeroU32) -> Taken {
        let wanted = wanted.min(self.per_second);
        match self.count(key, wanted) {
            Ok(()) => Taken { count: wanted.get(), wait: Duration::ZERO },
            Err(wait) => Taken { count: u32::from(wanted.get() > 1 && self.check(key).is_ok()), wait },
        }
    }

    /// Counts so many requests, not more than may come at once, or none of them.
    fn count(&self, key: &K, requests: NonZeroU32) -> Result<(), Duration> {
        if self.requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOOK_EVERY) {
            self.look();
        }
        let checked = if self.is_full.load(Ordering::Relaxed) {
            self.shared.check_key_n(&(self.chance.hash_one(key) % SHARED_PLACES), requests)
        } else {
            self.keys.check_key_n(key, requests)
        };
        match checked {
            Ok(counted) => counted.map_err(|until| until.wait_time_from(self.clock.now())),
            // More than may ever come at once; nobody asks for that.
            Err(_) => Err(Duration::from_secs(1)),
        }
    }

    fn look(&self) {
        let mut is_full = self.keys.len() >= self.keys_max;
        if is_full {
            self.keys.retain_recent();
            is_full = self.keys.len() >= self.keys_max;
        }
        self.is_full.store(is_full, Ordering::Relaxed);
    }

    /// Forgets those who could ask as often as anybody new.
    pub fn forget_idle(&self) {
        self.keys.retain_recent();
        self.keys.shrink_to_fit();
        self.shared.retain_recent();
        self.look();
    }

    /// How many are remembered one by one.
    pub fn remembered(&self) -> usize {
        self.keys.len()
    }
}

impl<K: Hash + Eq + Clone, C: Clock> fmt::Debug for Limiter<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("per_second", &self.per_second).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limiter(per_second: u32, keys_max: usize) -> (Limiter<u64, FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Limiter::with(NonZeroU32::new(per_second).unwrap(), keys_max, clock.clone()), clock)
    }

    #[test]
    fn so_many_come_at_once_and_then_one_at_a_time() {
        let (limiter, clock) = limiter(4, 100);
        for _ in 0..4 {
            limiter.check(&1).unwrap();
        }
        assert_eq!(limiter.check(&1), Err(Duration::from_millis(250)));
        limiter.check(&2).expect("another one is not meant");
        clock.advance(Duration::from_millis(249));
        assert_eq!(limiter.check(&1), Err(Duration::from_millis(1)));
        clock.advance(Duration::from_millis(1));
        limiter.check(&1).unwrap();
        limiter.check(&1).unwrap_err();
        clock.advance(Duration::from_secs(1));
        assert_eq!((0..9).filter(|_| limiter.check(&1).is_ok()).count(), 4);
    }

    #[test]
    fn several_are_counted_at_once_and_a_server_that_counts_for_itself_lets_its_part_through() {
        let (limiter, clock) = limiter(10, 100);
        let of = |count| NonZeroU32::new(count).unwrap();
        assert_eq!(limiter.take(&1, of(8)).count, 8);
        assert_eq!(limiter.take(&1, of(4)), Taken { count: 1, wait: Duration::from_millis(200) });
        assert_eq!(limiter.take(&1, of(1)).count, 1);
        assert_eq!(limiter.take(&1, of(1)), Taken { count: 0, wait: Duration::from_millis(100) });
        clock.advance(Duration::from_secs(9));
        assert_eq!(limiter.take(&1, of(400)).count, 10, "never more than may come at once");
        for (servers, passes) in [(1_u32, 10), (3, 3), (40, 1)] {
            let passed = (0..20).filter(|_| limiter.check_part(&(100 + u64::from(servers)), servers).is_ok());
            assert_eq!(passed.count(), passes, "{servers}");
        }
    }

    #[test]
    fn those_who_have_not_asked_lately_are_forgotten() {
        let (limiter, clock) = limiter(1, 1000);
        for key in 0..500 {
            limiter.check(&key).unwrap();
        }
        limiter.forget_idle();
        assert_eq!(limiter.remembered(), 500);
        clock.advance(Duration::from_secs(3));
        limiter.forget_idle();
        assert_eq!(limiter.remembered(), 0);
    }

    #[test]
    fn beyond_the_bound_nobody_is_let_off_and_nothing_grows() {
        let (limiter, clock) = limiter(1, 300);
        for key in 0..1000 {
            let _ = limiter.check(&key);
        }
        assert!(limiter.remembered() <= 300 + LOOK_EVERY as usize, "{}", limiter.remembered());
        let newcomer = 5000;
        let first = (0..5).filter(|_| limiter.check(&newcomer).is_ok()).count();
        assert!(first <= 1, "a newcomer has a limit, too");
        clock.advance(Duration::from_secs(3));
        limiter.forget_idle();
        assert_eq!(limiter.remembered(), 0);
        limiter.check(&newcomer).unwrap();
        assert_eq!(limiter.remembered(), 1, "with room again, each counts by itself");
    }
}
