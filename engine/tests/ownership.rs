//! One owner at a time: restarts that overlap, replies and views that follow an owner's end, a journal that refuses, and
//! clocks that go back.

mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use farerush_engine::actor::{Answer, Condition, Located, OutcomeUnknown, RestartError};
use farerush_engine::flight::{
    Cabin, Command, Epoch, IdempotencyKey, OrderId, OrderStatus, PolicyChange, Refusal, SalePolicy, Timestamp,
};
use farerush_engine::journal::{Batch, Claim, Durability, Journal};
use farerush_persistence::journal::faulty::Fault;
use rig::{
    PATIENCE, Rig, ask, definition, first_events, flight_id, grab, grab_with, hold_for, order, stays, until,
};

const RESTARTS_AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flight_is_recovered_by_one_at_a_time_however_many_restarts_there_are() {
    let rig = Rig::new(Durability::Journal);
    let flight = rig.create("FR1", SalePolicy::default()).await;
    let mut restarts = tokio::task::JoinSet::new();
    for _ in 0..RESTARTS_AT_ONCE {
        let (engine, id) = (rig.engine.clone(), flight.flight_id().clone());
        restarts.spawn(async move { engine.restart(&id).await.unwrap().epoch });
    }
    let mut epochs = restarts.join_all().await;
    epochs.sort_unstable();
    assert!(epochs.windows(2).all(|pair| pair[0] < pair[1]), "{epochs:?}");
    assert_eq!((rig.recoveries.begun(), rig.recoveries.at_once_max()), (RESTARTS_AT_ONCE, 1));
    assert_eq!(order(&flight, grab("a", 2)).await.seats.len(), 2);
    rig.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flight_of_elsewhere_is_taken_over_by_one_at_a_time() {
    let first = Rig::new(Durability::Journal);
    let placed = order(&first.create("FR1", SalePolicy::default()).await, grab_with("a", 2, Some("k"))).await;
    let second = Rig::on(first.journal.clone(), Durability::Journal);
    let mut restarts = tokio::task::JoinSet::new();
    for _ in 0..RESTARTS_AT_ONCE {
        let engine = second.engine.clone();
        restarts.spawn(async move { engine.restart(&flight_id("FR1")).await.unwrap().epoch });
    }
    let newest = restarts.join_all().await.into_iter().max();
    assert_eq!((second.recoveries.begun(), second.recoveries.at_once_max()), (RESTARTS_AT_ONCE, 1));
    let Located::Here(flight) = second.engine.find(&flight_id("FR1")) else { panic!("it is not here") };
    assert_eq!(Some(flight.status().epoch), newest, "the newest owner is the one that serves");
    assert_eq!(order(&flight, grab_with("a", 2, Some("k"))).await, placed);
    first.engine.stop();
    second.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_that_overlap_under_load_lose_no_acknowledged_order() {
    let rig = Rig::new(Durability::Journal);
    let policy = SalePolicy { hold_seconds: 1, max_seats_per_customer: 2, ..SalePolicy::default() };
    let flight = rig.create("FR1", policy).await;
    let ends = Arc::new(AtomicBool::new(false));
    let mut customers = tokio::task::JoinSet::new();
    for customer in 0..8 {
        let (flight, ends) = (flight.clone(), ends.clone());
        customers.spawn(async move {
            let mut placed = Vec::new();
            let mut number = 0;
            while !ends.load(Ordering::Relaxed) {
                number += 1;
                let key = format!("{customer}-{number}");
                let Ok(pending) = flight.submit(grab_with(&key, 1, Some(&key))) else {
                    tokio::task::yield_now().await;
                    continue;
                };
                if let Ok(Answer::Order { order, .. }) = pending.await {
                    let id = OrderId::of(flight.flight_id(), &flight.view().definition.ids, order.no);
                    placed.push((key, order));
                    // Given back, so that it never sells out.
                    let _ = flight.submit(Command::Cancel { order: id.order }).map(drop);
                }
            }
            placed
        });
    }
    for _ in 0..20 {
        let (one, other) =
            tokio::join!(rig.engine.restart(flight.flight_id()), rig.engine.restart(flight.flight_id()));
        assert_ne!(one.unwrap().epoch, other.unwrap().epoch);
    }
    ends.store(true, Ordering::Relaxed);
    let placed = customers.join_all().await.concat();
    assert!(!placed.is_empty());
    for (key, placed) in placed {
        let id = OrderId::of(flight.flight_id(), &flight.view().definition.ids, placed.no);
        let found = flight.look_up(id.order).unwrap().await.unwrap();
        let Answer::Order { order, .. } = found else { panic!("{placed:?} is {found:?}") };
        assert_eq!((&order.customer, &order.seats), (&placed.customer, &placed.seats), "somebody else's");
        let Answer::Order { order, replayed, .. } = ask(&flight, grab_with(&key, 1, Some(&key))).await else {
            panic!("{key} is not known any more");
        };
        assert_eq!((order.no, replayed), (placed.no, true));
    }
    rig.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_repeated_under_its_key_answers_with_what_the_first_one_came_to() {
    let rig = Rig::new(Durability::Journal);
    let flight = rig.create("FR1", SalePolicy::default()).await;
    let key = |text: &str| Some(IdempotencyKey::new(text).unwrap());
    let restart = |under: &str| rig.engine.restart_under(flight.flight_id(), key(under));
    let (one, same) = tokio::join!(restart("k"), restart("k"));
    let (one, same) = (one.unwrap(), same.unwrap());
    assert_eq!((one.seq, one.epoch, one.took), (same.seq, same.epoch, same.took));
    assert_ne!(one.replayed, same.replayed);
    order(&flight, grab("a", 1)).await;
    let later = restart("k").await.unwrap();
    assert_eq!((later.seq, later.epoch, later.replayed), (one.seq, one.epoch, true));
    assert_eq!(rig.recoveries.begun(), 1);
    let another = restart("l").await.unwrap();
    assert_eq!((another.epoch, another.replayed), (one.epoch.next(), false));
    let missing = rig.engine.restart_under(&flight_id("FR2"), key("k")).await;
    assert!(matches!(missing, Err(RestartError::NotFound)), "a key belongs to its flight");
    rig.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_waits_for_what_is_being_appended() {
    let rig = Rig::new(Durability::Journal);
    let flight = rig.create("FR1", SalePolicy::default()).await;
    rig.journal.hold();
    let pending = flight.submit(grab("a", 2)).unwrap();
    assert!(rig.journal.wait_until_holding(PATIENCE));
    let (engine, id) = (rig.engine.clone(), flight.flight_id().clone());
    let restart = tokio::spawn(async move { engine.restart(&id).await });
    until("it is being recovered", || matches!(rig.engine.find(flight.flight_id()), Located::There)).await;
    stays("nothing is read while an append is under way", || rig.recoveries.begun() == 0).await;
    rig.journal.release();
    let placed = pending.await.expect("it had been handed over");
    let Answer::Order { order, .. } = &placed else { panic!("{placed:?}") };
    restart.await.unwrap().unwrap();
    let id = OrderId::of(flight.flight_id(), &flight.view().definition.ids, order.no);
    assert_eq!(flight.look_up(id.order).unwrap().await.unwrap(), placed);
    rig.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_comes_with_the_seat_plan_that_it_was_decided_on() {
    let rig = Rig::new(Durability::Journal);
    let flight = rig.create("FR1", SalePolicy::default()).await;
    let before = flight.view().definition.clone();
    let row = Cabin { first_row: 20, last_row: 20, ..before.cabins[0].clone() };
    rig.journal.hold();
    let first = flight.submit(grab("a", 1)).unwrap();
    assert!(rig.journal.wait_until_holding(PATIENCE));
    let asked = [grab("b", 1), Command::AddRows(row), grab("c", 1)];
    let asked = asked.map(|command| flight.submit(command).unwrap());
    rig.journal.release();
    let Ok(Answer::Order { definition, .. }) = first.await else { panic!("no order") };
    assert_eq!(*definition, *before);
    let [second, _, third] = asked;
    let Ok(Answer::Order { definition, .. }) = second.await else { panic!("no order") };
    assert_eq!(*definition, *before, "however far the flight has come by the time that it is read");
    let Ok(Answer::Order { definition, .. }) = third.await else { panic!("no order") };
    assert_eq!((definition.cabins.len(), flight.view().definition.cabins.len()), (2, 2));
    rig.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_decided_on_top_of_a_batch_that_came_to_nothing_is_never_answered() {
    let rig = Rig::new(Durability::Journal);
    let policy = SalePolicy { hold_seconds: 1, ..SalePolicy::default() };
    let flight = rig.create("FR1", policy).await;
    order(&flight, grab("h", 1)).await;
    // The timer of that hold will fire; by the clock, it has not run out then. So that turn has no event.
    rig.engine.clock().turn_back(Duration::from_secs(60));
    rig.journal.hold();
    let granted = flight.submit(grab("a", 9)).unwrap();
    assert!(rig.journal.wait_until_holding(PATIENCE));
    let refused = flight.submit(grab("a", 1)).unwrap();
    until("the second turn has been handed over", || rig.engine.census().writer_queue == 1).await;
    let claim = Claim { flight_id: flight.flight_id().clone(), epoch: Epoch(9) };
    rig.journal.fence(&[claim]).unwrap();
    rig.journal.release();
    assert_eq!(granted.await, Err(OutcomeUnknown));
    assert_eq!(refused.await, Err(OutcomeUnknown), "it was refused because of an order that never was");
    assert_eq!(flight.view().free, 59);
    rig.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_decided_on_top_of_what_the_store_lacks_waits_for_the_store() {
    let rig = Rig::new(Durability::Store);
    let (engine, releases) = (rig.engine.clone(), rig.releases.clone());
    let creating =
        tokio::spawn(async move { engine.create(definition("FR1"), SalePolicy::default(), true).await });
    until("the creation waits for the store", || releases.lock().len() == 1).await;
    releases.lock().drain(..).for_each(|release| (release.run)());
    let flight = creating.await.unwrap().unwrap();

    let granted = flight.submit(grab("a", 9)).unwrap();
    until("the order waits for the store", || releases.lock().len() == 1).await;
    let refused = flight.submit(grab("a", 1)).unwrap();
    until("the refusal waits for the store, too", || releases.lock().len() == 2).await;
    let [first, second] = <[_; 2]>::try_from(std::mem::take(&mut *releases.lock())).ok().unwrap();
    assert_eq!((first.seq, second.seq), (flight.status().seq, flight.status().seq));
    (first.run)();
    assert!(matches!(granted.await, Ok(Answer::Order { .. })));
    (second.run)();
    assert!(matches!(refused.await, Ok(Answer::Refused(Refusal::LimitExceeded { .. }))));
    rig.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_never_goes_back_whatever_is_released_last() {
    let rig = Rig::new(Durability::Store);
    let (engine, releases) = (rig.engine.clone(), rig.releases.clone());
    let creating =
        tokio::spawn(async move { engine.create(definition("FR1"), SalePolicy::default(), true).await });
    until("the creation waits for the store", || releases.lock().len() == 1).await;
    releases.lock().drain(..).for_each(|release| (release.run)());
    let flight = creating.await.unwrap().unwrap();
    for (number, customer) in ["a", "b"].into_iter().enumerate() {
        drop(flight.submit(grab(customer, 1)).unwrap());
        until("the order waits for the store", || releases.lock().len() == number + 1).await;
    }
    let [older, newer] = <[_; 2]>::try_from(std::mem::take(&mut *releases.lock())).ok().unwrap();
    (newer.run)();
    assert_eq!(flight.view().free, 58);
    (older.run)();
    assert_eq!(flight.view().free, 58);
    rig.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_durability_a_view_does_not_go_back_when_the_journal_catches_up() {
    let rig = Rig::new(Durability::Memory);
    let flight = rig.create("FR1", SalePolicy::default()).await;
    rig.journal.hold();
    order(&flight, grab("a", 1)).await;
    assert!(rig.journal.wait_until_holding(PATIENCE));
    order(&flight, grab("b", 1)).await;
    let (seq, appends) = (flight.view().seq, rig.journal.appends());
    rig.journal.pass_next(1);
    rig.journal.fail_next(Fault::UnavailableBefore, 1_000);
    rig.journal.release();
    until("the second round is tried", || rig.journal.appends() > appends).await;
    assert_eq!((flight.view().seq, flight.view().free), (seq, 58));
    rig.journal.heal();
    until("it is written", || flight.status().durable_seq == seq).await;
    assert_eq!(flight.view().seq, seq);
    rig.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_whose_round_came_to_nothing_finds_out_by_itself_when_it_can_write_again() {
    let rig = Rig::new(Durability::Journal);
    let lost = rig.create("FR1", SalePolicy::default()).await;
    let other = rig.create("FR2", SalePolicy::default()).await;
    rig.journal.fail_next(Fault::UnavailableBefore, 2);
    rig.journal.fail_next(Fault::Damaged, 1);
    // Not at once, either: these it meets while it asks.
    rig.journal.fail_next(Fault::UnavailableBefore, 3);
    assert_eq!(lost.submit(grab("a", 1)).unwrap().await, Err(OutcomeUnknown));
    assert!(matches!(rig.engine.find(lost.flight_id()), Located::Quarantined { .. }));
    until("it can be written again", || rig.engine.status().journal == Condition::Writing).await;
    assert_eq!(order(&other, grab("b", 1)).await.status, OrderStatus::Confirmed);
    rig.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_calls_a_flight_damaged_that_it_was_not_sent_has_stopped() {
    let rig = Rig::new(Durability::Journal);
    let flight = rig.create("FR1", SalePolicy::default()).await;
    rig.journal.fail_next(Fault::DamagedElsewhere, 1);
    assert_eq!(flight.submit(grab("a", 1)).unwrap().await, Err(OutcomeUnknown));
    assert!(matches!(rig.engine.status().journal, Condition::Stopped { .. }));
    assert!(flight.submit(grab("b", 1)).is_err());
    rig.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_whoever_takes_rounds_over_stops_the_sale_and_says_so() {
    let panics = Arc::new(AtomicBool::new(false));
    let asked = panics.clone();
    let journal = Rig::new(Durability::Journal);
    let rig = Rig::with(
        journal.journal.clone(),
        Durability::Journal,
        Box::new(move |_| assert!(!asked.load(Ordering::Relaxed), "a panic was asked for")),
        Arc::default(),
    );
    let flight = rig.create("FR1", SalePolicy::default()).await;
    panics.store(true, Ordering::Relaxed);
    assert_eq!(flight.submit(grab("a", 1)).unwrap().await, Err(OutcomeUnknown));
    until("it is said", || matches!(rig.engine.status().journal, Condition::Stopped { .. })).await;
    assert!(flight.submit(grab("b", 1)).is_err());
    // Whoever waits for the writer is told, not left waiting.
    assert!(tokio::time::timeout(PATIENCE, rig.engine.restart(flight.flight_id())).await.is_ok());
    rig.engine.stop();
    journal.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flight_from_a_server_whose_clock_is_ahead_sells_on() {
    let rig = Rig::new(Durability::Journal);
    let ahead = rig.engine.clock().now().plus_millis(3_600_000);
    let events = first_events("FR1", SalePolicy { hold_seconds: 60, ..SalePolicy::default() }, ahead);
    let batch = Batch { flight_id: flight_id("FR1"), epoch: Epoch(1), events };
    rig.journal.append(&[batch]).unwrap();
    rig.engine.restart(&flight_id("FR1")).await.unwrap();
    let Located::Here(flight) = rig.engine.find(&flight_id("FR1")) else { panic!("it is not here") };
    let placed = order(&flight, grab("a", 1)).await;
    assert_eq!((placed.created_at, placed.hold_expires_at), (ahead, Some(ahead.plus_millis(60_000))));
    let id = OrderId::of(flight.flight_id(), &flight.view().definition.ids, placed.no);
    assert_eq!(order(&flight, Command::Cancel { order: id.order }).await.status, OrderStatus::Cancelled);
    rig.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_that_was_refused_as_over_stays_over_for_an_owner_whose_clock_is_behind() {
    let rig = Rig::new(Durability::Journal);
    let closes_at = rig.engine.clock().now().plus_millis(50);
    let flight = rig.create("FR1", SalePolicy { closes_at: Some(closes_at), ..SalePolicy::default() }).await;
    until("it is over", || rig.engine.clock().now() >= closes_at).await;
    // Nothing else happens: what is refused leaves no trace but that the sale is over.
    assert_eq!(ask(&flight, grab("a", 1)).await, Answer::Refused(Refusal::SaleClosed));
    let seq = flight.status().seq;
    assert_eq!(ask(&flight, grab("b", 1)).await, Answer::Refused(Refusal::SaleClosed));
    assert_eq!(flight.status().seq, seq, "it is said once");
    rig.engine.clock().turn_back(Duration::from_secs(60));
    rig.engine.restart(&flight_id("FR1")).await.unwrap();
    assert!(rig.engine.clock().now() < closes_at);
    assert_eq!(ask(&flight, grab("c", 1)).await, Answer::Refused(Refusal::SaleClosed));
    rig.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_that_time_has_closed_stays_closed_when_a_clock_goes_back() {
    let rig = Rig::new(Durability::Journal);
    let closes_at = rig.engine.clock().now().plus_millis(100);
    let flight = rig.create("FR1", SalePolicy { closes_at: Some(closes_at), ..SalePolicy::default() }).await;
    let is_closed = |answer: &Answer| matches!(answer, Answer::Refused(Refusal::SaleClosed));
    let deadline = std::time::Instant::now() + PATIENCE;
    while !is_closed(&ask(&flight, grab("a", 1)).await) {
        assert!(std::time::Instant::now() < deadline, "it never closes");
        let change = PolicyChange { max_seats_per_customer: Some(60), ..PolicyChange::default() };
        ask(&flight, Command::ChangePolicy(change)).await;
    }
    rig.engine.clock().turn_back(Duration::from_secs(60));
    let again = ask(&flight, grab("b", 1)).await;
    assert!(is_closed(&again), "it had been said that the sale is over: {again:?}");
    assert!(rig.engine.clock().now() < closes_at);
    rig.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_while_a_flight_ends_gets_an_answer_and_keeps_no_place() {
    let rig = Rig::new(Durability::Journal);
    for number in 0..100 {
        let flight = rig.create(&format!("FR{number}"), SalePolicy::default()).await;
        let start = Arc::new(std::sync::Barrier::new(2));
        let (asked, at) = (flight.clone(), start.clone());
        let asking = std::thread::spawn(move || {
            at.wait();
            let pending: Vec<_> =
                (0..50).map_while(|n| asked.submit(grab(&format!("c{n}"), 1)).ok()).collect();
            pending
        });
        start.wait();
        rig.engine.note_fenced_under(flight.flight_id(), Epoch(1));
        for pending in asking.join().unwrap() {
            let answered = tokio::time::timeout(PATIENCE, pending).await;
            assert!(answered.is_ok(), "flight {number}: nobody will ever answer");
        }
    }
    until("all places are free again", || rig.engine.status().in_flight == 0).await;
    rig.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_go_on_running_out_after_restarts_that_overlap() {
    let rig = Rig::new(Durability::Journal);
    let flight = rig.create("FR1", SalePolicy::default()).await;
    ask(&flight, Command::ChangePolicy(hold_for(1))).await;
    let held = order(&flight, grab("a", 3)).await;
    assert!(held.hold_expires_at > Some(Timestamp::from_millis(0)));
    let (one, other) =
        tokio::join!(rig.engine.restart(flight.flight_id()), rig.engine.restart(flight.flight_id()));
    assert!(one.is_ok() && other.is_ok());
    until("the hold runs out", || flight.view().free == 60).await;
    let before = flight.status().seq;
    stays("it does so once", || flight.status().seq == before).await;
    rig.engine.stop();
}
