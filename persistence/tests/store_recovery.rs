//! Recovery and verify: from a journal in memory and a real store, whole, in part, and damaged.

mod store_support;

use std::sync::Arc;

use farerush_engine::flight::{Command, Epoch, Event, FlightId, OrderNo, SalePolicy, Seq};
use farerush_engine::journal::{Appended, Claim, Journal};
use farerush_persistence::journal::MemoryJournal;
use farerush_persistence::recovery::{Basis, Recovered, RecoveryError, recover, recover_all};
use farerush_persistence::store::{Flushed, Store};
use farerush_persistence::verify::{Verdict, verify};
use proptest::prelude::*;
use store_support::{Life, TestStore, id, life_of, runner, stores};

fn journal() -> Arc<dyn Journal> {
    Arc::new(MemoryJournal::new())
}

async fn by_id(journal: &Arc<dyn Journal>, store: &Store) -> Vec<(String, Result<Recovered, RecoveryError>)> {
    let all = recover_all(journal, store).await.unwrap();
    all.into_iter().map(|(flight_id, result)| (flight_id.to_string(), result)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flight_comes_up_exactly_as_it_was_wherever_the_store_had_come() {
    for test in stores().await {
        let store = test.store.clone();
        let handle = tokio::runtime::Handle::current();
        let run = move || {
            let number = std::cell::Cell::new(0);
            let steps = prop::collection::vec((any::<u8>(), any::<u16>(), any::<u16>()), 1..80);
            let cases = (steps, any::<prop::sample::Index>(), any::<prop::sample::Index>());
            let check = |(steps, cut, trim): (Vec<_>, prop::sample::Index, prop::sample::Index)| {
                number.set(number.get() + 1);
                let mut life = Life::new(&format!("R{}", number.get()));
                steps.iter().for_each(|&(kind, a, b)| life.step(kind, a, b));
                let last = life.flight.seq().0;
                let stored = cut.index(life.events.len() + 1) as u64;
                let journal = journal();
                journal.append(&[life.all(1)]).unwrap();
                let mut trimmed = Seq(0);
                if stored > 0 {
                    handle.block_on(store.flush(&[life.batch(1, 1..=stored)])).unwrap();
                    trimmed = Seq(trim.index(life.events.len()) as u64).min(Seq(stored));
                    journal.trim(&[(life.id(), trimmed)]).unwrap();
                }
                let recovered = handle.block_on(recover(&journal, &store, &life.id())).unwrap();
                prop_assert_eq!(recovered.flight.digest(), life.flight.digest());
                prop_assert_eq!(recovered.epoch, Epoch(2));
                // A journal that is whole is replayed, and the rows are left unread.
                let (basis, replayed) = match trimmed {
                    Seq(0) => (Basis::Journal, last),
                    _ => (Basis::StoreAndJournal, last - stored),
                };
                prop_assert_eq!((recovered.stored, recovered.replayed), (Seq(stored), replayed));
                prop_assert_eq!(recovered.basis, basis);
                prop_assert!(recovered.met_store && !recovered.store_has_hole);
                prop_assert!(!recovered.journal_was_empty);
                Ok(())
            };
            runner(32).run(&cases, check).unwrap();
        };
        tokio::task::spawn_blocking(run).await.unwrap();
    }
}

#[tokio::test]
async fn after_a_take_over_the_old_owner_can_write_nowhere() {
    for test in stores().await {
        let (journal, mut life) = (journal(), Life::new("FR1"));
        journal.append(&[life.all(1)]).unwrap();
        test.store.flush(&[life.all(1)]).await.unwrap();
        let first = recover(&journal, &test.store, &life.id()).await.unwrap();
        let second = recover(&journal, &test.store, &life.id()).await.unwrap();
        assert_eq!((first.epoch, second.epoch), (Epoch(2), Epoch(3)));
        life.grab("u", 1);
        assert_eq!(journal.append(&[life.batch(2, 3..=3)]).unwrap(), [Appended::Fenced]);
        let flushed = test.store.flush(&[life.batch(2, 3..=3)]).await.unwrap();
        assert_eq!(flushed, [Flushed::Fenced { owner: Epoch(3) }]);
        assert_eq!(journal.append(&[life.batch(3, 3..=3)]).unwrap(), [Appended::Durable]);
        assert_eq!(test.store.flush(&[life.batch(3, 3..=3)]).await.unwrap(), [Flushed::Stored]);
    }
}

#[tokio::test]
async fn with_an_empty_journal_a_flight_comes_up_at_the_stores_cursor_and_says_so() {
    for test in stores().await {
        let (journal, mut life) = (journal(), life_of("FR1", 100));
        test.store.flush(&[life.all(4)]).await.unwrap();
        let recovered = recover(&journal, &test.store, &life.id()).await.unwrap();
        assert!(recovered.journal_was_empty);
        assert_eq!(recovered.flight.digest(), life.flight.digest());
        let seq = life.record(Event::PolicyChanged { policy: SalePolicy::default() }).0;
        let next = life.batch(recovered.epoch.0, seq..=seq);
        assert_eq!(journal.append(&[next]).unwrap(), [Appended::Durable], "it sells on");
    }
}

#[tokio::test]
async fn with_an_empty_store_a_flight_comes_up_from_the_journal() {
    for test in stores().await {
        let (journal, life) = (journal(), life_of("FR1", 100));
        journal.append(&[life.all(6)]).unwrap();
        let recovered = recover(&journal, &test.store, &life.id()).await.unwrap();
        assert_eq!((recovered.epoch, recovered.stored), (Epoch(7), Seq(0)));
        assert_eq!(recovered.flight.digest(), life.flight.digest());
    }
}

#[tokio::test]
async fn a_journal_that_is_whole_brings_a_flight_up_and_its_rows_are_not_read() {
    for test in stores().await {
        let (journal, life) = (journal(), life_of("FR1", 100));
        journal.append(&[life.all(1)]).unwrap();
        test.store.flush(&[life.batch(1, 1..=30)]).await.unwrap();
        change_rows(&test, "UPDATE orders SET seats = 'nonsense'").await;
        let recovered = recover(&journal, &test.store, &life.id()).await.unwrap();
        assert_eq!((recovered.basis, recovered.stored), (Basis::Journal, Seq(30)));
        assert_eq!(recovered.flight.digest(), life.flight.digest());
        let cursor = test.store.cursor(&life.id()).await.unwrap().unwrap();
        assert_eq!(
            (cursor.epoch, cursor.seq),
            (recovered.epoch, Seq(30)),
            "and yet the store knows its owner"
        );
        journal.trim(&[(life.id(), Seq(1))]).unwrap();
        let error = recover(&journal, &test.store, &life.id()).await.unwrap_err();
        assert!(
            matches!(error, RecoveryError::Store(_)),
            "without its first event the rows are needed: {error}"
        );
    }
}

#[tokio::test]
async fn a_journal_whose_history_is_not_the_stores_is_not_replayed_beside_it() {
    for test in stores().await {
        let (journal, mut life, mut other) = (journal(), Life::new("FR1"), Life::new("FR1"));
        life.wait(1_000);
        life.grab("u1", 1);
        test.store.flush(&[life.all(1)]).await.unwrap();
        other.wait(2_000);
        other.grab("u2", 1);
        other.grab("u3", 1);
        journal.append(&[other.all(1)]).unwrap();
        let recovered = recover(&journal, &test.store, &life.id()).await;
        // Two histories have met: what the rows say, and what follows, is a flight of neither or none at all.
        let is_from_rows = |recovered: &Recovered| recovered.basis == Basis::StoreAndJournal;
        assert!(recovered.as_ref().map_or(true, is_from_rows), "{recovered:?}");
    }
}

#[tokio::test]
async fn a_journal_that_cannot_be_replayed_from_its_start_leaves_it_to_the_rows() {
    for test in stores().await {
        let (journal, life) = (journal(), life_of("FR1", 100));
        let mut odd = life.all(1);
        odd.events[4].event =
            Event::OrderCancelled { order: OrderNo(9_999), freed: [].into_iter().collect() };
        journal.append(&[odd]).unwrap();
        test.store.flush(&[life.batch(1, 1..=30)]).await.unwrap();
        let recovered = recover(&journal, &test.store, &life.id()).await.unwrap();
        assert_eq!(recovered.basis, Basis::StoreAndJournal);
        assert_eq!(recovered.flight.digest(), life.flight.digest());
    }
}

#[tokio::test]
async fn nothing_comes_of_a_flight_nobody_knows() {
    for test in stores().await {
        let journal = journal();
        let error = recover(&journal, &test.store, &id("FR404")).await.unwrap_err();
        assert!(matches!(error, RecoveryError::NotFound { .. }), "{error}");
        assert_eq!(test.store.cursors().await.unwrap(), [], "nor is it known now");
        // Claimed by somebody who went away before it was created.
        test.store.claim(&[Claim { flight_id: id("FR405"), epoch: Epoch(1) }]).await.unwrap();
        journal.fence(&[Claim { flight_id: id("FR406"), epoch: Epoch(1) }]).unwrap();
        assert!(recover_all(&journal, &test.store).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn flights_that_cannot_come_up_do_not_keep_the_others_down() {
    for test in stores().await {
        let journal = journal();
        let (hole, behind, odd, good) =
            (life_of("HOLE", 100), life_of("BEHIND", 100), life_of("ODD", 100), life_of("GOOD", 100));
        test.store.flush(&[hole.batch(1, 1..=3), behind.all(1), good.batch(1, 1..=9)]).await.unwrap();
        let mut impossible = odd.batch(1, 1..=3);
        impossible.events[2].event =
            Event::OrderCancelled { order: OrderNo(99), freed: [].into_iter().collect() };
        journal.append(&[hole.all(1), behind.batch(1, 1..=5), impossible, good.all(1)]).unwrap();
        journal.trim(&[(hole.id(), Seq(8))]).unwrap();
        let results = by_id(&journal, &test.store).await;
        let text = |place: usize| results[place].1.as_ref().map(|_| ()).unwrap_err().to_string();
        assert_eq!(
            results.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["BEHIND", "GOOD", "HOLE", "ODD"]
        );
        assert!(
            matches!(results[0].1, Err(RecoveryError::JournalBehind { last: Seq(5), .. })),
            "{}",
            text(0)
        );
        assert_eq!(results[1].1.as_ref().unwrap().flight.digest(), good.flight.digest());
        assert!(
            matches!(results[2].1, Err(RecoveryError::Hole { stored: Seq(3), first: Seq(9), .. })),
            "{}",
            text(2)
        );
        assert!(matches!(results[3].1, Err(RecoveryError::Broken { seq: Seq(3), .. })), "{}", text(3));
    }
}

#[tokio::test]
async fn recovering_all_claims_past_every_epoch_that_is_known() {
    for test in stores().await {
        let journal = journal();
        let (one, two) = (life_of("ONE", 100), life_of("TWO", 100));
        journal.append(&[one.all(5), two.all(1)]).unwrap();
        test.store.flush(&[one.batch(5, 1..=4), two.batch(1, 1..=4)]).await.unwrap();
        test.store.claim(&[Claim { flight_id: two.id(), epoch: Epoch(40) }]).await.unwrap();
        let epochs: Vec<_> =
            by_id(&journal, &test.store).await.into_iter().map(|(_, result)| result.unwrap().epoch).collect();
        assert_eq!(epochs, [Epoch(6), Epoch(41)]);
    }
}

async fn change_rows(test: &TestStore, sql: &'static str) {
    assert!(test.beside().await.run(sql).await > 0, "{sql}");
}

async fn verdict(journal: &Arc<dyn Journal>, store: &Store, flight_id: &FlightId) -> Verdict {
    let report = verify(journal, store).await.unwrap();
    report.flights.into_iter().find(|flight| flight.flight_id == *flight_id).unwrap().verdict
}

#[tokio::test]
async fn verify_finds_no_difference_where_there_is_none_and_changes_nothing() {
    for test in stores().await {
        let journal = journal();
        let (whole, trimmed, ahead) = (life_of("WHOLE", 100), life_of("TRIMMED", 100), life_of("AHEAD", 100));
        journal.append(&[whole.all(1), trimmed.all(1), ahead.all(1)]).unwrap();
        test.store.flush(&[whole.all(1), trimmed.batch(1, 1..=20), ahead.batch(1, 1..=20)]).await.unwrap();
        journal.trim(&[(trimmed.id(), Seq(15))]).unwrap();
        let report = verify(&journal, &test.store).await.unwrap();
        let verdicts: Vec<_> = report.flights.iter().map(|flight| flight.verdict.clone()).collect();
        assert_eq!(verdicts, [Verdict::Ok, Verdict::OkFromCursor, Verdict::Ok], "{report}");
        assert!(report.is_ok());
        let line = &report.flights[2];
        let live = whole.flight.orders().filter(|order| order.status.is_live());
        assert_eq!((line.orders, line.epoch), (live.count(), Epoch(1)));
        assert_eq!(
            line.sold + line.held,
            (line.seats - whole.flight.map().free() as usize) - whole.flight.snapshot().blocked.len()
        );
        assert_eq!(report, verify(&journal, &test.store).await.unwrap(), "{report}");
    }
}

#[tokio::test]
async fn verify_tells_any_difference_between_rows_and_journal() {
    for (sql, expected) in [
        ("UPDATE tickets SET status = 'blocked' WHERE seat = '19F'", "at the store's cursor"),
        (
            "UPDATE tickets SET status = 'sold', order_no = 3 WHERE seat = '19F'",
            "tickets: 19F is sold (order 3), not free",
        ),
        ("UPDATE tickets SET fare = 1 WHERE seat = '19F'", "tickets: 19F"),
        ("DELETE FROM tickets WHERE seat = '19F'", "no row of seat 19F"),
        (
            "UPDATE tickets SET status = 'free', order_no = NULL WHERE order_no = 3",
            "is free, not sold (order 3)",
        ),
        ("UPDATE orders SET total = total + 1 WHERE order_no = 3", "order 3"),
        ("UPDATE orders SET customer_id = 'thief' WHERE order_no = 3", "order 3"),
        ("DELETE FROM orders WHERE order_no = 3", "order 3"),
        ("UPDATE orders SET status = 'confirmed' WHERE order_no = 5", "another has too"),
        ("UPDATE orders SET order_id = 'FR1-3aaaaaaaaaaaaa' WHERE order_no = 3", "order 3"),
        ("UPDATE orders SET record_locator = 'AAAAAA' WHERE order_no = 3", "locator of order 3"),
        ("UPDATE flights SET hold_seconds = 77", "the sale"),
        ("UPDATE flights SET origin = 'XXX'", "definition"),
        ("UPDATE flight_cursor SET seq = seq - 1", "orders are sound"),
        ("UPDATE flight_cursor SET seq = seq + 9", "the journal ends at"),
    ] {
        for test in stores().await {
            let (journal, mut life) = (journal(), Life::new("FR1"));
            life.grab("u1", 2);
            life.grab("u2", 2);
            let given_up = life.grab("u3", 60);
            assert_eq!(given_up, OrderNo(5));
            let order = life.order_ref(given_up);
            assert!(life.command(&Command::Cancel { order }));
            life.grab("u4", 1);
            journal.append(&[life.all(1)]).unwrap();
            test.store.flush(&[life.all(1)]).await.unwrap();
            assert_eq!(verdict(&journal, &test.store, &life.id()).await, Verdict::Ok);
            change_rows(&test, sql).await;
            let Verdict::Difference(what) = verdict(&journal, &test.store, &life.id()).await else {
                panic!("{sql}: not noticed");
            };
            assert!(what.contains(expected), "{}, {sql}: {what}", test.name);
        }
    }
}
