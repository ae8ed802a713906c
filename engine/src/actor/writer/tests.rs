//! What the writer puts into one round, and what it never does, whatever stands in its queue.
//! Never starts its thread: the queue is filled, and rounds are collected from it.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::mpsc;

use super::delivery::Delivery;
use super::queue::{Queue, Submission, Writer};
use super::round::Round;
use super::thread::{WriterOptions, WriterThread};
use crate::actor::admission::Gauge;
use crate::actor::shared::{FlightShared, Standing};
use crate::actor::stamps::Traced;
use crate::actor::view::FlightView;
use crate::flight::{
    Cabin, CabinClass, Currency, Epoch, Event, Fare, Flight, FlightDefinition, FlightId, FlightIds, Layout,
    Recorded, SalePolicy, SaleSwitch, Salt, Seq, Timestamp,
};
use crate::journal::{Appended, Batch, Claim, Durability, Extent, Journal, JournalError};

/// A journal that is asked nothing.
struct Untouched;

impl Journal for Untouched {
    fn append(&self, _: &[Batch]) -> Result<Vec<Appended>, JournalError> {
        unreachable!("rounds are only collected here")
    }

    fn fence(&self, _: &[Claim]) -> Result<(), JournalError> {
        unreachable!("rounds are only collected here")
    }

    fn read(&self, _: &FlightId, _: Seq, _: usize) -> Result<Vec<Recorded>, JournalError> {
        unreachable!("rounds are only collected here")
    }

    fn extent(&self, _: &FlightId) -> Result<Option<Extent>, JournalError> {
        unreachable!("rounds are only collected here")
    }

    fn extents(&self) -> Result<Vec<Extent>, JournalError> {
        unreachable!("rounds are only collected here")
    }

    fn trim(&self, _: &[(FlightId, Seq)]) -> Result<(), JournalError> {
        unreachable!("rounds are only collected here")
    }

    fn describe(&self) -> String {
        "untouched".to_owned()
    }
}

fn switched(seq: u64) -> Recorded {
    let event = Event::SaleSwitched { switch: SaleSwitch::Open, policy: SalePolicy::default() };
    Recorded { seq: Seq(seq), at: Timestamp::from_millis(0), event, cause: None, head: None }
}

fn shared(id: &str) -> Arc<FlightShared> {
    let definition = FlightDefinition {
        flight_id: FlightId::new(id).unwrap(),
        flight_number: "FR1".into(),
        origin: "TPE".into(),
        destination: "NRT".into(),
        departs_at: Timestamp::from_millis(1_000),
        aircraft: None,
        origin_time_zone: None,
        cabins: vec![Cabin {
            cabin_class: CabinClass::Economy,
            first_row: 1,
            last_row: 1,
            layout: Layout::new("ABC").unwrap(),
            fare: Fare { amount: 100, currency: Currency::new("TWD").unwrap() },
        }],
        ids: FlightIds::new(Salt(7)),
    };
    let event = Event::FlightCreated { definition: Box::new(definition), policy: SalePolicy::default() };
    let created = Recorded { seq: Seq(1), at: Timestamp::from_millis(0), event, cause: None, head: None };
    let view = FlightView::of(&Flight::create(&created).unwrap());
    let gauges = (Arc::new(Gauge::new(9)), Arc::new(Gauge::new(9)));
    Arc::new(FlightShared::new(view, Epoch(1), Standing::Serving, gauges, Arc::default()))
}

/// Events `seqs` of a flight, decided under `epoch`.
fn turn(flight: &Arc<FlightShared>, epoch: u64, seqs: std::ops::RangeInclusive<u64>) -> Submission {
    Submission {
        flight: flight.clone(),
        epoch: Epoch(epoch),
        after: Seq(*seqs.end()),
        events: seqs.map(switched).collect(),
        replies: Vec::new(),
        view: None,
        traced: Traced::default(),
    }
}

fn round_of(submission: Submission) -> Round {
    let mut round = Round::default();
    assert!(round.takes(&submission), "an empty round takes anything");
    round.add(submission);
    round
}

#[test]
fn a_round_takes_of_one_flight_only_what_goes_on_under_one_owner_without_a_hole() {
    let (flight, other) = (shared("FR1"), shared("FR2"));
    let round = round_of(turn(&flight, 3, 5..=7));
    assert!(round.takes(&turn(&flight, 3, 8..=9)), "what goes on");
    // An answer without events, on top of those.
    assert!(round.takes(&Submission { events: Vec::new(), ..turn(&flight, 3, 7..=7) }));
    assert!(round.takes(&turn(&other, 9, 1..=1)), "another flight is nobody's business");
    for epoch in [1, 2, 4] {
        assert!(!round.takes(&turn(&flight, epoch, 8..=9)), "epoch {epoch} is another owner");
        let answer = Submission { events: Vec::new(), ..turn(&flight, epoch, 7..=7) };
        assert!(!round.takes(&answer), "an answer by another owner, {epoch}");
    }
    for first in [1, 4, 5, 6, 7, 9, 100] {
        assert!(!round.takes(&turn(&flight, 3, first..=first)), "{first} does not follow 7");
    }
    // The place of what is after a later one in the round is still its own.
    let mut round = round_of(turn(&other, 1, 1..=1));
    round.add(turn(&flight, 3, 5..=7));
    assert!(round.takes(&turn(&flight, 3, 8..=8)) && !round.takes(&turn(&flight, 4, 8..=8)));
    assert!(round.takes(&turn(&other, 1, 2..=2)) && !round.takes(&turn(&other, 1, 8..=8)));
}

/// The batches of all rounds that are made of a queue, as flight, epoch and seqs.
fn rounds_of(submissions: Vec<Submission>) -> Vec<Vec<(String, u64, Vec<u64>)>> {
    let (sender, _receiver) = mpsc::unbounded_channel();
    let queue = Queue { enough: AtomicUsize::new(0), ..Queue::default() };
    let writer = Writer { queue: Arc::new(queue), delivery: Delivery(sender), state: Arc::default() };
    submissions.into_iter().for_each(|submission| writer.submit(submission));
    let thread = WriterThread {
        writer: writer.clone(),
        journal: Arc::new(Untouched),
        on_durable: Box::new(|_| ()),
        durability: Durability::Journal,
        options: WriterOptions::default(),
    };
    let mut rounds = Vec::new();
    while writer.queued() > 0 {
        let mut round = Round::default();
        thread.collect(&mut round, 0);
        let batches = round.batches.iter().map(|batch| {
            let seqs = batch.events.iter().map(|event| event.seq.0).collect();
            (batch.flight_id.to_string(), batch.epoch.0, seqs)
        });
        rounds.push(batches.collect());
    }
    rounds
}

#[test]
fn a_round_takes_of_one_flight_what_queued_up_in_order_and_leaves_the_rest_for_the_next() {
    let (flight, other) = (shared("FR1"), shared("FR2"));
    let batch = |flight: &str, epoch, seqs: &[u64]| (flight.to_owned(), epoch, seqs.to_vec());
    // An owner, the one after it who does not know of the last event, and what the first one still had in hand.
    let queued = vec![
        turn(&flight, 1, 2..=3),
        turn(&other, 1, 2..=2),
        turn(&flight, 1, 4..=4),
        turn(&flight, 2, 4..=5),
        turn(&flight, 1, 5..=5),
        turn(&other, 1, 3..=3),
    ];
    let rounds = rounds_of(queued);
    assert_eq!(
        rounds,
        [
            vec![batch("FR1", 1, &[2, 3, 4]), batch("FR2", 1, &[2])],
            vec![batch("FR1", 2, &[4, 5])],
            vec![batch("FR1", 1, &[5]), batch("FR2", 1, &[3])],
        ]
    );
    // A hole under one epoch is nothing that may be closed by being in one batch.
    let rounds = rounds_of(vec![turn(&flight, 1, 2..=2), turn(&flight, 1, 4..=4)]);
    assert_eq!(rounds, [vec![batch("FR1", 1, &[2])], vec![batch("FR1", 1, &[4])]]);
}
