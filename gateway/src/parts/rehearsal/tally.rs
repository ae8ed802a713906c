//! What a rehearsal has come to so far: outcomes, latencies from when each customer came, all of it over time.
//! Never waits for anything.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::parts::metrics::Quantiles;
use crate::wire::problem::Code;

/// Longest latency that is told apart, in microseconds: ten minutes, more than a rehearsal takes.
const LATENCY_MAX_US: u64 = 600_000_000;
/// Shortest interval of the timeline.
const INTERVAL_MIN: Duration = Duration::from_millis(200);
/// So many intervals within the time in which customers come, at most.
const INTERVALS: u32 = 150;
/// And so many in all; what comes after goes into the last one.
const INTERVALS_MAX: usize = 400;

/// What became of a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// So many seats.
    Won(u32),
    /// A refusal.
    Refused(Code),
}

/// One interval of the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// When it ended, in milliseconds from the start.
    pub ms: u64,
    /// Customers who came in it.
    pub sent: u64,
    /// Customers who were told in it that they have seats.
    pub won: u64,
    /// Customers who were told in it that they have none.
    pub refused: u64,
    /// 99 of 100 of those answered in it had waited for less; `None` if nobody was.
    pub p99_us: Option<u64>,
}

/// What it has come to.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) won: u64,
    pub(super) seats: u64,
    /// By code, in the order of `Code::ALL`.
    pub(super) refused: Vec<u64>,
    /// When the last seat went.
    pub(super) sold_out_after: Option<Duration>,
    pub(super) timeline: Vec<Interval>,
    /// Seats that were on sale in the beginning.
    on_sale: u64,
    latency: Histogram<u64>,
    width: Duration,
    /// The interval that is going on.
    present: Interval,
    present_latency: Histogram<u32>,
}

impl Interval {
    const fn new() -> Self {
        Self { ms: 0, sent: 0, won: 0, refused: 0, p99_us: None }
    }
}

impl Tally {
    /// Nobody has come yet; they will within `over`.
    pub(super) fn new(over: Duration, on_sale: u64) -> Self {
        Self {
            sent: 0,
            won: 0,
            seats: 0,
            refused: vec![0; Code::ALL.len()],
            sold_out_after: (on_sale == 0).then_some(Duration::ZERO),
            timeline: Vec::new(),
            on_sale,
            latency: Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("the bounds are in order"),
            width: (over / INTERVALS).max(INTERVAL_MIN),
            present: Interval::new(),
            present_latency: Histogram::new_with_bounds(1, LATENCY_MAX_US, 2)
                .expect("the bounds are in order"),
        }
    }

    /// A customer has come. Times are from the start, and never fall.
    pub(super) fn sent(&mut self, now: Duration) {
        self.pass(now);
        self.sent += 1;
        self.present.sent += 1;
    }

    /// A customer who came at `due` was answered.
    pub(super) fn answered(&mut self, due: Duration, now: Duration, outcome: Outcome) {
        self.pass(now);
        match outcome {
            Outcome::Won(seats) => {
                self.won += 1;
                self.seats += u64::from(seats);
                self.present.won += 1;
                if self.seats >= self.on_sale && self.sold_out_after.is_none() {
                    self.sold_out_after = Some(now);
                }
            }
            Outcome::Refused(code) => {
                // The codes are numbered as they stand in `ALL`.
                self.refused[code as usize] += 1;
                self.present.refused += 1;
            }
        }
        let micros = u64::try_from(now.saturating_sub(due).as_micros()).unwrap_or(u64::MAX);
        self.latency.saturating_record(micros.max(1));
        self.present_latency.saturating_record(micros.max(1));
    }

    /// Everybody who was refused.
    pub(super) fn refused_in_all(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// Closes the intervals that have ended by now.
    pub(super) fn pass(&mut self, now: Duration) {
        while self.timeline.len() + 1 < INTERVALS_MAX && now >= self.end_of_present() {
            self.close();
        }
    }

    /// Closes the interval that is going on, if anything happened in it.
    pub(super) fn end(&mut self) {
        if self.present != Interval::new() {
            self.close();
        }
    }

    fn end_of_present(&self) -> Duration {
        self.width * u32::try_from(self.timeline.len() + 1).unwrap_or(u32::MAX)
    }

    fn close(&mut self) {
        let ms = u64::try_from(self.end_of_present().as_millis()).unwrap_or(u64::MAX);
        let p99_us = (!self.present_latency.is_empty()).then(|| self.present_latency.value_at_quantile(0.99));
        self.timeline.push(Interval { ms, p99_us, ..self.present });
        self.present = Interval::new();
        self.present_latency.reset();
    }

    /// How long customers waited; `None` while nobody was answered.
    pub(super) fn latency(&self) -> Option<Quantiles> {
        let at = |quantile| self.latency.value_at_quantile(quantile);
        let quantiles = Quantiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: self.latency.max() };
        (!self.latency.is_empty()).then_some(quantiles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_timeline_has_each_interval_even_those_in_which_nothing_happened() {
        let mut tally = Tally::new(ms(1000), 10);
        tally.sent(ms(10));
        tally.sent(ms(190));
        tally.answered(ms(10), ms(210), Outcome::Won(2));
        tally.answered(ms(190), ms(650), Outcome::Refused(Code::SoldOut));
        tally.end();
        let ends: Vec<u64> = tally.timeline.iter().map(|interval| interval.ms).collect();
        assert_eq!(ends, [200, 400, 600, 800]);
        assert_eq!((tally.timeline[0].sent, tally.timeline[1].won, tally.timeline[3].refused), (2, 1, 1));
        assert_eq!((tally.timeline[0].p99_us, tally.timeline[2].p99_us), (None, None));
        let p99 = tally.timeline[1].p99_us.unwrap();
        assert!((198_000..=202_000).contains(&p99), "{p99}");
    }

    #[test]
    fn latency_counts_from_when_a_customer_came() {
        let mut tally = Tally::new(ms(1000), 10);
        assert_eq!(tally.latency(), None);
        tally.sent(ms(500));
        tally.answered(ms(100), ms(600), Outcome::Refused(Code::Overloaded));
        let latency = tally.latency().unwrap();
        assert!((499_000..=501_000).contains(&latency.p50), "{latency:?}");
        assert_eq!(tally.refused_in_all(), 1);
    }

    #[test]
    fn it_is_sold_out_when_the_last_seat_goes() {
        let mut tally = Tally::new(ms(1000), 3);
        tally.answered(ms(0), ms(5), Outcome::Won(2));
        assert_eq!(tally.sold_out_after, None);
        tally.answered(ms(0), ms(7), Outcome::Won(1));
        tally.answered(ms(0), ms(9), Outcome::Refused(Code::SoldOut));
        assert_eq!(tally.sold_out_after, Some(ms(7)));
    }

    #[test]
    fn a_timeline_ends_somewhere() {
        let mut tally = Tally::new(ms(1000), 3);
        tally.sent(Duration::from_secs(100_000));
        tally.end();
        assert_eq!(tally.timeline.len(), INTERVALS_MAX);
    }
}
