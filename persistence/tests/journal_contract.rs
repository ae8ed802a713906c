//! What every journal keeps to: one suite, run against each of them.

mod journal_support;
mod servers;

use std::sync::Arc;

use farerush_engine::flight::{Epoch, Seq};
use farerush_engine::journal::{Appended, Batch, Claim, Extent, Journal, JournalError};
use farerush_persistence::journal::faulty::Fault;
use farerush_persistence::journal::{
    EmbeddedJournal, EmbeddedOptions, FaultyJournal, MemoryJournal, RedisJournal, RedisOptions,
};
use journal_support::sim_disk::SimDisk;
use journal_support::{batch, flight_id, order_event, small_events};
use servers::{Cluster, RedisServer, Replicated};

/// Each check gets a journal of its own, made by `make`.
fn check_contract<J: Journal>(make: impl Fn() -> J) {
    what_is_appended_can_be_read(&make());
    the_same_batch_again_changes_nothing(&make());
    other_events_under_known_seqs_are_no_repeat(&make());
    a_repeat_of_what_was_trimmed_is_never_confirmed(&make());
    a_journal_that_can_be_written_says_so(&make());
    a_gap_or_an_overlap_is_refused(&make());
    a_refused_batch_leaves_out_the_whole_round(&make());
    a_fence_keeps_earlier_epochs_out(&make());
    a_claim_must_be_larger_than_any_before(&make());
    a_fence_before_the_first_event_is_kept(&make());
    a_batch_that_landed_before_the_fence_is_still_durable(&make());
    a_fenced_batch_does_not_keep_others_out(&make());
    a_flight_may_begin_behind_what_a_store_has(&make());
    an_epoch_that_was_never_claimed_is_refused(&make());
    many_flights_share_a_round(&make());
    a_large_round_is_no_trouble(&make());
    a_stored_event_may_go_and_no_other(&make());
    nothing_is_known_of_an_unknown_flight(&make());
}

/// For journals that survive their process: `open` opens the same one each time.
fn check_reopening<J: Journal>(open: impl Fn() -> J) {
    let journal = open();
    append(&journal, 1, 1, 1, 5);
    assert!(journal.append(&[decided_otherwise(1, 1, 3, 2)]).is_err());
    fence(&journal, 1, 2);
    fence(&journal, 2, 9);
    append(&journal, 1, 2, 6, 2);
    drop(journal);
    let journal = open();
    assert_eq!(extent(&journal, 1), (2, 1, 7));
    assert_eq!(extent(&journal, 2), (9, 0, 0));
    assert_eq!(journal.read(&flight_id(1), Seq(0), 100).unwrap(), small_events(1, 7));
    append(&journal, 1, 2, 6, 2);
    assert!(journal.append(&[decided_otherwise(1, 2, 6, 2)]).is_err(), "also after a start");
    assert_eq!(journal.append(&[batch(1, 1, 8, 1)]).unwrap(), [Appended::Fenced]);
    assert_eq!(journal.append(&[batch(2, 8, 1, 1)]).unwrap(), [Appended::Fenced]);
    append(&journal, 1, 2, 8, 1);
    append(&journal, 2, 9, 1, 1);
    drop(journal);
    assert_eq!(open().read(&flight_id(1), Seq(0), 100).unwrap(), small_events(1, 8));
}

fn append(journal: &impl Journal, flight: usize, epoch: u64, first: u64, count: u64) {
    let appended = journal.append(&[batch(flight, epoch, first, count)]).unwrap();
    assert_eq!(appended, [Appended::Durable]);
}

fn claim(flight: usize, epoch: u64) -> Claim {
    Claim { flight_id: flight_id(flight), epoch: Epoch(epoch) }
}

fn fence(journal: &impl Journal, flight: usize, epoch: u64) {
    journal.fence(&[claim(flight, epoch)]).unwrap();
}

/// Epoch, first, last.
fn extent(journal: &impl Journal, flight: usize) -> (u64, u64, u64) {
    let Extent { epoch, first, last, .. } = journal.extent(&flight_id(flight)).unwrap().unwrap();
    (epoch.0, first.0, last.0)
}

fn what_is_appended_can_be_read(journal: &impl Journal) {
    append(journal, 1, 1, 1, 3);
    append(journal, 1, 1, 4, 1);
    append(journal, 1, 1, 5, 10);
    assert_eq!(extent(journal, 1), (1, 1, 14));
    for after in 0..=15 {
        for events_max in [0_u16, 1, 2, 5, 100] {
            let events = journal.read(&flight_id(1), Seq(after), events_max.into()).unwrap();
            let count = u64::from(events_max).min(14_u64.saturating_sub(after));
            assert_eq!(events, small_events(after + 1, count), "after {after}, at most {events_max}");
        }
    }
}

fn the_same_batch_again_changes_nothing(journal: &impl Journal) {
    append(journal, 1, 1, 1, 3);
    append(journal, 1, 1, 1, 3);
    append(journal, 1, 1, 4, 2);
    append(journal, 1, 1, 4, 2);
    assert_eq!(extent(journal, 1), (1, 1, 5));
    assert_eq!(journal.read(&flight_id(1), Seq(0), 100).unwrap(), small_events(1, 5));
}

/// The same seqs under the same epoch, decided otherwise.
fn decided_otherwise(flight: usize, epoch: u64, first: u64, count: u64) -> Batch {
    let mut other = batch(flight, epoch, first, count);
    let last = other.events.last_mut().expect("a batch has events");
    last.event = order_event(1_000_000 + last.seq.0);
    other
}

/// Two actors of one flight under one epoch, or a retired one that goes on: its events are not those that are there.
fn other_events_under_known_seqs_are_no_repeat(journal: &impl Journal) {
    append(journal, 1, 1, 1, 3);
    append(journal, 1, 1, 4, 3);
    for (first, count) in [(1, 3), (4, 3), (2, 2), (6, 1), (1, 6)] {
        let refused = journal.append(&[decided_otherwise(1, 1, first, count)]);
        assert!(matches!(refused, Err(JournalError::Damaged { flight_id: Some(_), .. })), "{refused:?}");
        append(journal, 1, 1, first, count); // what is there is a repeat, wherever it is cut
    }
    let mut later = batch(1, 1, 4, 3);
    later.events[1].at = later.events[1].at.plus_millis(1);
    assert!(journal.append(&[later]).is_err(), "the same at another moment is another event");
    fence(journal, 1, 2);
    assert_eq!(journal.append(&[decided_otherwise(1, 1, 4, 3)]).unwrap(), [Appended::Fenced]);
    assert_eq!(journal.append(&[batch(1, 1, 4, 3)]).unwrap(), [Appended::Durable], "its reply was lost");
    append(journal, 1, 2, 7, 1);
    assert_eq!(journal.read(&flight_id(1), Seq(0), 100).unwrap(), small_events(1, 7));
}

fn a_repeat_of_what_was_trimmed_is_never_confirmed(journal: &impl Journal) {
    append(journal, 1, 1, 1, 3);
    append(journal, 1, 1, 4, 3);
    journal.trim(&[(flight_id(1), Seq(6))]).unwrap();
    let other = journal.append(&[decided_otherwise(1, 1, 1, 3)]);
    assert!(matches!(other, Err(JournalError::Damaged { flight_id: Some(_), .. })), "{other:?}");
    append(journal, 1, 1, 7, 1);
}

fn a_journal_that_can_be_written_says_so(journal: &impl Journal) {
    journal.probe().unwrap();
    append(journal, 1, 1, 1, 3);
    journal.probe().unwrap();
    assert_eq!(extent(journal, 1), (1, 1, 3));
    assert_eq!(journal.extents().unwrap().len(), 1, "it leaves nothing behind");
}

fn a_gap_or_an_overlap_is_refused(journal: &impl Journal) {
    append(journal, 1, 1, 1, 3);
    for (first, count) in [(5, 1), (9, 3), (3, 2), (1, 4)] {
        let refused = journal.append(&[batch(1, 1, first, count)]);
        assert!(matches!(refused, Err(JournalError::Damaged { flight_id: Some(_), .. })), "{first} {count}");
    }
    let mut empty = batch(1, 1, 4, 1);
    empty.events.clear();
    assert!(matches!(journal.append(&[empty]), Err(JournalError::Damaged { .. })));
    assert_eq!(extent(journal, 1), (1, 1, 3));
    append(journal, 1, 1, 4, 1);
}

fn a_refused_batch_leaves_out_the_whole_round(journal: &impl Journal) {
    append(journal, 1, 1, 1, 3);
    assert!(journal.append(&[batch(2, 1, 1, 1), batch(1, 1, 7, 1)]).is_err());
    assert!(journal.append(&[batch(3, 1, 1, 1), batch(3, 1, 2, 1)]).is_err(), "two batches of a flight");
    assert!(journal.append(&[batch(1, 1, 4, 1), batch(1, 1, 5, 1)]).is_err(), "two batches of a flight");
    assert_eq!(journal.extent(&flight_id(2)).unwrap(), None);
    assert_eq!(journal.extent(&flight_id(3)).unwrap(), None);
    assert_eq!(extent(journal, 1), (1, 1, 3));
}

fn a_fence_keeps_earlier_epochs_out(journal: &impl Journal) {
    append(journal, 1, 1, 1, 3);
    fence(journal, 1, 4);
    assert_eq!(extent(journal, 1), (4, 1, 3));
    for epoch in 1..4 {
        assert_eq!(journal.append(&[batch(1, epoch, 4, 1)]).unwrap(), [Appended::Fenced], "{epoch}");
    }
    append(journal, 1, 4, 4, 1);
    assert_eq!(journal.append(&[batch(1, 1, 5, 1)]).unwrap(), [Appended::Fenced]);
    assert_eq!(journal.read(&flight_id(1), Seq(0), 100).unwrap(), small_events(1, 4));
}

fn a_claim_must_be_larger_than_any_before(journal: &impl Journal) {
    append(journal, 1, 3, 1, 1);
    for epoch in [1, 2, 3] {
        let refused = journal.fence(&[claim(1, epoch)]);
        assert!(matches!(refused, Err(JournalError::Fenced { epoch: Epoch(3), .. })), "{epoch}");
    }
    fence(journal, 1, 4);
    assert!(matches!(journal.fence(&[claim(1, 4)]), Err(JournalError::Fenced { epoch: Epoch(4), .. })));
    journal.fence(&[claim(1, 5), claim(2, 1)]).unwrap();
    journal.fence(&[]).unwrap();
    assert_eq!(extent(journal, 1), (5, 1, 1));
}

fn a_fence_before_the_first_event_is_kept(journal: &impl Journal) {
    fence(journal, 1, 7);
    assert_eq!(extent(journal, 1), (7, 0, 0));
    assert_eq!(journal.append(&[batch(1, 6, 1, 1)]).unwrap(), [Appended::Fenced]);
    append(journal, 1, 7, 1, 2);
    assert_eq!(extent(journal, 1), (7, 1, 2));
}

fn a_batch_that_landed_before_the_fence_is_still_durable(journal: &impl Journal) {
    append(journal, 1, 1, 1, 3);
    fence(journal, 1, 2);
    assert_eq!(journal.append(&[batch(1, 1, 1, 3)]).unwrap(), [Appended::Durable], "its reply was lost");
    assert_eq!(journal.append(&[batch(1, 1, 4, 1)]).unwrap(), [Appended::Fenced]);
    append(journal, 1, 2, 4, 2);
    assert_eq!(journal.append(&[batch(1, 1, 4, 2)]).unwrap(), [Appended::Fenced], "another's events");
    assert_eq!(journal.read(&flight_id(1), Seq(0), 100).unwrap(), small_events(1, 5));
}

fn a_fenced_batch_does_not_keep_others_out(journal: &impl Journal) {
    append(journal, 2, 1, 1, 1);
    fence(journal, 2, 2);
    let appended = journal.append(&[batch(1, 1, 1, 2), batch(2, 1, 2, 1), batch(3, 1, 1, 1)]).unwrap();
    assert_eq!(appended, [Appended::Durable, Appended::Fenced, Appended::Durable]);
    assert_eq!(extent(journal, 1), (1, 1, 2));
    assert_eq!(extent(journal, 2), (2, 1, 1));
    assert_eq!(extent(journal, 3), (1, 1, 1));
}

/// A new journal next to an old store.
fn a_flight_may_begin_behind_what_a_store_has(journal: &impl Journal) {
    fence(journal, 1, 5);
    append(journal, 1, 5, 501, 3);
    assert_eq!(extent(journal, 1), (5, 501, 503));
    assert_eq!(journal.read(&flight_id(1), Seq(500), 100).unwrap(), small_events(501, 3));
    let trimmed = journal.read(&flight_id(1), Seq(10), 100);
    assert!(matches!(trimmed, Err(JournalError::Trimmed { first: Seq(501), .. })));
}

/// Only a claim raises the epoch, except that a flight's creation brings its own.
fn an_epoch_that_was_never_claimed_is_refused(journal: &impl Journal) {
    append(journal, 1, 3, 1, 1);
    assert!(matches!(journal.append(&[batch(1, 4, 2, 1)]), Err(JournalError::Damaged { .. })));
    assert_eq!(extent(journal, 1), (3, 1, 1));
}

fn many_flights_share_a_round(journal: &impl Journal) {
    for turn in 0..3 {
        let round: Vec<_> = (0..500).map(|flight| batch(flight, 1, 1 + turn * 2, 2)).collect();
        assert_eq!(journal.append(&round).unwrap(), vec![Appended::Durable; 500]);
    }
    let mut extents = journal.extents().unwrap();
    extents.sort_by(|a, b| a.flight_id.cmp(&b.flight_id));
    assert_eq!(extents.len(), 500);
    assert!(extents.iter().all(|extent| extent.first == Seq(1) && extent.last == Seq(6)));
    assert_eq!(journal.read(&flight_id(77), Seq(2), 100).unwrap(), small_events(3, 4));
    assert_eq!(journal.append(&[]).unwrap(), []);
}

fn a_large_round_is_no_trouble(journal: &impl Journal) {
    let round = [batch(1, 1, 1, 40_000), batch(2, 1, 1, 40_000)];
    assert_eq!(journal.append(&round).unwrap(), [Appended::Durable; 2]);
    append(journal, 1, 1, 40_001, 1);
    assert_eq!(journal.read(&flight_id(1), Seq(39_990), 100).unwrap(), small_events(39_991, 11));
    let mut after = Seq(0);
    loop {
        let events = journal.read(&flight_id(2), after, 7_000).unwrap();
        let Some(last) = events.last() else { break };
        assert_eq!(events, small_events(after.0 + 1, events.len() as u64));
        after = last.seq;
    }
    assert_eq!(after, Seq(40_000));
}

fn a_stored_event_may_go_and_no_other(journal: &impl Journal) {
    append(journal, 1, 1, 1, 10);
    append(journal, 2, 1, 1, 10);
    journal.trim(&[(flight_id(1), Seq(4)), (flight_id(99), Seq(4))]).unwrap();
    let (epoch, first, last) = extent(journal, 1);
    assert!((1..=5).contains(&first), "first {first}");
    assert_eq!((epoch, last), (1, 10));
    assert_eq!(journal.read(&flight_id(1), Seq(4), 100).unwrap(), small_events(5, 6));
    assert_eq!(journal.read(&flight_id(2), Seq(0), 100).unwrap(), small_events(1, 10));
    if first > 1 {
        let trimmed = journal.read(&flight_id(1), Seq(0), 100);
        assert!(matches!(trimmed, Err(JournalError::Trimmed { first: Seq(told), .. }) if told == first));
    }
    journal.trim(&[(flight_id(1), Seq(10))]).unwrap();
    assert_eq!(extent(journal, 1).2, 10, "the last seq is known, though its event may be gone");
    assert!(matches!(journal.append(&[batch(1, 1, 12, 1)]), Err(JournalError::Damaged { .. })));
    append(journal, 1, 1, 11, 1);
    assert_eq!(journal.read(&flight_id(1), Seq(10), 100).unwrap(), small_events(11, 1));
}

fn nothing_is_known_of_an_unknown_flight(journal: &impl Journal) {
    assert_eq!(journal.extents().unwrap(), []);
    assert_eq!(journal.extent(&flight_id(1)).unwrap(), None);
    assert_eq!(journal.read(&flight_id(1), Seq(0), 10).unwrap(), []);
    journal.trim(&[(flight_id(1), Seq(5))]).unwrap();
    assert!(!journal.describe().is_empty());
}

fn small_segments(retain_bytes: u64) -> EmbeddedOptions {
    EmbeddedOptions { segment_bytes: 4096, retain_bytes, prepare_in_background: false }
}

#[test]
fn the_memory_journal_keeps_the_contract() {
    check_contract(MemoryJournal::new);
}

#[test]
fn a_faulty_journal_keeps_the_contract_as_long_as_nothing_is_asked_of_it() {
    check_contract(|| FaultyJournal::new(Arc::new(MemoryJournal::new())));
}

#[test]
fn a_faulty_journal_fails_as_it_is_told_to() {
    let journal = FaultyJournal::new(Arc::new(MemoryJournal::new()));
    journal.fail_next(Fault::UnavailableBefore, 1);
    journal.fail_next(Fault::UnavailableAfter, 1);
    let round = [batch(1, 1, 1, 1)];
    assert!(matches!(journal.append(&round), Err(JournalError::Unavailable { .. })));
    assert_eq!(journal.extents().unwrap(), []);
    assert!(matches!(journal.append(&round), Err(JournalError::Unavailable { .. })));
    assert_eq!(extent(&journal, 1), (1, 1, 1));
    assert_eq!(journal.append(&round).unwrap(), [Appended::Durable]);
    journal.hold();
    std::thread::scope(|scope| {
        let held = scope.spawn(|| append(&journal, 1, 1, 2, 1));
        assert!(journal.wait_until_holding(std::time::Duration::from_secs(30)));
        assert_eq!(extent(&journal, 1), (1, 1, 1));
        journal.release();
        held.join().unwrap();
    });
    assert_eq!(extent(&journal, 1), (1, 1, 2));
    journal.fail_next(Fault::Stopped, 1);
    for _ in 0..2 {
        assert!(matches!(journal.append(&[batch(1, 1, 3, 1)]), Err(JournalError::Stopped { .. })));
    }
}

#[test]
fn the_embedded_journal_keeps_the_contract() {
    let folders = tempfile::tempdir().unwrap();
    let made = std::cell::Cell::new(0);
    check_contract(|| {
        made.set(made.get() + 1);
        let options = EmbeddedOptions { segment_bytes: 1 << 20, ..EmbeddedOptions::default() };
        EmbeddedJournal::open(&folders.path().join(made.get().to_string()), options).unwrap()
    });
}

#[test]
fn the_embedded_journal_keeps_the_contract_over_tiny_segments_that_go_at_once() {
    check_contract(|| EmbeddedJournal::open_on(Arc::new(SimDisk::new(1)), small_segments(0)).unwrap());
}

#[test]
fn the_embedded_journal_survives_being_reopened() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { segment_bytes: 1 << 20, ..EmbeddedOptions::default() };
    check_reopening(|| EmbeddedJournal::open(folder.path(), options).unwrap());
    let disk = SimDisk::new(2);
    check_reopening(|| EmbeddedJournal::open_on(Arc::new(disk.clone()), small_segments(0)).unwrap());
}

fn redis_options(prefix: usize) -> RedisOptions {
    RedisOptions {
        prefix: format!("farerush-{prefix}"),
        retain_events: 0,
        trim_needs_snapshot: false,
        ..RedisOptions::default()
    }
}

#[test]
fn the_redis_journal_keeps_the_contract() {
    let server = RedisServer::start(&[]);
    let made = std::cell::Cell::new(0);
    check_contract(|| {
        made.set(made.get() + 1);
        RedisJournal::open(&server.url(), redis_options(made.get())).unwrap()
    });
}

fn check_at(url: &str) {
    let made = std::cell::Cell::new(0);
    check_contract(|| {
        made.set(made.get() + 1);
        let options = RedisOptions { heals: true, ..redis_options(made.get()) };
        let journal = RedisJournal::open(url, options).unwrap();
        journal.want_met();
        journal
    });
    check_reopening(|| RedisJournal::open(url, redis_options(0)).unwrap());
}

#[test]
fn the_redis_journal_keeps_the_contract_behind_sentinels() {
    check_at(&Replicated::start(1, true).url());
}

#[test]
fn the_redis_journal_keeps_the_contract_on_a_cluster() {
    check_at(&Cluster::start(true).url());
}

#[test]
fn the_redis_journal_survives_being_reopened() {
    let server = std::cell::RefCell::new(RedisServer::start(&[]));
    check_reopening(|| {
        server.borrow_mut().restart();
        RedisJournal::open(&server.borrow().url(), redis_options(1)).unwrap()
    });
}
