//! How far each flight's deliveries are: what is durable, what was delivered, what of that is saved, who waits for what.
//! Never waits, reads a clock or does IO.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use farerush_engine::flight::{FlightId, Seq, Timestamp};
use farerush_persistence::store::WebhookCursor;
use tokio::time::Instant;

/// Where a flight's deliveries are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeliveryCursor {
    /// The last event of which everything was delivered.
    pub(super) seq: Seq,
    /// Seats on sale after it, if that is known.
    pub(super) free: Option<u32>,
    /// How much was delivered of what follows from the event after it. Not saved: after a crash, that is repeated.
    pub(super) within: usize,
}

impl DeliveryCursor {
    /// Before a flight's first event.
    pub(super) const START: Self = Self { seq: Seq(0), free: None, within: 0 };
}

/// One flight.
#[derive(Debug)]
struct Lane {
    /// `None`: the store has not said yet.
    place: Option<DeliveryCursor>,
    /// What the store has of it.
    saved: Option<DeliveryCursor>,
    /// The last event known to be durable.
    durable: Seq,
    /// When the first event that was not delivered happened, or a moment at or before that, as far as known.
    oldest_at: Option<Timestamp>,
    is_taken: bool,
    is_ready: bool,
    /// Not before this.
    waits_until: Option<Instant>,
    /// Failures in a row.
    failures: u32,
}

/// All flights.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: HashMap<FlightId, Lane>,
    /// Flights with something to deliver, each at most once, in turn.
    ready: VecDeque<FlightId>,
    /// Those that have failed and wait.
    waiting: BTreeSet<(Instant, FlightId)>,
    /// Flights of which not everything was delivered.
    behind: HashSet<FlightId>,
    /// Flights that are further than the store knows.
    unsaved: HashSet<FlightId>,
    /// Flights of which the store has to say how far they are.
    unplaced: HashSet<FlightId>,
}

/// What has become durable of a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) last: Seq,
    /// When the first event of it happened.
    pub(super) at: Option<Timestamp>,
    /// Whether it begins with the flight's first event.
    pub(super) is_new: bool,
}

/// A flight whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) flight_id: FlightId,
    pub(super) from: DeliveryCursor,
    /// The last event known to be durable.
    pub(super) durable: Seq,
}

impl Lanes {
    /// Notes that more of a flight is durable.
    pub(super) fn note(&mut self, flight_id: &FlightId, noted: Noted) {
        if !self.lanes.contains_key(flight_id) {
            let lane = Lane {
                place: None,
                saved: None,
                durable: Seq(0),
                oldest_at: None,
                is_taken: false,
                is_ready: false,
                waits_until: None,
                failures: 0,
            };
            self.lanes.insert(flight_id.clone(), lane);
            self.unplaced.insert(flight_id.clone());
        }
        let Some(lane) = self.lanes.get_mut(flight_id) else { return };
        if noted.is_new && lane.place.is_none() {
            lane.place = Some(DeliveryCursor::START);
            self.unplaced.remove(flight_id);
        }
        if noted.last > lane.durable {
            lane.durable = noted.last;
            if lane.oldest_at.is_none() {
                lane.oldest_at = noted.at;
            }
        }
        self.settle(flight_id);
    }

    /// Flights of which the store has to say how far they are.
    pub(super) fn unplaced(&self) -> Vec<FlightId> {
        self.unplaced.iter().cloned().collect()
    }

    /// Says where a flight's deliveries are that had no place yet; `is_saved` if the store says so. Where they are
    /// further than the flight is (its journal was lost, say), they go on from where it is.
    pub(super) fn put(&mut self, flight_id: &FlightId, place: DeliveryCursor, is_saved: bool) {
        let Some(lane) = self.lanes.get_mut(flight_id) else { return };
        if lane.place.is_none() {
            let fits = place.seq <= lane.durable;
            lane.place =
                Some(if fits { place } else { DeliveryCursor { seq: lane.durable, free: None, within: 0 } });
            lane.saved = is_saved.then_some(place);
            self.unplaced.remove(flight_id);
            if !fits {
                self.unsaved.insert(flight_id.clone());
            }
        }
        self.settle(flight_id);
    }

    /// Flights that were noted, with their places.
    pub(super) fn places(&self) -> impl Iterator<Item = (&FlightId, Option<DeliveryCursor>)> {
        self.lanes.iter().map(|(flight_id, lane)| (flight_id, lane.place))
    }

    /// Forgets a flight that is served elsewhere, unless something of it is under way.
    pub(super) fn forget(&mut self, flight_id: &FlightId) {
        if self.lanes.get(flight_id).is_none_or(|lane| lane.is_taken) {
            return;
        }
        if let Some(lane) = self.lanes.remove(flight_id) {
            if let Some(until) = lane.waits_until {
                self.waiting.remove(&(until, flight_id.clone()));
            }
            if lane.is_ready {
                self.ready.retain(|ready| ready != flight_id);
            }
        }
        self.behind.remove(flight_id);
        self.unsaved.remove(flight_id);
        self.unplaced.remove(flight_id);
    }

    /// The next flight whose turn it is.
    pub(super) fn take(&mut self, now: Instant) -> Option<Taken> {
        while self.waiting.first().is_some_and(|(until, _)| *until <= now) {
            let Some((_, flight_id)) = self.waiting.pop_first() else { break };
            if let Some(lane) = self.lanes.get_mut(&flight_id) {
                lane.waits_until = None;
            }
            self.settle(&flight_id);
        }
        loop {
            let flight_id = self.ready.pop_front()?;
            let Some(lane) = self.lanes.get_mut(&flight_id) else { continue };
            lane.is_ready = false;
            let Some(from) = lane.place.filter(|_| lane.is_behind() && !lane.is_taken) else { continue };
            lane.is_taken = true;
            return Some(Taken { from, durable: lane.durable, flight_id });
        }
    }

    /// Books how far a turn has come, when the last event it has delivered happened, and whether it ended in a failure.
    /// `pause` is told how many failures that makes in a row, and says until when the flight has to wait, if it has to.
    pub(super) fn arrived(
        &mut self,
        taken: &Taken,
        place: DeliveryCursor,
        at: Option<Timestamp>,
        has_failed: bool,
        pause: impl FnOnce(u32) -> Option<Instant>,
    ) {
        let Some(lane) = self.lanes.get_mut(&taken.flight_id) else { return };
        lane.is_taken = false;
        lane.place = Some(place);
        if place != taken.from {
            lane.failures = 0;
        }
        if place.seq != taken.from.seq || place.free != taken.from.free {
            // The next one is not older.
            lane.oldest_at = at.or(lane.oldest_at);
            self.unsaved.insert(taken.flight_id.clone());
        }
        lane.failures = lane.failures.saturating_add(u32::from(has_failed));
        lane.waits_until = pause(lane.failures);
        if let Some(until) = lane.waits_until {
            self.waiting.insert((until, taken.flight_id.clone()));
        }
        self.settle(&taken.flight_id);
    }

    /// Nobody waits any longer: the receiver is back.
    pub(super) fn wake_all(&mut self) {
        for (_, flight_id) in std::mem::take(&mut self.waiting) {
            if let Some(lane) = self.lanes.get_mut(&flight_id) {
                lane.waits_until = None;
            }
            self.settle(&flight_id);
        }
    }

    /// When the next one has waited long enough.
    pub(super) fn next_wait(&self) -> Option<Instant> {
        self.waiting.first().map(|(until, _)| *until)
    }

    /// Whether it is somebody's turn.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What the store does not know yet, at most so many flights.
    pub(super) fn unsaved(&self, flights_max: usize) -> Vec<WebhookCursor> {
        let cursor = |flight_id: &FlightId| {
            let place = self.lanes.get(flight_id)?.place?;
            Some(WebhookCursor { flight_id: flight_id.clone(), seq: place.seq, free: place.free })
        };
        self.unsaved.iter().filter_map(cursor).take(flights_max).collect()
    }

    /// The store has these now.
    pub(super) fn saved(&mut self, cursors: &[WebhookCursor]) {
        for WebhookCursor { flight_id, seq, free } in cursors {
            let Some(lane) = self.lanes.get_mut(flight_id) else { continue };
            lane.saved = Some(DeliveryCursor { seq: *seq, free: *free, within: 0 });
            if lane.place.is_some_and(|place| place.seq == *seq && place.free == *free) {
                self.unsaved.remove(flight_id);
            }
        }
    }

    /// Up to which event the store knows that everything was delivered; 0 if it does not.
    pub(super) fn saved_seq(&self, flight_id: &FlightId) -> Seq {
        let saved = self.lanes.get(flight_id).and_then(|lane| lane.saved);
        saved.map_or(Seq(0), |place| place.seq)
    }

    /// Number of flights of which not everything was delivered.
    pub(super) fn flights_behind(&self) -> usize {
        self.behind.len()
    }

    /// Events that were not looked at yet.
    pub(super) fn lag_events(&self) -> u64 {
        let lag = |flight_id: &FlightId| {
            let lane = self.lanes.get(flight_id)?;
            Some(lane.durable.0.saturating_sub(lane.place?.seq.0))
        };
        self.behind.iter().filter_map(lag).sum()
    }

    /// When the oldest of them happened, or a moment at or before that, as far as known.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.behind.iter().filter_map(|flight_id| self.lanes.get(flight_id)?.oldest_at).min()
    }

    /// Puts a flight where it belongs after something about it has changed.
    fn settle(&mut self, flight_id: &FlightId) {
        let Some(lane) = self.lanes.get_mut(flight_id) else { return };
        if !lane.is_behind() {
            if lane.place.is_some() {
                lane.oldest_at = None;
            }
            self.behind.remove(flight_id);
            return;
        }
        if !self.behind.contains(flight_id) {
            self.behind.insert(flight_id.clone());
        }
        if !lane.is_taken && !lane.is_ready && lane.waits_until.is_none() {
            lane.is_ready = true;
            self.ready.push_back(flight_id.clone());
        }
    }
}

impl Lane {
    fn is_behind(&self) -> bool {
        self.place.is_some_and(|place| place.seq < self.durable)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn id(name: &str) -> FlightId {
        FlightId::new(name).unwrap()
    }

    fn noted(last: u64, is_new: bool) -> Noted {
        Noted { last: Seq(last), at: Some(Timestamp::from_millis(last.cast_signed() * 10)), is_new }
    }

    fn place(seq: u64) -> DeliveryCursor {
        DeliveryCursor { seq: Seq(seq), free: Some(1), within: 0 }
    }

    #[test]
    fn flights_take_turns_one_at_a_time_each() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        for name in ["A", "B"] {
            lanes.note(&id(name), noted(5, true));
        }
        let (a, b) = (lanes.take(now).unwrap(), lanes.take(now).unwrap());
        assert_eq!((&a.flight_id, &b.flight_id), (&id("A"), &id("B")));
        lanes.note(&id("A"), noted(6, false));
        assert_eq!(lanes.take(now), None, "A is under way");
        lanes.arrived(&a, place(2), Some(Timestamp::from_millis(20)), false, |_| None);
        lanes.arrived(&b, place(5), None, false, |_| None);
        assert_eq!((lanes.flights_behind(), lanes.lag_events()), (1, 4));
        assert_eq!(lanes.oldest(), Some(Timestamp::from_millis(20)));
        let again = lanes.take(now).unwrap();
        assert_eq!((again.from, again.durable), (place(2), Seq(6)));
        lanes.arrived(&again, place(6), None, false, |_| None);
        assert_eq!((lanes.take(now), lanes.flights_behind(), lanes.oldest()), (None, 0, None));
    }

    #[test]
    fn a_flight_that_failed_waits_while_others_go_on() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        lanes.note(&id("A"), noted(5, true));
        lanes.note(&id("B"), noted(5, true));
        let a = lanes.take(now).unwrap();
        let until = now + Duration::from_secs(1);
        let mut in_a_row = 0;
        let mut fail = |lanes: &mut Lanes, taken: &Taken, to| {
            lanes.arrived(taken, to, None, true, |failures| {
                in_a_row = failures;
                Some(until)
            });
            in_a_row
        };
        assert_eq!(fail(&mut lanes, &a, a.from), 1);
        assert_eq!(lanes.take(now).unwrap().flight_id, id("B"));
        assert_eq!((lanes.take(now), lanes.next_wait()), (None, Some(until)));
        let a = lanes.take(until).unwrap();
        assert_eq!(a.flight_id, id("A"));
        assert_eq!(fail(&mut lanes, &a, a.from), 2);
        // Whatever it was, the receiver is back.
        lanes.wake_all();
        assert_eq!(lanes.next_wait(), None);
        let a = lanes.take(now).unwrap();
        assert_eq!(fail(&mut lanes, &a, place(1)), 1, "it came further in between");
    }

    #[test]
    fn only_what_the_store_has_counts_for_trimming() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        lanes.note(&id("A"), noted(5, false));
        assert_eq!((lanes.unplaced(), lanes.take(now)), (vec![id("A")], None));
        lanes.put(&id("A"), place(2), true);
        assert_eq!(lanes.saved_seq(&id("A")), Seq(2));
        let taken = lanes.take(now).unwrap();
        lanes.arrived(&taken, place(4), None, false, |_| None);
        assert_eq!(lanes.saved_seq(&id("A")), Seq(2));
        let unsaved = lanes.unsaved(10);
        let taken = lanes.take(now).unwrap();
        lanes.arrived(&taken, place(5), None, false, |_| None);
        lanes.saved(&unsaved);
        assert_eq!(lanes.saved_seq(&id("A")), Seq(4));
        assert_eq!(lanes.unsaved(10)[0].seq, Seq(5));
        lanes.forget(&id("A"));
        lanes.note(&id("B"), noted(3, false));
        lanes.put(&id("B"), place(9), true);
        let unsaved = lanes.unsaved(10);
        assert_eq!(
            (unsaved[0].seq, unsaved[0].free),
            (Seq(3), None),
            "the flight is not as far as its deliveries"
        );
        lanes.forget(&id("B"));
        assert_eq!((lanes.saved_seq(&id("A")), lanes.unsaved(10)), (Seq(0), vec![]));
    }
}
