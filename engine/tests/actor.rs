//! Flights through their actors: what comes back, when, and what happens when something breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use farerush_engine::actor::{
    Answer, Condition, CreateError, Engine, EngineParts, FlightHandle, Limits, Located, OutcomeUnknown,
    RecoveredFlight, WriterOptions,
};
use farerush_engine::flight::{
    Cabin, CabinClass, Command, Currency, CustomerId, Epoch, Fare, Flight, FlightDefinition, FlightId,
    FlightIds, Grab, IdSecret, IdSecrets, IdempotencyKey, Layout, Order, OrderStatus, PolicyChange, Refusal,
    SalePolicy, Salt, Seq, Timestamp, Together, Wanted,
};
use farerush_engine::journal::{Claim, Durability, Journal};
use farerush_persistence::journal::faulty::{Fault, FaultyJournal};
use farerush_persistence::journal::memory::MemoryJournal;

type TestJournal = FaultyJournal;

struct World {
    engine: Arc<Engine>,
    journal: Arc<TestJournal>,
    recoveries: Arc<AtomicUsize>,
}

fn definition(id: &str) -> FlightDefinition {
    FlightDefinition {
        flight_id: FlightId::new(id).unwrap(),
        flight_number: "FR1".into(),
        origin: "TPE".into(),
        destination: "NRT".into(),
        departs_at: Timestamp::from_millis(2_000_000_000_000),
        origin_time_zone: None,
        aircraft: None,
        cabins: vec![Cabin {
            cabin_class: CabinClass::Economy,
            first_row: 1,
            last_row: 10,
            layout: Layout::new("ABC DEF").unwrap(),
            fare: Fare { amount: 100, currency: Currency::new("TWD").unwrap() },
        }],
        ids: FlightIds::new(Salt(7)),
    }
}

/// Recovers from the journal alone, as recovery does with an empty store.
fn recover_from(journal: &TestJournal, flight_id: &FlightId) -> Result<Option<RecoveredFlight>, String> {
    let Some(extent) = journal.extent(flight_id).map_err(|e| e.to_string())? else { return Ok(None) };
    let epoch = extent.epoch.next();
    journal.fence(&[Claim { flight_id: flight_id.clone(), epoch }]).map_err(|e| e.to_string())?;
    let events = journal.read(flight_id, Seq(0), usize::MAX).map_err(|e| e.to_string())?;
    let mut flight = Flight::create(&events[0]).map_err(|e| e.to_string())?;
    events[1..].iter().for_each(|event| flight.apply(event));
    flight.check().map_err(|e| e.to_string())?;
    Ok(Some(RecoveredFlight { flight, epoch, stored: Seq(0) }))
}

fn world(limits: Limits, durability: Durability) -> World {
    let journal = Arc::new(FaultyJournal::new(Arc::new(MemoryJournal::new())));
    let recoveries = Arc::new(AtomicUsize::new(0));
    let (from, counter) = (journal.clone(), recoveries.clone());
    let engine = Engine::start(EngineParts {
        journal: journal.clone(),
        on_durable: Box::new(drop),
        recover: Arc::new(move |flight_id| {
            counter.fetch_add(1, Ordering::Relaxed);
            let recovered = recover_from(&from, &flight_id);
            Box::pin(async move { recovered })
        }),
        durability,
        limits,
        writer: WriterOptions::default(),
        arbiters: 2,
        secrets: Arc::new(IdSecrets::new(IdSecret::new([7; 32]), [])),
        runtime: tokio::runtime::Handle::current(),
    })
    .unwrap();
    World { engine, journal, recoveries }
}

async fn open_flight(world: &World, id: &str) -> FlightHandle {
    world.engine.create(definition(id), SalePolicy::default(), true).await.unwrap()
}

fn grab_with(customer: &str, quantity: u16, key: Option<&str>) -> Command {
    Command::Grab(Grab {
        customer: CustomerId::new(customer).unwrap(),
        wanted: Wanted::Quantity { quantity, together: Together::Preferred },
        cabin_class: None,
        passengers: None,
        client_reference: None,
        idempotency_key: key.map(|key| IdempotencyKey::new(key).unwrap()),
    })
}

fn grab(customer: &str, quantity: u16) -> Command {
    grab_with(customer, quantity, None)
}

async fn ask(flight: &FlightHandle, command: Command) -> Answer {
    let pending = flight.submit(command).expect("a permit");
    tokio::time::timeout(Duration::from_secs(10), pending)
        .await
        .expect("an answer in time")
        .expect("an outcome")
}

async fn order(flight: &FlightHandle, command: Command) -> Order {
    match ask(flight, command).await {
        Answer::Order { order, .. } => order,
        other => panic!("no order but {other:?}"),
    }
}

/// Looks until it is so, or gives up after ten seconds.
async fn until(mut so: impl FnMut() -> bool) {
    let looking = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), looking).await.expect("it never came to be so");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_gets_exactly_the_seats_there_are() {
    let world = world(Limits::default(), Durability::Journal);
    let flight = open_flight(&world, "FR1").await;
    let pending: Vec<_> = (0..200).map(|n| flight.submit(grab(&format!("c{n}"), 1)).unwrap()).collect();
    let mut seats = std::collections::HashSet::new();
    let mut refused = 0;
    for answer in pending {
        match answer.await.unwrap() {
            Answer::Order { order, .. } => order.seats.iter().for_each(|seat| assert!(seats.insert(*seat))),
            Answer::Refused(Refusal::SoldOut) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((seats.len(), refused), (60, 140));
    assert_eq!(flight.view().free, 0);
    world.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_learns_anything_before_the_journal_has_it() {
    let world = world(Limits::default(), Durability::Journal);
    let flight = open_flight(&world, "FR1").await;
    let seq = flight.view().seq;
    world.journal.hold();
    let mut granted = flight.submit(grab("a", 9)).unwrap();
    // Refused because of an order that is not durable yet: it has to wait behind that.
    let mut refused = flight.submit(grab("a", 1)).unwrap();
    assert!(world.journal.wait_until_holding(Duration::from_secs(10)));
    assert!(futures_poll(&mut granted).await.is_none());
    assert!(futures_poll(&mut refused).await.is_none());
    assert_eq!(flight.view().seq, seq, "the view shows durable events only");
    world.journal.release();
    assert!(matches!(granted.await, Ok(Answer::Order { .. })));
    assert!(matches!(refused.await, Ok(Answer::Refused(Refusal::LimitExceeded { .. }))));
    assert_eq!(flight.view().free, 51);
    world.engine.stop();
}

/// The answer if it is there already.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! { biased; output = future => Some(output), () = std::future::ready(()) => None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_durability_the_answer_does_not_wait() {
    let world = world(Limits::default(), Durability::Memory);
    let flight = open_flight(&world, "FR1").await;
    world.journal.hold();
    assert_eq!(order(&flight, grab("a", 2)).await.seats.len(), 2);
    assert_eq!(flight.view().free, 58);
    world.journal.release();
    world.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_fails_is_sent_again_and_nothing_is_taken_meanwhile() {
    let world = world(Limits::default(), Durability::Journal);
    let flight = open_flight(&world, "FR1").await;
    world.journal.fail_next(Fault::UnavailableAfter, 3);
    let pending = flight.submit(grab("a", 1)).unwrap();
    assert!(matches!(pending.await, Ok(Answer::Order { .. })));
    until(|| world.engine.status().journal == Condition::Writing).await;
    assert_eq!(order(&flight, grab("b", 1)).await.status, OrderStatus::Confirmed);
    world.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_has_stopped_stops_the_sale_and_acknowledges_nothing() {
    let world = world(Limits::default(), Durability::Journal);
    let flight = open_flight(&world, "FR1").await;
    world.journal.fail_next(Fault::Stopped, 1);
    let pending = flight.submit(grab("a", 1)).unwrap();
    assert_eq!(pending.await, Err(OutcomeUnknown));
    assert!(flight.submit(grab("b", 1)).is_err());
    assert!(matches!(world.engine.status().journal, Condition::Stopped { .. }));
    assert_eq!(flight.view().free, 60, "what may be seen is what is durable");
    world.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_panics_counts_as_stopped() {
    let world = world(Limits::default(), Durability::Journal);
    let flight = open_flight(&world, "FR1").await;
    world.journal.fail_next(Fault::Panic, 1);
    assert_eq!(flight.submit(grab("a", 1)).unwrap().await, Err(OutcomeUnknown));
    assert!(matches!(world.engine.status().journal, Condition::Stopped { .. }));
    world.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_expires_by_itself_and_its_seats_come_back() {
    let world = world(Limits::default(), Durability::Journal);
    let flight = open_flight(&world, "FR1").await;
    ask(&flight, Command::ChangePolicy(PolicyChange { hold_seconds: Some(1), ..PolicyChange::default() }))
        .await;
    let held = order(&flight, grab("a", 3)).await;
    assert_eq!(held.status, OrderStatus::Held);
    assert_eq!(flight.view().free, 57);
    until(|| flight.view().free == 60).await;
    assert_eq!(flight.status().holds, 0);
    world.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_sent_a_hundred_times_at_once_gives_one_order() {
    let world = world(Limits::default(), Durability::Journal);
    let flight = open_flight(&world, "FR1").await;
    let pending: Vec<_> = (0..100).map(|_| flight.submit(grab_with("a", 2, Some("key"))).unwrap()).collect();
    let mut fresh = 0;
    let mut numbers = std::collections::HashSet::new();
    for answer in pending {
        let Ok(Answer::Order { order, replayed, .. }) = answer.await else { panic!("no order") };
        fresh += usize::from(!replayed);
        numbers.insert(order.no);
    }
    assert_eq!((fresh, numbers.len(), flight.view().free), (1, 1, 58));
    let reused = ask(&flight, grab_with("a", 3, Some("key"))).await;
    assert_eq!(reused, Answer::Refused(Refusal::IdempotencyKeyReused));
    world.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_flight_goes_on_where_it_was() {
    let world = world(Limits::default(), Durability::Journal);
    let flight = open_flight(&world, "FR1").await;
    let placed = order(&flight, grab_with("a", 2, Some("key"))).await;
    let restarted = world.engine.restart(flight.flight_id()).await.unwrap();
    assert_eq!(restarted.epoch, Epoch(2));
    assert_eq!(restarted.seq, flight.view().seq);
    let again = order(&flight, grab_with("a", 2, Some("key"))).await;
    assert_eq!(again, placed);
    assert_eq!(flight.view().free, 58);
    world.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_of_a_rush_loses_nothing_that_was_acknowledged() {
    let world = world(Limits::default(), Durability::Journal);
    let flight = open_flight(&world, "FR1").await;
    let engine = world.engine.clone();
    let flight_id = flight.flight_id().clone();
    let restarts = tokio::spawn(async move {
        for _ in 0..5 {
            engine.restart(&flight_id).await.unwrap();
        }
    });
    let mut acknowledged = Vec::new();
    for n in 0..60 {
        let Ok(pending) = flight.submit(grab(&format!("c{n}"), 1)) else { continue };
        if let Ok(answer @ Answer::Order { .. }) = pending.await {
            acknowledged.push(answer);
        }
    }
    restarts.await.unwrap();
    for placed in acknowledged {
        let Answer::Order { order, .. } = &placed else { panic!("{placed:?}") };
        let order_id =
            farerush_engine::flight::OrderId::of(flight.flight_id(), &flight.view().definition.ids, order.no);
        assert_eq!(flight.look_up(order_id.order).unwrap().await.unwrap(), placed);
    }
    world.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flight_that_another_owner_took_acknowledges_nothing_more() {
    let world = world(Limits::default(), Durability::Journal);
    let flight = open_flight(&world, "FR1").await;
    let claim = Claim { flight_id: flight.flight_id().clone(), epoch: Epoch(9) };
    world.journal.fence(&[claim]).unwrap();
    assert_eq!(flight.submit(grab("a", 1)).unwrap().await, Err(OutcomeUnknown));
    assert!(matches!(world.engine.find(flight.flight_id()), Located::There));
    assert!(flight.submit(grab("a", 1)).is_err());
    assert_eq!(flight.view().free, 60);
    world.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panicking_actor_is_recovered_alone_while_the_others_sell_on() {
    let world = world(Limits::default(), Durability::Journal);
    let flight = open_flight(&world, "FR1").await;
    let other = open_flight(&world, "FR2").await;
    let placed = order(&flight, grab_with("a", 2, Some("key"))).await;
    assert_eq!(flight.make_it_panic().unwrap().await, Err(OutcomeUnknown));
    assert_eq!(order(&other, grab("b", 1)).await.seats.len(), 1);
    // It is here until it is known to have panicked, too.
    until(|| {
        world.recoveries.load(Ordering::Relaxed) > 0
            && matches!(world.engine.find(flight.flight_id()), Located::Here(_))
    })
    .await;
    assert_eq!(world.recoveries.load(Ordering::Relaxed), 1);
    assert_eq!(order(&flight, grab_with("a", 2, Some("key"))).await, placed);
    assert_eq!(flight.status().epoch, Epoch(2));
    assert_eq!(other.status().epoch, Epoch(1));
    world.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flight_that_panics_again_and_again_is_stopped() {
    let world = world(Limits::default(), Durability::Journal);
    let flight = open_flight(&world, "FR1").await;
    let engine = world.engine.clone();
    let flight_id = flight.flight_id().clone();
    until(|| {
        // Refused while it is being recovered.
        let _ = flight.make_it_panic();
        matches!(engine.find(&flight_id), Located::Quarantined { .. })
    })
    .await;
    assert_eq!(world.engine.status().quarantined.len(), 1);
    assert!(flight.submit(grab("a", 1)).is_err());
    world.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permits_bound_what_is_under_way() {
    let limits = Limits { permits_overall: 100, permits_per_flight: 10 };
    let world = world(limits, Durability::Journal);
    let flight = open_flight(&world, "FR1").await;
    world.journal.hold();
    let taken: Vec<_> = (0..20).map(|n| flight.submit(grab(&format!("c{n}"), 1))).collect();
    assert_eq!(taken.iter().filter(|taken| taken.is_ok()).count(), 10);
    world.journal.release();
    for pending in taken.into_iter().flatten() {
        assert!(matches!(pending.await, Ok(Answer::Order { .. })));
    }
    assert!(flight.submit(grab("x", 1)).is_ok(), "permits come back");
    world.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flight_is_created_only_once() {
    let world = world(Limits::default(), Durability::Journal);
    let (first, second) = tokio::join!(
        world.engine.create(definition("FR1"), SalePolicy::default(), false),
        world.engine.create(definition("FR1"), SalePolicy::default(), false),
    );
    let outcomes = [first.is_ok(), second.is_ok()];
    assert_eq!(outcomes.iter().filter(|created| **created).count(), 1);
    let again = world.engine.create(definition("FR1"), SalePolicy::default(), false).await;
    assert!(matches!(again, Err(CreateError::Exists)));
    world.engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_stops_waiting_has_ordered_all_the_same() {
    let world = world(Limits::default(), Durability::Journal);
    let flight = open_flight(&world, "FR1").await;
    drop(flight.submit(grab_with("a", 2, Some("key"))).unwrap());
    until(|| flight.view().free == 58).await;
    let Answer::Order { replayed, .. } = ask(&flight, grab_with("a", 2, Some("key"))).await else {
        panic!("no order")
    };
    assert!(replayed);
    world.engine.stop();
}
