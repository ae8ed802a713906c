//! How long to wait after failures: longer each time, up to a bound, and never all at the same moment.
//! Never waits itself.

use std::time::Duration;

/// The wait after a flight's first failure, before chance shortens it.
pub(super) const BACKOFF_MIN: Duration = Duration::from_millis(250);
/// The longest.
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// How long to wait after so many failures (at least one) in a row: twice as long after each, of which chance takes
/// away up to a half.
pub(super) fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let longest = BACKOFF_MIN.saturating_mul(1 << doublings).min(BACKOFF_MAX);
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_doubles_up_to_its_bound() {
        for (failures, longest) in
            [(0, BACKOFF_MIN), (1, BACKOFF_MIN), (2, BACKOFF_MIN * 2), (9, BACKOFF_MAX)]
        {
            for _ in 0..100 {
                let wait = backoff(failures);
                assert!(longest / 2 <= wait && wait <= longest, "{failures}: {wait:?}");
            }
        }
        assert!(backoff(u32::MAX) <= BACKOFF_MAX);
    }
}
