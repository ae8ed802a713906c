//! How many requests may be under way, in all and for one flight: permits, taken before anything is queued.
//! Never waits: who gets no permit is told so at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::pace::Pace;

/// The bounds on requests under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most requests under way in the whole process.
    pub permits_overall: u32,
    /// Most requests under way for one flight.
    pub permits_per_flight: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { permits_overall: 65_536, permits_per_flight: 32_768 }
    }
}

/// Nothing was done: the flight takes no new work at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Overloaded {
    /// When it may be worth while to try again, in seconds.
    pub retry_after_seconds: u32,
    /// Why, as a sentence.
    pub reason: &'static str,
}

/// Said by whoever had the flight before.
pub(crate) const MOVED: &str = "the flight has moved to another server";

/// Said while a flight comes up.
pub(crate) const RECOVERED: &str = "the flight is being recovered";

impl Overloaded {
    /// Whether the flight is just coming up here.
    pub fn is_recovery(&self) -> bool {
        self.reason == RECOVERED
    }

    /// Whether another process has the flight: that is no load, and waiting does not help here.
    pub fn is_elsewhere(&self) -> bool {
        self.reason == MOVED
    }
}

/// One request more that is done, and one less that is under way, in a gauge's counts.
const DONE: u64 = (1 << 32) - 1;

/// Counts the requests of one flight or of all of them: those under way in the lower half, those done (it wraps
/// around) in the upper one. So a request costs two additions, and knowing the pace costs it nothing more.
#[derive(Debug)]
pub(crate) struct Gauge {
    counts: AtomicU64,
    max: u32,
    pace: Pace,
}

impl Gauge {
    pub(crate) fn new(max: u32) -> Self {
        Self { counts: AtomicU64::new(0), max, pace: Pace::default() }
    }

    pub(crate) fn under_way(&self) -> u32 {
        lower_half(self.counts.load(Ordering::Relaxed))
    }

    /// Whether one more would be turned away.
    pub(crate) fn is_full(&self) -> bool {
        self.under_way() >= self.max
    }

    fn done(&self) -> u32 {
        lower_half(self.counts.load(Ordering::Relaxed) >> 32)
    }

    fn enter(&self) -> bool {
        if lower_half(self.counts.fetch_add(1, Ordering::Relaxed)) < self.max {
            return true;
        }
        self.take_back();
        false
    }

    /// Undoes `enter`: nothing was done.
    fn take_back(&self) {
        self.counts.fetch_sub(1, Ordering::Relaxed);
    }

    fn leave(&self) {
        self.counts.fetch_add(DONE, Ordering::Relaxed);
    }

    /// Counts one that is turned away, and says when it should come back.
    pub(crate) fn turn_away(&self, reason: &'static str) -> Overloaded {
        let retry_after_seconds = self.pace.turn_away(Instant::now(), self.under_way(), self.done());
        Overloaded { retry_after_seconds, reason }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
fn lower_half(counts: u64) -> u32 {
    counts as u32
}

/// As many requests as the server takes.
pub(crate) const SERVER_IS_FULL: &str = "as many requests as this server takes are under way";
/// As many requests as a flight takes.
pub(crate) const FLIGHT_IS_FULL: &str = "as many requests as one flight takes are under way for this flight";

/// The right to have one request under way; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    overall: Arc<Gauge>,
    flight: Arc<Gauge>,
}

impl Permit {
    pub(crate) fn take(overall: &Arc<Gauge>, flight: &Arc<Gauge>) -> Result<Self, Overloaded> {
        if !overall.enter() {
            return Err(overall.turn_away(SERVER_IS_FULL));
        }
        if !flight.enter() {
            overall.take_back();
            return Err(flight.turn_away(FLIGHT_IS_FULL));
        }
        Ok(Self { overall: overall.clone(), flight: flight.clone() })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.overall.leave();
        self.flight.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_comes_back_when_it_is_dropped() {
        let (overall, flight) = (Arc::new(Gauge::new(3)), Arc::new(Gauge::new(2)));
        let first = Permit::take(&overall, &flight).unwrap();
        let _second = Permit::take(&overall, &flight).unwrap();
        assert!(Permit::take(&overall, &flight).is_err());
        assert_eq!((overall.under_way(), flight.under_way()), (2, 2));
        drop(first);
        assert!(Permit::take(&overall, &flight).is_ok());
    }

    #[test]
    fn all_flights_together_have_a_bound_of_their_own() {
        let overall = Arc::new(Gauge::new(1));
        let _one = Permit::take(&overall, &Arc::new(Gauge::new(9))).unwrap();
        let other = Arc::new(Gauge::new(9));
        assert!(Permit::take(&overall, &other).is_err());
        assert_eq!((other.under_way(), other.done()), (0, 0));
    }

    #[test]
    fn what_is_done_is_counted_apart_from_what_is_under_way_and_wraps_around() {
        let gauge = Gauge::new(2);
        gauge.counts.store(u64::from(u32::MAX) << 32, Ordering::Relaxed);
        assert!(gauge.enter() && gauge.enter() && !gauge.enter());
        assert!(gauge.is_full());
        gauge.leave();
        assert_eq!((gauge.under_way(), gauge.done()), (1, 0));
        gauge.leave();
        assert_eq!((gauge.under_way(), gauge.done()), (0, 1));
    }
}
