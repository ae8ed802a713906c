//! All flights of this process in a few sums, for those who watch it.
//! Never names a flight: a hundred thousand of them take one pass, without a copy.

use std::sync::atomic::{AtomicU64, Ordering};

use super::admission::Limits;
use super::registry::Registry;
use super::shared::{FlightShared, Standing};

/// All flights of this process together. What is not said of the others is of those that are served, or just being
/// recovered, here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// Flights that sell here.
    pub serving: u64,
    /// Flights that are being created.
    pub creating: u64,
    /// Flights that are being recovered.
    pub recovering: u64,
    /// Flights that another process owns by now.
    pub fenced: u64,
    /// Flights that are stopped until their operator sees to them.
    pub quarantined: u64,
    /// Last events decided, summed up.
    pub seq: u64,
    /// Last durable events, summed up.
    pub durable_seq: u64,
    /// Last stored events, summed up.
    pub stored_seq: u64,
    /// Most events of one flight that are decided but not durable.
    pub undurable_max: u64,
    /// Most events of one flight that are durable but not stored.
    pub unstored_max: u64,
    /// Requests in the flights' queues.
    pub queued: u64,
    /// Most of them for one flight.
    pub queued_max: u64,
    /// Requests under way for the flight that has most.
    pub under_way_max: u32,
    /// Requests under way of all flights.
    pub under_way: u32,
    /// Held orders.
    pub holds: u64,
    /// Seats of the flights.
    pub capacity: u64,
    /// Seats still on sale.
    pub free: u64,
    /// Turns that wait for the journal's writer.
    pub writer_queue: u64,
    /// The bounds on requests under way.
    pub limits: Limits,
}

impl Census {
    /// Counts what is entered.
    pub(super) fn of(registry: &Registry, under_way: u32, writer_queue: usize, limits: Limits) -> Self {
        let mut census = Self {
            serving: 0,
            creating: 0,
            recovering: 0,
            fenced: 0,
            quarantined: 0,
            seq: 0,
            durable_seq: 0,
            stored_seq: 0,
            undurable_max: 0,
            unstored_max: 0,
            queued: 0,
            queued_max: 0,
            under_way_max: 0,
            under_way,
            holds: 0,
            capacity: 0,
            free: 0,
            writer_queue: writer_queue as u64,
            limits,
        };
        registry.each(|flight| census.add(flight));
        census
    }

    fn add(&mut self, flight: Option<&FlightShared>) {
        let Some(flight) = flight else {
            self.quarantined += 1;
            return;
        };
        match flight.standing() {
            Standing::Serving | Standing::Leaving => self.serving += 1,
            Standing::Recovering => self.recovering += 1,
            Standing::Creating => return self.creating += 1,
            Standing::Fenced => return self.fenced += 1,
            Standing::Quarantined => return self.quarantined += 1,
        }
        let read = |value: &AtomicU64| value.load(Ordering::Acquire);
        // What is behind is read first, so that it never looks as if it were ahead.
        let stored = read(&flight.stored_seq);
        let durable = read(&flight.durable_seq);
        let seq = read(&flight.seq);
        self.seq += seq;
        self.durable_seq += durable;
        self.stored_seq += stored;
        self.undurable_max = self.undurable_max.max(seq.saturating_sub(durable));
        self.unstored_max = self.unstored_max.max(durable.saturating_sub(stored));
        let queued = flight.queue.len() as u64;
        self.queued += queued;
        self.queued_max = self.queued_max.max(queued);
        self.under_way_max = self.under_way_max.max(flight.gauge.under_way());
        self.holds += read(&flight.holds);
        let view = flight.view.load();
        self.capacity += u64::from(view.capacity);
        self.free += u64::from(view.free);
    }
}
