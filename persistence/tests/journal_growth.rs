//! How much the embedded journal keeps, and what it needs to go on: what everybody has stored goes, after restarts, too,
//! whatever else cannot be done at once is done later.

mod journal_support;
mod store_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use farerush_engine::flight::{Epoch, Seq};
use farerush_engine::journal::{Appended, Claim, DurableRound, Journal, JournalError};
use farerush_persistence::journal::embedded::disk::Disk;
use farerush_persistence::journal::{EmbeddedJournal, EmbeddedOptions};
use farerush_persistence::store::Store;
use farerush_persistence::write_behind::{Hooks, WriteBehind, WriteBehindOptions};
use journal_support::sim_disk::SimDisk;
use journal_support::{batch, flight_id, small_events};
use store_support::{Life, life_of};

const LONG: Duration = Duration::from_secs(30);
const SEGMENT_BYTES: u64 = 4096;
const RETAIN_BYTES: u64 = 5 * SEGMENT_BYTES;
/// What is kept at most once everything is stored: the segment that is written, and the next one.
const SEGMENTS_MAX: usize = 7;

const OPTIONS: EmbeddedOptions = EmbeddedOptions {
    segment_bytes: SEGMENT_BYTES,
    retain_bytes: RETAIN_BYTES,
    prepare_in_background: false,
};

fn open(disk: &SimDisk) -> Arc<EmbeddedJournal> {
    Arc::new(EmbeddedJournal::open_on(Arc::new(disk.clone()), OPTIONS).unwrap())
}

fn segments(disk: &SimDisk) -> usize {
    disk.list().unwrap().len()
}

fn write_behind(store: &Store, journal: &Arc<EmbeddedJournal>) -> WriteBehind {
    let options = WriteBehindOptions {
        trim_events: 50,
        trim_interval: Duration::from_millis(20),
        ..Default::default()
    };
    let hooks = Hooks { on_stored: Box::new(|_, _| ()), on_fenced: Box::new(|_, _| ()) };
    WriteBehind::start(store.clone(), journal.clone(), options, hooks)
}

async fn until_small(disk: &SimDisk, what: &str) {
    let deadline = Instant::now() + LONG;
    while segments(disk) > SEGMENTS_MAX {
        assert!(Instant::now() < deadline, "{what}: {} segments are kept", segments(disk));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Sells on, event by event, with the store behind it.
async fn sell(write_behind: &WriteBehind, journal: &Arc<EmbeddedJournal>, life: &Life, from: u64, to: u64) {
    let intake = write_behind.intake();
    for seq in from..=to {
        let batches = vec![life.batch(1, seq..=seq)];
        assert_eq!(journal.append(&batches).unwrap(), [Appended::Durable]);
        intake(DurableRound { batches, releases: Vec::new() });
    }
    assert!(write_behind.caught_up(LONG).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flights_that_never_change_again_do_not_keep_the_journal_from_shrinking_after_a_restart_or_a_crash() {
    for after_crash in [false, true] {
        let (disk, test) = (SimDisk::new(1), store_support::sqlite().await);
        let idle: Vec<Life> = (0..40).map(|number| life_of(&format!("IDLE{number}"), 12)).collect();
        let busy = life_of("BUSY", 2_000);
        let journal = open(&disk);
        let first = write_behind(&test.store, &journal);
        sell(&first, &journal, &busy, 1, 300).await;
        // They are in what is kept when the process ends.
        for life in &idle {
            sell(&first, &journal, life, 1, life.flight.seq().0).await;
        }
        if !after_crash {
            assert!(first.drain(LONG).await);
            until_small(&disk, "before the restart").await;
        }
        // Nobody else has the store any more; what the first one knew is gone.
        assert!(first.drain(LONG).await);
        drop((first, journal));
        let disk = if after_crash { disk.after_kill() } else { disk };
        let journal = open(&disk);
        let second = write_behind(&test.store, &journal);
        for life in &idle {
            let seq = life.flight.seq();
            second.register(&life.id(), Epoch(1), seq, seq);
        }
        second.register(&busy.id(), Epoch(1), Seq(300), Seq(300));
        sell(&second, &journal, &busy, 301, busy.flight.seq().0).await;
        until_small(&disk, "after the restart").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_alone_do_not_make_the_journal_grow() {
    let (disk, test) = (SimDisk::new(2), store_support::sqlite().await);
    let life = life_of("IDLE", 30);
    let last = life.flight.seq();
    test.store.flush(&[life.all(1)]).await.unwrap();
    open(&disk).append(&[life.all(1)]).unwrap();
    for start in 2..60 {
        let journal = open(&disk);
        // A start claims all flights, also those that were claimed before and never created.
        let mut claims = vec![Claim { flight_id: life.id(), epoch: Epoch(start) }];
        claims.extend((0..20).map(|number| Claim { flight_id: flight_id(number), epoch: Epoch(start) }));
        journal.fence(&claims).unwrap();
        let write_behind = write_behind(&test.store, &journal);
        write_behind.register(&life.id(), Epoch(start), last, last);
        // Now and then it runs for a while, nothing is sold, and it crashes.
        if start % 10 == 0 {
            until_small(&disk, "nothing was sold").await;
        }
        assert!(write_behind.drain(LONG).await);
    }
    until_small(&disk, "in the end").await;
}

#[test]
fn a_removed_segment_whose_folder_could_not_be_synced_does_not_stop_trimming() {
    let disk = SimDisk::new(3);
    let journal = open(&disk);
    for round in 0..150 {
        journal.append(&[batch(1, 1, 1 + round * 3, 3)]).unwrap();
    }
    let before = segments(&disk);
    disk.faults(|faults| faults.fail_next_folder_sync = true);
    let stored = [(flight_id(1), Seq(450))];
    assert!(matches!(journal.trim(&stored), Err(JournalError::Unavailable { .. })));
    assert_eq!(segments(&disk), before - 1, "it is removed, though perhaps not for good");
    journal.trim(&stored).unwrap();
    assert!(segments(&disk) <= SEGMENTS_MAX, "{} of {before} are left", segments(&disk));
    drop(journal);
    let journal = open(&disk.after_power_cut());
    assert_eq!(journal.extent(&flight_id(1)).unwrap().unwrap().last, Seq(450));
}

#[test]
fn without_a_file_descriptor_the_journal_waits_for_one_and_goes_on() {
    let disk = SimDisk::new(4);
    let journal = open(&disk);
    let mut refused = 0;
    for round in 0..200 {
        if round % 4 == 0 {
            disk.faults(|faults| faults.without_descriptors = 3);
        }
        let round = [batch(1, 1, 1 + round * 3, 3)];
        loop {
            match journal.append(&round) {
                Ok(appended) => break assert_eq!(appended, [Appended::Durable]),
                Err(JournalError::Unavailable { what, .. }) => {
                    assert!(what.contains("file descriptors"), "{what}");
                    refused += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        disk.faults(|faults| faults.without_descriptors = 0);
    }
    assert!(refused > 3, "{refused}");
    drop(journal);
    assert_eq!(open(&disk).read(&flight_id(1), Seq(0), 1_000).unwrap(), small_events(1, 600));
}

#[test]
fn segments_beyond_those_that_are_kept_open_are_read_and_may_be_trimmed_meanwhile() {
    let disk = SimDisk::new(5);
    let journal = open(&disk);
    for round in 0..1_500 {
        journal.append(&[batch(1, 1, 1 + round * 3, 3)]).unwrap();
    }
    assert!(segments(&disk) > 80, "{}", segments(&disk));
    for reopened in [false, true] {
        let journal = if reopened { open(&disk.copy()) } else { Arc::clone(&journal) };
        assert_eq!(journal.read(&flight_id(1), Seq(0), 4_500).unwrap(), small_events(1, 4_500));
    }
    disk.faults(|faults| faults.without_descriptors = 1);
    let refused = journal.read(&flight_id(1), Seq(0), 4_500);
    assert!(matches!(refused, Err(JournalError::Unavailable { .. })), "{refused:?}");
    journal.trim(&[(flight_id(1), Seq(4_500))]).unwrap();
    assert!(matches!(journal.read(&flight_id(1), Seq(0), 10), Err(JournalError::Trimmed { .. })));
    assert!(segments(&disk) <= SEGMENTS_MAX);
}
