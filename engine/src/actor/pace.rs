//! How fast requests are done and how many are turned away, and from both: when it is worth while to come back.
//! Never looked at as long as nobody is turned away, so it costs nothing then.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Shortest time over which a rate is taken.
const SAMPLE_MIN: Duration = Duration::from_millis(100);
/// After so long without anybody turned away, what was known of the pace says nothing any more.
const STALE_AFTER: Duration = Duration::from_secs(5);
/// How much a second of new figures counts against the older ones.
const MEMORY: Duration = Duration::from_secs(2);
/// Shortest and longest time for which anybody is sent away, in seconds.
const RETRY_MIN_SECONDS: u32 = 1;
const RETRY_MAX_SECONDS: u32 = 60;

/// The pace of one gauge.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    turned_away: AtomicU32,
    /// The newest estimate, in seconds, rounded up; 0 before the first.
    estimate: AtomicU32,
    sampled: Mutex<Option<Sample>>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    done: u32,
    turned_away: u32,
    /// Requests done, and turned away, a second; `None` before there are two samples.
    rates: Option<(f64, f64)>,
}

impl Pace {
    /// Counts one that is turned away. Says after how many seconds to come back: those under way have to be done first,
    /// and those who were sent away in the last second come back as well. Spread a little, so that not all of them
    /// come in the same second.
    pub(crate) fn turn_away(&self, now: Instant, under_way: u32, done: u32) -> u32 {
        let number = self.turned_away.fetch_add(1, Ordering::Relaxed);
        // Somebody else who is at it makes the same estimate.
        if let Some(mut sampled) = self.sampled.try_lock() {
            self.sample(&mut sampled, now, under_way, done);
        }
        let estimate = self.estimate.load(Ordering::Relaxed).max(RETRY_MIN_SECONDS);
        let spread = 2 + estimate / 4;
        (estimate + number % spread).min(RETRY_MAX_SECONDS)
    }

    fn sample(&self, sampled: &mut Option<Sample>, now: Instant, under_way: u32, done: u32) {
        let turned_away = self.turned_away.load(Ordering::Relaxed);
        let first = Sample { at: now, done, turned_away, rates: None };
        let Some(last) = *sampled else {
            *sampled = Some(first);
            return;
        };
        let passed = now.saturating_duration_since(last.at);
        if passed < SAMPLE_MIN {
            return;
        }
        if passed > STALE_AFTER {
            *sampled = Some(first);
            self.estimate.store(0, Ordering::Relaxed);
            return;
        }
        let rate = |newer: u32, older: u32| f64::from(newer.wrapping_sub(older)) / passed.as_secs_f64();
        let newest = (rate(done, last.done), rate(turned_away, last.turned_away));
        let (done_rate, away_rate) = match last.rates {
            None => newest,
            Some(old) => {
                let kept = (-passed.div_duration_f64(MEMORY)).exp();
                let mix = |old: f64, new: f64| old * kept + new * (1.0 - kept);
                (mix(old.0, newest.0), mix(old.1, newest.1))
            }
        };
        *sampled = Some(Sample { rates: Some((done_rate, away_rate)), ..first });
        let seconds = (f64::from(under_way) + away_rate) / done_rate.max(f64::MIN_POSITIVE);
        self.estimate.store(whole_seconds(seconds), Ordering::Relaxed);
    }
}

/// Rounded up, within the bounds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between the bounds")]
fn whole_seconds(seconds: f64) -> u32 {
    seconds.ceil().clamp(f64::from(RETRY_MIN_SECONDS), f64::from(RETRY_MAX_SECONDS)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is answered at the end of a second in which so many were done and so many turned away.
    fn after_a_second(under_way: u32, done: u32, turned_away: u32) -> Vec<u32> {
        let (pace, start) = (Pace::default(), Instant::now());
        pace.turn_away(start, under_way, 0);
        pace.turned_away.fetch_add(turned_away, Ordering::Relaxed);
        (0..8).map(|_| pace.turn_away(start + Duration::from_secs(1), under_way, done)).collect()
    }

    #[test]
    fn the_longer_the_queue_the_later_one_comes_back() {
        let earliest = |queue| after_a_second(queue, 100, 0).into_iter().min().unwrap();
        assert_eq!(earliest(10), 1);
        assert_eq!(earliest(1000), 11);
        assert!(earliest(10) < earliest(1000) && earliest(1000) < earliest(4000));
    }

    #[test]
    fn those_who_were_turned_away_are_part_of_the_queue() {
        assert!(after_a_second(10, 100, 900).into_iter().min().unwrap() >= 9);
    }

    #[test]
    fn it_stays_between_a_second_and_a_minute() {
        for (under_way, done, turned_away) in [(0, 0, 0), (1, 0, 0), (1, 1_000_000, 0), (4096, 1, 1_000_000)]
        {
            let said = after_a_second(under_way, done, turned_away);
            assert!(said.iter().all(|seconds| (1..=60).contains(seconds)), "{said:?}");
        }
    }

    #[test]
    fn not_all_of_them_come_back_in_the_same_second() {
        let mut said = after_a_second(1000, 100, 0);
        said.sort_unstable();
        said.dedup();
        assert!(said.len() >= 3, "{said:?}");
    }

    #[test]
    fn a_pace_of_long_ago_counts_for_nothing() {
        let (pace, start) = (Pace::default(), Instant::now());
        pace.turn_away(start, 4000, 0);
        assert!(pace.turn_away(start + Duration::from_secs(1), 4000, 10) >= 60);
        // An hour without anybody turned away must not look like an hour in which next to nothing was done.
        let later = start + Duration::from_secs(3600);
        assert!(pace.turn_away(later, 4000, 20) <= 2);
        assert!(pace.turn_away(later + Duration::from_secs(1), 4000, 100_020) <= 2);
    }
}
