//! What the embedded journal makes of cut, changed and missing bytes: a torn tail is dropped, damage is reported,
//! and nothing that was acknowledged is ever left out in silence.

mod journal_support;

use std::sync::Arc;

use farerush_engine::flight::{Epoch, Seq};
use farerush_engine::journal::{Appended, Batch, Claim, Journal, JournalError};
use farerush_persistence::journal::{EmbeddedJournal, EmbeddedOptions};
use journal_support::sim_disk::SimDisk;
use journal_support::{Rng, batch, flight_id, random_batch, small_events, test_seed};

const FIRST: &str = "0000000000000001.segment";
const SECOND: &str = "0000000000000002.segment";
const HEADER: usize = 512;

fn options(segment_bytes: u64) -> EmbeddedOptions {
    EmbeddedOptions { segment_bytes, retain_bytes: u64::MAX, prepare_in_background: false }
}

fn open(disk: &SimDisk, segment_bytes: u64) -> Result<EmbeddedJournal, JournalError> {
    EmbeddedJournal::open_on(Arc::new(disk.clone()), options(segment_bytes))
}

/// A log of one segment, and where each of its rounds ends.
struct Log {
    disk: SimDisk,
    segment_bytes: u64,
    rounds: Vec<Batch>,
    ends: Vec<usize>,
}

impl Log {
    fn of(segment_bytes: u64, rounds: Vec<Batch>) -> Self {
        let disk = SimDisk::new(3);
        let journal = open(&disk, segment_bytes).unwrap();
        let mut ends = Vec::new();
        for round in &rounds {
            assert_eq!(journal.append(std::slice::from_ref(round)).unwrap(), [Appended::Durable]);
            ends.push(data_end(&disk.bytes(FIRST)));
        }
        Self { disk, segment_bytes, rounds, ends }
    }

    fn small() -> Self {
        let counts = [1, 3, 1, 2, 5, 2];
        let mut next = [1, 1];
        let rounds = counts.into_iter().enumerate().map(|(place, count)| {
            let flight = place % 2;
            let first = next[flight];
            next[flight] += count;
            batch(flight, 1, first, count)
        });
        Self::of(4096, rounds.collect())
    }

    /// Rounds of many sectors, among them some that hold nothing but zeros.
    fn random(rng: &mut Rng) -> Self {
        let mut first = 1;
        let rounds = (0..4).map(|_| {
            let count = 1 + rng.below(12);
            let batch = random_batch(rng, &flight_id(0), Epoch(1), Seq(first), count);
            first += count;
            batch
        });
        Self::of(256 << 10, rounds.collect())
    }

    fn start(&self, round: usize) -> usize {
        if round == 0 { HEADER } else { self.ends[round - 1] }
    }

    /// The journal over a copy of the log whose bytes were changed.
    fn changed(&self, change: impl FnOnce(&mut Vec<u8>)) -> (SimDisk, Result<EmbeddedJournal, JournalError>) {
        let disk = self.disk.copy();
        let mut bytes = disk.bytes(FIRST);
        change(&mut bytes);
        disk.replace(FIRST, bytes);
        let journal = open(&disk, self.segment_bytes);
        (disk, journal)
    }

    /// How many rounds the journal has; panics if it has anything but the first so many.
    fn rounds_in(&self, journal: &impl Journal) -> usize {
        let extents = journal.extents().unwrap();
        let events: usize = extents.iter().map(|extent| usize::try_from(extent.last.0).unwrap()).sum();
        let mut left = events;
        let rounds = self.rounds.iter().take_while(|round| {
            let is_in = left > 0;
            left = left.saturating_sub(round.events.len());
            is_in
        });
        let rounds = rounds.count();
        for extent in &extents {
            let expected: Vec<_> = self.rounds[..rounds]
                .iter()
                .filter(|round| round.flight_id == extent.flight_id)
                .flat_map(|round| round.events.clone())
                .collect();
            let read = journal.read(&extent.flight_id, Seq(0), usize::MAX).unwrap();
            assert_eq!(read, expected, "{}", extent.flight_id);
        }
        rounds
    }
}

/// Where the last byte that is not zero ends: rounds end in a trailer without zeros.
fn data_end(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |place| place + 1)
}

/// New events go where the torn ones were, and are there the next time.
fn goes_on(log: &Log, disk: &SimDisk, journal: EmbeddedJournal) {
    let flight = &log.rounds[0].flight_id;
    let last = journal.extent(flight).unwrap().map_or(0, |extent| extent.last.0);
    let mut more = batch(0, 1, last + 1, 2);
    more.flight_id = flight.clone();
    assert_eq!(journal.append(&[more]).unwrap(), [Appended::Durable]);
    let expected = journal.read(flight, Seq(0), usize::MAX).unwrap();
    drop(journal);
    let journal = open(disk, log.segment_bytes).unwrap();
    assert_eq!(journal.read(flight, Seq(0), usize::MAX).unwrap(), expected);
}

#[test]
fn a_log_cut_at_any_byte_has_the_rounds_before_the_cut() {
    let log = Log::small();
    let all = log.rounds.len();
    for cut in HEADER..*log.ends.last().unwrap() {
        let whole = log.ends.iter().filter(|end| **end <= cut).count();
        let (disk, journal) = log.changed(|bytes| bytes.truncate(cut));
        let journal = journal.unwrap();
        assert_eq!(log.rounds_in(&journal), whole, "the file ends at {cut}");
        goes_on(&log, &disk, journal);

        let (disk, journal) = log.changed(|bytes| bytes[cut..].fill(0));
        let journal = journal.unwrap();
        let found = log.rounds_in(&journal);
        // When nothing but its trailer is cut, a round is proven whole by its checksum, and kept.
        let uncut = log.disk.bytes(FIRST);
        let is_content_whole = whole < all
            && uncut[cut.min(log.ends[whole] - 8)..log.ends[whole] - 8].iter().all(|byte| *byte == 0);
        assert_eq!(found, whole + usize::from(is_content_whole), "zeros from {cut} on");
        let left = disk.bytes(FIRST);
        let end = if found == 0 { HEADER } else { log.ends[found - 1] };
        assert!(data_end(&left) == end || data_end(&left) < HEADER, "stale bytes are left behind {end}");
        goes_on(&log, &disk, journal);
    }
}

#[test]
fn any_byte_flipped_in_any_round_is_reported() {
    let log = Log::small();
    for round in 0..log.rounds.len() {
        for place in log.start(round)..log.ends[round] {
            for flip in [0x01, 0x10, 0x80, 0xff] {
                let (_, journal) = log.changed(|bytes| bytes[place] ^= flip);
                let Err(JournalError::Damaged { what, .. }) = journal else {
                    panic!("byte {place} of round {} flipped by {flip:#x} went unnoticed", round + 1);
                };
                let offset = format!("at byte {}, round {}", log.start(round), round + 1);
                assert!(what.contains(FIRST) && what.contains(&offset), "{what}");
            }
        }
    }
}

#[test]
fn no_byte_that_became_zero_or_anything_else_takes_an_acknowledged_round_away() {
    let log = Log::small();
    let mut rng = Rng(test_seed());
    for place in HEADER..*log.ends.last().unwrap() {
        for value in [0, rng.byte()] {
            let (_, journal) = log.changed(|bytes| bytes[place] = value);
            match journal {
                Err(JournalError::Damaged { .. }) => {}
                Ok(journal) => {
                    assert_eq!(log.rounds_in(&journal), log.rounds.len(), "byte {place} = {value}");
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn any_sectors_missing_from_the_last_round_make_it_a_torn_tail() {
    let mut rng = Rng(test_seed());
    for _ in 0..25 {
        let log = Log::random(&mut rng);
        let last = log.rounds.len() - 1;
        let (start, end) = (log.start(last), log.ends[last]);
        let sectors: Vec<usize> = (start / 512..=(end - 1) / 512).collect();
        for _ in 0..20 {
            let mut lost = false;
            let (disk, journal) = log.changed(|bytes| {
                for sector in &sectors {
                    if rng.one_in(3) {
                        let lost_bytes = &mut bytes[(sector * 512).max(start)..(sector * 512 + 512).min(end)];
                        lost |= lost_bytes.iter().any(|byte| *byte != 0);
                        lost_bytes.fill(0);
                    }
                }
            });
            let journal = journal.unwrap();
            let rounds = log.rounds_in(&journal);
            let intact = disk.bytes(FIRST) == log.disk.bytes(FIRST);
            assert_eq!(rounds == last + 1, intact);
            assert!(lost || intact);
            goes_on(&log, &disk, journal);
        }
    }
}

#[test]
fn any_byte_flipped_in_a_round_of_many_sectors_is_reported() {
    let mut rng = Rng(test_seed());
    for _ in 0..30 {
        let log = Log::random(&mut rng);
        for _ in 0..40 {
            let place = HEADER + rng.index(log.ends[3] - HEADER);
            let flip = 1 << rng.below(8);
            let (_, journal) = log.changed(|bytes| bytes[place] ^= flip);
            assert!(matches!(journal, Err(JournalError::Damaged { .. })), "byte {place} ^ {flip:#x}");
        }
    }
}

#[test]
fn a_missing_sector_in_front_of_a_later_round_is_damage() {
    let mut rng = Rng(test_seed());
    let log = Log::random(&mut rng);
    for round in 0..3 {
        let (start, end) = (log.start(round), log.ends[round]);
        let (_, journal) = log.changed(|bytes| bytes[start..end].fill(0));
        assert!(matches!(journal, Err(JournalError::Damaged { .. })), "round {} is gone", round + 1);
    }
}

#[test]
fn damaged_or_missing_segments_are_reported() {
    let disk = SimDisk::new(4);
    let journal = open(&disk, 4096).unwrap();
    for round in 0..40 {
        assert_eq!(journal.append(&[batch(1, 1, 1 + round * 3, 3)]).unwrap(), [Appended::Durable]);
    }
    drop(journal);
    let report = |change: &dyn Fn(&SimDisk)| {
        let copy = disk.copy();
        change(&copy);
        match open(&copy, 4096) {
            Err(JournalError::Damaged { what, .. }) => what,
            other => panic!("{:?}", other.map(|journal| journal.describe())),
        }
    };
    let remove = |name: &'static str| {
        move |disk: &SimDisk| farerush_persistence::journal::embedded::disk::Disk::remove(disk, name).unwrap()
    };
    assert!(report(&remove(SECOND)).contains("the segment before it is missing"));
    for place in [0, 9, 17, 25, 100, 511] {
        let what = report(&|disk| {
            let mut bytes = disk.bytes(SECOND);
            bytes[place] ^= 0x40;
            disk.replace(SECOND, bytes);
        });
        assert!(what.contains("header is damaged"), "{what}");
    }
    let emptied = report(&|disk| {
        let mut bytes = disk.bytes(SECOND);
        bytes[HEADER..].fill(0);
        disk.replace(SECOND, bytes);
    });
    assert!(emptied.contains("it is empty, yet segment 3 follows"), "{emptied}");
    let last_round_of_the_first = report(&|disk| {
        let mut bytes = disk.bytes(FIRST);
        let end = data_end(&bytes);
        bytes[end - 100..end].fill(0);
        disk.replace(FIRST, bytes);
    });
    assert!(last_round_of_the_first.contains("yet segment 2 follows"), "{last_round_of_the_first}");
}

#[test]
fn a_segment_whose_making_was_cut_short_is_made_again() {
    let disk = SimDisk::new(5);
    let journal = open(&disk, 4096).unwrap();
    for round in 0..40 {
        journal.append(&[batch(1, 1, 1 + round * 3, 3)]).unwrap();
    }
    let last = disk_names(&disk).last().unwrap().clone();
    let number: u64 = last[..16].parse().unwrap();
    drop(journal);
    for length in [0, 100, 512, 1000, 4096] {
        let copy = disk.copy();
        let next = format!("{:016}.segment", number + 1);
        farerush_persistence::journal::embedded::disk::Disk::create(&copy, &next).unwrap();
        copy.replace(&next, vec![0; length]);
        let journal = open(&copy, 4096).unwrap();
        for round in 40..80 {
            journal.append(&[batch(1, 1, 1 + round * 3, 3)]).unwrap();
        }
        drop(journal);
        let journal = open(&copy, 4096).unwrap();
        assert_eq!(journal.read(&flight_id(1), Seq(0), 1000).unwrap(), small_events(1, 240));
    }
}

/// The next process finds the files that the killed one wrote, whether or not their names are durable yet.
#[test]
fn what_is_built_on_a_killed_process_s_files_survives_a_power_cut() {
    let mut rng = Rng(test_seed());
    for power_for in 1..40 {
        for _ in 0..8 {
            let disk = SimDisk::new(rng.next());
            disk.faults(|faults| faults.power_for = Some(power_for));
            let mut next = 1;
            if let Ok(journal) = open(&disk, 4096) {
                while next < 200 && journal.append(&[batch(1, 1, next, 20)]).is_ok() {
                    next += 20;
                }
            }
            let disk = disk.after_kill();
            let journal = open(&disk, 4096).unwrap();
            let next = journal.extent(&flight_id(1)).unwrap().map_or(1, |extent| extent.last.0 + 1);
            for round in 0..3 {
                let appended = journal.append(&[batch(1, 1, next + 20 * round, 20)]).unwrap();
                assert_eq!(appended, [Appended::Durable]);
            }
            let journal = open(&disk.after_power_cut(), 4096).unwrap();
            let events = journal.read(&flight_id(1), Seq(0), 1000).unwrap();
            assert_eq!(events, small_events(1, next + 59), "power for {power_for} operations");
        }
    }
}

fn disk_names(disk: &SimDisk) -> Vec<String> {
    farerush_persistence::journal::embedded::disk::Disk::list(disk).unwrap()
}

#[test]
fn after_a_failing_sync_nothing_is_ever_written_again() {
    let disk = SimDisk::new(6);
    let journal = open(&disk, 4096).unwrap();
    journal.append(&[batch(1, 1, 1, 2)]).unwrap();
    disk.faults(|faults| faults.fail_next_sync = true);
    let round = [batch(1, 1, 3, 2)];
    assert!(matches!(journal.append(&round), Err(JournalError::Stopped { .. })));
    let operations = disk.operations();
    assert!(matches!(journal.append(&round), Err(JournalError::Stopped { .. })));
    let claim = Claim { flight_id: flight_id(1), epoch: Epoch(2) };
    assert!(matches!(journal.fence(&[claim]), Err(JournalError::Stopped { .. })));
    assert_eq!(disk.operations(), operations, "the disk was touched");
    assert_eq!(journal.read(&flight_id(1), Seq(0), 10).unwrap(), small_events(1, 2), "reads go on");
    drop(journal);
    let journal = open(&disk.after_power_cut(), 4096).unwrap();
    assert_eq!(journal.read(&flight_id(1), Seq(0), 10).unwrap(), small_events(1, 2));
}

#[test]
fn a_full_disk_stops_the_journal_and_loses_nothing() {
    for room in [0, 1, 100, 511, 700, 4096, 5000, 9000] {
        let disk = SimDisk::new(7);
        let journal = open(&disk, 4096).unwrap();
        disk.faults(|faults| faults.room = Some(room));
        let mut next = 1;
        while let Ok(appended) = journal.append(&[batch(1, 1, next, 3)]) {
            assert_eq!(appended, [Appended::Durable]);
            next += 3;
        }
        assert!(matches!(journal.append(&[batch(1, 1, next, 3)]), Err(JournalError::Stopped { .. })));
        drop(journal);
        disk.faults(|faults| faults.room = None);
        let journal = open(&disk, 4096).unwrap();
        let events = journal.read(&flight_id(1), Seq(0), 1000).unwrap();
        assert_eq!(events, small_events(1, next - 1));
        assert_eq!(journal.append(&[batch(1, 1, next, 3)]).unwrap(), [Appended::Durable]);
    }
}

#[test]
fn short_writes_and_reads_are_continued() {
    let disk = SimDisk::new(8);
    disk.faults(|faults| faults.short = true);
    let journal = open(&disk, 4096).unwrap();
    for round in 0..30 {
        journal.append(&[batch(1, 1, 1 + round * 3, 3)]).unwrap();
    }
    drop(journal);
    let journal = open(&disk, 4096).unwrap();
    assert_eq!(journal.read(&flight_id(1), Seq(0), 1000).unwrap(), small_events(1, 90));
}

#[test]
fn a_round_is_one_sync_however_many_flights_it_has() {
    let disk = SimDisk::new(9);
    let journal = open(&disk, 1 << 20).unwrap();
    let (syncs, operations) = (disk.syncs(), disk.operations());
    let round: Vec<_> = (0..200).map(|flight| batch(flight, 1, 1, 2)).collect();
    journal.append(&round).unwrap();
    assert_eq!((disk.syncs() - syncs, disk.operations() - operations), (1, 2), "one write and one sync");
}

#[test]
fn old_segments_go_once_the_store_has_them_and_fences_stay() {
    let disk = SimDisk::new(10);
    let options = EmbeddedOptions { retain_bytes: 10_000, ..options(4096) };
    let reopen = || EmbeddedJournal::open_on(Arc::new(disk.clone()), options).unwrap();
    let journal = reopen();
    journal.fence(&[Claim { flight_id: flight_id(5), epoch: Epoch(8) }]).unwrap();
    journal.append(&[batch(2, 3, 1, 1)]).unwrap();
    for round in 0..60 {
        journal.append(&[batch(1, 1, 1 + round * 3, 3)]).unwrap();
    }
    let before = disk_names(&disk).len();
    journal.trim(&[(flight_id(1), Seq(180))]).unwrap();
    assert_eq!(disk_names(&disk).len(), before, "an event of another flight is still needed");
    journal.trim(&[(flight_id(2), Seq(1))]).unwrap();
    let after = disk_names(&disk).len();
    assert!(after < before && after >= 2, "{after} of {before} segments are left");
    for journal in [journal, reopen()] {
        let first = journal.extent(&flight_id(1)).unwrap().unwrap().first;
        assert!(first > Seq(1));
        let trimmed = journal.read(&flight_id(1), Seq(0), 10);
        assert!(matches!(trimmed, Err(JournalError::Trimmed { first: told, .. }) if told == first));
        let events = journal.read(&flight_id(1), Seq(first.0 - 1), 1000).unwrap();
        assert_eq!(events, small_events(first.0, 181 - first.0));
        let gone = journal.extent(&flight_id(2)).unwrap().unwrap();
        assert_eq!((gone.epoch, gone.first, gone.last), (Epoch(3), Seq(0), Seq(1)));
        assert_eq!(journal.append(&[batch(5, 7, 1, 1)]).unwrap(), [Appended::Fenced]);
        assert!(matches!(journal.append(&[batch(2, 3, 3, 1)]), Err(JournalError::Damaged { .. })));
    }
}

#[test]
fn a_second_process_is_told_that_the_folder_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { segment_bytes: 4096, ..EmbeddedOptions::default() };
    let journal = EmbeddedJournal::open(folder.path(), options).unwrap();
    let Err(error) = EmbeddedJournal::open(folder.path(), options) else { panic!("two at once") };
    assert!(error.to_string().contains("another process uses the journal"), "{error}");
    drop(journal);
    EmbeddedJournal::open(folder.path(), options).unwrap();
}
