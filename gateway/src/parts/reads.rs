//! How much of the server lists may take: those who only look are turned away before those who grab.
//! Never keeps a grab waiting, and is not asked by one.

use std::time::{Duration, Instant};

use farerush_persistence::store::Asker;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::wire::problem::Problem;

/// The part of the processors that lists have while somebody grabs.
const SHARE: f64 = 0.125;
/// How much of it may be used at once after a while without any.
const SAVED_MAX: Duration = Duration::from_millis(20);
/// For how long a grab under way counts as somebody who grabs.
const GRABBING_FOR: Duration = Duration::from_millis(100);
/// How long a list waits for its turn at most; beyond that its client is asked to come back.
const WAIT_MAX: Duration = Duration::from_millis(250);
/// What a list costs beside being written: reading the request, and handing the answer to the system. Without optimization
/// that is ten times as much.
const COST_BESIDE: Duration = Duration::from_micros(if cfg!(debug_assertions) { 600 } else { 60 });
/// What a byte of an answer costs on its way to the system.
const NANOS_PER_BYTE: u64 = 1;
/// Lists from the store that may be under way at once: beyond that they would only queue at its connections.
const FROM_STORE_MAX: usize = 128;
/// Those of them that admins may ask for, beside all that customers may: however long searches take, lists go on.
const FOR_ADMINS_MAX: usize = 32;
/// While the store does not take what it is given, it is still read as long as that works; and where it does not, it
/// is tried again this often.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Time that lists may use.
#[derive(Debug)]
struct Budget {
    /// In nanoseconds; less than none is owed.
    saved: f64,
    at: Instant,
    /// What lists have cost of late, in nanoseconds.
    usual_cost: f64,
    grabbed_at: Option<Instant>,
}

/// What all readers together use.
#[derive(Debug)]
pub struct Reads {
    /// Nanoseconds of processor that accrue in a nanosecond.
    rate: f64,
    budget: Mutex<Budget>,
    from_store: Semaphore,
    for_admins: Semaphore,
    last: Mutex<LastRead>,
}

/// How reading from the store went of late.
#[derive(Debug, Default)]
struct LastRead {
    answered: Option<Instant>,
    /// When somebody was sent to look, or came back in vain.
    tried: Option<Instant>,
}

impl Default for Reads {
    fn default() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, usize::from), Instant::now())
    }
}

impl Reads {
    fn new(processors: usize, now: Instant) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "there are not so many processors")]
        let rate = processors as f64 * SHARE;
        let budget = Budget { saved: 0.0, at: now, usual_cost: 0.0, grabbed_at: None };
        Self {
            rate,
            budget: Mutex::new(budget),
            from_store: Semaphore::new(FROM_STORE_MAX),
            for_admins: Semaphore::new(FOR_ADMINS_MAX),
            last: Mutex::default(),
        }
    }

    /// Waits for a turn to write a list of what is in memory; `OVERLOADED` where that would take too long.
    pub async fn turn(&self, somebody_grabs: bool) -> Result<Turn<'_>, Problem> {
        let (wait, reserved) = self.reserve(somebody_grabs, Instant::now()).ok_or_else(turned_away)?;
        // Dropped while it waits, it gives back what it would have cost.
        let mut turn = Turn { reads: self, reserved, began: None, bytes: 0 };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        turn.began = Some(Instant::now());
        Ok(turn)
    }

    /// A turn to read a list from the store.
    pub fn from_store(&self, asker: Asker) -> Result<SemaphorePermit<'_>, Problem> {
        let turns = match asker {
            Asker::Customer => &self.from_store,
            Asker::Admin => &self.for_admins,
        };
        turns.try_acquire().map_err(|_| turned_away())
    }

    /// Notes that the store was read just now, or could not be.
    pub fn note_store(&self, answered: bool) {
        let now = Instant::now();
        let mut last = self.last.lock();
        last.answered = answered.then_some(now);
        if !answered {
            last.tried = Some(now);
        }
    }

    /// Whether a store that does not take what it is given is worth asking all the same: it may be read-only, full, or
    /// have a table locked, and still be read. Where it does not answer, one is sent to look now and then.
    pub fn may_try_store(&self) -> bool {
        let now = Instant::now();
        let is_recent = |at: Option<Instant>| at.is_some_and(|at| now.duration_since(at) < PROBE_EVERY);
        let mut last = self.last.lock();
        if is_recent(last.answered) {
            return true;
        }
        if is_recent(last.tried) {
            return false;
        }
        last.tried = Some(now);
        true
    }

    /// How long to wait, and what is set aside, in nanoseconds; `None`: too long.
    fn reserve(&self, somebody_grabs: bool, now: Instant) -> Option<(Duration, f64)> {
        let mut budget = self.budget.lock();
        let passed = now.saturating_duration_since(budget.at).as_secs_f64() * 1e9;
        budget.at = now;
        budget.saved = (budget.saved + passed * self.rate).min(SAVED_MAX.as_secs_f64() * 1e9 * self.rate);
        if somebody_grabs {
            budget.grabbed_at = Some(now);
        }
        let is_rush = budget.grabbed_at.is_some_and(|at| now.saturating_duration_since(at) < GRABBING_FOR);
        if !is_rush {
            // Nobody is in the way of anybody; and nothing is owed to those who come later.
            budget.saved = budget.saved.max(0.0);
            return Some((Duration::ZERO, 0.0));
        }
        let wait = Duration::from_secs_f64((-budget.saved).max(0.0) / self.rate / 1e9);
        if wait > WAIT_MAX {
            return None;
        }
        let reserved = budget.usual_cost;
        budget.saved -= reserved;
        Some((wait, reserved))
    }

    fn settle(&self, reserved: f64, cost: Option<f64>) {
        let mut budget = self.budget.lock();
        budget.saved += reserved - cost.unwrap_or(0.0);
        if let Some(cost) = cost {
            budget.usual_cost += (cost - budget.usual_cost) / 8.0;
        }
    }
}

fn turned_away() -> Problem {
    Problem::overloaded("more lists are asked for than there is time for beside those who grab", 1)
}

/// The time of a list that is being written; counted once this is dropped. Nothing may be awaited meanwhile.
#[derive(Debug)]
pub struct Turn<'r> {
    reads: &'r Reads,
    reserved: f64,
    /// `None` while it waits.
    began: Option<Instant>,
    bytes: usize,
}

impl Turn<'_> {
    /// The answer has so many bytes.
    pub fn wrote(&mut self, bytes: usize) {
        self.bytes = bytes;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let beside = COST_BESIDE + Duration::from_nanos(self.bytes as u64 * NANOS_PER_BYTE);
        let cost = self.began.map(|began| (began.elapsed() + beside).as_secs_f64() * 1e9);
        self.reads.settle(self.reserved, cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn cost(reads: &Reads, reserved: f64, cost: Duration) {
        reads.settle(reserved, Some(cost.as_secs_f64() * 1e9));
    }

    #[test]
    fn lists_have_an_eighth_of_the_processors_while_somebody_grabs() {
        let start = Instant::now();
        let reads = Reads::new(8, start);
        let (mut now, mut written, mut turned_away) = (start, 0_u32, 0_u32);
        // Sixteen readers ask in every millisecond for something that takes a millisecond.
        for _ in 0..1000 {
            now += MS;
            for _ in 0..16 {
                match reads.reserve(true, now) {
                    Some((_, reserved)) => {
                        cost(&reads, reserved, MS);
                        written += 1;
                    }
                    None => turned_away += 1,
                }
            }
        }
        // A second of one processor, and what may be waited for.
        assert!((950..1300).contains(&written), "{written} were written");
        assert_eq!(written + turned_away, 16_000);
    }

    #[test]
    fn where_nobody_grabs_nobody_waits() {
        let start = Instant::now();
        let reads = Reads::new(1, start);
        for _ in 0..10_000 {
            let (wait, reserved) = reads.reserve(false, start).unwrap();
            assert_eq!(wait, Duration::ZERO);
            cost(&reads, reserved, MS);
        }
        assert!(reads.reserve(true, start + MS).is_some(), "and nothing is owed for that");
    }

    #[test]
    fn a_store_that_takes_nothing_is_asked_as_long_as_it_answers_and_else_now_and_then() {
        let reads = Reads::new(1, Instant::now());
        assert!(reads.may_try_store(), "one looks");
        assert!(!reads.may_try_store(), "and nobody else meanwhile");
        reads.note_store(true);
        assert!(reads.may_try_store() && reads.may_try_store(), "it can be read");
        reads.note_store(false);
        assert!(!reads.may_try_store(), "it cannot any more");
    }

    #[test]
    fn who_goes_before_its_turn_has_cost_nothing() {
        let start = Instant::now();
        let reads = Reads::new(1, start);
        let (_, reserved) = reads.reserve(true, start).unwrap();
        cost(&reads, reserved, 8 * MS);
        let owed = reads.budget.lock().saved;
        for _ in 0..100 {
            let (_, reserved) = reads.reserve(true, start).unwrap();
            reads.settle(reserved, None);
        }
        assert!((reads.budget.lock().saved - owed).abs() < 1.0);
    }
}
