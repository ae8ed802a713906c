//! What is durable but not stored yet, by flight: what waits in memory, what has to be read again from the journal,
//! and which replies wait for it.
//! Never waits, reads a clock or does IO.

mod lane;
mod moved;

use std::collections::{HashMap, HashSet, VecDeque};

use farerush_engine::flight::{Epoch, FlightId, Recorded, Seq, Timestamp};
use farerush_engine::journal::{Batch, DurableRound, Release};

use self::lane::{HaltReason, Lane};
use crate::store::{Flushed, bytes_held, rows_written};

/// Places for events that an empty queue keeps.
const QUEUE_KEPT: usize = 1_024;

/// Everything that is not stored yet.
pub(super) struct Backlog {
    lanes: HashMap<FlightId, Lane>,
    /// Flights with something to take, each at most once, in the order in which they came.
    ready: VecDeque<FlightId>,
    /// Flights that the store has to catch up with.
    behind: HashSet<FlightId>,
    /// Flights of which the journal has not been told how far they are stored.
    moved: HashSet<FlightId>,
    waiting: Vec<Release>,
    bytes: usize,
    bytes_max: usize,
    /// Whether something was left to the journal alone since the backlog was last empty.
    is_over: bool,
    events: u64,
    generations: u64,
}

/// What goes with a batch that was taken out of the backlog, until its outcome is booked.
#[derive(Debug)]
pub(super) struct Taken {
    /// The flight concerned.
    pub(super) flight_id: FlightId,
    /// If the batch is empty, its events are to be read from the journal: those after this one,
    pub(super) after: Seq,
    /// and before this one.
    pub(super) before: Option<Seq>,
    bytes: usize,
    generation: u64,
}

/// What followed from an outcome.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The flight is stored up to here now.
    Stored(FlightId, Seq),
    /// The store belongs to a later epoch than the one given.
    Fenced(FlightId, Epoch),
    /// Somebody must look.
    Stuck(FlightId, String),
    /// Nothing to tell.
    Nothing,
}

impl Backlog {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            behind: HashSet::new(),
            moved: HashSet::new(),
            waiting: Vec::new(),
            bytes: 0,
            bytes_max,
            is_over: false,
            events: 0,
            generations: 0,
        }
    }

    /// Takes a flight's progress as given: it is stored up to `stored` and durable up to `durable`.
    pub(super) fn register(&mut self, flight_id: &FlightId, epoch: Epoch, stored: Seq, durable: Seq) {
        self.forget(flight_id);
        self.generations += 1;
        let lane = Lane {
            epoch,
            stored,
            handed: durable.max(stored),
            oldest_at: None,
            queue: VecDeque::new(),
            is_ready: false,
            is_taken: false,
            halt: None,
            snapshot: Some(Seq(0)),
            generation: self.generations,
        };
        self.events += lane.handed.0 - lane.stored.0;
        self.lanes.insert(flight_id.clone(), lane);
        self.make_ready(flight_id);
    }

    pub(super) fn forget(&mut self, flight_id: &FlightId) {
        let Some(lane) = self.lanes.remove(flight_id) else { return };
        self.bytes -= lane.queue.iter().map(bytes_held).sum::<usize>();
        if lane.halt.is_none() {
            self.events -= lane.handed.0 - lane.stored.0;
        }
        self.behind.remove(flight_id);
        self.moved.remove(flight_id);
        if lane.is_ready {
            self.ready.retain(|ready| ready != flight_id);
        }
    }

    pub(super) fn hand_in(&mut self, round: DurableRound) {
        for batch in round.batches {
            self.hand_in_batch(batch);
        }
        self.waiting.extend(round.releases);
    }

    fn hand_in_batch(&mut self, batch: Batch) {
        let (first, last) = (batch.first_seq(), batch.last_seq());
        if first == Seq(0) {
            return;
        }
        if !self.lanes.contains_key(&batch.flight_id) {
            // The store will say if this is not where its cursor is.
            let before = Seq(first.0 - 1);
            self.register(&batch.flight_id, batch.epoch, before, before);
        }
        let Some(lane) = self.lanes.get_mut(&batch.flight_id) else { return };
        if batch.epoch > lane.epoch {
            lane.epoch = batch.epoch;
            if lane.halt == Some(HaltReason::Fenced) {
                lane.halt = None; // the flight came back under a new epoch
                self.events += lane.handed.0 - lane.stored.0;
            }
        }
        if lane.halt.is_some() || last <= lane.handed {
            return;
        }
        let handed = lane.handed;
        self.events += last.0 - handed.0;
        lane.handed = last;
        let fresh: Vec<Recorded> = batch.events.into_iter().filter(|event| event.seq > handed).collect();
        let bytes = fresh.iter().map(bytes_held).sum::<usize>();
        if let Some(first) = fresh.first() {
            lane.oldest_at.get_or_insert(first.at);
        }
        // After an overflow a flight's queue begins anew only when there is room again, or it would overflow at once.
        let (follows, bytes_max) = match lane.queue.back() {
            Some(newest) => {
                (fresh.first().is_some_and(|event| event.seq == newest.seq.next()), self.bytes_max)
            }
            None if handed == lane.stored || lane.is_taken => (true, self.bytes_max),
            None => (true, self.bytes_max / 2),
        };
        if follows && self.bytes + bytes <= bytes_max {
            self.bytes += bytes;
            lane.queue.extend(fresh);
        } else {
            self.is_over = true;
        }
        self.make_ready(&batch.flight_id);
    }

    fn make_ready(&mut self, flight_id: &FlightId) {
        let Some(lane) = self.lanes.get_mut(flight_id) else { return };
        if !lane.is_behind() {
            self.behind.remove(flight_id);
            return;
        }
        self.behind.insert(flight_id.clone());
        if !lane.is_taken && !lane.is_ready {
            lane.is_ready = true;
            self.ready.push_back(flight_id.clone());
        }
    }

    /// The next piece of work: events of one flight that write at most about `rows_max` rows, or a hole to be read.
    pub(super) fn take(&mut self, rows_max: usize) -> Option<(Taken, Batch)> {
        loop {
            let flight_id = self.ready.pop_front()?;
            let Some(lane) = self.lanes.get_mut(&flight_id) else { continue };
            lane.is_ready = false;
            if lane.is_taken || !lane.is_behind() {
                continue;
            }
            lane.is_taken = true;
            let mut taken = Taken {
                flight_id: flight_id.clone(),
                after: lane.stored,
                before: lane.queue.front().map(|event| event.seq),
                bytes: 0,
                generation: lane.generation,
            };
            let mut batch = Batch { flight_id, epoch: lane.epoch, events: Vec::new() };
            if taken.before == Some(lane.stored.next()) {
                let mut rows = 0;
                while let Some(event) = lane.queue.front() {
                    rows += rows_written(&event.event);
                    if rows > rows_max && !batch.events.is_empty() {
                        break;
                    }
                    taken.bytes += bytes_held(event);
                    batch.events.extend(lane.queue.pop_front());
                }
            }
            return Some((taken, batch));
        }
    }

    /// Gives back what could not be read just now.
    pub(super) fn put_back(&mut self, taken: &Taken) {
        self.bytes -= taken.bytes;
        let flight_id = &taken.flight_id;
        if let Some(lane) = self.lanes.get_mut(flight_id).filter(|lane| lane.generation == taken.generation) {
            lane.is_taken = false;
            self.make_ready(flight_id);
        }
    }

    /// Nothing more of this flight can be stored.
    pub(super) fn halt_stuck(&mut self, taken: &Taken, why: String) -> Step {
        self.bytes -= taken.bytes;
        self.halt(taken, HaltReason::Stuck(why.clone()));
        Step::Stuck(taken.flight_id.clone(), why)
    }

    /// Books what became of a batch.
    pub(super) fn complete(&mut self, taken: &Taken, batch: &Batch, outcome: Flushed) -> Step {
        let flight_id = &taken.flight_id;
        match outcome {
            Flushed::Stored => {
                self.bytes -= taken.bytes;
                self.stored_up_to(taken, batch.last_seq(), batch.events.last().map(|event| event.at))
            }
            Flushed::AlreadyStored { stored } => {
                self.bytes -= taken.bytes;
                self.stored_up_to(taken, stored, None)
            }
            Flushed::Gap { stored } if stored.next() < batch.first_seq() => {
                self.bytes -= taken.bytes;
                self.stored_up_to(taken, stored, None)
            }
            Flushed::Gap { stored } => {
                self.halt_stuck(taken, format!("events after {stored} have a hole among them"))
            }
            Flushed::Misfit { what, .. } => self.halt_stuck(taken, what),
            Flushed::Fenced { .. } => {
                self.bytes -= taken.bytes;
                self.halt(taken, HaltReason::Fenced);
                Step::Fenced(flight_id.clone(), batch.epoch)
            }
        }
    }

    /// `at` is when the event of that seq happened, if that is known.
    fn stored_up_to(&mut self, taken: &Taken, seq: Seq, at: Option<Timestamp>) -> Step {
        let flight_id = &taken.flight_id;
        let Some(lane) = self.lanes.get_mut(flight_id).filter(|lane| lane.generation == taken.generation)
        else {
            return Step::Nothing; // registered anew meanwhile, with a cursor of its own
        };
        lane.is_taken = false;
        let missing = lane.handed.0 - lane.stored.0;
        lane.stored = seq;
        lane.handed = lane.handed.max(seq);
        self.events = self.events - missing + (lane.handed.0 - lane.stored.0);
        while lane.queue.front().is_some_and(|event| event.seq <= seq) {
            self.bytes -= lane.queue.pop_front().as_ref().map_or(0, bytes_held);
        }
        lane.oldest_at = match lane.queue.front() {
            _ if lane.handed == seq => None,
            Some(next) if next.seq == seq.next() => Some(next.at),
            // The next one has to be read again; it is not older than the last one.
            _ => at.or(lane.oldest_at),
        };
        if lane.queue.is_empty() {
            // What an outage filled is not kept for the next one.
            lane.queue.shrink_to(QUEUE_KEPT);
        }
        self.is_over &= self.events > 0;
        self.moved.insert(flight_id.clone());
        self.make_ready(flight_id);
        Step::Stored(flight_id.clone(), seq)
    }

    fn halt(&mut self, taken: &Taken, halt: HaltReason) {
        let flight_id = &taken.flight_id;
        let Some(lane) = self.lanes.get_mut(flight_id).filter(|lane| lane.generation == taken.generation)
        else {
            return;
        };
        lane.is_taken = false;
        if lane.halt.is_none() {
            self.events -= lane.handed.0 - lane.stored.0;
        }
        self.bytes -= lane.queue.drain(..).map(|event| bytes_held(&event)).sum::<usize>();
        lane.halt = Some(halt);
        self.behind.remove(flight_id);
    }

    /// Replies that need not wait any longer, in the order in which they came: of one flight none overtakes another. Those
    /// that wait in vain are dropped, which says "unknown".
    pub(super) fn releases(&mut self) -> Vec<Box<dyn FnOnce() + Send>> {
        let mut releases = Vec::new();
        let mut waiting = Vec::new();
        for release in std::mem::take(&mut self.waiting) {
            match self.lanes.get(&release.flight_id) {
                Some(lane) if lane.stored >= release.seq => releases.push(release.run),
                Some(lane) if lane.halt.is_none() => waiting.push(release),
                _ => {}
            }
        }
        self.waiting = waiting;
        releases
    }

    /// Whether replies wait for the store.
    pub(super) fn has_rounds(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Events that are durable but not stored.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// When the oldest of them happened, or a moment at or before that, as far as known.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.behind.iter().filter_map(|id| self.lanes.get(id)?.oldest_at).min()
    }

    /// Bytes of events in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Most of them; what is beyond stays in the journal alone until its turn comes.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Whether something did not fit since it was last empty.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Flights that are behind, with what they are to reach.
    pub(super) fn goals(&self) -> Vec<(FlightId, Seq)> {
        let goal = |id: &FlightId| self.lanes.get(id).map(|lane| (id.clone(), lane.handed));
        self.behind.iter().filter_map(goal).collect()
    }

    /// Whether a flight is stored up to here, or never will be.
    pub(super) fn has_reached(&self, goal: &(FlightId, Seq)) -> bool {
        self.lanes.get(&goal.0).is_none_or(|lane| lane.stored >= goal.1 || lane.halt.is_some())
    }

    /// Whether nothing more of a flight can be stored until somebody has looked.
    pub(super) fn is_stuck(&self, flight_id: &FlightId) -> bool {
        self.lanes.get(flight_id).is_some_and(|lane| lane.halt.is_some())
    }

    /// How far the store has a flight.
    pub(super) fn stored(&self, flight_id: &FlightId) -> Option<Seq> {
        self.lanes.get(flight_id).map(|lane| lane.stored)
    }

    /// Number of flights that the store has to catch up with.
    pub(super) fn flights_behind(&self) -> usize {
        self.behind.len()
    }

    /// Flights of which nothing more can be stored until somebody has looked, with the reason.
    pub(super) fn stuck(&self) -> Vec<(FlightId, String)> {
        let stuck = |(id, lane): (&FlightId, &Lane)| match &lane.halt {
            Some(HaltReason::Stuck(why)) => Some((id.clone(), why.clone())),
            _ => None,
        };
        self.lanes.iter().filter_map(stuck).collect()
    }

    /// Says that the store is known to have a flight this far, which the journal, opened anew, does not know: it may
    /// never change again, and would hold on to its events for ever.
    pub(super) fn note_recovered(&mut self, flight_id: &FlightId) {
        if self.stored(flight_id).is_some_and(|stored| stored > Seq(0)) {
            self.moved.insert(flight_id.clone());
        }
    }
}

#[cfg(test)]
mod tests;
