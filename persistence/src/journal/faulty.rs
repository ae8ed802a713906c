//! A journal that fails when it is told to, in front of another one: for tests.
//! Never fails by itself, and never changes what the other one keeps.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farerush_engine::flight::{Epoch, FlightId, FlightSnapshot, Recorded, Seq};
use farerush_engine::journal::{
    AppendCost, Appended, Batch, Claim, Claimed, ClaimsPlace, Extent, Journal, JournalError,
};
use parking_lot::{Condvar, Mutex};

/// What is to happen to one `append`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `Unavailable`; nothing was written.
    UnavailableBefore,
    /// `Unavailable`, yet everything was written: a lost reply.
    UnavailableAfter,
    /// `Stopped`, this one and all later ones.
    Stopped,
    /// The first batch's flight is damaged; nothing was written. Of a round without batches nothing is.
    Damaged,
    /// A flight is damaged that is in no round; nothing was written.
    DamagedElsewhere,
    /// It panics in the thread that appends.
    Panic,
}

/// Passes everything on to the journal behind it, except for what it was told to spoil or hold up.
pub struct FaultyJournal {
    inner: Arc<dyn Journal>,
    plan: Mutex<FaultPlan>,
    changed: Condvar,
}

#[derive(Default)]
struct FaultPlan {
    faults: VecDeque<Option<Fault>>,
    stopped: bool,
    held: bool,
    waiting: usize,
    appends: u64,
}

impl FaultyJournal {
    /// In front of `inner`.
    pub fn new(inner: Arc<dyn Journal>) -> Self {
        Self { inner, plan: Mutex::default(), changed: Condvar::new() }
    }

    /// The next `times` calls of `append` (after those planned already) fail like this.
    pub fn fail_next(&self, fault: Fault, times: usize) {
        self.plan.lock().faults.extend(std::iter::repeat_n(Some(fault), times));
    }

    /// The next `times` calls of `append` (after those planned already) pass.
    pub fn pass_next(&self, times: usize) {
        self.plan.lock().faults.extend(std::iter::repeat_n(None, times));
    }

    /// Forgets all planned failures; a journal that has stopped stays so.
    pub fn heal(&self) {
        self.plan.lock().faults.clear();
    }

    /// From now on every `append` waits, before anything is written, until `release`.
    pub fn hold(&self) {
        self.plan.lock().held = true;
    }

    /// Lets held calls go on, and later ones pass.
    pub fn release(&self) {
        self.plan.lock().held = false;
        self.changed.notify_all();
    }

    /// Waits until an `append` is being held; `false` if none came within `patience`.
    pub fn wait_until_holding(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut plan = self.plan.lock();
        while plan.waiting == 0 {
            if self.changed.wait_until(&mut plan, deadline).timed_out() {
                return plan.waiting > 0;
            }
        }
        true
    }

    /// How many calls of `append` there have been, failed and held ones included.
    pub fn appends(&self) -> u64 {
        self.plan.lock().appends
    }

    fn next_fault(&self) -> Option<Fault> {
        let mut plan = self.plan.lock();
        plan.appends += 1;
        if plan.held {
            plan.waiting += 1;
            self.changed.notify_all();
            while plan.held {
                self.changed.wait(&mut plan);
            }
            plan.waiting -= 1;
        }
        if plan.stopped {
            return Some(Fault::Stopped);
        }
        let fault = plan.faults.pop_front().flatten();
        plan.stopped = fault == Some(Fault::Stopped);
        fault
    }
}

impl Journal for FaultyJournal {
    fn append(&self, round: &[Batch]) -> Result<Vec<Appended>, JournalError> {
        let what = || "append (a fault was asked for)".to_owned();
        match self.next_fault() {
            None => self.inner.append(round),
            Some(Fault::UnavailableBefore) => Err(JournalError::Unavailable { what: what(), source: None }),
            Some(Fault::UnavailableAfter) => {
                self.inner.append(round)?;
                Err(JournalError::Unavailable { what: what(), source: None })
            }
            Some(Fault::Stopped) => Err(JournalError::Stopped { what: what(), source: None }),
            Some(Fault::Damaged) => match round.first() {
                Some(batch) => {
                    Err(JournalError::Damaged { flight_id: Some(batch.flight_id.clone()), what: what() })
                }
                None => self.inner.append(round),
            },
            Some(Fault::DamagedElsewhere) => {
                Err(JournalError::Damaged { flight_id: FlightId::new("NOWHERE").ok(), what: what() })
            }
            Some(Fault::Panic) => panic!("a panicking append was asked for"),
        }
    }

    fn append_cost(&self) -> Option<AppendCost> {
        self.inner.append_cost()
    }

    fn fence(&self, claims: &[Claim]) -> Result<(), JournalError> {
        self.inner.fence(claims)
    }

    fn extents(&self) -> Result<Vec<Extent>, JournalError> {
        self.inner.extents()
    }

    fn extent(&self, flight_id: &FlightId) -> Result<Option<Extent>, JournalError> {
        self.inner.extent(flight_id)
    }

    fn epochs(&self, flights: &[FlightId]) -> Result<Vec<Option<Epoch>>, JournalError> {
        self.inner.epochs(flights)
    }

    fn have_events(&self, flights: &[FlightId]) -> Result<Vec<bool>, JournalError> {
        self.inner.have_events(flights)
    }

    fn claimed_since(&self, place: &ClaimsPlace) -> Result<(ClaimsPlace, Claimed), JournalError> {
        self.inner.claimed_since(place)
    }

    fn read(
        &self,
        flight_id: &FlightId,
        after: Seq,
        events_max: usize,
    ) -> Result<Vec<Recorded>, JournalError> {
        self.inner.read(flight_id, after, events_max)
    }

    fn trim(&self, stored: &[(FlightId, Seq)]) -> Result<(), JournalError> {
        self.inner.trim(stored)
    }

    fn keeps_snapshots(&self) -> bool {
        self.inner.keeps_snapshots()
    }

    fn put_snapshot(&self, epoch: Epoch, snapshot: &FlightSnapshot) -> Result<(), JournalError> {
        self.inner.put_snapshot(epoch, snapshot)
    }

    fn snapshot(&self, flight_id: &FlightId) -> Result<Option<FlightSnapshot>, JournalError> {
        self.inner.snapshot(flight_id)
    }

    fn describe(&self) -> String {
        format!("{} (faulty)", self.inner.describe())
    }
}
