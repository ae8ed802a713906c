//! The backlog without a store: what comes out when, and what is forgotten.

use super::*;
use farerush_engine::flight::{Event, SalePolicy, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn id() -> FlightId {
    FlightId::new("FR1").unwrap()
}

fn batch(epoch: u64, seqs: std::ops::RangeInclusive<u64>) -> Batch {
    let event = |seq| Recorded {
        seq: Seq(seq),
        at: Timestamp::from_millis(0),
        event: Event::PolicyChanged { policy: SalePolicy::default() },
        cause: None,
        head: None,
    };
    Batch { flight_id: id(), epoch: Epoch(epoch), events: seqs.map(event).collect() }
}

fn round(batch: Batch) -> DurableRound {
    DurableRound { batches: vec![batch], releases: Vec::new() }
}

fn seqs((_, batch): &(Taken, Batch)) -> Vec<u64> {
    batch.events.iter().map(|event| event.seq.0).collect()
}

#[test]
fn events_come_out_in_order_and_only_once() {
    let mut backlog = Backlog::new(1 << 20);
    backlog.hand_in(round(batch(1, 1..=3)));
    backlog.hand_in(round(batch(1, 4..=5)));
    let first = backlog.take(4).unwrap();
    assert_eq!(seqs(&first), [1, 2, 3, 4]);
    assert!(backlog.take(4).is_none(), "one flush a flight at a time");
    backlog.hand_in(round(batch(1, 6..=6)));
    assert_eq!(backlog.complete(&first.0, &first.1, Flushed::Stored), Step::Stored(id(), Seq(4)));
    let second = backlog.take(4).unwrap();
    assert_eq!(seqs(&second), [5, 6]);
    backlog.complete(&second.0, &second.1, Flushed::Stored);
    assert!(backlog.take(4).is_none());
    assert_eq!((backlog.events(), backlog.bytes(), backlog.flights_behind()), (0, 0, 0));
}

#[test]
fn what_does_not_fit_is_read_again_from_the_journal() {
    let size = bytes_held(&batch(1, 1..=1).events[0]);
    let mut backlog = Backlog::new(4 * size);
    backlog.hand_in(round(batch(1, 1..=3)));
    backlog.hand_in(round(batch(1, 4..=6))); // too many
    backlog.hand_in(round(batch(1, 7..=7))); // would leave a hole
    assert_eq!((backlog.events(), backlog.bytes()), (7, 3 * size));
    let taken = backlog.take(100).unwrap();
    assert_eq!(seqs(&taken), [1, 2, 3]);
    backlog.complete(&taken.0, &taken.1, Flushed::Stored);
    backlog.hand_in(round(batch(1, 8..=8))); // there is room again: behind the hole
    let mut hole = backlog.take(100).unwrap();
    assert_eq!((hole.0.after, hole.0.before, seqs(&hole)), (Seq(3), Some(Seq(8)), vec![]));
    hole.1 = batch(1, 4..=7);
    assert_eq!(backlog.complete(&hole.0, &hole.1, Flushed::Stored), Step::Stored(id(), Seq(7)));
    let taken = backlog.take(100).unwrap();
    assert_eq!(seqs(&taken), [8]);
    backlog.complete(&taken.0, &taken.1, Flushed::Stored);
    assert_eq!((backlog.events(), backlog.bytes()), (0, 0));
}

#[test]
fn a_cursor_that_lies_elsewhere_is_believed() {
    let mut backlog = Backlog::new(1 << 20);
    backlog.hand_in(round(batch(1, 6..=8)));
    let taken = backlog.take(100).unwrap();
    backlog.complete(&taken.0, &taken.1, Flushed::Gap { stored: Seq(2) });
    let hole = backlog.take(100).unwrap();
    assert_eq!((hole.0.after, seqs(&hole)), (Seq(2), vec![]));
    assert_eq!(backlog.events(), 6);
    backlog.complete(&hole.0, &hole.1, Flushed::AlreadyStored { stored: Seq(8) });
    assert_eq!((backlog.events(), backlog.bytes()), (0, 0));
}

#[test]
fn a_fenced_flight_is_dropped_until_it_comes_back_under_a_new_epoch() {
    let mut backlog = Backlog::new(1 << 20);
    backlog.hand_in(round(batch(1, 1..=3)));
    let taken = backlog.take(2).unwrap();
    let step = backlog.complete(&taken.0, &taken.1, Flushed::Fenced { owner: Epoch(2) });
    assert_eq!(step, Step::Fenced(id(), Epoch(1)));
    backlog.hand_in(round(batch(1, 4..=4)));
    assert!(backlog.take(100).is_none());
    assert_eq!((backlog.events(), backlog.bytes()), (0, 0));
    backlog.hand_in(round(batch(3, 5..=5)));
    let hole = backlog.take(100).unwrap();
    assert_eq!((hole.0.after, hole.0.before), (Seq(0), Some(Seq(5))));
}

#[test]
fn replies_leave_when_their_flight_is_stored_so_far_and_never_otherwise() {
    let released = Arc::new(AtomicUsize::new(0));
    let release = |flight_id: FlightId, seq: u64| {
        let released = Arc::clone(&released);
        let run = move || {
            released.fetch_add(1, Ordering::Relaxed);
        };
        Release { flight_id, seq: Seq(seq), run: Box::new(run) }
    };
    let mut backlog = Backlog::new(1 << 20);
    let other = Batch { flight_id: FlightId::new("FR2").unwrap(), ..batch(1, 1..=1) };
    let releases = vec![release(id(), 1), release(other.flight_id.clone(), 1)];
    backlog.hand_in(DurableRound { batches: vec![batch(1, 1..=1), other], releases });
    // An answer without events of its own waits for those that it was decided on top of.
    backlog.hand_in(DurableRound { batches: Vec::new(), releases: vec![release(id(), 1)] });
    assert!(backlog.releases().is_empty());
    let mine = backlog.take(100).unwrap();
    backlog.complete(&mine.0, &mine.1, Flushed::Stored);
    backlog.releases().into_iter().for_each(|release| release());
    assert_eq!(released.load(Ordering::Relaxed), 2, "the other flight is waited for by its own");
    let theirs = backlog.take(100).unwrap();
    backlog.complete(&theirs.0, &theirs.1, Flushed::Fenced { owner: Epoch(9) });
    assert!(backlog.releases().is_empty());
    assert!(!backlog.has_rounds(), "waiting in vain");
    assert_eq!(released.load(Ordering::Relaxed), 2);
}

#[test]
fn a_flight_registered_again_forgets_what_was_under_way() {
    let mut backlog = Backlog::new(1 << 20);
    backlog.hand_in(round(batch(1, 1..=5)));
    let old = backlog.take(3).unwrap();
    backlog.register(&id(), Epoch(2), Seq(1), Seq(5));
    assert_eq!(backlog.complete(&old.0, &old.1, Flushed::Stored), Step::Nothing);
    let hole = backlog.take(100).unwrap();
    assert_eq!((hole.0.after, hole.1.epoch), (Seq(1), Epoch(2)));
    assert_eq!(backlog.bytes(), 0);
    backlog.forget(&id());
    backlog.put_back(&hole.0);
    assert!(backlog.take(100).is_none());
    assert_eq!((backlog.events(), backlog.flights_behind()), (0, 0));
}

#[test]
fn the_oldest_event_that_is_not_stored_is_known_and_never_younger_than_it_is() {
    let timed = |seqs: std::ops::RangeInclusive<u64>| {
        let mut batch = batch(1, seqs);
        batch.events.iter_mut().for_each(|event| {
            event.at = Timestamp::from_millis(i64::try_from(event.seq.0 * 10).unwrap());
        });
        batch
    };
    let at = |millis| Some(Timestamp::from_millis(millis));
    let size = bytes_held(&timed(1..=1).events[0]);
    let mut backlog = Backlog::new(4 * size);
    assert_eq!(backlog.oldest(), None);
    backlog.hand_in(round(timed(1..=3)));
    backlog.hand_in(round(timed(4..=6))); // does not fit in memory
    assert_eq!(backlog.oldest(), at(10));
    let taken = backlog.take(2).unwrap();
    assert_eq!(backlog.oldest(), at(10), "taken is not stored");
    backlog.complete(&taken.0, &taken.1, Flushed::Stored);
    assert_eq!(backlog.oldest(), at(30));
    let taken = backlog.take(100).unwrap();
    backlog.complete(&taken.0, &taken.1, Flushed::Stored);
    assert_eq!(backlog.oldest(), at(30), "of what is only in the journal, the last one before it is known");
    let mut taken = backlog.take(100).unwrap();
    taken.1 = timed(4..=6);
    backlog.complete(&taken.0, &taken.1, Flushed::Stored);
    assert_eq!(backlog.oldest(), None);
}
