//! A history is told from a state: what was acknowledged and is gone is noticed, though everything that is left fits.

mod store_support;

use std::sync::Arc;

use farerush_engine::flight::{Flight, IdSecret, IdSecrets, OrderId, OrderNo, Seq};
use farerush_engine::journal::Journal;
use farerush_persistence::journal::MemoryJournal;
use farerush_persistence::receipts::{Receipt, ReceiptVerdict, check_receipts};
use farerush_persistence::recovery::{RecoveryError, recover};
use farerush_persistence::store::{Flushed, OrderFilter, Store};
use farerush_persistence::verify::{Verdict, verify};
use store_support::{Life, secrets, stores};

fn journal(life: &Life) -> Arc<dyn Journal> {
    let journal = MemoryJournal::new();
    journal.append(&[life.all(1)]).unwrap();
    Arc::new(journal)
}

/// A receipt of the order with this number, as it is now.
fn receipt(life: &Life, no: OrderNo) -> Receipt {
    let order = life.flight.order(no).unwrap();
    Receipt { order_id: life.flight.order_id(no), seq: order.changed_by, proof: order.proof.unwrap() }
}

async fn verdict(journal: &Arc<dyn Journal>, store: &Store) -> Verdict {
    verify(journal, store).await.unwrap().flights.remove(0).verdict
}

/// Two lives that are the same up to event 4; then one customer's grab is another's.
fn two_lives() -> (Life, Life) {
    let (mut kept, mut lost) = (Life::new("FR1"), Life::new("FR1"));
    for life in [&mut kept, &mut lost] {
        life.grab("ann", 1);
        life.grab("ben", 2);
    }
    lost.grab("cat", 1);
    kept.grab("dan", 1);
    (kept, lost)
}

#[tokio::test]
async fn a_receipt_shows_that_an_acknowledged_order_is_gone_where_all_that_is_left_fits() {
    for test in stores().await {
        let (kept, lost) = two_lives();
        test.store.flush(&[kept.all(1)]).await.unwrap();
        let journal = journal(&kept);
        // Nothing that is there says that there was anything else.
        assert_eq!(verdict(&journal, &test.store).await, Verdict::Ok, "{}", test.name);
        let receipts = [receipt(&kept, OrderNo(3)), receipt(&kept, OrderNo(5)), receipt(&lost, OrderNo(5))];
        let checked = check_receipts(&journal, &test.store, &receipts).await.unwrap();
        assert_eq!(checked[..2], [ReceiptVerdict::Kept, ReceiptVerdict::Kept]);
        assert!(matches!(&checked[2], ReceiptVerdict::Gone(why) if why.contains("event 5")), "{checked:?}");
        let later = Receipt { seq: Seq(99), ..receipt(&kept, OrderNo(5)) };
        let unknown =
            Receipt { order_id: "FR9-5aaaaaaaaaaaaa".parse().unwrap(), ..receipt(&kept, OrderNo(5)) };
        let checked = check_receipts(&journal, &test.store, &[later, unknown]).await.unwrap();
        assert!(
            matches!(&checked[0], ReceiptVerdict::Gone(why) if why.contains("ends at event 5")),
            "{checked:?}"
        );
        assert!(matches!(&checked[1], ReceiptVerdict::Gone(why) if why.contains("not known")), "{checked:?}");
    }
}

#[tokio::test]
async fn receipts_are_checked_long_after_the_journal_let_go_of_their_events_and_their_orders_changed() {
    for test in stores().await {
        let mut life = Life::new("FR1");
        let first = life.grab("ann", 1);
        let placed = receipt(&life, first);
        test.store.flush(&[life.all(1)]).await.unwrap();
        let order = life.order_ref(first);
        life.command(&farerush_engine::flight::Command::Cancel { order });
        let ended = receipt(&life, first);
        assert_ne!(placed.proof, ended.proof);
        test.store.flush(&[life.batch(1, 4..=4)]).await.unwrap();
        // A journal that knows nothing of it any more.
        let empty: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
        let forged = Receipt { proof: placed.proof, ..ended.clone() };
        let checked = check_receipts(&empty, &test.store, &[placed, ended, forged]).await.unwrap();
        assert_eq!(checked[..2], [ReceiptVerdict::Kept, ReceiptVerdict::Kept], "{}", test.name);
        assert!(matches!(checked[2], ReceiptVerdict::Gone(_)), "{checked:?}");
    }
}

#[tokio::test]
async fn a_journal_whose_history_is_not_the_stores_does_not_bring_a_flight_up() {
    for test in stores().await {
        let (mut other, stored) = two_lives();
        test.store.flush(&[stored.all(1)]).await.unwrap();
        other.grab("eve", 1);
        let journal = journal(&other);
        // Event 6 fits the store's flight as well as any, but it was decided on top of another event 5.
        let recovered = recover(&journal, &test.store, &other.id()).await;
        let Err(RecoveryError::Broken { seq, source, .. }) = recovered else { panic!("{recovered:?}") };
        assert_eq!((seq, source.name), (Seq(6), "one history"), "{}", test.name);
        let found = verdict(&journal, &test.store).await;
        assert!(matches!(&found, Verdict::Difference(what) if what.contains("history")), "{found:?}");
    }
}

#[tokio::test]
async fn a_store_takes_nothing_that_was_decided_on_top_of_another_history() {
    for test in stores().await {
        let (mut other, stored) = two_lives();
        test.store.flush(&[stored.all(1)]).await.unwrap();
        other.grab("eve", 1);
        let outcomes = test.store.flush(&[other.batch(1, 6..=6)]).await.unwrap();
        assert!(
            matches!(&outcomes[0], Flushed::Misfit { stored: Seq(5), what } if what.contains("another history")),
            "{outcomes:?}"
        );
        // Nor is another event taken for the repeat of the one that is stored.
        let outcomes = test.store.flush(&[other.batch(1, 5..=5)]).await.unwrap();
        assert!(
            matches!(&outcomes[0], Flushed::Misfit { what, .. } if what.contains("another one")),
            "{outcomes:?}"
        );
        let again = test.store.flush(&[stored.batch(1, 5..=5)]).await.unwrap();
        assert_eq!(again, [Flushed::AlreadyStored { stored: Seq(5) }]);
    }
}

#[test]
fn an_event_is_not_applied_to_a_flight_with_another_history() {
    let (mut other, life) = two_lives();
    other.grab("eve", 1);
    let mut flight = Flight::restore(life.flight.snapshot()).unwrap();
    flight.apply(other.events.last().unwrap());
    assert_eq!(flight.broken().map(|broken| broken.name), Some("one history"));
}

#[tokio::test]
async fn a_store_knows_the_names_of_its_secrets_and_refuses_a_server_without_them() {
    for test in stores().await {
        let (old, new) = (IdSecret::new([7; 32]), IdSecret::new([8; 32]));
        assert_eq!(test.store.settle_ids(&secrets()).await.unwrap(), None);
        let alone = Arc::new(IdSecrets::new(new.clone(), []));
        assert_eq!(test.store.settle_ids(&alone).await.unwrap(), Some(old.id()), "{}", test.name);
        let both = Arc::new(IdSecrets::new(new.clone(), [old]));
        assert_eq!(test.store.settle_ids(&both).await.unwrap(), None);
        assert_eq!(test.store.settle_ids(&secrets()).await.unwrap(), Some(new.id()));
    }
}

#[tokio::test]
async fn rows_whose_ids_were_taken_away_get_new_ones_once() {
    for test in stores().await {
        let mut life = Life::new("FR1");
        let numbers: Vec<OrderNo> = (0..7).map(|n| life.grab(&format!("c{n}"), 1)).collect();
        let cancelled = life.order_ref(numbers[0]);
        life.command(&farerush_engine::flight::Command::Cancel { order: cancelled });
        test.store.flush(&[life.all(1)]).await.unwrap();
        let mut beside = test.beside().await;
        // As migration 9 leaves a store that was there before.
        for sql in [
            "UPDATE orders SET order_id = '', record_locator = ''",
            "UPDATE refunds SET order_id = '', record_locator = ''",
        ] {
            beside.run(sql).await;
        }
        let all = OrderFilter::default();
        assert!(test.store.orders(&all, None, 100).await.is_err());
        assert_eq!(test.store.settle_ids(&secrets()).await.unwrap(), None);
        let orders = test.store.orders(&all, None, 100).await.unwrap();
        assert_eq!(orders.len(), 7, "{}", test.name);
        for stored in orders {
            let id: OrderId = life.flight.order_id(stored.order.no);
            assert_eq!(stored.order_id, id);
            assert_eq!(
                stored.record_locator,
                life.flight.definition().ids.record_locator(stored.order.no).as_str()
            );
        }
        assert_eq!(verdict(&journal(&life), &test.store).await, Verdict::Ok);
    }
}
