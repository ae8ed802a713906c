//! Backups of the embedded journal and store: copies made while they are written to, and taken back to a moment.

mod journal_support;
mod store_support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use farerush_engine::flight::{Seq, Timestamp};
use farerush_engine::journal::{Journal, JournalError};
use farerush_persistence::backup::{self, BackupError};
use farerush_persistence::journal::embedded::HeldSegments;
use farerush_persistence::journal::{EmbeddedJournal, EmbeddedOptions, MemoryJournal};
use farerush_persistence::recovery::recover;
use farerush_persistence::verify::verify;
use journal_support::{batch, flight_id};
use proptest::prelude::*;
use store_support::{Life, runner, sqlite};

const OPTIONS: EmbeddedOptions =
    EmbeddedOptions { segment_bytes: 64 << 10, retain_bytes: 256 << 10, prepare_in_background: true };

fn opened(folder: &Path) -> Result<EmbeddedJournal, JournalError> {
    EmbeddedJournal::open_existing(folder, EmbeddedOptions { prepare_in_background: false, ..OPTIONS })
}

#[test]
fn a_copy_that_is_made_while_rounds_are_written_opens_and_has_all_that_was_durable_before() {
    const COPIES: u64 = 25;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("journal");
    let journal = EmbeddedJournal::open(&dir, OPTIONS).unwrap();
    let (durable, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = 1;
            while !stop.load(Ordering::Relaxed) {
                // Rounds of one sector and of many.
                let count = if next % 7 == 0 { 300 } else { 1 };
                journal.append(&[batch(1, 1, next, count)]).unwrap();
                next += count;
                durable.store(next - 1, Ordering::SeqCst);
                // What the store has goes, so that segments are removed under the copy.
                journal.trim(&[(flight_id(1), Seq(next.saturating_sub(500)))]).unwrap();
            }
        });
        while durable.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        for number in 0..COPIES {
            let held = HeldSegments::of(&dir).unwrap();
            let before = durable.load(Ordering::SeqCst);
            let to = folder.path().join(format!("copy-{number}"));
            match held.copy_into(&to) {
                Ok(copied) => assert!(copied.segments >= 1),
                // Segments of 64 KiB may go quicker than they are opened; it is said, and the next try succeeds.
                Err(error) => {
                    assert!(error.to_string().contains("try again"), "{error}");
                    continue;
                }
            }
            let copy = opened(&to).unwrap_or_else(|error| panic!("copy {number}: {error}"));
            let extent = copy.extent(&flight_id(1)).unwrap().unwrap();
            assert!(
                extent.last >= Seq(before),
                "copy {number} ends at {}, {before} was durable",
                extent.last
            );
            let events = copy.read(&flight_id(1), Seq(extent.first.0 - 1), usize::MAX).unwrap();
            assert_eq!(events.last().unwrap().seq, extent.last);
            assert_eq!(copy.identity().map(|its| &its.id), journal.identity().map(|its| &its.id));
            std::fs::remove_dir_all(&to).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn damage_is_not_taken_for_a_write_that_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("journal");
    let journal = EmbeddedJournal::open(&dir, OPTIONS).unwrap();
    for place in 0..200 {
        journal.append(&[batch(1, 1, 1 + 10 * place, 10)]).unwrap();
    }
    drop(journal);
    let mut names: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|name| name.extension().is_some_and(|extension| extension == "segment"));
    names.sort();
    let mut bytes = std::fs::read(&names[0]).unwrap();
    bytes[2_000] ^= 1;
    std::fs::write(&names[0], bytes).unwrap();
    let copied = HeldSegments::of(&dir).unwrap().copy_into(&folder.path().join("copy"));
    assert!(matches!(copied, Err(JournalError::Damaged { .. })), "{copied:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flight_is_taken_back_to_exactly_what_it_was_at_a_moment() {
    let handle = tokio::runtime::Handle::current();
    let run = move || {
        let steps = prop::collection::vec((any::<u8>(), any::<u16>(), any::<u16>()), 1..60);
        let cases = (steps, any::<prop::sample::Index>(), any::<prop::sample::Index>());
        let check = |(steps, until, stored): (Vec<_>, prop::sample::Index, prop::sample::Index)| {
            let mut life = Life::new("BACK1");
            for (kind, a, b) in steps {
                life.step(kind, a, b);
                life.wait(i64::from(kind % 3));
            }
            let until = life.events[until.index(life.events.len())].at;
            let early = Timestamp::from_millis(life.events[0].at.as_millis() - 1);
            for until in [until, early] {
                let cut =
                    life.events.iter().rev().find(|event| event.at <= until).map_or(0, |event| event.seq.0);
                let stored = stored.index(life.events.len() + 1) as u64;
                handle.block_on(take_back_and_compare(&life, until, cut, stored));
            }
            Ok(())
        };
        runner(24).run(&cases, check).unwrap();
    };
    tokio::task::spawn_blocking(run).await.unwrap();
}

async fn take_back_and_compare(life: &Life, until: Timestamp, cut: u64, stored: u64) {
    let test = sqlite().await;
    let (from, to): (Arc<dyn Journal>, Arc<dyn Journal>) =
        (Arc::new(MemoryJournal::new()), Arc::new(MemoryJournal::new()));
    from.append(&[life.all(3)]).unwrap();
    if stored > 0 {
        test.store.flush(&[life.batch(3, 1..=stored)]).await.unwrap();
    }
    let done = backup::take_back(&from, &to, &test.store, until).await.unwrap();
    let all = life.events.len() as u64;
    assert_eq!((done.flights, done.events, done.left_out), (u64::from(cut > 0), cut, all - cut));
    let report = verify(&to, &test.store).await.unwrap();
    assert!(report.is_ok(), "{report}");
    let recovered = recover(&to, &test.store, &life.id()).await;
    if cut == 0 {
        assert!(recovered.is_err() && report.flights.is_empty(), "it was not there yet: {report}");
        assert_eq!(test.store.cursor(&life.id()).await.unwrap(), None);
    } else {
        assert_eq!(recovered.unwrap().flight.digest(), life.flight_at(cut).digest());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_journal_no_longer_has_cannot_be_taken_back_and_is_said() {
    let mut life = Life::new("BACK2");
    for number in 0..20_u16 {
        life.step(u8::try_from(number % 5).unwrap(), number, number);
        life.wait(10);
    }
    let last = life.flight.seq();
    let half = last.0 / 2;
    let test = sqlite().await;
    let from: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    from.append(&[life.all(1)]).unwrap();
    test.store.flush(&[life.all(1)]).await.unwrap();
    from.trim(&[(life.id(), Seq(half))]).unwrap();
    let to = || -> Arc<dyn Journal> { Arc::new(MemoryJournal::new()) };
    let before = Timestamp::from_millis(life.flight.last_at().as_millis() - 1);
    let refused = backup::take_back(&from, &to(), &test.store, before).await;
    assert!(matches!(refused, Err(BackupError::TooEarly { .. })), "{refused:?}");
    // To where the store is, it can.
    let journal = to();
    let done = backup::take_back(&from, &journal, &test.store, life.flight.last_at()).await.unwrap();
    assert_eq!((done.flights, done.left_out), (1, 0));
    assert!(verify(&journal, &test.store).await.unwrap().is_ok());
    let recovered = recover(&journal, &test.store, &life.id()).await.unwrap();
    assert_eq!(recovered.flight.digest(), life.flight.digest());
}
