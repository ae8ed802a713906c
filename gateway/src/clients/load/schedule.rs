//! The open loop: when each arrival is due, and who sends it. Arrivals are due at a fixed rate whatever the server
//! does; latency counts from then. Never slows down for anybody.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::base::timer::Timer;

/// How long after the end those arrivals may still be sent that fell due before it.
const GRACE: Duration = Duration::from_millis(100);

/// The arrivals of one worker: every `workers`-th of all.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    start: Instant,
    gap_ns: f64,
    worker: u64,
    workers: u64,
    count: u64,
}

impl Schedule {
    /// What falls to worker number `worker` of `workers`, if `rate` arrive each second for `length` from `start` on.
    pub fn new(start: Instant, rate: f64, length: Duration, worker: u64, workers: u64) -> Self {
        let all = rounded(rate * length.as_secs_f64());
        let count = all.saturating_sub(worker).div_ceil(workers);
        Self { start, gap_ns: 1e9 / rate, worker, workers, count }
    }

    /// How many arrivals.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// When arrival `number` (from 0) is due. Computed from the start each time, so that nothing adds up.
    pub fn due(&self, number: u64) -> Instant {
        let place = self.worker + number * self.workers;
        #[allow(clippy::cast_precision_loss, reason = "exact up to 2^53 arrivals")]
        let ns = place as f64 * self.gap_ns;
        self.start + Duration::from_nanos(rounded(ns))
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by a day in nanoseconds")]
fn rounded(number: f64) -> u64 {
    number.round().clamp(0.0, 9e18) as u64
}

/// Hands the arrivals of one worker to whoever is free, the longest due first.
#[derive(Debug)]
pub struct Pacer {
    schedule: Schedule,
    next: Cell<u64>,
    waiting: Cell<usize>,
    over: Cell<bool>,
    released: Notify,
}

impl Pacer {
    /// Nothing is due before it runs.
    pub fn new(schedule: Schedule) -> Self {
        Self {
            schedule,
            next: Cell::new(0),
            waiting: Cell::new(0),
            over: Cell::new(false),
            released: Notify::new(),
        }
    }

    /// Releases arrivals as they fall due until `end`; `more` is called where nobody is free to take one.
    pub async fn run(&self, end: Instant, more: impl Fn()) -> io::Result<()> {
        let timer = Timer::new()?;
        let end = end + GRACE;
        let mut released = 0;
        while released < self.schedule.count && Instant::now() < end {
            timer.wait_until(self.schedule.due(released)).await?;
            let now = Instant::now();
            while released < self.schedule.count && self.schedule.due(released) <= now {
                released += 1;
                match self.waiting.get() {
                    0 => more(),
                    waiting => {
                        self.waiting.set(waiting - 1);
                        // The one that was busy last: with few arrivals, few connections.
                        self.released.notify_last();
                    }
                }
            }
        }
        self.over.set(true);
        self.released.notify_waiters();
        Ok(())
    }

    /// When the next arrival was due; waits for it. `None` once it is over, or a moment after `end`.
    pub async fn next(&self, end: Instant) -> Option<Instant> {
        let end = end + GRACE;
        loop {
            let now = Instant::now();
            let due = self.schedule.due(self.next.get());
            if now < end && due <= now && self.next.get() < self.schedule.count {
                self.next.set(self.next.get() + 1);
                return Some(due);
            }
            if now >= end || self.over.get() {
                return None;
            }
            self.waiting.set(self.waiting.get() + 1);
            self.released.notified().await;
        }
    }

    /// When those arrivals were due that nobody took.
    pub fn left_over(&self) -> impl Iterator<Item = Instant> {
        (self.next.get()..self.schedule.count).map(|number| self.schedule.due(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_arrivals_are_due_at_the_rate_and_fall_to_one_worker_each() {
        let start = Instant::now();
        let workers = 3;
        let mut due: Vec<_> = (0..workers)
            .map(|worker| Schedule::new(start, 1_000.0, Duration::from_millis(100), worker, workers))
            .flat_map(|schedule| (0..schedule.count()).map(move |number| schedule.due(number)))
            .collect();
        due.sort_unstable();
        assert_eq!(due.len(), 100);
        for (place, due) in (0_u64..).zip(due) {
            assert_eq!(due - start, Duration::from_millis(place));
        }
    }

    #[test]
    fn rounding_does_not_add_up() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 3.0, Duration::from_secs(3_000), 0, 1);
        assert_eq!(schedule.count(), 9_000);
        assert_eq!(schedule.due(8_997) - start, Duration::from_secs(2_999));
    }

    #[test]
    fn an_arrival_that_nobody_took_in_time_keeps_its_time() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let start = Instant::now();
            let schedule = Schedule::new(start, 10_000.0, Duration::from_millis(10), 0, 1);
            let pacer = Pacer::new(schedule);
            let asked = Cell::new(0);
            let end = start + Duration::from_secs(60);
            // Nobody waits, so that all hundred are offered to somebody new.
            pacer.run(end, || asked.set(asked.get() + 1)).await.unwrap();
            assert_eq!(asked.get(), 100);
            for number in 0..100 {
                assert_eq!(pacer.next(end).await, Some(schedule.due(number)));
            }
            assert_eq!(pacer.next(end).await, None);
            assert_eq!(pacer.left_over().count(), 0);
        });
    }
}
