//! How many rows one flush may write, so that a claim never waits long behind it.
//! Never measures anything itself.

use std::time::Duration;

/// How long one flush may take, about. Whoever takes a flight over, or restarts it, waits for the one that is going on.
const FLUSH_TIME_MAX: Duration = Duration::from_millis(250);

/// A flush carries at least so many rows, however slow the store is.
const ROWS_MIN: usize = 128;

/// How many rows the store writes within [`FLUSH_TIME_MAX`], by the flush before.
#[derive(Debug, Clone, Copy)]
pub(super) struct FlushSize(usize);

impl FlushSize {
    /// Nothing is known of the store yet.
    pub(super) const fn unknown() -> Self {
        Self(usize::MAX)
    }

    pub(super) fn limit(self, rows: usize) -> usize {
        rows.min(self.0.max(ROWS_MIN))
    }

    /// A flush of so many rows took so long. A small one tells too little of larger ones, and the next tells more.
    pub(super) fn flushed(&mut self, rows: usize, took: Duration) {
        let within = rows as u128 * FLUSH_TIME_MAX.as_nanos() / took.as_nanos().max(1);
        self.0 = usize::try_from(within).unwrap_or(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_store_is_given_flushes_that_end_soon_and_a_fast_one_whole_ones() {
        let mut size = FlushSize::unknown();
        assert_eq!(size.limit(16_384), 16_384);
        size.flushed(16_384, Duration::from_secs(16));
        assert_eq!(size.limit(16_384), 256, "a claim waits a quarter of a second for it, not sixteen");
        size.flushed(1, Duration::from_millis(50));
        assert_eq!(size.limit(16_384), ROWS_MIN, "one row does not say what many take");
        size.flushed(ROWS_MIN, Duration::from_micros(800));
        assert_eq!(size.limit(16_384), 16_384);
        size.flushed(0, Duration::ZERO);
        assert_eq!(size.limit(16_384), ROWS_MIN);
    }
}
