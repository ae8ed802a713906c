//! The time as the actors see it: wall-clock milliseconds that never go back and never jump.
//! Never read by the pure part: there the moment is an argument.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::flight::Timestamp;

/// How often the clock looks at the system's time, in milliseconds.
const COMPARE_EVERY_MS: i64 = 1000;
/// How far it is led towards the system's time until the next look, in milliseconds: a twentieth of the time that passes,
/// so that it keeps going forward.
const CORRECTION_MAX_MS: i64 = 50;

/// Where the clock stood at its last look, and what it is being led by since.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    at: Instant,
    millis: i64,
    /// To be gained (or lost) until the next look, little by little.
    correction: i64,
}

impl Anchor {
    /// The time after so many milliseconds. Each of them adds at least nothing, since the correction is much smaller than
    /// the time it is spread over: the clock may stand still for a moment, and never goes back.
    fn after(&self, elapsed: i64) -> i64 {
        let led = self.correction * elapsed.min(COMPARE_EVERY_MS) / COMPARE_EVERY_MS;
        self.millis.saturating_add(elapsed).saturating_add(led)
    }

    /// The time now, and where the system's time is looked at: from now on it is led towards that.
    fn read(&mut self, now: Instant, system_millis: impl FnOnce() -> i64) -> i64 {
        let elapsed = millis(now.saturating_duration_since(self.at));
        let shown = self.after(elapsed);
        if elapsed >= COMPARE_EVERY_MS {
            let correction = (system_millis() - shown).clamp(-CORRECTION_MAX_MS, CORRECTION_MAX_MS);
            // By whole milliseconds, as they were counted.
            let at = self.at + Duration::from_millis(elapsed.unsigned_abs());
            *self = Self { at, millis: shown, correction };
        }
        shown
    }
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

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Clock {
    /// A clock that starts at the system's time.
    pub fn new() -> Self {
        Self { anchor: Mutex::new(Anchor { at: Instant::now(), millis: system_millis(), correction: 0 }) }
    }

    /// The time now; never earlier than before.
    pub fn now(&self) -> Timestamp {
        let mut anchor = self.anchor.lock();
        // Read under the lock: of two who ask at once, the second must not be told an earlier time.
        let now = Instant::now();
        Timestamp::from_millis(anchor.read(now, system_millis))
    }

    /// Sets the clock back, to show that nobody takes its word for it.
    #[cfg(any(test, feature = "sabotage"))]
    pub fn turn_back(&self, by: Duration) {
        self.anchor.lock().millis -= millis(by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The clock's times every `step_ms` for a minute, while the system's clock is `ahead_ms` ahead of it at first.
    fn a_minute(ahead_ms: i64, step_ms: u64) -> (Vec<i64>, i64) {
        let (began, start) = (Instant::now(), 1_000_000_000);
        let mut anchor = Anchor { at: began, millis: start, correction: 0 };
        let steps = 60_000 / step_ms;
        let shown = (0..=steps).map(|step| {
            let passed = step * step_ms;
            let system = start + ahead_ms + i64::try_from(passed).unwrap();
            anchor.read(began + Duration::from_millis(passed), || system)
        });
        let shown: Vec<i64> = shown.collect();
        (shown, start + ahead_ms + i64::try_from(steps * step_ms).unwrap())
    }

    #[test]
    fn the_clock_never_goes_back_while_the_systems_is_behind() {
        for ahead_ms in [-3_600_000, -2_000, -60, -49, -1, 0, 1, 700, 3_600_000] {
            for step_ms in [1, 7, 333, 1000, 2500] {
                let (shown, system) = a_minute(ahead_ms, step_ms);
                assert!(shown.is_sorted(), "{ahead_ms} ms ahead, every {step_ms} ms");
                let off = (shown.last().unwrap() - system).abs();
                // However seldom it is asked here, it looks 20 times a minute.
                let left = (ahead_ms.abs() - 20 * CORRECTION_MAX_MS).max(1);
                assert!(off <= left, "{ahead_ms} ms ahead, every {step_ms} ms: off {off}");
            }
        }
    }

    #[test]
    fn the_clock_never_jumps() {
        for ahead_ms in [-3_600_000, 3_600_000] {
            let (shown, _) = a_minute(ahead_ms, 100);
            let steps = shown.windows(2).map(|pair| pair[1] - pair[0]);
            assert!(steps.clone().all(|step| (94..=106).contains(&step)), "{:?}", steps.collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_clock_starts_at_the_systems_time_and_goes_on_from_there() {
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
