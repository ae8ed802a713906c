//! What admins read from every store: refunds, and what is left to tell of events that the journal no longer has.

mod store_support;

use std::collections::BTreeSet;

use farerush_engine::flight::{Command, Epoch, Event, Flight, OrderNo, OrderStatus, Seq};
use farerush_engine::journal::Claim;
use farerush_persistence::store::{Flushed, OrderFilter, Store, StoredChange};
use store_support::{Life, id, life_of, stores};

/// Soon, on a machine that does much else: sooner than the searches give up.
const SOON: std::time::Duration = std::time::Duration::from_secs(3);

/// Stores a life in two flushes, so that orders are changed by another one than placed them.
async fn stored(store: &Store, life: &Life) {
    let claim = Claim { flight_id: life.id(), epoch: Epoch(1) };
    store.claim(&[claim]).await.unwrap();
    let last = life.flight.seq().0;
    let half = (last / 2).max(1);
    for batch in [life.batch(1, 1..=half), life.batch(1, half + 1..=last)] {
        if !batch.events.is_empty() {
            assert_eq!(store.flush(&[batch]).await.unwrap(), [Flushed::Stored]);
        }
    }
}

/// Which orders ended by which events after they had been confirmed, and with how much money.
fn ended_after_confirmation(life: &Life) -> Vec<(Seq, OrderNo, i64)> {
    let events = life.all(1).events;
    let mut flight = Flight::create(&events[0]).unwrap();
    let mut found = Vec::new();
    for recorded in &events[1..] {
        let ended: Vec<OrderNo> = match &recorded.event {
            Event::OrderCancelled { order, .. } => vec![*order],
            Event::CabinsChanged(change) => change.cancelled.clone(),
            _ => Vec::new(),
        };
        // Money that came for nothing goes back as well.
        if let Event::PaymentReturned { order, amount, .. } = &recorded.event {
            found.push((recorded.seq, *order, *amount));
        }
        let confirmed = ended.iter().filter_map(|no| flight.order(*no));
        let confirmed = confirmed.filter(|order| order.status == OrderStatus::Confirmed);
        found.extend(confirmed.map(|order| (recorded.seq, order.no, order.total)));
        flight.apply(recorded);
    }
    found
}

#[tokio::test]
async fn a_refund_stands_for_each_order_that_ended_after_it_was_confirmed_and_each_payment_for_nothing() {
    for test in stores().await {
        let mut life = life_of("FR1", 240);
        let no = life.grab("somebody", 1);
        let order = life.order_ref(no);
        life.command(&Command::Cancel { order });
        stored(&test.store, &life).await;
        let wanted = ended_after_confirmation(&life);
        assert!(!wanted.is_empty(), "{}: this life has no refund", test.name);
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = test.store.refunds(&id("FR1"), after, 2).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some((last.seq, last.order_id.order.no));
            found.extend(page.iter().map(|refund| (refund.seq, refund.order_id.order.no, refund.amount)));
        }
        assert_eq!(found, wanted, "{}", test.name);
        assert!(test.store.refunds(&id("FR2"), None, 10).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_is_left_to_tell_of_old_events_is_told_in_order_and_once() {
    for test in stores().await {
        let life = life_of("FR1", 120);
        stored(&test.store, &life).await;
        let all = life.all(1).events;
        let before = Seq(life.flight.seq().0 - 5);
        let mut wanted = BTreeSet::new();
        for recorded in all.iter().filter(|recorded| recorded.seq < before) {
            match &recorded.event {
                Event::FlightCreated { .. }
                | Event::SaleSwitched { .. }
                | Event::PolicyChanged { .. }
                | Event::SeatsBlocked { .. }
                | Event::SeatsUnblocked { .. }
                | Event::RowsAdded { .. }
                | Event::CabinsChanged(_)
                | Event::OrderPlaced(_) => drop(wanted.insert(recorded.seq)),
                _ => {}
            }
        }
        let (mut after, mut found) = (Seq(0), Vec::new());
        loop {
            let page = test.store.changes(&id("FR1"), after, before, 7).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= 7);
            after = last.seq();
            found.extend(page);
        }
        let seqs: Vec<Seq> = found.iter().map(StoredChange::seq).collect();
        assert!(seqs.is_sorted() && seqs.iter().all(|seq| *seq < before), "{}: {seqs:?}", test.name);
        let told: BTreeSet<Seq> = seqs.iter().copied().collect();
        assert!(wanted.is_subset(&told), "{}: {:?} are missing", test.name, wanted.difference(&told));
        assert_eq!(seqs.len(), told.len(), "{}: told twice: {seqs:?}", test.name);
    }
}

/// Four searches of admins hang on a table that somebody has locked; a customer's list of another table's rows goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admins_who_search_leave_connections_to_customers() {
    let test = store_support::mysql().await;
    let life = life_of("FR1", 60);
    stored(&test.store, &life).await;
    let mut beside = test.beside().await;
    beside.run("LOCK TABLES refunds WRITE").await;
    let searches: Vec<_> = (0..8)
        .map(|_| {
            let store = test.store.clone();
            tokio::spawn(async move { store.refunds(&id("FR1"), None, 10).await.map(|_| ()) })
        })
        .collect();
    for round in 0..20 {
        let listed = tokio::time::timeout(SOON, test.store.orders(&OrderFilter::default(), None, 10)).await;
        assert!(!listed.expect("customers wait for admins").unwrap().is_empty(), "round {round}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(searches.iter().any(|search| !search.is_finished()), "no search hangs: nothing was tested");
    beside.run("UNLOCK TABLES").await;
    for search in searches {
        let _ = search.await.unwrap();
    }
}
