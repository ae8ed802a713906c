//! The time as the actors see it: wall-clock milliseconds that never go back and never jump.
//! Never read by the pure part: there the moment is an argument.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::flight::Timestamp;

/// How often the clock looks at the system's time, in milliseconds.
const COMPARE_EVERY_MS: i64 = 1000;
/// How far it moves towards the system's time at each look, in milliseconds: a twentieth of the time that passed,
/// so that it keeps going forward.
const CORRECTION_MAX_MS: i64 = 50;

#[derive(Debug)]
struct Anchor {
    at: Instant,
    millis: i64,
}

/// A monotonic timer, anchored to the system's time when it was made and led gently after it since. Somebody who
/// sets the system's clock by an hour neither expires every hold at once nor stops them from expiring.
#[derive(Debug)]
pub struct Clock {
    anchor: Mutex<Anchor>,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

fn system_millis() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Clock {
    /// A clock that starts at the system's time.
    pub fn new() -> Self {
        Self { anchor: Mutex::new(Anchor { at: Instant::now(), millis: system_millis() }) }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        let mut anchor = self.anchor.lock();
        let elapsed = anchor.at.elapsed();
        let mut now = anchor.millis.saturating_add(millis(elapsed));
        if millis(elapsed) >= COMPARE_EVERY_MS {
            now += (system_millis() - now).clamp(-CORRECTION_MAX_MS, CORRECTION_MAX_MS);
            *anchor = Anchor { at: anchor.at + elapsed, millis: now };
        }
        Timestamp::from_millis(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_shows_the_systems_time_and_never_goes_back() {
        let clock = Clock::new();
        let mut last = clock.now();
        assert!((last.as_millis() - system_millis()).abs() < 5_000);
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
