//! Recovery from either: a Redis journal that was trimmed brings a flight up alone, by the snapshot that the write-behind
//! left there; and with the journal gone, what was on its way to the store still gets there.

mod store_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use farerush_engine::flight::{Epoch, Seq};
use farerush_engine::journal::{Claim, DurableRound, Journal};
use farerush_persistence::journal::{RedisJournal, RedisOptions};
use farerush_persistence::recovery::{
    Basis, RecoveryError, recover, recover_all_from_journal, recover_from_journal,
};
use farerush_persistence::verify::verify;
use farerush_persistence::write_behind::{Hooks, WriteBehind, WriteBehindOptions};
use store_support::servers::RedisServer;
use store_support::{Life, TestStore, life_of, stores};

const LONG: Duration = Duration::from_secs(30);

fn open(redis: &RedisServer) -> Arc<dyn Journal> {
    let options = RedisOptions { retain_events: 5, ..RedisOptions::default() };
    Arc::new(RedisJournal::open(&redis.url(), options).unwrap())
}

/// A write-behind that trims at every chance, after a snapshot for every ten events.
fn write_behind(test: &TestStore, journal: &Arc<dyn Journal>) -> WriteBehind {
    let options = WriteBehindOptions { trim_events: 1, snapshot_events: 10, ..WriteBehindOptions::default() };
    let hooks = Hooks { on_stored: Box::new(|_, _| ()), on_fenced: Box::new(|_, _| ()) };
    WriteBehind::start(test.store.clone(), journal.clone(), options, hooks)
}

/// Appends one by one, so that there is something to trim, and hands each on.
fn append(
    journal: &Arc<dyn Journal>,
    write_behind: &WriteBehind,
    life: &Life,
    epoch: u64,
    seqs: std::ops::RangeInclusive<u64>,
) {
    let intake = write_behind.intake();
    for seq in seqs {
        let batches = vec![life.batch(epoch, seq..=seq)];
        journal.append(&batches).unwrap();
        intake(DurableRound { batches, releases: Vec::new() });
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so().await {
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trimmed_redis_brings_a_flight_up_alone_by_its_snapshot_and_a_later_store_goes_on() {
    let redis = RedisServer::start(&[]);
    for test in stores().await {
        let journal = open(&redis);
        let mut life = life_of(&format!("FR-{}", test.name), 100);
        let last = life.flight.seq().0;
        let behind = write_behind(&test, &journal);
        append(&journal, &behind, &life, 1, 1..=last);
        assert!(behind.caught_up(LONG).await);
        let first = || journal.extent(&life.id()).unwrap().unwrap().first;
        until("the journal is trimmed behind a snapshot", async || first() > Seq(1)).await;
        assert!(behind.drain(LONG).await);
        let kept = journal.snapshot(&life.id()).unwrap().unwrap();
        assert!(kept.seq.0 + 1 >= first().0 && kept.seq.0 <= last, "{} {}", kept.seq, first());

        let recovered = recover_from_journal(&journal, &life.id()).await.unwrap();
        assert_eq!((recovered.basis, recovered.epoch), (Basis::JournalSnapshot, Epoch(2)));
        assert_eq!(recovered.flight.digest(), life.flight.digest());
        assert_eq!(recovered.replayed, last - kept.seq.0);

        // It sells on under the new epoch, and the store takes that once it is back.
        life.grab("late", 1);
        let (epoch, last) = (recovered.epoch, life.flight.seq());
        let behind = write_behind(&test, &journal);
        append(&journal, &behind, &life, epoch.0, last.0..=last.0);
        assert!(behind.caught_up(LONG).await);
        assert_eq!(test.store.cursor(&life.id()).await.unwrap().unwrap().seq, last);
        assert!(behind.drain(LONG).await);
        let report = verify(&journal, &test.store).await.unwrap();
        let line = report.flights.iter().find(|line| line.flight_id == life.id()).unwrap();
        assert_eq!((line.journal_seq, line.stored_seq), (last, last), "{report}");
        let recovered = recover(&journal, &test.store, &life.id()).await.unwrap();
        // The journal's snapshot is not beyond the store's cursor: rows need not be read.
        assert_eq!((recovered.basis, recovered.epoch), (Basis::JournalSnapshot, Epoch(3)));
        assert_eq!(recovered.flight.digest(), life.flight.digest());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flight_that_came_up_from_the_store_comes_up_from_the_journal_alone_before_and_after_its_next_sale()
{
    let redis = RedisServer::start(&[]);
    let journal = open(&redis);
    let test = store_support::sqlite().await;
    let mut life = Life::new("FR1");
    test.store.flush(&[life.all(1)]).await.unwrap();
    let stored = life.flight.seq();
    let recovered = recover(&journal, &test.store, &life.id()).await.unwrap();
    assert_eq!((recovered.basis, recovered.journal_was_empty), (Basis::Store, true));

    // Nothing was sold since, and it is there all the same.
    assert_eq!(journal.have_events(&[life.id(), store_support::id("NONE")]).unwrap(), [true, false]);
    let extent = journal.extent(&life.id()).unwrap().unwrap();
    assert_eq!((extent.first, extent.last), (Seq(0), stored));
    let alone = recover_from_journal(&journal, &life.id()).await.unwrap();
    assert_eq!((alone.basis, alone.flight.digest()), (Basis::JournalSnapshot, life.flight.digest()));
    let all = recover_all_from_journal(&journal).await.unwrap();
    assert_eq!(all[0].1.as_ref().unwrap().flight.digest(), life.flight.digest());
    let again = recover(&journal, &test.store, &life.id()).await.unwrap();
    assert_eq!((again.basis, again.journal_was_empty), (Basis::Store, false), "this time nothing was lost");
    assert!(verify(&journal, &test.store).await.unwrap().is_ok());

    life.grab("u", 1);
    let last = life.flight.seq();
    journal.append(&[life.batch(again.epoch.0, last.0..=last.0)]).unwrap();
    let alone = recover_from_journal(&journal, &life.id()).await.unwrap();
    assert_eq!((alone.replayed, alone.flight.digest()), (1, life.flight.digest()));
    // And with the store that lacks it.
    let both = recover(&journal, &test.store, &life.id()).await.unwrap();
    assert_eq!((both.flight.digest(), both.journal_was_empty), (life.flight.digest(), false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_cannot_bring_a_flight_up_alone_gets_a_snapshot_when_the_store_has_brought_it_up() {
    let redis = RedisServer::start(&[]);
    let journal = open(&redis);
    let test = store_support::sqlite().await;
    let mut life = Life::new("FR1");
    let stored = life.flight.seq();
    test.store.flush(&[life.batch(1, 1..=stored.0)]).await.unwrap();
    // As older versions left it: it begins in the middle, without a snapshot.
    journal.fence(&[Claim { flight_id: life.id(), epoch: Epoch(2) }]).unwrap();
    life.grab("u", 1);
    let last = life.flight.seq();
    journal.append(&[life.batch(2, last.0..=last.0)]).unwrap();
    assert!(matches!(recover_from_journal(&journal, &life.id()).await, Err(RecoveryError::Hole { .. })));
    let recovered = recover(&journal, &test.store, &life.id()).await.unwrap();
    assert_eq!((recovered.basis, recovered.replayed), (Basis::StoreAndJournal, 1));
    let alone = recover_from_journal(&journal, &life.id()).await.unwrap();
    assert_eq!(alone.flight.digest(), life.flight.digest());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_ahead_of_a_journal_with_a_snapshot_alone_is_gone_on_from() {
    let redis = RedisServer::start(&[]);
    let journal = open(&redis);
    let test = store_support::sqlite().await;
    let mut life = Life::new("FR1");
    test.store.flush(&[life.all(1)]).await.unwrap();
    recover(&journal, &test.store, &life.id()).await.unwrap();
    let (stored, epoch) = (life.flight.seq(), journal.extent(&life.id()).unwrap().unwrap().epoch);
    life.grab("u", 1);
    let last = life.flight.seq();
    test.store.flush(&[life.batch(epoch.0, last.0..=last.0)]).await.unwrap();
    let recovered = recover(&journal, &test.store, &life.id()).await.unwrap();
    assert_eq!(recovered.flight.digest(), life.flight.digest());
    assert!(recovered.journal_was_empty && last > stored, "what came behind it may be lost");
    assert_eq!(journal.snapshot(&life.id()).unwrap().unwrap().seq, last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_wanted_is_there_as_soon_as_something_is_stored() {
    let redis = RedisServer::start(&[]);
    let journal = open(&redis);
    let test = store_support::sqlite().await;
    let mut life = Life::new("FR1");
    test.store.flush(&[life.all(1)]).await.unwrap();
    let recovered = recover(&journal, &test.store, &life.id()).await.unwrap();
    assert_eq!((recovered.basis, recovered.journal_was_empty), (Basis::Store, true));
    redis.command(&["DEL", "farerush:{FR1}:snapshot"]).unwrap();
    assert!(journal.snapshot(&life.id()).unwrap().is_none());
    let behind = write_behind(&test, &journal);
    let stored = recovered.stored;
    behind.register(&life.id(), recovered.epoch, stored, stored);
    behind.want_snapshot(&life.id());
    life.grab("u", 1);
    let last = life.flight.seq();
    append(&journal, &behind, &life, recovered.epoch.0, last.0..=last.0);
    until("there is a snapshot", async || journal.snapshot(&life.id()).unwrap().is_some()).await;
    assert!(behind.drain(LONG).await);
    let recovered = recover_from_journal(&journal, &life.id()).await.unwrap();
    assert_eq!(recovered.flight.digest(), life.flight.digest());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_lost_what_the_journal_let_go_of_is_bridged_by_the_snapshot() {
    let redis = RedisServer::start(&[]);
    let journal = open(&redis);
    let (test, empty) = (store_support::sqlite().await, store_support::sqlite().await);
    let life = life_of("FR1", 100);
    let behind = write_behind(&test, &journal);
    append(&journal, &behind, &life, 1, 1..=life.flight.seq().0);
    let first = || journal.extent(&life.id()).unwrap().unwrap().first;
    until("the journal is trimmed", async || first() > Seq(1)).await;
    assert!(behind.drain(LONG).await);
    let recovered = recover(&journal, &empty.store, &life.id()).await.unwrap();
    assert_eq!((recovered.basis, recovered.stored), (Basis::JournalSnapshot, Seq(0)));
    assert_eq!(recovered.flight.digest(), life.flight.digest());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_journal_alone_flights_come_up_unless_they_are_damaged_or_were_never_there() {
    let redis = RedisServer::start(&[]);
    let journal = open(&redis);
    let lives = [life_of("GARBAGE", 100), life_of("GONE", 100), life_of("SOUND", 100)];
    for life in &lives {
        let last = life.flight.seq().0;
        for seq in 1..=last {
            journal.append(&[life.batch(7, seq..=seq)]).unwrap();
        }
    }
    journal.fence(&[Claim { flight_id: store_support::id("NEVER"), epoch: Epoch(1) }]).unwrap();
    let key = |flight: &str| format!("farerush:{{{flight}}}:journal");
    redis.command(&["XADD", &key("GARBAGE"), "7-900", "record", "not a record"]).unwrap();
    redis.command(&["XDEL", &key("GONE"), "7-1", "7-2"]).unwrap();
    let journal = open(&redis);
    let all = recover_all_from_journal(&journal).await.unwrap();
    let names: Vec<&str> = all.iter().map(|(flight_id, _)| flight_id.as_str()).collect();
    assert_eq!(names, ["GARBAGE", "GONE", "SOUND"]);
    assert!(matches!(all[0].1, Err(RecoveryError::Journal(_))), "{:?}", all[0].1);
    assert!(matches!(all[1].1, Err(RecoveryError::Hole { first: Seq(3), .. })), "{:?}", all[1].1);
    let sound = all[2].1.as_ref().unwrap();
    assert_eq!((sound.epoch, sound.basis), (Epoch(8), Basis::Journal));
    assert_eq!(sound.flight.digest(), lives[2].flight.digest());
    let unknown = recover_from_journal(&journal, &store_support::id("NEVER")).await;
    assert!(matches!(unknown, Err(RecoveryError::NotFound { .. })));
}
