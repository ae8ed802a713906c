//! How many requests may be under way, in all and for one flight: permits, taken before anything is queued.
//! Never waits: who gets no permit is told so at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The bounds on requests under way.
#[derive(Debug, Clone, Copy)]
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

/// Counts the requests under way of one flight or of all of them.
#[derive(Debug)]
pub(crate) struct Gauge {
    under_way: AtomicU32,
    max: u32,
}

impl Gauge {
    pub(crate) fn new(max: u32) -> Self {
        Self { under_way: AtomicU32::new(0), max }
    }

    pub(crate) fn under_way(&self) -> u32 {
        self.under_way.load(Ordering::Relaxed)
    }

    fn enter(&self) -> bool {
        if self.under_way.fetch_add(1, Ordering::Relaxed) < self.max {
            return true;
        }
        self.leave();
        false
    }

    fn leave(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to have one request under way; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    overall: Arc<Gauge>,
    flight: Arc<Gauge>,
}

impl Permit {
    pub(crate) fn take(overall: &Arc<Gauge>, flight: &Arc<Gauge>) -> Result<Self, Overloaded> {
        if !overall.enter() {
            return Err(Overloaded {
                retry_after_seconds: 1,
                reason: "as many requests as this server takes are under way",
            });
        }
        if !flight.enter() {
            overall.leave();
            return Err(Overloaded {
                retry_after_seconds: 1,
                reason: "as many requests as one flight takes are under way for this flight",
            });
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
        assert_eq!(other.under_way(), 0);
    }
}
